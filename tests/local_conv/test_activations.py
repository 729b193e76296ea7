"""lcfast's own activations, against numpy's functions in a wider precision."""

import numpy as np
import pytest

from lcfast.local_conv import dispatch, ops
from lcfast.local_conv.ops import Activation, ComputeOptions
from tests.support import reference
from tests.support.cases import (
    ACTIVATIONS,
    activation_id,
    assert_same_bits,
    assert_within,
    numbers,
)
from tests.support.wide_numbers import (
    ULPS,
    each_dtype_with_a_wider_one,
    every_dtype,
    every_path,
    numbers_of_all_sizes,
    wide,
)

ELEMENTWISE = [activation for activation in ACTIVATIONS if activation.name != "softmax"]
ELEMENTWISE += [Activation("elu"), Activation("elu", 3.0)]
OTHERS = [
    Activation("exponential"),
    Activation("softplus"),
    Activation("softsign"),
    Activation("hard_sigmoid"),
    Activation("relu6"),
    Activation("leaky_relu", 0.2),
    Activation("leaky_relu", -0.5),
    Activation("swish"),
    Activation("mish"),
    Activation("gelu"),
    Activation("gelu_approximate"),
]
ELEMENTWISE += [activation for activation in OTHERS if activation not in ELEMENTWISE]
NOT_ZERO_AT_ZERO = ("sigmoid", "exponential", "softplus", "hard_sigmoid")
each_elementwise = pytest.mark.parametrize("activation", ELEMENTWISE, ids=activation_id)
SOFTMAX = Activation("softmax")
LOG_SOFTMAX = Activation("log_softmax")
ROWS = [SOFTMAX, LOG_SOFTMAX]
ULPS_OF = {"gelu": 5}

SCALE = np.longdouble("1.05070098735548049342")
ALPHA = np.longdouble("1.67326324235437728481")


def wide_elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def wide_sigmoid(z):
    power = np.exp(-np.abs(z))
    return np.where(z < 0, power, 1) / (1 + power)


def wide_softplus(z):
    return np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0)


def wide_density(z):
    return np.exp(-z * z / 2) / np.sqrt(8 * np.arctan(np.longdouble(1)))


def wide_normal(z):
    """The normal distribution function: a series near 0, a continued fraction in the tails."""
    near, far = np.clip(z, -2, 2), np.maximum(np.abs(z), 2)
    term = series = near
    for k in range(3, 90, 2):
        term = term * near * near / k
        series = series + term
    fraction = far
    for k in range(200, 0, -1):
        fraction = far + k / fraction
    tail = wide_density(far) / fraction
    middle = 0.5 + wide_density(near) * series
    return np.where(np.abs(z) < 2, middle, np.where(z < 0, tail, 1 - tail))


def gelu_exponent(z):
    z = np.clip(z, -1000, 1000)
    return np.sqrt(2 / np.arctan(np.longdouble(1))) * (z + np.longdouble("0.044715") * z**3)


def gelu_exponent_slope(z):
    return np.sqrt(2 / np.arctan(np.longdouble(1))) * (1 + 3 * np.longdouble("0.044715") * z**2)


WIDE = {
    "exponential": lambda z, alpha: np.exp(z),
    "softplus": lambda z, alpha: wide_softplus(z),
    "softsign": lambda z, alpha: z / (1 + np.abs(z)),
    "hard_sigmoid": lambda z, alpha: np.clip(z / 5 + 0.5, 0, 1),
    "relu6": lambda z, alpha: np.clip(z, 0, 6),
    "leaky_relu": lambda z, alpha: np.where(z < 0, alpha * z, z),
    "swish": lambda z, alpha: z * wide_sigmoid(z),
    "mish": lambda z, alpha: z * np.tanh(wide_softplus(z)),
    "gelu": lambda z, alpha: z * wide_normal(z),
    "gelu_approximate": lambda z, alpha: z * wide_sigmoid(gelu_exponent(z)),
    "linear": lambda z, alpha: z,
    "relu": lambda z, alpha: np.maximum(z, 0),
    "tanh": lambda z, alpha: np.tanh(z),
    "sigmoid": lambda z, alpha: 1 / (1 + np.exp(-z)),
    "elu": wide_elu,
    "selu": lambda z, alpha: SCALE * wide_elu(z, ALPHA),
}


