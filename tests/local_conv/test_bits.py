"""Results are bit-identical for any batch, threads, FMA path and layout; no tolerances here.

A chain of sums can be -0.0 only if a product underflows, which the numbers of cases.py never do;
so rows of zeros, which add +0.0, change nothing.
"""

from fractions import Fraction

import numpy as np
import pytest

from lcfast.local_conv import dispatch, ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from lcfast.local_conv.ops import Activation, ComputeOptions
from tests.support import bits_rule
from tests.support.cases import (
    ACTIVATIONS,
    DTYPES,
    FEW,
    GEOMETRIES,
    LAYOUTS,
    PATHS,
    activation_id,
    assert_same_bits,
    numbers,
    problem,
)

every_path = pytest.mark.parametrize("path", PATHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=activation_id)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
pytestmark = pytest.mark.usefixtures("threads_for_any_work")

TANH = Activation("tanh")


def everything(name, dtype, rows, options):
    """The results of all operations on a problem, by name."""
    geometry, x, kernel, bias, dy = problem(name, dtype)
    x, dy = x[:rows], dy[:rows]
    results = {
        "input gradient": ops.input_gradient(dy, kernel, geometry, options),
        "kernel gradient": ops.kernel_gradient(x, dy, geometry, options),
        "sum of rows": ops.sum_rows(dy, options),
    }
    for activation in ACTIVATIONS:
        y = ops.forward(x, kernel, bias, geometry, activation, options=options)
        results[activation_id(activation)] = y
        results[f"{activation_id(activation)} gradient"] = ops.activation_gradient(
            y, dy, activation, options
        )
    return results


def assert_same_results(got, expected):
    for what, result in expected.items():
        try:
            assert_same_bits(got[what], result)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None


# ---------------------------------------------------------------- batch, threads, path


@every_path
@every_dtype
@pytest.mark.parametrize("name", [*FEW, "1x700-200of1-s1-last"])
def test_the_bits_do_not_depend_on_the_batch(name, dtype, path):
    geometry, x, kernel, bias, dy = problem(name, dtype)
    options = ComputeOptions("direct", 2, path)
    whole_y = ops.forward(x[:70], kernel, bias, geometry, TANH, options=options)
    whole_dx = ops.input_gradient(dy[:70], kernel, geometry, options)
    batches = [slice(n) for n in range(1, 71)]
    rows_one_by_one = [slice(n, n + 1) for n in range(70)]
    blocks_of_7 = [slice(n, n + 7) for n in range(0, 70, 7)]
    for rows in batches + rows_one_by_one + blocks_of_7:
        y = ops.forward(x[rows], kernel, bias, geometry, TANH, options=options)
        assert_same_bits(y, whole_y[rows])
        assert_same_bits(ops.input_gradient(dy[rows], kernel, geometry, options), whole_dx[rows])


