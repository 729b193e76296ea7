"""The unshared convolution: geometry, layouts, the gate, and the engines below it."""
