"""Properties of every layer, for random geometries, implementations, engines and configs."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import lcfast
from tests.support.naive_ops import layers_on_naive_loops


@st.composite
def layers(draw):
    """A built layer of random geometry with random weights, in float64."""
    dimensions = draw(st.sampled_from([1, 2]))
    kind = (lcfast.LocallyConnected1D, lcfast.LocallyConnected2D)[dimensions - 1]
    implementation = draw(st.sampled_from([1, 2, 3]))
    padding = "valid" if implementation == 1 else draw(st.sampled_from(["valid", "same"]))
    size = draw(st.tuples(*[st.integers(1, 7)] * dimensions))
    widest = [n if padding == "valid" else n + 2 for n in size]
    kernel = draw(st.tuples(*[st.integers(1, n) for n in widest]))
    strides = draw(st.tuples(*[st.integers(1, 3)] * dimensions))
    data_format = draw(st.sampled_from(["channels_last", "channels_first"]))
    channels = draw(st.integers(1, 3))
    layer = kind(
        draw(st.integers(1, 5)),
        kernel,
        strides=strides,
        padding=padding,
        data_format=data_format,
        use_bias=draw(st.booleans()),
        implementation=implementation,
        kernel_initializer=lcfast.initializers.RandomNormal(seed=draw(st.integers(0, 99))),
        bias_initializer=lcfast.initializers.RandomNormal(seed=7),
        dtype="float64",
    )
    layer.build(
        (None, channels, *size) if data_format == "channels_first" else (None, *size, channels)
    )
    return layer


def rows_for(layer, rows=9):  # more than a vector, so that every regime occurs
    return np.random.default_rng(1).standard_normal((rows, *layer.geometry.input_shape))


def answers(layer, x):
    """The output, and the gradient of the input for an output gradient that depends on it."""
    y, pullback = layer.vjp(x)
    return y, pullback(np.cos(y))[0]


@given(layers())
def test_all_engines_agree_with_naive_loops(layer):
    x = rows_for(layer)

    def on(engine):
        other = type(layer).from_config({**layer.get_config(), "engine": engine})
        other.build((None, *layer.geometry.input_shape))
        other.set_weights(layer.get_weights())
        return answers(other, x)

    with layers_on_naive_loops():
        expected = on("direct")
    for engine in ("direct", "sparse", "auto"):
        for one, wanted in zip(on(engine), expected, strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-12, atol=1e-12)


@given(layers(), st.sampled_from([1, 2, 3]))
def test_conversions_compute_the_same_and_are_inverses(layer, implementation):
    if layer.padding == "same" and implementation == 1:
        implementation = 3
    x = rows_for(layer)
    other = layer.with_implementation(implementation)
    for got, expected in zip(answers(other, x), answers(layer, x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    back = other.with_implementation(layer.implementation)
    for got, expected in zip(back.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@given(layers())
def test_the_other_data_format_computes_the_same_and_leads_back(layer):
    first = layer.data_format == "channels_first"
    other = layer.with_data_format("channels_last" if first else "channels_first")
    move = (lambda a: np.moveaxis(a, 1, -1)) if first else (lambda a: np.moveaxis(a, -1, 1))
    x = rows_for(layer)
    np.testing.assert_allclose(other(move(x)), move(layer(x)), rtol=1e-12, atol=1e-12)
    back = other.with_data_format(layer.data_format)
    for got, expected in zip(back.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@given(layers())
def test_a_config_goes_through_json_and_makes_the_same_layer(layer):
    config = json.loads(json.dumps(layer.get_config()))
    other = type(layer).from_config(config)
    assert json.dumps(other.get_config()) == json.dumps(layer.get_config())
    other.build((None, *layer.geometry.input_shape))
    other.set_weights(layer.get_weights())
    x = rows_for(layer)
    np.testing.assert_array_equal(other(x), layer(x))


@given(layers())
def test_gradients_are_the_adjoints_of_the_layer(layer):
    # <dy, f(x, W)> = <dx, x> = <dW, W>, without the bias
    weights = layer.get_weights()
    layer.set_weights([weights[0], *(np.zeros_like(bias) for bias in weights[1:])])
    x = rows_for(layer)
    y, pullback = layer.vjp(x)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dx, dweights = pullback(dy)
    size = abs(dy).sum() * abs(x).max() * max(abs(weights[0]).max(), 1) * layer.geometry.patch_size
    assert abs(np.vdot(dy, y) - np.vdot(dx, x)) <= 1e-14 * size
    assert abs(np.vdot(dy, y) - np.vdot(dweights[0], weights[0])) <= 1e-14 * size
