"""Softmax and its logarithm, against numpy in a wider precision."""

import numpy as np
import pytest

from lcfast.local_conv import ops
from lcfast.local_conv.ops import Activation, ComputeOptions
from tests.support import reference
from tests.support.cases import assert_same_bits, assert_within, numbers
from tests.support.wide_numbers import (
    ULPS,
    each_dtype_with_a_wider_one,
    every_dtype,
    every_path,
    numbers_of_all_sizes,
    wide,
)

SOFTMAX = Activation("softmax")
LOG_SOFTMAX = Activation("log_softmax")
ROWS = [SOFTMAX, LOG_SOFTMAX]


def roundings_of_sum(columns):
    """One per column; from 64 columns on one per 16 columns, as there are 16 sums, plus folds."""
    return columns if columns < 64 else columns // 16 + 4 + 16


def softmax_within(z):
    """(result, bound in roundings): z - max is rounded once, e^ costs ULPS, the sum its own."""
    z = wide(z)
    distance = z.max(axis=-1, keepdims=True) - z
    powers = np.exp(-distance)
    roundings = distance + roundings_of_sum(z.shape[-1]) + ULPS + 2
    return powers / powers.sum(axis=-1, keepdims=True), roundings


@every_path
@each_dtype_with_a_wider_one
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 15, 16, 17, 33, 100])
@pytest.mark.parametrize("scale", [1, 30, 1000])
def test_a_softmax_is_accurate(scale, columns, dtype, path):
    z = (scale * wide(numbers((23, columns), dtype, 1))).astype(dtype)
    got = ops.activate(z, SOFTMAX, options=ComputeOptions("direct", None, path))
    expected, roundings = softmax_within(z)
    limits = np.finfo(dtype)
    tolerance = roundings * (limits.eps * expected + limits.smallest_subnormal)
    assert_within(got, expected.astype(dtype), tolerance)


@every_path
@every_dtype
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 33, 1000])
def test_the_rows_of_a_softmax_sum_to_one(columns, dtype, path):
    z = 20 * numbers((13, columns), dtype, 1)
    y = ops.activate(z, SOFTMAX, options=ComputeOptions("direct", None, path))
    # Each quotient has one rounding more than the sum.
    tolerance = (roundings_of_sum(columns) + 2) * np.finfo(dtype).eps
    assert (np.abs(wide(y).sum(axis=-1) - 1) <= tolerance).all()


@every_path
@every_dtype
@pytest.mark.parametrize("activation", [SOFTMAX, LOG_SOFTMAX], ids=["softmax", "log_softmax"])
def test_many_small_exponentials_add_up(activation, dtype, path):
    eps, columns = np.finfo(dtype).eps, 4096
    z = np.full((1, columns), np.log(0.4 * eps), dtype)  # 1 + e^z is 1, but 1 + 4095 e^z is not
    z[0, 0] = 0
    expected = 1 / (1 + (columns - 1) * np.exp(wide(z[0, 1])))
    y = wide(ops.activate(z, activation, options=ComputeOptions("direct", None, path)))[0, 0]
    tolerance = (roundings_of_sum(columns) + ULPS + 2) * eps
    assert abs((np.exp(y) if activation is LOG_SOFTMAX else y) - expected) <= tolerance


@every_path
@every_dtype
def test_a_softmax_runs_over_the_last_axis_of_any_array(dtype, path):
    options, z = ComputeOptions("direct", None, path), numbers((2, 3, 4, 5), dtype, 1)
    y = ops.activate(z, SOFTMAX, options=options)
    for index in np.ndindex(2, 3, 4):
        assert_same_bits(y[index], ops.activate(z[index], SOFTMAX, options=options))


@every_path
@every_dtype
def test_a_softmax_of_one_column_is_one(dtype, path):
    z = numbers_of_all_sizes(dtype)[::500, None]
    assert (ops.activate(z, SOFTMAX, options=ComputeOptions("direct", None, path)) == 1).all()


@every_path
@every_dtype
def test_a_softmax_of_equal_numbers_is_uniform_for_any_magnitude(dtype, path):
    huge = np.finfo(dtype).max
    for value in (0, 1, -1, huge, -huge, 1e-30):
        y = ops.activate(
            np.full((3, 8), value, dtype), SOFTMAX, options=ComputeOptions("direct", None, path)
        )
        assert (y == 0.125).all()


@every_path
@every_dtype
def test_nan_or_infinity_makes_only_its_row_of_a_softmax_nan(dtype, path):
    for special in (np.nan, np.inf):
        for column in range(9):
            z = numbers((4, 9), dtype, 1).copy()
            z[2, column] = special
            y = ops.activate(z, SOFTMAX, options=ComputeOptions("direct", None, path))
            assert np.isnan(y[2]).all()
            assert np.isfinite(y[[0, 1, 3]]).all()
    y = ops.activate(
        np.full((1, 9), -np.inf, dtype), SOFTMAX, options=ComputeOptions("direct", None, path)
    )
    assert np.isnan(y).all()


