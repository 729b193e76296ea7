"""Every activation under every name, in every dialect, with every parameter that Keras has."""

import json

import numpy as np
import pytest

from lcfast.local_conv import ops
from lcfast.vocabulary import activations
from tests.support.cases import assert_same_bits

NAMES = (
    "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
)  # fmt: skip
X = np.array([[-7.0, -2.5, -1.0, -0.0, 0.0, 0.25, 2.5, 6.0, 7.0]])


def under(name):
    """The name under which Keras saves it."""
    return "swish" if name == "silu" else name


@pytest.mark.parametrize("name", NAMES)
class TestEveryName:
    def test_it_is_found_under_its_name_and_in_the_module(self, name):
        found = activations.get(name)
        assert found is getattr(activations, name)
        assert found.name == under(name)
        assert activations.get(found) is found

    @pytest.mark.parametrize(
        "written",
        [
            '{"class_name": "function", "config": "NAME"}',
            '{"module": "builtins", "class_name": "function", "config": "NAME", '
            '"registered_name": "function"}',
            '{"class_name": "NAME", "config": {}}',
            '{"name": "NAME"}',
            '"NAME"',
        ],
    )
    def test_it_is_found_in_every_dialect(self, name, written):
        config = json.loads(written.replace("NAME", name))
        assert activations.get(config) is activations.get(name)
        assert activations.deserialize(config) is activations.get(name)

    def test_it_is_saved_under_the_name_that_keras_writes(self, name):
        assert activations.serialize(activations.get(name)) == under(name)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_it_computes_what_its_kernel_computes(self, name, dtype):
        function, x = activations.get(name), X.astype(dtype)
        assert_same_bits(function(x), ops.activate(x, function.kernel))

    @pytest.mark.parametrize("other", [str.upper, str.title, "{} ".format, "x{}".format])
    def test_its_name_is_spelled_as_in_keras(self, name, other):
        with pytest.raises(ValueError, match="is not a known activation"):
            activations.get(other(name))


def test_none_is_linear():
    for find in (activations.get, activations.deserialize):
        assert find(None) is activations.linear


def test_silu_and_swish_are_one():
    assert activations.silu is activations.swish


@pytest.mark.parametrize("given", [3, 2.0, True, b"relu", ["relu"], ("relu",), np.ones(2), dict])
def test_what_could_name_nothing_is_a_type_error(given):
    with pytest.raises(TypeError, match="activation"):
        activations.get(given)


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"class_name": "function"},
        {"class_name": "function", "config": {}},
        {"class_name": ["relu"]},
        {"class_name": "relu", "config": {"alpha": 0.3}},
        {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}},
        {"class_name": "LeakyReLU", "config": {"alpha": 0.3}},  # layers resolve it
    ],
    ids=str,
)
def test_a_dict_that_names_none_is_refused(damaged):
    with pytest.raises(ValueError, match=r"activation|takes no arguments"):
        activations.get(damaged)


# ---------------------------------------------------------------- functions of the caller's


def test_any_function_scores_but_has_no_name():
    def double(x):
        return 2 * x

    custom = activations.get(double)
    assert activations.get(custom) is custom
    assert_same_bits(custom(X), 2 * X)
    with pytest.raises(ValueError, match="double"):
        activations.serialize(custom)


def test_a_function_must_keep_the_shape():
    with pytest.raises(ValueError, match=r"\(1,\).*\(1, 9\)"):
        activations.get(lambda x: x.sum(axis=-1))(X)


# ---------------------------------------------------------------- parameters


def keras_relu(x, alpha=0.0, max_value=None, threshold=0.0):
    above = x if max_value is None else np.clip(x, 0, max_value)
    return np.where(x > threshold, above, alpha * (x - threshold))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"alpha": 0.5},
        {"alpha": -0.5},
        {"max_value": 6},
        {"max_value": 2.5},
        {"threshold": 0.25},
        {"threshold": -1.0},
        {"alpha": 0.125, "max_value": 2.0, "threshold": 0.5},
        {"alpha": 0.125, "max_value": 2.0},
    ],
    ids=str,
)
def test_relu_has_the_parameters_of_keras(parameters):
    np.testing.assert_array_equal(activations.relu(X, **parameters), keras_relu(X, **parameters))


def test_elu_and_leaky_relu_have_an_alpha():
    below, above = X[X < 0], X[X >= 0]
    got = activations.elu(X, alpha=-0.5)[0]
    np.testing.assert_allclose(got[: len(below)], -0.5 * np.expm1(below), rtol=1e-15)
    np.testing.assert_array_equal(got[len(below) :], above)
    np.testing.assert_array_equal(activations.leaky_relu(X, 0.5), np.where(X < 0, X / 2, X))
    # TensorFlow holds the slope in float32, whatever the dtype.
    assert activations.leaky_relu(np.array([-1.0]))[0] == -np.float64(np.float32(0.2))


def test_gelu_has_an_approximation():
    assert_same_bits(activations.gelu(X, approximate=False), activations.gelu(X))
    inner = np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)
    got = activations.gelu(X, approximate=True)
    np.testing.assert_allclose(got, X * (1 + np.tanh(inner)) / 2, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_a_softmax_runs_over_any_axis(name, axis):
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    function = activations.get(name)
    last = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    assert_same_bits(function(x, axis=axis), np.moveaxis(function(last), -1, axis))


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_is_not_there_is_refused(axis):
    with pytest.raises(ValueError, match="axis"):
        activations.softmax(X, axis=axis)


def test_softmax_needs_two_axes_and_log_softmax_one():
    with pytest.raises(ValueError, match="softmax needs at least 2 axes"):
        activations.softmax(X[0])
    with pytest.raises(ValueError, match="log_softmax needs an axis"):
        activations.log_softmax(1.0)
    assert activations.log_softmax(X[0]).shape == (9,)


@pytest.mark.parametrize("argument", ["alpha", "max_value", "threshold"])
@pytest.mark.parametrize("value", ["1", [1], float("nan"), True])
def test_a_parameter_must_be_a_number(argument, value):
    with pytest.raises(ValueError, match=f"{argument} needs"):
        activations.relu(X, **{argument: value})
