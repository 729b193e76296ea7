"""Layers that act in training alone."""

import json

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits

KINDS = [
    (lcfast.SpatialDropout1D, (3, 4)),
    (lcfast.SpatialDropout2D, (3, 4, 2)),
    (lcfast.GaussianNoise, (3, 4)),
    (lcfast.GaussianDropout, (3, 4)),
    (lcfast.AlphaDropout, (3, 4)),
]
each_kind = pytest.mark.parametrize(
    ("kind", "shape"), KINDS, ids=lambda value: getattr(value, "__name__", "")
)


@each_kind
def test_a_layer_of_training_passes_its_input_on(kind, shape):
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype("f4")
    y, pullback = kind(0.5).vjp(x)
    assert_same_bits(y, x)
    dx, dweights = pullback(2 * x)
    assert_same_bits(dx, 2 * x)
    assert dweights == []


@each_kind
def test_training_is_refused_unless_it_would_change_nothing(kind, shape):
    x = np.ones((2, *shape), "f4")
    with pytest.raises(ValueError, match=r"Layer a .*training=True"):
        kind(0.5, name="a")(x, training=True)
    assert_same_bits(kind(0)(x, training=True), x)


@pytest.mark.parametrize("kind", [lcfast.GaussianDropout, lcfast.AlphaDropout])
def test_a_rate_of_one_acts_neither_in_keras(kind):
    x = np.ones((2, 3), "f4")
    assert_same_bits(kind(1)(x, training=True), x)


@each_kind
@pytest.mark.parametrize("value", [-0.5, "x", None, True, [0.5], float("nan")], ids=repr)
def test_a_strength_that_is_none_is_refused(kind, shape, value):
    with pytest.raises(ValueError, match=r"The `(rate|stddev)` argument must be"):
        kind(value)


@pytest.mark.parametrize("kind", [lcfast.SpatialDropout1D, lcfast.GaussianDropout])
def test_a_rate_above_one_is_refused(kind):
    with pytest.raises(ValueError, match="The `rate` argument must be from 0 to 1"):
        kind(1.5)
    assert lcfast.GaussianNoise(1.5).stddev == 1.5


@pytest.mark.parametrize(("kind", "shape"), KINDS[:2], ids=["1D", "2D"])
def test_spatial_dropout_needs_an_input_of_its_rank(kind, shape):
    with pytest.raises(ValueError, match=f"needs an input of {len(shape) + 1} dimensions"):
        kind(0.5)(np.ones((2, 3)))


@each_kind
def test_a_config_holds_what_keras_writes(kind, shape):
    options = {"seed": np.int64(3)}
    config = json.loads(json.dumps(kind(np.float32(0.5), name="a", **options).get_config()))
    assert config.pop("seed") == 3
    assert config.pop("noise_shape", None) is None
    strength = "stddev" if kind is lcfast.GaussianNoise else "rate"
    assert config == {"name": "a", "trainable": True, "dtype": "float32", strength: 0.5}
