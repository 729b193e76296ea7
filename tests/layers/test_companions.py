"""The layers that models hold beside convolutions, against what tf_keras computes, both ways."""

import json

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import LAYOUTS, assert_same_bits, assert_within

NAMES = goldens.layer_case_names("companions")
EVERY = pytest.mark.parametrize("name", NAMES)
# Layers that compute nothing, or one rounding that IEEE fixes, both ways.
EXACT = {
    *("global_max_1d", "global_max_1d_first", "global_max_2d", "global_max_2d_first"),
    *("permute", "zero_padding_1d", "zero_padding_2d", "zero_padding_2d_first", "cropping_1d"),
    *("cropping_2d", "cropping_2d_first", "concatenate", "gaussian_noise", "gaussian_dropout"),
    *("alpha_dropout", "spatial_dropout_1d", "spatial_dropout_2d", "rescaling"),
    *("rescaling_channels", "masking", "masking_value", "activity_regularization"),
}
# Layers that sum in their gradients alone.
EXACT_FORWARD = EXACT | {
    *("repeat_vector", "up_sampling_1d", "up_sampling_2d", "up_sampling_2d_first", "add"),
    *("subtract", "multiply", "maximum", "minimum", "embedding", "embedding_images"),
    *("embedding_floats", "normalization_given", "normalization_inverted"),
}
LONGEST_SUM = 24  # of the numbers of a row: of all layers, layer_normalization_plain has most


def golden(name):
    return {key[len(name) + 1 :]: value for key, value in goldens.arrays("companions").items()
            if key.startswith(f"{name}/")}  # fmt: skip


def numbered(found, stem):
    count = sum(key.startswith(stem) and key[len(stem) :].isdecimal() for key in found)
    return [found[stem]] if stem in found else [found[f"{stem}{i}"] for i in range(count)]


def made(name):
    """The layer of a case with its weights, and its inputs as it takes them."""
    found = golden(name)
    described = json.loads(str(found["config"]))
    layer = getattr(lcfast, described["class_name"]).from_config(described["config"])
    x = numbered(found, "x")
    given = x if layer.takes_list else x[0]
    layer(given)
    layer.set_weights(numbered(found, "w"))
    return layer, given, found


def bound(expected, magnitude=1.0):
    """How far sums of LONGEST_SUM terms, each made by a few roundings, may lie from Keras's.

    A mean, a variance, its root and the gradient through both follow each other: four sums.
    """
    eps = np.finfo(expected.dtype).eps
    return 4 * LONGEST_SUM * eps * max(np.abs(expected).max(initial=0), magnitude)


def as_list(value):
    return value if isinstance(value, list) else [value]


def trainable(layer, dweights):
    return dweights[: len(layer.trainable_weights)]


def test_every_companion_of_the_goldens_is_there():
    classes = {json.loads(str(golden(name)["config"]))["class_name"] for name in NAMES}
    assert len(classes) == 31
    assert len(NAMES) == 58
    assert set(NAMES) >= EXACT_FORWARD


@EVERY
def test_a_layer_gives_what_keras_gives(name):
    layer, given, found = made(name)
    y = layer(given)
    assert_within(y, found["y"], 0 if name in EXACT_FORWARD else bound(found["y"]))
    assert_same_bits(layer.vjp(given)[0], y)
    shapes = [(None, *x.shape[1:]) for x in as_list(given)]
    shape = layer.compute_output_shape(shapes if layer.takes_list else shapes[0])
    assert shape == (None, *y.shape[1:])


@EVERY
def test_the_gradients_are_those_of_keras(name):
    layer, given, found = made(name)
    dx, dweights = layer.vjp(given)[1](found["dy"])
    expected, of_weights = numbered(found, "dx"), numbered(found, "dw")
    if not expected:  # of indices
        assert dx is None
    for got, wanted in zip(as_list(dx) if expected else [], expected, strict=True):
        assert_within(got, wanted, 0 if name in EXACT else bound(wanted))
    assert len(dweights) == len(layer.get_weights())
    for got, wanted in zip(trainable(layer, dweights), of_weights, strict=True):
        assert_within(got, wanted, bound(wanted))


