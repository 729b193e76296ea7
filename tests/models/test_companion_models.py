"""Models full of companion layers, with integer inputs, as tf_keras saved and computed them."""

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within

MODELS = pytest.mark.parametrize("name", ["words_and_numbers", "pixels"])


def loaded(name):
    found = goldens.arrays(f"companions_{name}")
    model = lcfast.load_model(goldens.DIRECTORY / f"companions_{name}.h5")
    x = [found["x"]] if "x" in found else [found["x0"], found["x1"]]
    return model, x if len(x) > 1 else x[0], found


def bound(expected):
    """As of whole models in test_model.py, for twice as many layers with shorter sums."""
    return 120 * np.finfo(expected.dtype).eps * np.abs(expected).max()


@MODELS
def test_predict_gives_what_keras_gives(name):
    model, x, found = loaded(name)
    assert_within(model.predict(x), found["y"], bound(found["y"]))
    assert model.count_params() == int(found["params"])


@MODELS
def test_vjp_gives_the_gradients_of_keras(name):
    model, x, found = loaded(name)
    dx, dweights = model.vjp(x)[1](found["dy"])
    if name == "pixels":
        assert dx is None
    else:
        assert dx[0] is None
        assert_within(dx[1], found["dx"], bound(found["dx"]))
    expected = [found[f"dw{i}"] for i in range(len(dweights))]
    assert f"dw{len(expected)}" not in found
    # Gradients of biases before a normalization cancel: the bound is that of what is summed.
    largest = max(np.abs(d).max() for d in expected)
    for got, wanted in zip(dweights, expected, strict=True):
        assert_within(got, wanted, bound(np.append(wanted, wanted.dtype.type(largest))))


@MODELS
def test_the_bits_of_a_row_do_not_depend_on_the_batch(name):
    model, x, _ = loaded(name)
    rng = np.random.default_rng(1)
    rows = [a[rng.integers(0, len(a), 17)] for a in (x if isinstance(x, list) else [x])]
    together = model.predict(rows if len(rows) > 1 else rows[0])
    for size in (1, 3, 17):
        part = [a[:size] for a in rows]
        assert_same_bits(model(part if len(part) > 1 else part[0]), together[:size])
        whole = rows if len(rows) > 1 else rows[0]
        assert_same_bits(model.predict(whole, batch_size=size), together)


@MODELS
def test_the_inputs_have_the_dtypes_of_the_file(name):
    model, _, found = loaded(name)
    stored = [key for key in found if key == "x" or (key[1:].isdecimal() and key[0] == "x")]
    assert [tensor.dtype for tensor in model.inputs] == [found[key].dtype for key in stored]
    assert any(np.dtype(tensor.dtype).kind != "f" for tensor in model.inputs)
