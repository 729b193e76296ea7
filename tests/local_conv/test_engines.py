"""The direct engine on every SIMD path against the reference, within derived error bounds."""

from functools import cache

import numpy as np
import pytest

from lcfast.local_conv import ops
from lcfast.local_conv.ops import ComputeOptions
from tests.support import reference, reference_activations
from tests.support.cases import (
    ACTIVATIONS,
    BATCHES,
    DTYPES,
    FEW,
    GEOMETRIES,
    PATHS,
    ROWS,
    assert_within,
    numbers,
    problem,
    rounding_of_chains,
)

every_path = pytest.mark.parametrize("path", PATHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_geometry = pytest.mark.parametrize("name", GEOMETRIES)
pytestmark = pytest.mark.usefixtures("threads_for_any_work")

GRADIENT_BATCHES = (1, 7, 49)  # the reference runs once for each
ULPS_OF_AN_ACTIVATION = 4  # see test_activations.py


# The reference is slow: each result is computed once for 97 rows; n rows are the first n of them.


@cache
def forward_reference(name, dtype, with_bias):
    """(result, error bound of the direct engine) before the activation."""
    geometry, x, kernel, bias, _ = problem(name, dtype)
    bias = bias if with_bias else None
    z = reference.forward(x, kernel, bias, geometry)
    magnitude = reference.forward(
        np.abs(x), np.abs(kernel), None if bias is None else np.abs(bias), geometry
    )
    return z, rounding_of_chains(geometry.patch_size, magnitude)


@cache
def input_gradient_reference(name, dtype):
    geometry, _, kernel, _, dy = problem(name, dtype)
    dx = reference.input_gradient(dy, kernel, geometry)
    magnitude = reference.input_gradient(np.abs(dy), np.abs(kernel), geometry)
    readers = np.bincount(geometry.taps().ravel(), minlength=dx[0].size)
    lengths = (readers * geometry.filters).reshape(geometry.input_shape)
    return dx, rounding_of_chains(lengths, magnitude)


@cache
def kernel_gradient_reference(name, dtype, rows):
    geometry, x, _, _, dy = problem(name, dtype)
    dkernel = reference.kernel_gradient(x[:rows], dy[:rows], geometry)
    magnitude = reference.kernel_gradient(np.abs(x[:rows]), np.abs(dy[:rows]), geometry)
    length = rows * geometry.positions if geometry.shared else rows
    return dkernel, rounding_of_chains(length, magnitude)


def after_activation(activation, z, tolerance):
    """(result, error bound) of an activation of a z that is known within `tolerance`."""
    name, alpha = activation
    y = reference.activate(name, alpha, z)
    limits = np.finfo(z.dtype)
    wide = np.abs(y.astype(np.longdouble))
    if name in ("linear", "relu"):
        return y, tolerance
    if name == "softmax":
        # e^(z - max) moves by e^(2 tolerance), so does the sum; z - max is rounded once.
        distance = (z.max(axis=-1, keepdims=True) - z).astype(np.longdouble)
        moved = np.expm1(4 * tolerance.max(axis=-1, keepdims=True))
        rounded = (distance + z.shape[-1] + 2 * ULPS_OF_AN_ACTIVATION) * limits.eps
        return y, wide * (moved + rounded) + limits.smallest_subnormal
    steepest = {
        "tanh": 1,
        "sigmoid": 0.25,
        "elu": max(1, alpha),
        "selu": reference_activations.SELU_SCALE * reference_activations.SELU_ALPHA,
    }[name]
    own = ULPS_OF_AN_ACTIVATION * (limits.eps * wide + limits.smallest_subnormal)
    return y, steepest * tolerance + own


@every_path
@every_dtype
@every_geometry
def test_forward_agrees_with_the_reference_for_every_batch(name, dtype, path):
    geometry, x, kernel, bias, _ = problem(name, dtype)
    z, tolerance = forward_reference(name, dtype, True)
    for rows in BATCHES:
        got = ops.forward(
            x[:rows], kernel, bias, geometry, options=ComputeOptions("direct", 2, path)
        )
        assert_within(got, z[:rows], tolerance[:rows])


@every_path
@every_dtype
@every_geometry
def test_forward_agrees_with_the_reference_for_every_activation_with_and_without_bias(
    name, dtype, path
):
    geometry, x, kernel, bias, _ = problem(name, dtype)
    for with_bias in (True, False):
        z, tolerance = forward_reference(name, dtype, with_bias)
        for activation in ACTIVATIONS:
            got = ops.forward(
                x[:13], kernel, bias if with_bias else None, geometry, activation,
                options=ComputeOptions("direct", 2, path),
            )  # fmt: skip
            y, allowed = after_activation(activation, z[:13], tolerance[:13])
            assert_within(got, y, allowed)


@every_path
@every_dtype
@every_geometry
def test_the_gradient_of_the_input_agrees_with_the_reference_for_every_batch(name, dtype, path):
    geometry, _, kernel, _, dy = problem(name, dtype)
    dx, tolerance = input_gradient_reference(name, dtype)
    for rows in BATCHES:
        got = ops.input_gradient(dy[:rows], kernel, geometry, ComputeOptions("direct", 2, path))
        assert_within(got, dx[:rows], tolerance[:rows])


@every_path
@every_dtype
@every_geometry
def test_the_gradient_of_the_kernel_agrees_with_the_reference(name, dtype, path):
    geometry, x, _, _, dy = problem(name, dtype)
    for rows in GRADIENT_BATCHES:
        dkernel, tolerance = kernel_gradient_reference(name, dtype, rows)
        got = ops.kernel_gradient(x[:rows], dy[:rows], geometry, ComputeOptions("direct", 2, path))
        assert_within(got, dkernel, tolerance)


@every_path
@every_dtype
@pytest.mark.parametrize("name", FEW)
def test_the_gradient_of_the_kernel_agrees_with_the_reference_for_every_batch(name, dtype, path):
    geometry, x, _, _, dy = problem(name, dtype)
    for rows in BATCHES[1:]:  # none: see test_arrays.py
        dkernel, tolerance = kernel_gradient_reference(name, dtype, rows)
        got = ops.kernel_gradient(x[:rows], dy[:rows], geometry, ComputeOptions("direct", 2, path))
        assert_within(got, dkernel, tolerance)


@every_path
@every_dtype
@pytest.mark.parametrize("columns", [1, 3, 15, 16, 17, 63, 64, 65, 130])
def test_sums_of_rows_agree_with_the_reference(columns, dtype, path):
    values = numbers((300, columns), dtype, 1)
    for rows in (*BATCHES, 256, 257, 300):
        total = reference.sum_rows(values[:rows])
        tolerance = rounding_of_chains(rows, reference.sum_rows(np.abs(values[:rows])))
        assert_within(
            ops.sum_rows(values[:rows], ComputeOptions("direct", 2, path)), total, tolerance
        )


@every_dtype
@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_three_products_are_adjoint(name, dtype):
    # <dy, f(x, W)> = <dx, x> = <dW, W>: each a sum of the same products in another order.
    geometry, x, kernel, _, dy = problem(name, dtype)
    x, dy = x[:13], dy[:13]

    def inner(first, second):
        return (first.astype(np.longdouble) * second.astype(np.longdouble)).sum()

    of_output = inner(dy, ops.forward(x, kernel, None, geometry))
    of_input = inner(ops.input_gradient(dy, kernel, geometry), x)
    of_kernel = inner(ops.kernel_gradient(x, dy, geometry), kernel)
    absolute = ops.forward(np.abs(x), np.abs(kernel), None, geometry)
    magnitude = inner(np.abs(dy), absolute).astype(dtype)
    of_dy, of_x, of_w = (
        geometry.patch_size,
        geometry.positions * geometry.filters,
        len(x) * (geometry.positions if geometry.shared else 1),
    )
    assert abs(of_output - of_input) <= rounding_of_chains(of_dy + of_x, magnitude)
    assert abs(of_output - of_kernel) <= rounding_of_chains(of_dy + of_w, magnitude)


def test_the_cases_cover_every_branch_of_the_kernels():
    geometries = GEOMETRIES.values()
    assert {len(g.input_size) for g in geometries} == {1, 2}
    assert {g.filters for g in geometries} >= {1, 3, 7, 15, 16, 17, 31, 33, 64, 81}
    assert {s for g in geometries for s in g.strides} == {1, 2, 3}
    assert any(len(set(g.strides)) == 2 for g in geometries)
    assert {k for g in geometries for k in g.kernel_size} == {1, 2, 3, 4, 5}
    assert any(g.positions == 1 for g in geometries)
    assert any(g.kernel_size == g.input_size != (1,) for g in geometries)
    assert any(g.kernel_size == g.strides for g in geometries)
    assert any(g.channels == 1 for g in geometries)
    assert any(g.run_length > 256 and g.filters % 16 for g in geometries)
    assert any(g.run_length < 256 < g.patch_size and g.filters % 16 for g in geometries)
    assert any(g.patch_size * g.filters * 4 > 1 << 18 and g.positions == 1 for g in geometries)
    assert any(g.patch_size * g.filters * 4 > 1 << 18 and g.positions > 1 for g in geometries)
    assert BATCHES[0] == 0
    assert ROWS > 2 * 48  # more than two blocks of rows