@every_path
@every_dtype
def test_an_output_written_by_streaming_stores_has_the_same_bits(dtype, path):
    geometry = Geometry((128,), 1, 64, (1,), (1,))
    rows = -(-(1 << 25) // (128 * 64 * np.dtype(dtype).itemsize))
    x = numbers((rows, 128, 1), dtype, 1)
    kernel, bias = numbers(geometry.kernel_shape, dtype, 2), numbers((128 * 64,), dtype, 3)
    memory = np.empty(rows * 128 * 64 + 64, dtype)
    start = -(memory.ctypes.data // memory.itemsize) % (64 // memory.itemsize)
    options = ComputeOptions("direct", 2, path)
    for offset in (start, start + 1):  # streamed, and not: its vectors cross cache lines
        out = memory[offset : offset + rows * 128 * 64].reshape(rows, 128, 64)
        ops.forward(x, kernel, bias, geometry, out=out, options=options)
        for row in (0, rows // 2, rows - 1):
            one = ops.forward(x[row : row + 1], kernel, bias, geometry, options=options)
            assert_same_bits(out[row : row + 1], one)


@every_path
@every_dtype
@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_bits_do_not_depend_on_the_index_in_the_batch(name, dtype, path):
    geometry, x, kernel, bias, dy = problem(name, dtype)
    options = ComputeOptions("direct", 2, path)
    order = np.random.default_rng(5).permutation(len(x))
    for activation in (TANH, Activation("softmax")):
        y = ops.forward(x, kernel, bias, geometry, activation, options=options)
        moved = ops.forward(x[order], kernel, bias, geometry, activation, options=options)
        assert_same_bits(moved, y[order])
    dx = ops.input_gradient(dy, kernel, geometry, options)
    assert_same_bits(ops.input_gradient(dy[order], kernel, geometry, options), dx[order])


@every_path
@every_dtype
@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_bits_do_not_depend_on_the_threads(name, dtype, path):
    for rows in (1, 50):
        one_thread = everything(name, dtype, rows, ComputeOptions("direct", 1, path))
        for threads in (2, 3):
            assert_same_results(
                everything(name, dtype, rows, ComputeOptions("direct", threads, path)), one_thread
            )


@pytest.mark.skipif(
    not {"avx512", "avx2"} <= set(dispatch.PATHS),
    reason="this processor does not have both avx512 and avx2",
)
@every_dtype
@pytest.mark.parametrize("name", GEOMETRIES)
def test_avx512_and_avx2_give_the_same_bits(name, dtype):
    for rows in (1, 50):
        assert_same_results(
            everything(name, dtype, rows, ComputeOptions("direct", 1, "avx512")),
            everything(name, dtype, rows, ComputeOptions("direct", 1, "avx2")),
        )


@every_path
@every_dtype
@pytest.mark.parametrize("data_format", [CHANNELS_LAST, CHANNELS_FIRST])
@pytest.mark.parametrize("channels", [2, 150], ids=["few-taps", "many-taps"])
def test_the_bits_do_not_depend_on_how_many_filters_there_are(channels, data_format, dtype, path):
    filters = 70
    most = Geometry((5,), channels, filters, (2,), (1,), data_format)
    x = numbers((7, *most.input_shape), dtype, 1)
    dy = numbers((7, most.positions, filters), dtype, 2)
    kernel = numbers(most.kernel_shape, dtype, 3)
    options = ComputeOptions("direct", 2, path)

    def filters_last(y):
        return y.transpose(0, 2, 1) if data_format == CHANNELS_FIRST else y

    y = filters_last(ops.forward(x, kernel, None, most, options=options))
    dkernel = ops.kernel_gradient(x, filters_last(dy.reshape(7, 4, filters)), most, options)
    for few in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 69):
        for some in (slice(few), slice(filters - few, filters)):
            geometry = Geometry((5,), channels, few, (2,), (1,), data_format)
            part = np.ascontiguousarray(kernel[:, :, some])
            alone = filters_last(ops.forward(x, part, None, geometry, options=options))
            assert_same_bits(alone, y[:, :, some])
            dy_here = filters_last(dy[:, :, some])
            alone = ops.kernel_gradient(x, dy_here, geometry, options)
            assert_same_bits(alone, dkernel[:, :, some])


@every_path
@every_dtype
@pytest.mark.parametrize("name", GEOMETRIES)
def test_rows_of_zeros_do_not_change_the_bits_of_sums_over_rows(name, dtype, path):
    geometry, x, _, _, dy = problem(name, dtype)
    options = ComputeOptions("direct", 2, path)
    for rows, zeros in ((1, 1), (7, 4), (47, 3), (48, 50)):
        if geometry.shared and (rows + zeros) * geometry.positions > bits_rule.PIECE:
            continue  # the rows of all but the last position move the cuts
        without = x[:rows], dy[:rows]
        padded = [
            np.concatenate([array, np.zeros((zeros, *array.shape[1:]), dtype)]) for array in without
        ]
        assert_same_bits(
            ops.kernel_gradient(*padded, geometry, options),
            ops.kernel_gradient(*without, geometry, options),
        )
        assert_same_bits(ops.sum_rows(padded[1], options), ops.sum_rows(without[1], options))


# ---------------------------------------------------------------- the caller's arrays


@every_dtype
@every_layout
@pytest.mark.parametrize("name", FEW)
def test_the_bits_do_not_depend_on_the_layout_of_the_callers_arrays(name, layout, dtype):
    geometry, x, kernel, bias, dy = problem(name, dtype)
    x, dy, other = x[:7], dy[:7], LAYOUTS[layout]
    assert_same_bits(
        ops.forward(other(x), kernel, bias, geometry, TANH),
        ops.forward(x, kernel, bias, geometry, TANH),
    )
    assert_same_bits(
        ops.input_gradient(other(dy), kernel, geometry), ops.input_gradient(dy, kernel, geometry)
    )
    assert_same_bits(ops.kernel_gradient(other(x), dy, geometry),
                     ops.kernel_gradient(x, dy, geometry))  # fmt: skip


@every_dtype
@every_layout
def test_the_bits_do_not_depend_on_the_layout_of_the_array_that_sets_the_dtype(layout, dtype):
    geometry, x, _, _, dy = problem(FEW[3], dtype)
    x, dy, other = x[:7], dy[:7], LAYOUTS[layout]
    assert_same_bits(ops.kernel_gradient(x, other(dy), geometry),
                     ops.kernel_gradient(x, dy, geometry))  # fmt: skip
    assert_same_bits(ops.sum_rows(other(dy)), ops.sum_rows(dy))
    for activation in ACTIVATIONS:
        y = ops.activate(dy, activation)
        assert_same_bits(ops.activate(other(dy), activation), y)
        dz = ops.activation_gradient(y, dy, activation)
        assert_same_bits(ops.activation_gradient(other(y), other(dy), activation), dz)


# ---------------------------------------------------------------- activations


@every_path
@every_dtype
@every_activation
@pytest.mark.parametrize("name", FEW)
def test_a_fused_activation_gives_the_bits_of_a_separate_one(name, activation, dtype, path):
    geometry, x, kernel, bias, _ = problem(name, dtype)
    options = ComputeOptions("direct", 2, path)
    z = ops.forward(x, kernel, bias, geometry, options=options)
    assert_same_bits(
        ops.forward(x, kernel, bias, geometry, activation, options=options),
        ops.activate(z, activation, options=options),
    )


@every_path
@every_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS[:-1], ids=activation_id)
def test_the_bits_of_an_activation_do_not_depend_on_the_index_in_the_array(activation, dtype, path):
    options = ComputeOptions("direct", 2, path)
    z, dy = 8 * numbers(20_000, dtype, 1), numbers(20_000, dtype, 2)
    y = ops.activate(z, activation, options=options)
    dz = ops.activation_gradient(y, dy, activation, options)
    for first in (0, 1, 7, 15, 16_370, 19_000):
        for length in (1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 100):
            some = slice(first, first + length)
            assert_same_bits(ops.activate(z[some], activation, options=options), y[some])
            alone = ops.activation_gradient(y[some], dy[some], activation, options)
            assert_same_bits(alone, dz[some])


@every_path
@every_dtype
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 15, 17, 33, 100])
def test_the_bits_of_a_softmax_do_not_depend_on_the_other_rows(columns, dtype, path):
    options, softmax = ComputeOptions("direct", 2, path), Activation("softmax")
    z, dy = 8 * numbers((40, columns), dtype, 1), numbers((40, columns), dtype, 2)
    y = ops.activate(z, softmax, options=options)
    dz = ops.activation_gradient(y, dy, softmax, options)
    for rows in [slice(n, n + 1) for n in range(40)] + [slice(3, 20)]:
        assert_same_bits(ops.activate(z[rows], softmax, options=options), y[rows])
        assert_same_bits(ops.activation_gradient(y[rows], dy[rows], softmax, options), dz[rows])