def wide_sigmoid_slope(z):
    return wide_sigmoid(z) * wide_sigmoid(-z)


WIDE_DERIVATIVES = {  # in terms of z; the kernels use y
    "exponential": lambda z, alpha: np.exp(z),
    "softplus": lambda z, alpha: wide_sigmoid(z),
    "softsign": lambda z, alpha: 1 / (1 + np.abs(z)) ** 2,
    "hard_sigmoid": lambda z, alpha: np.where(np.abs(z) <= 2.5, np.longdouble(1) / 5, 0),
    "relu6": lambda z, alpha: np.where((z > 0) & (z < 6), 1, 0),
    "leaky_relu": lambda z, alpha: np.where(z > 0, 1, alpha),
    "swish": lambda z, alpha: wide_sigmoid(z) + z * wide_sigmoid_slope(z),
    "mish": lambda z, alpha: (
        np.tanh(wide_softplus(z)) + z * wide_sigmoid(z) / np.cosh(wide_softplus(z)) ** 2
    ),
    "gelu": lambda z, alpha: wide_normal(z) + z * wide_density(z),
    "gelu_approximate": lambda z, alpha: (
        wide_sigmoid(gelu_exponent(z))
        + z * wide_sigmoid_slope(gelu_exponent(z)) * gelu_exponent_slope(z)
    ),
    "linear": lambda z, alpha: np.ones_like(z),
    "relu": lambda z, alpha: np.where(z > 0, 1, 0),
    "tanh": lambda z, alpha: 1 / np.cosh(z) ** 2,
    "sigmoid": lambda z, alpha: 1 / (2 * np.cosh(z / 2)) ** 2,
    "elu": lambda z, alpha: np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0))),
    "selu": lambda z, alpha: SCALE * np.where(z > 0, 1, ALPHA * np.exp(np.minimum(z, 0))),
}


# ---------------------------------------------------------------- element by element


@every_path
@each_dtype_with_a_wider_one
@each_elementwise
def test_an_activation_is_accurate_to_four_ulps(activation, dtype, path):
    z = numbers_of_all_sizes(dtype)
    got = ops.activate(z, activation, options=ComputeOptions("direct", None, path))
    alpha = wide(np.dtype(dtype).type(activation.alpha))
    with np.errstate(over="ignore"):  # e^-z, where the sigmoid is 0
        expected = WIDE[activation.name](wide(z), alpha)
    largest = wide(np.finfo(dtype).max)
    overflows = np.abs(expected) > largest
    assert (np.abs(got[overflows]) >= largest).all()
    assert (np.sign(got[overflows]) == np.sign(expected[overflows])).all()
    got, expected = got[~overflows], expected[~overflows]
    # Above the largest number comes infinity, so the ulp below is used there.
    z = z[~overflows]
    ulp = wide(np.spacing(np.minimum(np.abs(expected), largest / 2).astype(dtype)))
    allowed = np.full(z.shape, wide(ULPS_OF.get(activation.name, ULPS)))
    if activation.name == "gelu_approximate":  # a relative error of the exponent is one times it
        allowed += 4 * np.minimum(np.abs(gelu_exponent(wide(z))), 800)
    if activation.name == "hard_sigmoid":  # Keras rounds the product before it adds 1/2
        ulp = np.finfo(dtype).eps
    error = np.abs(wide(got) - expected) / ulp
    worst = (error - allowed).argmax()
    assert error[worst] <= allowed[worst], f"{error[worst]} ulps at {z[worst]}"


