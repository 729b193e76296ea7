"""Sums of more terms than a piece have the bits of the rule, in every regime of both engines.

The regimes that the geometries are for are checked too, and the cuts within runs and between them.
"""

from fractions import Fraction

import numpy as np
import pytest

from lcfast.convolution.reductions import sum_over
from lcfast.local_conv import _simd_paths, dispatch, ops, plan, sparse, weight_layouts
from lcfast.local_conv.geometry import CHANNELS_FIRST, Geometry
from lcfast.local_conv.ops import ComputeOptions
from tests.local_conv.test_bits import by_position, nearest
from tests.support import bits_rule
from tests.support.cases import DTYPES, PATHS, assert_same_bits, numbers

every_path = pytest.mark.parametrize("path", PATHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
pytestmark = pytest.mark.usefixtures("threads_for_any_work")

LENGTHS = (511, 512, 513, 1023, 1024, 1025, 5000, 8192, 8193)
BEYOND = 2 * 512 * 16 * 16 + 512 + 3
"""Terms of a sum with three groups of groups of pieces: more than 262,144."""


def dense(inputs, units):
    return Geometry((1,), inputs, units, (1,), (1,))


LONG = {  # more than 512 terms for an output
    "2d-last": Geometry((6, 9), 30, 3, (6, 7), (1, 1)),
    "2d-last-wide": Geometry((4, 5), 60, 33, (3, 4), (1, 1)),
    "2d-first": Geometry((6, 9), 30, 3, (6, 7), (1, 1), CHANNELS_FIRST),
    "1d-last": Geometry((14,), 60, 17, (11,), (3,)),
    "1d-last-wide": Geometry((9,), 200, 64, (3,), (2,)),
    "one-channel": Geometry((760,), 1, 1, (700,), (1,)),
    "one-channel-2d": Geometry((26, 70), 1, 2, (20, 30), (1, 1)),
    "two-channels": Geometry((340,), 2, 2, (300,), (1,)),
    "strides": Geometry((2040,), 1, 3, (1300,), (20,)),
    "shared": Geometry((12,), 130, 9, (4,), (1,), shared=True),
    "shared-2d": Geometry((5, 20), 40, 33, (3, 5), (1, 1), shared=True),
}


def some(count, most):
    """At most `most` indices of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def both_forms(geometry, dtype):
    """A kernel, and the same for the sparse engine, or None."""
    if geometry.shared:
        return numbers(geometry.kernel_shape, dtype, 2), None
    vector = numbers(geometry.connections, dtype, 2)
    kernel = weight_layouts.kernel_of_vector(vector, geometry)
    return kernel, sparse.connected(geometry, vector)


def assert_forward(geometry, rows, dtype, path, engines=("direct", "sparse")):
    x = numbers((rows, *geometry.input_shape), dtype, 1)
    kernel, connected = both_forms(geometry, dtype)
    bias = numbers(geometry.bias_size, dtype, 3)
    flat, taps = x.reshape(rows, -1), geometry.taps()
    p, f = some(geometry.positions, 9), some(geometry.filters, 40)
    weights = kernel[np.zeros_like(p) if geometry.shared else p][:, :, f]  # p, k, f
    expected = bits_rule.sums(
        flat[:, taps[p]].transpose(2, 0, 1)[..., None], weights.transpose(1, 0, 2)[:, None], path
    )  # n, p, f
    shifts = np.broadcast_to(bias, (geometry.positions, geometry.filters)) if geometry.shared \
        else by_position(bias[None], geometry)[0]  # fmt: skip
    for engine in engines:
        form = kernel if engine == "direct" else connected
        for threads in (1, 2):
            options = ComputeOptions(engine, threads, path)
            if form is not None:
                y = by_position(ops.forward(x, form, None, geometry, options=options), geometry)
                assert_same_bits(y[:, p][:, :, f], expected)
                y = by_position(ops.forward(x, form, bias, geometry, options=options), geometry)
                assert_same_bits(y[:, p][:, :, f], expected + shifts[p][:, f])


@every_path
@every_dtype
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("name", LONG)
def test_forward(name, rows, dtype, path):
    assert_forward(LONG[name], rows, dtype, path)


@every_path
@every_dtype
@pytest.mark.parametrize("units", [1, 5, 33, 200])
@pytest.mark.parametrize("inputs", LENGTHS)
def test_forward_of_dense(inputs, units, dtype, path):
    for rows in (1, 7):
        assert_forward(dense(inputs, units), rows, dtype, path, ["direct"])


@every_path
@every_dtype
def test_forward_of_dense_with_many_rows(dtype, path):
    assert_forward(dense(1500, 130), 1000, dtype, path, ["direct"])  # packed; more than 960
    assert_forward(dense(1500, 3), 130, dtype, path, ["direct"])


@every_path
@every_dtype
@pytest.mark.parametrize("rows", [1, 5])
def test_forward_of_dense_in_steps(rows, dtype, path):
    geometry = dense(16200, 131)
    assert geometry.patch_size * geometry.filters > 1 << 21
    assert_forward(geometry, rows, dtype, path, ["direct"])


@every_path
@every_dtype
@pytest.mark.parametrize("units", [1, 3])
def test_forward_of_more_than_a_group_of_groups(units, dtype, path):
    for rows in (1, 2):
        assert_forward(dense(BEYOND, units), rows, dtype, path)


@every_path
def test_forward_of_a_wide_dense_of_more_than_a_group_of_groups(path):
    for rows in (2, 6):  # in steps, packed
        assert_forward(dense(BEYOND // 3, 128), rows, "float32", path, ["direct"])


def test_the_geometries_are_computed_in_every_regime():
    for path in dispatch.PATHS:
        number = _simd_paths.PATH_NAMES.index(path)
        for make, names in (
            (plan.forward_plan, {"filters", "batch", "positions"}),
            (plan.kernel_gradient_plan, {"filters", "taps", "positions"}),
        ):
            found = {
                make(g, np.dtype("float32"), rows, 1, number).regime
                for g in LONG.values()
                for rows in (1, 3, 40)
            }
            assert found == names


MANY_FILTERS = {
    "dense": dense(5, 1300),
    "many-filters": Geometry((9,), 2, 200, (5,), (1,)),
    "many-filters-first": Geometry((4, 6), 2, 90, (2, 4), (1, 1), CHANNELS_FIRST),
}


@every_path
@every_dtype
@pytest.mark.parametrize("name", [*LONG, *MANY_FILTERS])
def test_the_gradient_of_the_input(name, dtype, path):
    geometry = (LONG | MANY_FILTERS)[name]
    rows = 40
    dy = numbers((rows, *geometry.output_shape), dtype, 1)
    kernel, connected = both_forms(geometry, dtype)
    by_p, taps = by_position(dy, geometry), geometry.taps()
    inputs = some(int(np.prod(geometry.input_shape)), 12)
    outputs = np.arange(geometry.positions * geometry.filters).reshape(
        (geometry.filters, geometry.positions) if geometry.channels_first
        else (geometry.positions, geometry.filters)
    )  # fmt: skip
    outputs = outputs.T if geometry.channels_first else outputs
    of_direct, of_sparse = [], []
    for tap in inputs:
        p, k = np.nonzero(taps == tap)
        a = by_p[:, p].reshape(rows, -1).T  # p, then f; n
        b = kernel[np.zeros_like(p) if geometry.shared else p, k].reshape(-1, 1)
        order = np.argsort(outputs[p].reshape(-1))
        of_direct.append(bits_rule.sums(a, b, path))
        of_sparse.append(bits_rule.sums(a[order], b[order], path))
    for form, expected, engine in (
        (kernel, of_direct, "direct"),
        (connected, of_sparse, "sparse"),
    ):
        if form is not None:
            for some_rows in (1, 3, rows):
                for threads in (1, 2):
                    options = ComputeOptions(engine, threads, path)
                    dx = ops.input_gradient(dy[:some_rows], form, geometry, options)
                    got = dx.reshape(some_rows, -1)[:, inputs]
                    assert_same_bits(got, np.stack(expected, 1)[:some_rows])


LONG_BATCHES = {
    "filters": Geometry((5,), 2, 70, (3,), (1,)),
    "taps": Geometry((4,), 60, 3, (2,), (1,)),
    "taps-first": Geometry((4, 3), 40, 3, (2, 2), (1, 1), CHANNELS_FIRST),
    "positions": Geometry((60,), 1, 1, (5,), (1,)),
    "positions-strides": Geometry((120,), 1, 2, (4,), (3,)),
    "dense": dense(7, 70),
    "shared-filters": Geometry((33,), 3, 40, (2,), (1,), shared=True),
    "shared-taps": Geometry((6, 7), 20, 3, (3, 2), (1, 1), shared=True),
}


@every_path
@every_dtype
@pytest.mark.parametrize("rows", [33, 512, 1025, 9000])
@pytest.mark.parametrize("name", LONG_BATCHES)
def test_the_gradient_of_the_kernel(name, rows, dtype, path):
    geometry = LONG_BATCHES[name]
    x = numbers((rows, *geometry.input_shape), dtype, 1)
    dy = numbers((rows, *geometry.output_shape), dtype, 2)
    flat, by_p, taps = x.reshape(rows, -1), by_position(dy, geometry), geometry.taps()
    positions, filters = some(geometry.positions, 3), some(geometry.filters, 4)
    k = some(geometry.patch_size, 5)
    if geometry.shared:  # over positions, then rows
        a = flat[:, taps[:, k]].transpose(1, 0, 2).reshape(-1, len(k), 1)
        b = by_p[:, :, filters].transpose(1, 0, 2).reshape(-1, 1, len(filters))
        expected, positions = bits_rule.sums(a, b, path)[None], np.array([0])
    else:
        a = flat[:, taps[positions][:, k]][..., None]
        b = by_p[:, positions][:, :, None, filters]
        expected = bits_rule.sums(a, b, path)
    for engine in ("direct",) if geometry.shared else ("direct", "sparse"):
        for threads in (1, 2):
            got = ops.kernel_gradient(x, dy, geometry, ComputeOptions(engine, threads, path))
            if engine == "sparse":
                got = weight_layouts.kernel_of_vector(got, geometry)
            assert_same_bits(got[positions][:, k][:, :, filters], expected)


@every_path
@every_dtype
@pytest.mark.parametrize("columns", [1, 3, 70])
def test_a_sum_of_60_000_rows(columns, dtype, path):
    values = numbers((60_000, columns), dtype, 1)
    expected = bits_rule.sums(np.ones_like(values), values, path)
    for threads in (1, 2):
        assert_same_bits(ops.sum_rows(values, ComputeOptions("direct", threads, path)), expected)


@every_dtype
def test_a_sum_over_long_axes(dtype):
    path = dispatch.active_path()
    values = numbers((2, 3, BEYOND // 3), dtype, 1)
    for axes, terms in (([2], (2, 0, 1)), ([1, 2], (1, 2, 0)), ([0, 2], (0, 2, 1))):
        others = values.shape[: 3 - len(axes)] if axes != [0, 2] else (3,)
        ordered = values.transpose(terms).reshape(-1, *others)
        expected = bits_rule.sums(np.ones_like(ordered), ordered, path)
        assert_same_bits(sum_over(values, axes), np.expand_dims(expected, axes))


# ---------------------------------------------------------------- the oracle itself


@every_dtype
def test_the_oracle_fuses_as_exact_fractions_do(dtype):
    a, b, c = (numbers(3000, dtype, seed) for seed in (1, 2, 3))
    c = np.where(np.arange(3000) % 3, c, (-a * b) * c.dtype.type(1 + 2**-20)).astype(dtype)
    got = bits_rule.fused(a, b, c)
    for index in range(3000):
        exact = Fraction(float(a[index])) * Fraction(float(b[index])) + Fraction(float(c[index]))
        assert got[index] == nearest(exact, dtype)


def test_the_oracle_rounds_a_tie_by_what_float64_loses():
    # 2^-24 (1 - 2^-46) + (1 + 2^-23): just below a tie, which would go up to even
    a, b = np.float32(2.0**-24 * (1 + 2.0**-23)), np.float32(1 - 2.0**-23)
    c = np.nextafter(np.float32(1), np.float32(2))
    assert np.float32(float(a) * float(b) + float(c)) > c
    assert bits_rule.fused(*(np.array([number]) for number in (a, b, c)))[0] == c


def test_the_oracle_cuts_where_the_rule_says():
    ones = np.ones(512 * 16 * 17, "f4")
    assert bits_rule.sums(ones, ones, "avx2") == len(ones)
    tiny = np.full(512, 2.0**-24, "f4")
    values = np.concatenate([np.ones(1, "f4"), np.zeros(511, "f4"), tiny])
    one_chain = bits_rule._chains(values[None], np.ones_like(values)[None], bits_rule.fused)[0]
    assert one_chain == 1  # each tie goes to even
    assert bits_rule.sums(values, np.ones_like(values), "avx2") == 1 + 2.0**-15
    assert bits_rule.added([np.float32(p) for p in [1, *[2.0**-24] * 15, 2.0**-24, 2.0**-24]]) == (
        np.float32(1) + np.float32(2.0**-23)
    )
