"""Activation layers, alone and as the activation of other layers, and activations of every name."""

import json
from pathlib import Path

import numpy as np
import pytest

import lcfast
from lcfast.local_conv import ops
from tests.support.cases import assert_same_bits, assert_within

GOLDENS = Path(__file__).parent.parent / "golden" / "more_activations.npz"
NAMES = (
    "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
)  # fmt: skip
IN_ACTIVATIONS_NPZ = {"elu", "linear", "relu", "selu", "sigmoid", "softmax", "tanh"}
IN_GOLDENS = [*(name for name in NAMES if name not in IN_ACTIVATIONS_NPZ), "gelu_approximate"]
DTYPES = ("float32", "float64")
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
WITHOUT_WEIGHTS = [
    lambda **kwargs: lcfast.LeakyReLU(0.25, **kwargs),
    lambda **kwargs: lcfast.LeakyReLU(-0.25, **kwargs),
    lambda **kwargs: lcfast.LeakyReLU(0, **kwargs),
    lambda **kwargs: lcfast.ELU(0.5, **kwargs),
    lambda **kwargs: lcfast.ReLU(1.5, 0.25, 0.5, **kwargs),
    lambda **kwargs: lcfast.Softmax(**kwargs),
    lambda **kwargs: lcfast.Softmax(1, **kwargs),
    lambda **kwargs: lcfast.Softmax([1, 2], **kwargs),
    lambda **kwargs: lcfast.ThresholdedReLU(0.5, **kwargs),
]
each_without_weights = pytest.mark.parametrize(
    "make", WITHOUT_WEIGHTS, ids=lambda make: str(sorted(make(name="layer").get_config().items()))
)
OWNERS = {
    "Dense": lambda **kwargs: lcfast.Dense(4, **kwargs),
    "Conv1D": lambda **kwargs: lcfast.Conv1D(4, 2, **kwargs),
    "Conv1D-first": lambda **kwargs: lcfast.Conv1D(4, 2, data_format="channels_first", **kwargs),
    "LocallyConnected1D": lambda **kwargs: lcfast.LocallyConnected1D(4, 2, **kwargs),
    "Activation": lambda activation, **kwargs: lcfast.Activation(activation, **kwargs),
}
each_owner = pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)