@every_path
@every_dtype
def test_minus_infinity_has_weight_zero_in_a_softmax(dtype, path):
    options = ComputeOptions("direct", None, path)
    z = numbers((3, 9), dtype, 1)
    masked = np.insert(z, [0, 4, 9], -np.inf, axis=1)
    y = ops.activate(masked, SOFTMAX, options=options)
    assert (y[:, np.isneginf(masked[0])] == 0).all()
    assert_same_bits(y[:, np.isfinite(masked[0])], ops.activate(z, SOFTMAX, options=options))


@every_path
@every_dtype
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 33])
def test_the_gradient_of_a_softmax_is_the_formula(columns, dtype, path):
    y = reference.activate("softmax", 0.0, numbers((13, columns), dtype, 1))
    dy = numbers((13, columns), dtype, 2)
    got = ops.activation_gradient(y, dy, SOFTMAX, ComputeOptions("direct", None, path))
    expected = reference.activation_gradient("softmax", 0.0, y, dy)
    # dz = (dy - sum dy y) y: a chain over the columns, a difference and a product.
    sizes = np.abs(wide(dy)) + np.abs(wide(dy) * wide(y)).sum(axis=-1, keepdims=True)
    assert_within(got, expected, (columns + 4) * np.finfo(dtype).eps * sizes * wide(y))


@every_path
@every_dtype
def test_the_gradient_of_a_softmax_sums_to_zero_along_a_row(dtype, path):
    options = ComputeOptions("direct", None, path)
    y = ops.activate(numbers((13, 10), dtype, 1), SOFTMAX, options=options)
    dy = numbers((13, 10), dtype, 2)
    dz = wide(ops.activation_gradient(y, dy, SOFTMAX, options))
    # sum dz = (1 - sum y) sum dy y, whose first factor is rounding alone.
    sizes = (np.abs(wide(dy)) * wide(y)).sum(axis=-1)
    assert (np.abs(dz.sum(axis=-1)) <= (2 * 10 + 8) * np.finfo(dtype).eps * sizes).all()


# ---------------------------------------------------------------- log_softmax


@every_path
@each_dtype_with_a_wider_one
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 33, 64, 65, 200])
@pytest.mark.parametrize("scale", [1, 30, 1000])
def test_a_log_softmax_is_accurate(scale, columns, dtype, path):
    z = (scale * wide(numbers((23, columns), dtype, 1))).astype(dtype)
    got = ops.activate(z, LOG_SOFTMAX, options=ComputeOptions("direct", None, path))
    distance = wide(z) - wide(z).max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(distance).sum(axis=-1, keepdims=True))
    # A difference, a sum of exponentials, whose relative error is the logarithm's, a difference.
    nearest = np.exp(distance) * np.abs(distance)
    roundings = columns + ULPS + 2 + nearest.sum(axis=-1, keepdims=True)
    tolerance = np.finfo(dtype).eps * (2 * np.abs(distance) + 4 * log_sum + roundings)
    assert_within(got, (distance - log_sum).astype(dtype), tolerance)


@every_path
@every_dtype
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 33, 200])
def test_the_gradient_of_a_log_softmax_is_the_formula(columns, dtype, path):
    y = reference.activate("log_softmax", 0.0, numbers((13, columns), dtype, 1))
    dy = numbers((13, columns), dtype, 2)
    got = ops.activation_gradient(y, dy, LOG_SOFTMAX, ComputeOptions("direct", None, path))
    expected = reference.activation_gradient("log_softmax", 0.0, y, dy)
    sizes = np.abs(wide(dy)) + np.exp(wide(y)) * np.abs(wide(dy)).sum(axis=-1, keepdims=True)
    assert_within(got, expected, (columns + ULPS + 4) * np.finfo(dtype).eps * sizes)


@every_path
@every_dtype
def test_nan_or_infinity_makes_only_its_row_of_a_log_softmax_nan(dtype, path):
    options = ComputeOptions("direct", None, path)
    for special in (np.nan, np.inf):
        z = numbers((4, 9), dtype, 1).copy()
        z[2, 5] = special
        y = ops.activate(z, LOG_SOFTMAX, options=options)
        assert np.isnan(y[2]).all()
        assert np.isfinite(y[[0, 1, 3]]).all()
    y = ops.activate(np.array([[-np.inf, 1, 1]], dtype), LOG_SOFTMAX, options=options)
    np.testing.assert_allclose(y, [[-np.inf, -np.log(2), -np.log(2)]], rtol=1e-6)
