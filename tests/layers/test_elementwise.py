"""Activation against tf_keras's goldens, ReLU against its definition, Dropout, Masking."""

import json

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within

ACTIVATIONS = goldens.activation_case_names()
SELU_SLOPE_BELOW_0 = 1.0507009873554805 * 1.6732632423543772
RELUS = [
    {},
    {"max_value": 1.5},
    {"negative_slope": 0.25},
    {"threshold": 0.5},
    {"max_value": 1.5, "negative_slope": 0.125, "threshold": 0.75},
    {"max_value": 0.5, "threshold": 0.75},
    {"max_value": np.float32(2), "negative_slope": np.float64(0.5), "threshold": np.int64(1)},
]


def test_all_activations_of_keras_are_there():
    names = ("linear", "relu", "tanh", "sigmoid", "softmax", "elu", "selu")
    expected = {f"{name}/{dtype}" for name in names for dtype in ("float32", "float64")}
    assert set(ACTIVATIONS) == expected


@pytest.mark.parametrize("case", ACTIVATIONS)
def test_an_activation_gives_what_keras_gives_both_ways(case):
    name, dtype = case.split("/")
    golden = goldens.activation_case(case)
    layer = lcfast.Activation(name, dtype=dtype)
    y, pullback = layer.vjp(golden["x"])
    dx, dweights = pullback(golden["dy"])
    eps = np.finfo(dtype).eps
    # An exponential, a sum and a quotient on either side; Keras's elu is exp(x) - 1, so it loses
    # all digits of a small x but none below eps. The gradient takes y for its slope.
    near = 8 * eps * np.abs(golden["y"]) + (4 * eps if name in ("elu", "selu") else 0)
    slope_near = 8 * eps * np.abs(golden["dy"]).max(axis=-1, keepdims=True)
    exact = name in ("linear", "relu")
    expected_dx = golden["dx"].copy()
    if name == "selu":  # where Keras loses a tiny negative x it also takes the slope above 0
        lost = (golden["x"] < 0) & (golden["y"] == 0)
        expected_dx[lost] = SELU_SLOPE_BELOW_0 * golden["dy"][lost]
    assert dweights == []
    assert_within(y, golden["y"], 0 if exact else near + np.finfo(dtype).tiny)
    assert_within(dx, expected_dx, 0 if exact else slope_near)
    assert_same_bits(layer(golden["x"]), y)


@pytest.mark.parametrize("given", [None, {"class_name": "function", "config": "linear"}], ids=str)
def test_no_activation_is_the_linear_one(given):
    x = np.array([[-1.5, 0.0, 2.5]])
    assert_same_bits(lcfast.Activation(given)(x), x.astype("f4"))


@pytest.mark.parametrize("given", ["", "nothing", 3, ["relu"], {"class_name": "Lambda"}, b"relu"])
def test_an_activation_that_nobody_knows_is_refused(given):
    with pytest.raises((ValueError, TypeError), match="activation"):
        lcfast.Activation(given)


def test_softmax_needs_a_row():
    with pytest.raises(ValueError, match="softmax needs at least 2 axes"):
        lcfast.Activation("softmax")(np.ones(3))


# ---------------------------------------------------------------- ReLU


def relu(x, max_value=None, negative_slope=0.0, threshold=0.0):
    """What Keras computes, one number at a time: 0 at the threshold, whatever its pages say."""
    if max_value is not None and x >= max_value and x > threshold:
        return float(max_value)
    return float(x) if x > threshold else float(negative_slope) * (float(x) - float(threshold))


@pytest.mark.parametrize("options", RELUS, ids=str)
def test_relu_is_keras_s_definition(options):
    x = np.array([[-2, -1, -0.5, -0.0, 0.0, 0.25, 0.5, 0.75, 1, 1.5, 1.75, 2, 9]])
    expected = np.array([[relu(number, **options) for number in x[0]]])
    np.testing.assert_array_equal(lcfast.ReLU(dtype="float64", **options)(x), expected)


@pytest.mark.parametrize("options", RELUS, ids=str)
def test_the_gradient_of_relu_is_its_slope(options):
    x = np.array([[-2, -1, -0.375, 0.375, 0.625, 0.875, 1.25, 1.625, 3]])  # no kink among them
    y, pullback = lcfast.ReLU(dtype="float64", **options).vjp(x)
    step = 2.0**-10
    slopes = [(relu(n + step, **options) - relu(n - step, **options)) / (2 * step) for n in x[0]]
    dx, dweights = pullback(np.full_like(y, 3))
    np.testing.assert_array_equal(dx, [3 * np.array(slopes)])
    assert dweights == []


def test_nan_stays_nan():
    x = np.full((1, 3), np.nan, "f4")
    for layer in (lcfast.ReLU(), lcfast.ReLU(6, 0.5, 1), lcfast.Activation("relu")):
        assert np.isnan(layer(x)).all()


