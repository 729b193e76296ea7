"""The unshared convolution: geometry, weight layouts, the checked entry `ops`, the engines."""
