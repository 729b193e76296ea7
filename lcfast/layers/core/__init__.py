"""The base of all layers: arguments, weights, sublayers, losses, calls, symbolic calls."""