# ---------------------------------------------------------------- against chains in Python


def nearest(value, dtype):
    """The number of `dtype` nearest to a Fraction, ties to even: rounded once, unlike float()."""
    close = np.dtype(dtype).type(float(value))  # the nearest or a neighbour of it
    around = (close, np.nextafter(close, -np.inf, dtype=dtype), np.nextafter(close, np.inf,
              dtype=dtype))  # fmt: skip
    unsigned = np.uint32 if dtype == "float32" else np.uint64
    return min(
        around,
        key=lambda number: (abs(Fraction(float(number)) - value), int(number.view(unsigned)) & 1),
    )


def fused(a, b, c, dtype):
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return nearest(exact, dtype)


def separate(a, b, c, dtype):
    product = nearest(Fraction(float(a)) * Fraction(float(b)), dtype)
    return nearest(Fraction(float(product)) + Fraction(float(c)), dtype)


STEP = {"avx512": fused, "avx2": fused, "neon": fused, "generic": separate}


def chain(pairs, step, dtype):
    total = np.dtype(dtype).type(0)
    for a, b in pairs:
        total = step(a, b, total, dtype)
    return total


def by_position(y, geometry):
    """The caller's output as a view (N, P, F)."""
    if geometry.channels_first:
        return y.reshape(len(y), geometry.filters, geometry.positions).transpose(0, 2, 1)
    return y.reshape(len(y), geometry.positions, geometry.filters)


CHAINED = {
    "1d-last": Geometry((4,), 2, 3, (2,), (1,)),
    "1d-first": Geometry((4,), 2, 3, (2,), (1,), CHANNELS_FIRST),
    "1d-whole-vectors-and-a-rest": Geometry((3,), 2, 17, (2,), (1,)),
    "2d-last": Geometry((3, 4), 2, 2, (2, 2), (1, 2)),
    "2d-first": Geometry((3, 4), 2, 2, (2, 2), (1, 2), CHANNELS_FIRST),
    "many-taps": Geometry((1,), 300, 2, (1,), (1,)),
    "shared": Geometry((4,), 2, 3, (2,), (1,), shared=True),
}
every_chain = pytest.mark.parametrize("geometry", CHAINED.values(), ids=CHAINED)


