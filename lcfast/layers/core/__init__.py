"""What every layer is made of: configuration, weights, calls, losses, the symbolic side."""