@EVERY
def test_the_config_is_that_of_keras(name):
    layer, _, found = made(name)
    config = json.loads(json.dumps(layer.get_config()))
    wanted = _without_modules(json.loads(str(found["config"]))["config"])
    wanted.pop("batch_input_shape", None)
    config.pop("batch_input_shape", None)
    assert config == wanted
    assert list(config) == list(wanted)


def _without_modules(value):
    if not isinstance(value, dict):
        return value
    return {
        key: _without_modules(item)
        for key, item in value.items()
        if key not in ("module", "registered_name", "build_config")
    }


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_of_a_row_depend_neither_on_the_batch_nor_on_the_layout(name, dtype):
    layer, given, found = made(name)
    config = {**layer.get_config(), "dtype": dtype}
    layer = type(layer).from_config(config)
    rng = np.random.default_rng(5)
    rows = [
        rng.integers(0, 4, (17, *x.shape[1:])).astype(x.dtype)
        if layer.takes_any_dtype
        else rng.standard_normal((17, *x.shape[1:])).astype(dtype)
        for x in as_list(given)
    ]

    def call(arrays):
        return layer.vjp(arrays if layer.takes_list else arrays[0])

    together, pullback = call(rows)
    layer.set_weights(numbered(found, "w"))
    together, pullback = call(rows)
    dy = rng.standard_normal(together.shape).astype(dtype)
    dx = as_list(pullback(dy)[0])
    for where in (slice(0, 1), slice(11, 12), slice(2, 5)):
        y, pull = call([x[where] for x in rows])
        assert_same_bits(y, together[where])
        if dx[0] is not None:
            for got, wanted in zip(as_list(pull(dy[where])[0]), dx, strict=True):
                assert_same_bits(got, wanted[where])
    for change in LAYOUTS.values():
        y, pull = call([change(x) for x in rows])
        assert_same_bits(y, together)
        if dx[0] is not None:
            for got, wanted in zip(as_list(pull(change(dy))[0]), dx, strict=True):
                assert_same_bits(got, wanted)


@EVERY
def test_an_empty_batch_gives_an_empty_answer(name):
    layer, given, _ = made(name)
    empty = [x[:0] for x in as_list(given)]
    y, pullback = layer.vjp(empty if layer.takes_list else empty[0])
    assert len(y) == 0
    dx, dweights = pullback(y)
    assert all(d is None or len(d) == 0 for d in as_list(dx))
    assert not any(d.any() for d in dweights)


def test_the_penalty_of_activity_regularization_is_that_of_keras():
    layer, given, found = made("activity_regularization")
    layer(given)
    np.testing.assert_allclose(layer.losses, found["losses"], rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if not name.startswith(("global_max", "m", "embedding", "multiply"))],
)
def test_gradients_are_adjoint_to_small_steps(name):
    # <dy, y(x + d) - y(x - d)> / 2 is <dx, d> up to third powers of d, which 2**-12 makes small.
    layer, given, _ = made(name)
    layer = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
    rng = np.random.default_rng(6)
    x = [rng.standard_normal(x.shape) for x in as_list(given)]
    step = [2.0**-12 * rng.standard_normal(x.shape) for x in as_list(given)]

    def call(sign):
        moved = [a + sign * b for a, b in zip(x, step, strict=True)]
        return layer.vjp(moved if layer.takes_list else moved[0])

    y, pullback = call(0)
    dy = rng.standard_normal(y.shape)
    slope = np.vdot(dy, call(1)[0] - call(-1)[0]) / 2
    got = sum(np.vdot(d, s) for d, s in zip(as_list(pullback(dy)[0]), step, strict=True))
    assert got == pytest.approx(slope, rel=1e-4, abs=1e-9 * np.abs(y).max() * len(dy.ravel()))
