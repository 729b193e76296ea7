"""The unshared convolution: geometry, weight layouts, the checked entry `ops`, the engines."""

from lcfast.local_conv.spin_count import load_openmp

OPENMP_WAITS = load_openmp()  # before any other extension module is imported