@every_path
@every_dtype
@pytest.mark.parametrize(
    ("activation", "at_minus_infinity", "at_infinity"),
    [
        (Activation("linear"), -np.inf, np.inf),
        (Activation("relu"), 0, np.inf),
        (Activation("tanh"), -1, 1),
        (Activation("sigmoid"), 0, 1),
        (Activation("elu", 1.0), -1, np.inf),
        (Activation("elu", 0.5), -0.5, np.inf),
        (Activation("selu"), None, np.inf),
    ],
    ids=lambda value: activation_id(value) if isinstance(value, Activation) else "",
)
def test_an_activation_reaches_its_limits_at_the_infinities(
    activation, at_minus_infinity, at_infinity, dtype, path
):
    if at_minus_infinity is None:
        at_minus_infinity = np.dtype(dtype).type(-SCALE * ALPHA)
    huge = np.finfo(dtype).max
    z = np.array([-np.inf, -huge, -1000, 1000, huge, np.inf] * 7, dtype)
    y = ops.activate(z, activation, options=ComputeOptions("direct", None, path)).reshape(7, 6)
    if activation.name != "linear":
        assert (y[:, :3] == at_minus_infinity).all()
    if at_infinity == 1:
        assert (y[:, 3:] == 1).all()
    assert (y[:, 0] == at_minus_infinity).all()
    assert (y[:, 5] == at_infinity).all()


@every_path
@every_dtype
@pytest.mark.parametrize(
    ("name", "at_minus_infinity", "at_infinity"),
    [
        ("exponential", 0, np.inf),
        ("softplus", 0, np.inf),
        ("softsign", -1, 1),
        ("hard_sigmoid", 0, 1),
        ("relu6", 0, 6),
        ("swish", 0, np.inf),
        ("mish", 0, np.inf),
        ("gelu", 0, np.inf),
        ("gelu_approximate", 0, np.inf),
    ],
)
def test_every_other_activation_reaches_its_limits(
    name, at_minus_infinity, at_infinity, dtype, path
):
    options, huge = ComputeOptions("direct", None, path), np.finfo(dtype).max
    z = np.array([-np.inf, -huge, huge, np.inf] * 9, dtype)
    y = ops.activate(z, Activation(name), options=options).reshape(9, 4)
    assert (y[:, :2] == at_minus_infinity).all()
    assert (y[:, 3] == at_infinity).all()
    assert (y[:, 2] == (at_infinity if name == "exponential" else min(at_infinity, huge))).all()
    if Activation(name).gradient_from_input:  # the slopes have limits as well
        slope = ops.activation_gradient(z, np.ones_like(z), Activation(name), options).reshape(9, 4)
        assert (slope[:, :2] == 0).all()
        assert (slope[:, 2:] == (1 if at_infinity == np.inf else 0)).all()


@every_path
@every_dtype
@each_elementwise
def test_an_activation_of_nan_is_nan_and_no_other_is(activation, dtype, path):
    z = np.where(np.arange(67) % 3 == 0, np.nan, numbers(67, dtype, 1)).astype(dtype)
    y = ops.activate(z, activation, options=ComputeOptions("direct", None, path))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(z))


@every_path
@every_dtype
@pytest.mark.parametrize(
    "activation", [a for a in ELEMENTWISE if a.name not in NOT_ZERO_AT_ZERO], ids=activation_id
)
def test_an_activation_of_zero_is_zero(activation, dtype, path):
    z = np.array([0.0, -0.0] * 17, dtype)
    y = ops.activate(z, activation, options=ComputeOptions("direct", None, path))
    assert (y == 0).all()
    if activation.name in ("linear", "tanh"):  # odd functions keep the sign
        assert_same_bits(y, z)


@every_path
@every_dtype
def test_sigmoid_of_zero_is_one_half(dtype, path):
    z = np.array([0.0, -0.0] * 17, dtype)
    y = ops.activate(z, Activation("sigmoid"), options=ComputeOptions("direct", None, path))
    assert (y == 0.5).all()