def numbers(shape, dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def same_weights(*layers):
    """Build the layers for one input and give all the weights of the first."""
    for layer in layers:
        layer(numbers((2, 5, 3), layer.dtype))
        layer.set_weights(layers[0].get_weights())


def assert_gradient(layer, x, seed=2):
    """Differences of <dy, layer(x)> along a direction, in float64, against both gradients."""
    y, pullback = layer.vjp(x)
    dy, direction = numbers(y.shape, seed=seed), numbers(x.shape, seed=seed + 1)
    dx, dweights = pullback(dy)
    step = 1e-6
    there, back = layer(x + step * direction), layer(x - step * direction)
    assert np.vdot(dx, direction) == pytest.approx(np.vdot(dy, there - back) / (2 * step), rel=1e-6)
    weights = layer.get_weights()
    for i, dweight in enumerate(dweights):
        direction = numbers(dweight.shape, seed=seed + 2 + i)
        values = []
        for sign in (1, -1):
            layer.set_weights(
                [*weights[:i], weights[i] + sign * step * direction, *weights[i + 1 :]]
            )
            values.append(np.vdot(dy, layer(x)))
        layer.set_weights(weights)
        slope = (values[0] - values[1]) / (2 * step)
        assert np.vdot(dweight, direction) == pytest.approx(slope, rel=1e-5, abs=1e-8)


# ---------------------------------------------------------------- what Keras computes


@pytest.mark.parametrize("name", IN_GOLDENS)
@both_dtypes
def test_an_activation_gives_what_keras_gives_both_ways(name, dtype):
    with np.load(GOLDENS) as goldens:
        x, y, dy, dx = (goldens[f"{name}/{dtype}/{key}"] for key in ("x", "y", "dy", "dx"))
    approximate = name == "gelu_approximate"  # has no name in Keras
    kernel = ops.Activation(name) if approximate else lcfast.activations.get(name).kernel
    got = ops.activate(x, kernel)
    got_dx = ops.activation_gradient(x if kernel.gradient_from_input else got, dy, kernel)
    # A few roundings on either side; Keras's gelu of float64 has some factors in float32 alone.
    eps = np.finfo("float32" if name.startswith("gelu") else dtype).eps
    finite = np.isfinite(y) & np.isfinite(dx)
    np.testing.assert_array_equal(got[~finite], y[~finite])
    size = 1 + np.abs(y.astype(np.longdouble))
    assert_within(got[finite], y[finite], 16 * eps * size[finite])
    scale = np.abs(dy).max(axis=-1, keepdims=True) * size * x.shape[-1]
    assert_within(got_dx[finite], dx[finite], 16 * eps * scale[finite])
    if not approximate and finite.all():
        layer_y, pullback = lcfast.Activation(name, dtype=dtype).vjp(x)
        assert_same_bits(layer_y, got)
        assert_same_bits(pullback(dy)[0], got_dx)


def test_every_activation_of_keras_has_a_golden():
    with np.load(GOLDENS) as goldens:
        assert {key.split("/")[0] for key in goldens.files} == set(IN_GOLDENS)


@pytest.mark.parametrize(
    ("layer", "y", "slope"),
    [  # of tf_keras 2.21, at X
        (lcfast.LeakyReLU(0.25), [-0.5, 0, 0, 0.5, 1, 2], [0.25, 0.25, 0.25, 1, 1, 1]),
        (lcfast.LeakyReLU(0), [0, 0, 0, 0.5, 1, 2], [0, 0, 0, 1, 1, 1]),
        (lcfast.ThresholdedReLU(1), [0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 1]),
        (lcfast.ThresholdedReLU(0), [0, 0, 0, 0.5, 1, 2], [0, 0, 0, 1, 1, 1]),
        (lcfast.PReLU("ones"), [-2, 0, 0, 0.5, 1, 2], [1, 0, 0, 1, 1, 1]),
        (lcfast.ELU(0.5), [0.5 * np.expm1(-2), 0, 0, 0.5, 1, 2], [0.5 * np.exp(-2), 0.5, 0.5]),
        (lcfast.ReLU(1), [0, 0, 0, 0.5, 1, 1], [0, 0, 0, 1, 1, 0]),
        (lcfast.ReLU(2, 0.25, 0.5), [-0.625, -0.125, -0.125, 0, 1, 2], [0.25] * 3 + [0, 1, 1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_where_a_layer_bends_it_does_what_keras_does(layer, y, slope):
    x = np.array([[-2, -0.0, 0.0, 0.5, 1, 2]], "f4")
    got, pullback = layer.vjp(x)
    np.testing.assert_allclose(got[0], y, rtol=1e-6)
    np.testing.assert_allclose(pullback(np.ones_like(x))[0][0, : len(slope)], slope, rtol=1e-6)


def test_relu_of_six_is_the_one_that_is_flat_at_its_limit():
    x = np.array([[6.0]], "f4")
    assert lcfast.ReLU(6).vjp(x)[1](x)[0] == 0
    assert lcfast.ReLU(6, threshold=0.5).vjp(x)[1](x)[0] == 6


@pytest.mark.parametrize("axis", [1, 2, -1, -2, [1, 2], (2,), [-1, 1]], ids=str)
def test_a_softmax_sums_to_one_along_its_axes(axis):
    y = lcfast.Softmax(axis, dtype="float64")(numbers((2, 3, 4)))
    np.testing.assert_allclose(y.sum(axis=tuple(axis) if isinstance(axis, list) else axis), 1)


@pytest.mark.parametrize("axis", [3, -4, [1, 1], [1, -2], []], ids=str)
def test_a_softmax_refuses_axes_that_are_not_there_or_are_there_twice(axis):
    with pytest.raises(ValueError, match="axis"):
        lcfast.Softmax(axis)(numbers((2, 3, 4)))


@each_without_weights
def test_the_gradients_of_a_layer_are_those_of_its_output(make):
    assert_gradient(make(dtype="float64"), 2 * numbers((3, 4, 5)))


# ---------------------------------------------------------------- PReLU


@pytest.mark.parametrize(
    ("shared", "shape"),
    [(None, (4, 5)), ([1], (1, 5)), (2, (4, 1)), ([2, 1], (1, 1)), ([], (4, 5))],
)
def test_prelu_has_a_slope_for_each_place_that_is_not_shared(shared, shape):
    layer = lcfast.PReLU("glorot_uniform", shared_axes=shared, dtype="float64")
    x = numbers((3, 4, 5))
    y = layer(x)
    (alpha,) = layer.get_weights()
    assert alpha.shape == shape
    assert layer.weights[0].name.endswith("/alpha:0")
    np.testing.assert_array_equal(y, np.where(x < 0, alpha * x, x))
    assert_gradient(layer, x)


def test_prelu_with_a_shared_axis_takes_any_size_along_it():
    layer = lcfast.PReLU(shared_axes=[1])
    layer.build((None, None, 5))
    assert layer(np.ones((2, 7, 5))).shape == (2, 7, 5)
    with pytest.raises(ValueError, match="alpha"):
        layer(np.ones((2, 7, 4)))
    with pytest.raises(ValueError, match="None"):
        lcfast.PReLU().build((None, None, 5))
    with pytest.raises(ValueError, match="axis 3"):
        lcfast.PReLU(shared_axes=3).build((None, 4, 5))


# ---------------------------------------------------------------- configs


@each_without_weights
@both_dtypes
def test_a_layer_comes_back_from_its_config(make, dtype):
    layer = make(dtype=dtype, name="layer")
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    x = numbers((2, 3, 4), dtype)
    assert_same_bits(again(x), layer(x))


def test_prelu_comes_back_from_its_config():
    layer = lcfast.PReLU("ones", "l2", "non_neg", [1, 2], name="prelu")
    config = json.loads(json.dumps(layer.get_config()))
    assert config["shared_axes"] == [1, 2]
    assert lcfast.PReLU.from_config(config).get_config() == layer.get_config()


def test_a_parameter_is_written_as_keras_writes_it():
    assert lcfast.LeakyReLU().get_config()["alpha"] == 0.30000001192092896
    assert lcfast.LeakyReLU(dtype="float64").get_config()["alpha"] == 0.3


@pytest.mark.parametrize("layer", [lcfast.LeakyReLU, lcfast.ELU, lcfast.ThresholdedReLU])
@pytest.mark.parametrize("value", [None, "1", True, [1], float("nan")], ids=repr)
def test_a_parameter_must_be_a_number(layer, value):
    with pytest.raises(ValueError, match=r"`alpha`|`theta`"):
        layer(value)


@pytest.mark.parametrize("layer", [lcfast.ELU, lcfast.ThresholdedReLU])
def test_some_parameters_must_not_be_negative(layer):
    with pytest.raises(ValueError, match="must be a number of 0 or more"):
        layer(-0.5)


# ---------------------------------------------------------------- as the activation of a layer


@each_owner
@pytest.mark.parametrize("name", NAMES)
@both_dtypes
def test_the_gradient_s_forward_has_the_bits_of_the_forward(owner, name, dtype):
    layer, x = owner(activation=name, dtype=dtype), numbers((3, 5, 3), dtype)
    y, pullback = layer.vjp(x)
    assert_same_bits(y, layer(x))
    z_layer = owner(activation=None, dtype=dtype)
    same_weights(layer, z_layer)
    z = z_layer(x)
    assert_same_bits(y, lcfast.activations.get(name)(z))
    out = np.empty_like(y)
    assert layer(x, out=out) is out
    assert_same_bits(out, y)
    assert pullback(y)[0].shape == x.shape


@each_owner
@pytest.mark.parametrize("name", ["mish", "gelu", "hard_sigmoid", "log_softmax", "softplus"])
def test_the_gradients_through_an_activation_are_right(owner, name):
    assert_gradient(owner(activation=name, dtype="float64"), numbers((3, 5, 3)))


@each_owner
@each_without_weights
def test_an_activation_layer_serves_as_an_activation(owner, make):
    alone = make(dtype="float64")
    layer = owner(activation=alone, dtype="float64")
    plain = owner(activation=None, dtype="float64")
    x = numbers((3, 5, 3))
    same_weights(layer, plain)
    assert layer.activation is alone
    assert_same_bits(layer(x), alone(plain(x)))
    assert_same_bits(layer.vjp(x)[0], layer(x))
    out = np.empty_like(layer(x))
    assert_same_bits(layer(x, out=out), alone(plain(x)))
    with pytest.raises(ValueError, match="out has shape"):
        layer(x, out=np.empty((1, *out.shape)))
    assert_gradient(layer, x)


@each_owner
@each_without_weights
def test_an_activation_layer_is_saved_and_read_as_keras_does(owner, make):
    layer = owner(activation=make(name="bend"), name="owner")
    config = json.loads(json.dumps(layer.get_config()))
    written = config["activation"]
    assert list(written) == ["module", "class_name", "config", "registered_name"]
    assert written["module"] == "keras.layers"
    assert written["config"]["name"] == "bend"
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    short = {"class_name": written["class_name"], "config": written["config"]}
    assert type(layer).from_config({**config, "activation": short}).get_config() == (
        layer.get_config()
    )


@pytest.mark.parametrize("name", ["LeakyReLU", "ReLU", "ELU", "Softmax", "ThresholdedReLU"])
def test_the_name_of_an_activation_layer_makes_one_of_the_same_dtype(name):
    layer = lcfast.Dense(3, activation=name, dtype="float64")
    assert type(layer.activation) is getattr(lcfast, name)
    assert layer.activation.dtype == "float64"


@pytest.mark.parametrize(
    "given", [lcfast.PReLU(), "PReLU", {"class_name": "PReLU", "config": {}}, lcfast.Flatten()]
)
def test_a_layer_with_weights_or_of_another_kind_is_no_activation(given):
    with pytest.raises(ValueError, match=r"PReLU|Flatten"):
        lcfast.Dense(3, activation=given)


def test_an_activation_layer_must_compute_in_the_dtype_of_its_owner():
    with pytest.raises(ValueError, match=r"float64.*float32"):
        lcfast.Dense(3, activation=lcfast.LeakyReLU(), dtype="float64")


@each_owner
def test_a_function_of_the_caller_s_scores_and_does_no_more(owner):
    def double(x):
        return 2 * x

    layer, plain = owner(activation=double), owner(activation=None)
    x = numbers((3, 5, 3), "float32")
    same_weights(layer, plain)
    assert_same_bits(layer(x), 2 * plain(x))
    with pytest.raises(TypeError, match="double"):
        layer.vjp(x)
    with pytest.raises(ValueError, match="double"):
        layer.get_config()


def test_a_dense_layer_applies_a_softmax_over_the_axes_of_its_own_output():
    layer, x = lcfast.Dense(4, activation=lcfast.Softmax(1)), numbers((3, 5, 3), "float32")
    np.testing.assert_allclose(layer(x).sum(axis=1), 1, rtol=1e-6)


def test_a_leaky_relu_takes_its_gradient_from_the_output_unless_it_turns_the_sign():
    assert not ops.Activation("leaky_relu", 0.2).gradient_from_input
    assert ops.Activation("leaky_relu", -0.2).gradient_from_input
