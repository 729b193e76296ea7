"""A training step made of vjp, regularization_gradients and apply_constraints."""

import numpy as np

RATE = 0.05


def step_of(layer, x, target):
    """Do one step of SGD; return the loss before it."""
    y, pullback = layer.vjp(x)
    loss = np.mean((y - target) ** 2) + sum(layer.losses)
    _, gradients = pullback(2 * (y - target) / y.size)
    penalties = layer.regularization_gradients(x)
    weights = zip(layer.get_weights(), gradients, penalties, strict=True)
    layer.set_weights([w - RATE * (g + p) for w, g, p in weights])
    layer.apply_constraints()
    return loss