@every_path
@every_dtype
def test_tanh_is_odd_and_both_sigmoids_stay_within_their_range(dtype, path):
    options, z = ComputeOptions("direct", None, path), numbers_of_all_sizes(dtype)
    y = ops.activate(z, Activation("tanh"), options=options)
    assert_same_bits(ops.activate(-z, Activation("tanh"), options=options), -y)
    assert (np.abs(y) <= 1).all()
    y = ops.activate(z, Activation("sigmoid"), options=options)
    assert ((y >= 0) & (y <= 1)).all()


# ---------------------------------------------------------------- gradients


@every_path
@every_dtype
@each_elementwise
@pytest.mark.parametrize("size", [1, 7, 16, 33, 20_000])
def test_the_gradient_is_the_formula_in_terms_of_y(size, activation, dtype, path):
    name, alpha = activation
    alpha = np.dtype(dtype).type(alpha)
    y = numbers(size, dtype, 1)
    if not activation.gradient_from_input:
        y = reference.activate(name, float(alpha), y)
    dy = numbers(size, dtype, 2)
    got = ops.activation_gradient(y, dy, activation, ComputeOptions("direct", None, path))
    expected = reference.activation_gradient(name, float(alpha), y, dy)
    # Each formula is dy times a sum of two terms; this is dy times the sum of their sizes.
    y, factor = wide(y), np.abs(wide(dy))
    terms = {
        "linear": 1,
        "relu": 1,
        "tanh": 1 + y * y,
        "sigmoid": np.abs(y) * (1 + np.abs(y)),
        "elu": 1 + np.abs(y) + wide(alpha),
        "selu": SCALE + np.abs(y) + SCALE * ALPHA,
        "exponential": np.abs(y),
        "gelu_approximate": 16,
    }.get(name, 4)
    assert_within(got, expected, 4 * np.finfo(dtype).eps * factor * terms)


@every_path
@each_dtype_with_a_wider_one
@each_elementwise
def test_the_gradient_is_dy_times_the_derivative(activation, dtype, path):
    options = ComputeOptions("direct", None, path)
    z = np.linspace(-12, 12, 1001).astype(dtype)
    dy = numbers(1001, dtype, 1)
    value = z if activation.gradient_from_input else ops.activate(z, activation, options=options)
    got = ops.activation_gradient(value, dy, activation, options)
    alpha = wide(np.dtype(dtype).type(activation.alpha))
    inside = (z != 0) & (z != 6)  # relu, relu6 and elu have two slopes there
    expected = dy * WIDE_DERIVATIVES[activation.name](wide(z), alpha)
    # y is known to ULPS; the formulas in y are no steeper than 2, and cost 4 roundings more.
    sizes = {"elu": 1 + alpha, "selu": SCALE + SCALE * ALPHA}.get(activation.name, 2)
    sizes = {"gelu_approximate": 16, "exponential": wide(np.exp(z))}.get(activation.name, sizes)
    tolerance = (2 * ULPS + 4) * np.finfo(dtype).eps * np.abs(wide(dy)) * sizes
    assert_within(got[inside], expected[inside].astype(dtype), tolerance[inside])


@every_path
@every_dtype
@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        (Activation("relu"), 0),
        (Activation("elu", 0.5), 0.5),  # from below
        (Activation("elu"), 0),
        (Activation("selu"), SCALE),  # from above
        (Activation("relu6"), 0),
        (Activation("leaky_relu", 0.2), 0.2),  # from below
        (Activation("leaky_relu", -0.5), -0.5),
    ],
    ids=lambda value: activation_id(value) if isinstance(value, Activation) else "",
)
def test_the_slope_at_a_kink_is_that_of_keras(activation, slope, dtype, path):
    y, dy = np.array([0.0, -0.0] * 17, dtype), numbers(34, dtype, 1)
    dz = ops.activation_gradient(y, dy, activation, ComputeOptions("direct", None, path))
    np.testing.assert_array_equal(dz, dy * np.dtype(dtype).type(slope))