@every_path
@every_dtype
@every_chain
def test_forward_of_few_terms_is_one_chain_over_k_ascending_then_the_bias(geometry, dtype, path):
    x = numbers((2, *geometry.input_shape), dtype, 1)
    kernel = numbers(geometry.kernel_shape, dtype, 2)
    bias = numbers(geometry.bias_size, dtype, 3)
    rows, taps = x.reshape(2, -1), geometry.taps()
    expected = np.empty((2, *geometry.output_shape), dtype)
    target = by_position(expected, geometry)
    for n, p, f in np.ndindex(*target.shape):
        weights = kernel[0 if geometry.shared else p, :, f]
        target[n, p, f] = chain(zip(rows[n, taps[p]], weights, strict=True), STEP[path], dtype)
    options = ComputeOptions("direct", 1, path)
    assert_same_bits(ops.forward(x, kernel, None, geometry, options=options), expected)
    expected += bias if geometry.shared else bias.reshape(geometry.output_shape)
    assert_same_bits(ops.forward(x, kernel, bias, geometry, options=options), expected)


@every_path
@every_dtype
@every_chain
def test_the_gradient_of_the_input_is_one_chain_over_p_then_f_ascending(geometry, dtype, path):
    dy = numbers((2, *geometry.output_shape), dtype, 1)
    kernel = numbers(geometry.kernel_shape, dtype, 2)
    by_p, taps = by_position(dy, geometry), geometry.taps()
    expected = np.empty((2, *geometry.input_shape), dtype)
    flat = expected.reshape(2, -1)
    for n, tap in np.ndindex(*flat.shape):
        pairs = [
            (by_p[n, p, f], kernel[0 if geometry.shared else p, k, f])
            for p, k in np.argwhere(taps == tap)
            for f in range(geometry.filters)
        ]
        flat[n, tap] = chain(pairs, STEP[path], dtype)
    assert_same_bits(
        ops.input_gradient(dy, kernel, geometry, ComputeOptions("direct", 1, path)), expected
    )


@every_path
@every_dtype
@every_chain
def test_the_gradient_of_the_kernel_is_one_chain_over_n_ascending(geometry, dtype, path):
    rows = 3
    x = numbers((rows, *geometry.input_shape), dtype, 1)
    dy = numbers((rows, *geometry.output_shape), dtype, 2)
    flat, by_p, taps = x.reshape(rows, -1), by_position(dy, geometry), geometry.taps()
    expected = np.empty(geometry.kernel_shape, dtype)
    for p, k, f in np.ndindex(*expected.shape):
        positions = range(geometry.positions) if geometry.shared else [p]  # first over those
        pairs = [(flat[n, taps[q, k]], by_p[n, q, f]) for q in positions for n in range(rows)]
        expected[p, k, f] = chain(pairs, STEP[path], dtype)
    assert_same_bits(
        ops.kernel_gradient(x, dy, geometry, ComputeOptions("direct", 1, path)), expected
    )


@every_path
@every_dtype
def test_a_sum_of_rows_is_one_chain_over_n_ascending(dtype, path):
    values = numbers((60, 17), dtype, 1)
    expected = np.zeros(17, dtype)
    for row in values:
        expected += row
    assert_same_bits(ops.sum_rows(values, ComputeOptions("direct", 1, path)), expected)


def test_the_expected_chains_differ_with_fma_and_with_the_order():
    # The comparisons above are meaningful: each rule gives other bits.
    pairs = list(zip(numbers(40, "float32", 1), numbers(40, "float32", 2), strict=True))
    sums = [
        (chain(some, fused, "float32"), chain(some, separate, "float32"),
         chain(some[::-1], fused, "float32"))
        for some in (pairs[:length] for length in range(2, 41))
    ]  # fmt: skip
    assert any(one != two for one, two, _ in sums)
    assert any(one != three for one, _, three in sums)
    # 1 + 2^-24 is a tie that goes to even; the least bit more is not, though float() loses it.
    more = 1 + Fraction(1, 2**24) + Fraction(1, 2**80)
    assert nearest(1 + Fraction(1, 2**24), "float32") == 1
    assert nearest(more, "float32") == np.nextafter(np.float32(1), np.float32(2))
    assert np.float32(float(more)) == 1
