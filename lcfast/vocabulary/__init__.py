"""Activations, initializers, regularizers and constraints, by their Keras names."""
