"""Dilated, grouped and transposed convolutions, and sums, computed by the kernels of local_conv."""