@pytest.mark.parametrize("argument", ["max_value", "negative_slope", "threshold"])
@pytest.mark.parametrize(
    "value",
    [-1, "6", True, [6], float("nan"), {"value": "6"}, 6j, np.complex64(6), 10**400],
    ids=lambda value: repr(value)[:20],
)
def test_a_number_of_relu_must_be_one_that_is_not_negative(argument, value):
    with pytest.raises(ValueError, match=f"The `{argument}` argument must be a number of 0 or"):
        lcfast.ReLU(**{argument: value})


@pytest.mark.parametrize("argument", ["negative_slope", "threshold"])
def test_only_the_maximum_of_relu_may_be_none(argument):
    with pytest.raises(ValueError, match=f"The `{argument}` argument"):
        lcfast.ReLU(**{argument: None})


def test_a_limit_that_float32_does_not_reach_is_none():
    x = np.array([[-1, 0, 3e38]], "f4")
    assert_same_bits(lcfast.ReLU(max_value=1e308)(x), lcfast.ReLU()(x))


def test_a_number_as_keras_3_writes_it_is_read():
    assert lcfast.ReLU(max_value={"class_name": "__numpy__", "value": 6.0}).max_value == 6


# ---------------------------------------------------------------- Dropout


@pytest.mark.parametrize("rate", [0, 0.5, 1, np.float32(0.25)], ids=str)
def test_dropout_drops_nothing_when_it_scores(rate):
    x = np.random.default_rng(1).standard_normal((3, 4)).astype("f4")
    y, pullback = lcfast.Dropout(rate).vjp(x)
    assert_same_bits(y, x)
    assert_same_bits(pullback(2 * x)[0], 2 * x)
    assert pullback(x)[1] == []


def test_dropout_refuses_to_train_unless_it_would_drop_nothing():
    x = np.ones((2, 3), "f4")
    with pytest.raises(ValueError, match="training=True"):
        lcfast.Dropout(0.5)(x, training=True)
    assert_same_bits(lcfast.Dropout(0)(x, training=True), x)


def test_the_numbers_of_numpy_are_written_as_numbers():
    config = lcfast.Dropout(np.float32(0.5), (np.int64(1), None), np.int64(3)).get_config()
    assert json.loads(json.dumps(config))["seed"] == 3
    assert json.loads(json.dumps(config))["noise_shape"] == [1, None]


@pytest.mark.parametrize(
    "rate", [-0.1, 1.1, "half", None, True, [0.5], float("nan"), np.complex64(0)], ids=repr
)
def test_a_rate_must_lie_between_0_and_1(rate):
    with pytest.raises(ValueError, match="The `rate` argument must be"):
        lcfast.Dropout(rate)


# ---------------------------------------------------------------- Masking, ActivityRegularization


def test_masking_clears_steps_that_hold_the_value_alone():
    x = np.array([[[2.0, 2.0], [2.0, 1.0], [0.0, 0.0], [np.nan, 2.0]]])
    y, pullback = lcfast.Masking(2).vjp(x)
    np.testing.assert_array_equal(y, [[[0, 0], [2, 1], [0, 0], [np.nan, 2]]])
    dx, dweights = pullback(np.ones_like(y))
    assert dx[..., 0].tolist() == [[0, 1, 1, 1]]
    assert dweights == []


@pytest.mark.parametrize("value", ["x", None, True, [0], float("nan")], ids=repr)
def test_a_mask_value_must_be_a_number(value):
    with pytest.raises(ValueError, match="The `mask_value` argument must be a number"):
        lcfast.Masking(value)


def test_masking_needs_steps():
    with pytest.raises(ValueError, match="needs an input of 2 or more dimensions"):
        lcfast.Masking()(np.ones(3))


def test_a_penalty_on_the_activity_is_a_loss_with_a_gradient():
    x = np.array([[1.0, -3.0], [0.5, 0.0]], "f4")
    layer = lcfast.ActivityRegularization(0.5, 0.25)
    assert_same_bits(layer(x), x)
    assert layer.losses == [pytest.approx((0.5 * 4.5 + 0.25 * 10.25) / 2)]
    model = lcfast.Sequential(
        [lcfast.Dense(2, weights=[np.eye(2), [0, 0]], input_shape=(2,)), layer]
    )
    of_kernel, of_bias = model.regularization_gradients(x)
    slope = (0.5 * np.sign(x) + 0.5 * x) / 2
    np.testing.assert_allclose(of_kernel, x.T @ slope, rtol=1e-6)
    np.testing.assert_allclose(of_bias, slope.sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("factor", ["l1", "l2"])
def test_a_factor_of_a_penalty_must_be_a_number(factor):
    with pytest.raises(ValueError, match=f"The `{factor}` argument must be a number"):
        lcfast.ActivityRegularization(**{factor: "much"})
