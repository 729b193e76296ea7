"""Dilated, grouped and transposed convolutions, and sums, on the kernels of local_conv."""