@every_path
@every_dtype
@each_elementwise
def test_gradients_of_nan_are_nan(activation, dtype, path):
    y, dy = np.ones(20, dtype), np.ones(20, dtype)
    dy[3] = np.nan
    dz = ops.activation_gradient(y, dy, activation, ComputeOptions("direct", None, path))
    # Where the slope is 0, as at 1 for none of these, it would not matter.
    assert np.flatnonzero(np.isnan(dz)).tolist() == [3]
    if activation.name not in ("linear", "relu", "relu6", "leaky_relu", "hard_sigmoid"):
        dz = ops.activation_gradient(dy, y, activation, ComputeOptions("direct", None, path))
        assert np.flatnonzero(np.isnan(dz)).tolist() == [3]


# ---------------------------------------------------------------- bit-identical results


@every_path
@every_dtype
@pytest.mark.parametrize("activation", OTHERS, ids=activation_id)
def test_the_bits_of_an_element_do_not_depend_on_its_index_or_the_length(activation, dtype, path):
    options = ComputeOptions("direct", None, path)
    z, dy = numbers_of_all_sizes(dtype)[::400], numbers(1, dtype, 1)
    y = ops.activate(z, activation, options=options)
    slope = ops.activation_gradient(z, np.broadcast_to(dy, z.shape), activation, options)
    for first, last in ((0, 1), (1, 16), (3, 36), (5, 70), (7, 300)):
        part = z[first:last].copy()
        assert_same_bits(ops.activate(part, activation, options=options), y[first:last])
        dz = ops.activation_gradient(part, np.broadcast_to(dy, part.shape), activation, options)
        assert_same_bits(dz, slope[first:last])
        ops.activate(part, activation, part, options)  # in place
        assert_same_bits(part, y[first:last])


@every_dtype
@pytest.mark.parametrize("activation", [*OTHERS, LOG_SOFTMAX], ids=activation_id)
@pytest.mark.skipif(not {"avx512", "avx2"} <= set(dispatch.PATHS), reason="needs both FMA paths")
def test_both_fma_paths_give_the_same_bits(activation, dtype):
    z = numbers_of_all_sizes(dtype)[:200_000].reshape(-1, 100)
    dy = numbers(z.shape, dtype, 1)
    paths = [ComputeOptions("direct", None, path) for path in ("avx512", "avx2")]
    with np.errstate(all="ignore"):
        y = [ops.activate(z, activation, options=options) for options in paths]
        assert_same_bits(*y)
        dz = [ops.activation_gradient(y[0], dy, activation, options) for options in paths]
    assert_same_bits(*dz)


# ---------------------------------------------------------------- sizes 0 and 1


@every_path
@every_dtype
@pytest.mark.parametrize("activation", [*ELEMENTWISE, *ROWS], ids=activation_id)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)], ids=str)
def test_an_empty_array_gives_an_empty_array(shape, activation, dtype, path):
    options, z = ComputeOptions("direct", None, path), np.empty(shape, dtype)
    for result in (
        ops.activate(z, activation, options=options),
        ops.activation_gradient(z, z, activation, options),
    ):
        assert (result.shape, result.dtype) == (shape, dtype)


@every_dtype
@each_elementwise
def test_the_reference_agrees_with_these_formulas(activation, dtype):
    z = np.linspace(-20, 20, 1001).astype(dtype)
    expected = WIDE[activation.name](wide(z), wide(activation.alpha))
    got = reference.activate(activation.name, activation.alpha, z)
    # In the tails the reference takes its normal distribution from float64's erfc.
    roundings = 1000 if activation.name.startswith("gelu") else 1
    sizes = 1 if activation.name == "hard_sigmoid" else np.abs(expected)
    assert_within(got, expected.astype(dtype), roundings * np.finfo(dtype).eps * sizes)
