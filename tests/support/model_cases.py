"""Models for tests: those of the goldens with input rows, and two handmade ones."""

import numpy as np
import pytest

import lcfast
from tests.support import goldens

EVERY_MODEL = pytest.mark.parametrize("name", goldens.MODELS)


def as_list(value):
    return value if isinstance(value, list) else [value]


def as_given(arrays):
    """A single array, or a list of several, as models take and return them."""
    return arrays if len(arrays) > 1 else arrays[0]


def rows(case, count, seed=1):
    rng = np.random.default_rng(seed)
    return as_given([rng.standard_normal((count, *x.shape[1:])).astype(x.dtype) for x in case.x])


def part(x, where):
    return [array[where] for array in x] if isinstance(x, list) else x[where]


def small(**options):
    """A model with three input values and three output values per row."""
    inputs = lcfast.Input((3,), name="given")
    hidden = lcfast.Dense(4, activation="tanh", name="hidden")(inputs)
    outputs = lcfast.Dense(3, name="last")(hidden)
    model = lcfast.Model(inputs, outputs, **options)
    rng = np.random.default_rng(2)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def forked():
    """A model with two inputs, two outputs and a shared layer."""
    left, right = lcfast.Input((3,), name="left"), lcfast.Input((4, 3), name="right")
    shared = lcfast.Dense(2, activation="tanh", name="shared")
    flat = lcfast.Flatten()(shared(right))
    total = lcfast.Add(name="total")([shared(left), lcfast.Dense(2, name="other")(flat)])
    return lcfast.Model([left, right], [total, flat], name="forked")
