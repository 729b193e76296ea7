"""Sizes beyond 32 bits: arrays of 2**31 numbers and more, and steps of that size.

Most tests need little memory and time.  Those that fill such an array run with `pytest -m large`:
each needs 11 GB, one of them 19 GB, and is skipped where they are not free.
"""

import math

import numpy as np
import pytest

from lcfast.local_conv import _filters, dispatch, ops, sparse
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from lcfast.local_conv.memory import available_memory
from lcfast.local_conv.ops import ComputeOptions
from lcfast.local_conv.plan import (
    SCRATCH_BYTES,
    forward_plan,
    input_gradient_plan,
    kernel_gradient_plan,
)
from tests.support.cases import PATHS, assert_same_bits, numbers

LIMIT = 2**31
FLOAT = np.dtype(np.float32)
GB = 10**9
REPEATED = 999_983  # a prime: numbers at a distance of a power of two differ


def needs_memory(size, arrays=1):
    """Skip if there is no memory for `arrays` arrays of `size` numbers and a quarter of one."""
    needed, free = (4 * arrays + 1) * size, available_memory()
    if free is not None and free < needed:
        pytest.skip(f"needs {needed / GB:.0f} GB of memory; {free / GB:.0f} GB are free")


def untouched_zeros(*shape):
    """Zeros that take address space but no memory until they are written."""
    try:
        return np.zeros(shape, FLOAT)
    except MemoryError:
        return pytest.skip(f"needs {4 * math.prod(shape) / GB:.0f} GB of addresses")


def repeated_numbers(*shape):
    block, array = numbers((REPEATED,), FLOAT, 1), np.empty(math.prod(shape), FLOAT)
    for start in range(0, array.size, REPEATED):
        array[start : start + REPEATED] = block[: array.size - start]
    return array.reshape(shape)


def parts(geometry, positions):
    """Ranges of positions, the inputs that each reads, and the geometry of each range alone."""
    (kernel,), (stride,) = geometry.kernel_size, geometry.strides
    for first in range(0, geometry.positions, positions):
        last = min(first + positions, geometry.positions)
        inputs = slice(first * stride, (last - 1) * stride + kernel)
        size = (inputs.stop - inputs.start,)
        part = Geometry(size, geometry.channels, geometry.filters, (kernel,), (stride,))
        assert part.positions == last - first
        yield slice(first, last), inputs, part


# ---------------------------------------------------------------- weights


@pytest.mark.large
@pytest.mark.parametrize(
    ("geometry", "rows", "positions"),
    [
        (Geometry((65600,), 64, 512, (100,), (100,)), 1, 40),
        (Geometry((67200,), 64, 500, (100,), (100,)), 9, 40),
        (Geometry((LIMIT // 64 + 1063,), 1, 1, (64,), (1,)), 1, 1 << 20),
    ],
    ids=["along-filters", "along-the-batch", "along-positions"],
)
def test_a_layer_of_more_than_2_31_weights_has_the_bits_of_its_parts(geometry, rows, positions):
    size = math.prod(geometry.kernel_shape)
    assert size > LIMIT
    needs_memory(size)
    x = numbers((rows, *geometry.input_shape), FLOAT, 2)
    dy = numbers((rows, *geometry.output_shape), FLOAT, 3)
    kernel = repeated_numbers(*geometry.kernel_shape)
    y = ops.forward(x, kernel, None, geometry)
    apart = geometry.strides == geometry.kernel_size
    dx = ops.input_gradient(dy, kernel, geometry) if apart else None
    for some, inputs, part in parts(geometry, positions):
        assert_same_bits(ops.forward(x[:, inputs], kernel[some], None, part), y[:, some])
        if dx is not None:
            alone = ops.input_gradient(dy[:, some], kernel[some], part)
            assert_same_bits(alone, dx[:, inputs])
    del kernel, y, dx
    dkernel = ops.kernel_gradient(x, dy, geometry)
    for some, inputs, part in parts(geometry, positions):
        alone = ops.kernel_gradient(x[:, inputs], dy[:, some], part)
        assert_same_bits(alone, dkernel[some])


# ---------------------------------------------------------------- inputs, outputs, rows


def test_receptive_fields_more_than_2_31_inputs_apart_are_read():
    geometry = Geometry((LIMIT + 4096,), 1, 3, (5,), (1 << 24,))
    starts = geometry.receptive_field_starts()
    assert starts[-1] == LIMIT
    x = untouched_zeros(1, *geometry.input_shape)
    seen = numbers((1, geometry.positions * 5, 1), FLOAT, 1)
    x[0, starts[:, None] + np.arange(5), 0] = seen.reshape(-1, 5)
    kernel = numbers(geometry.kernel_shape, FLOAT, 2)
    dy = numbers((1, *geometry.output_shape), FLOAT, 3)
    alone = Geometry((geometry.positions * 5,), 1, 3, (5,), (5,))
    assert_same_bits(ops.forward(x, kernel, None, geometry), ops.forward(seen, kernel, None, alone))
    assert_same_bits(ops.kernel_gradient(x, dy, geometry), ops.kernel_gradient(seen, dy, alone))


@pytest.mark.large
def test_the_gradient_of_more_than_2_31_inputs_is_nonzero_in_the_receptive_fields_only():
    geometry = Geometry((LIMIT + 4096,), 1, 3, (5,), (1 << 24,))
    needs_memory(geometry.input_size[0], arrays=2)
    kernel = numbers(geometry.kernel_shape, FLOAT, 2)
    dy = numbers((1, *geometry.output_shape), FLOAT, 3)
    alone = Geometry((geometry.positions * 5,), 1, 3, (5,), (5,))
    dx = ops.input_gradient(dy, kernel, geometry).reshape(-1)
    expected = ops.input_gradient(dy, kernel, alone).reshape(-1, 5)
    seen = geometry.receptive_field_starts()[:, None] + np.arange(5)
    assert_same_bits(dx[seen], expected)
    assert np.count_nonzero(dx) == np.count_nonzero(expected)


@pytest.mark.slow
@pytest.mark.parametrize("filters", [1, 64], ids=["along-the-batch", "along-filters"])
def test_rows_that_start_beyond_2_31_numbers_are_read(filters):
    geometry = Geometry((2,), 1 << 19, filters, (1,), (1,))
    rows = LIMIT // math.prod(geometry.input_shape) + 10
    x = untouched_zeros(rows, *geometry.input_shape)
    x[-7:] = numbers((7, *geometry.input_shape), FLOAT, 1)
    kernel = numbers(geometry.kernel_shape, FLOAT, 2)
    y = ops.forward(x, kernel, None, geometry)
    assert_same_bits(y[-7:], ops.forward(x[-7:], kernel, None, geometry))
    assert not y[:-7].any()


@pytest.mark.large
def test_outputs_that_start_beyond_2_31_numbers_are_written():
    geometry = Geometry((1,), 2, 1 << 15, (1,), (1,))
    rows = LIMIT // geometry.filters + 10
    needs_memory(rows * geometry.filters)
    x = np.tile(numbers((7, 1, 2), FLOAT, 1), (-(-rows // 7), 1, 1))[:rows]
    kernel = numbers(geometry.kernel_shape, FLOAT, 2)
    y, first = ops.forward(x, kernel, None, geometry), ops.forward(x[:7], kernel, None, geometry)
    for start in range(0, rows, 7):
        assert_same_bits(y[start : start + 7], first[: rows - start])


# ---------------------------------------------------------------- sizes without arrays

TALL = Geometry((1 << 18, 1 << 18), 3, 2, (2, 3), (1 << 17, 1 << 16))
WIDE = Geometry((LIMIT * 4,), 3, 2, (5,), (LIMIT,))


@pytest.mark.parametrize("data_format", [CHANNELS_LAST, CHANNELS_FIRST])
def test_steps_and_offsets_are_exact_beyond_32_bits(data_format):
    tall = Geometry(*[getattr(TALL, name) for name in (
        "input_size", "channels", "filters", "kernel_size", "strides")], data_format)  # fmt: skip
    first = data_format == CHANNELS_FIRST
    pixel, side = (1 if first else 3), 1 << 18
    assert tall.window_steps == ((1 << 17) * side * pixel, (1 << 16) * pixel)
    last = (1 << 17) * side + 3 * (1 << 16)
    assert tall.output_size == (2, 4)
    assert tall.receptive_field_starts()[-1] == last * pixel > LIMIT
    offsets = tall.run_offsets
    assert offsets.dtype == np.int64
    assert offsets[-1] == (2 * side * side + side if first else 3 * side)
    assert tall.taps().max() == (last + offsets[-1] + 2 if first else 3 * (last + side + 3) - 1)


def test_counts_are_exact_beyond_32_bits():
    geometry = Geometry((LIMIT,), 1 << 10, 1 << 10, (3,), (1,))
    positions = LIMIT - 2
    assert geometry.positions == positions
    assert geometry.connections == geometry.multiplications == positions * 3 << 20
    assert geometry.kernel_shape == (positions, 3 << 10, 1 << 10)
    assert geometry.bias_size == positions << 10
    assert ops.work_of_forward(geometry, 1 << 20) > (positions * 3 << 40) // 6


def inputs_of_widest_range(geometry, splits, of_pixels):
    """Most inputs of one of `splits` ranges of pixels or else of positions, in exact integers."""
    if of_pixels:
        return -(-math.prod(geometry.input_size) // splits) * geometry.channels
    starts = geometry.receptive_field_starts().tolist()
    positions = -(-len(starts) // splits)
    ranges = zip(starts, starts[positions - 1 :], strict=False)
    return max(last - first for first, last in ranges) + geometry.span


@pytest.mark.parametrize("geometry", [TALL, WIDE], ids=["2D", "1D"])
@pytest.mark.parametrize("rows", [1, 9, LIMIT])
@pytest.mark.parametrize("path", PATHS)
def test_plans_of_sizes_beyond_32_bits_keep_their_panels_within_the_scratch(geometry, rows, path):
    for make in (forward_plan, input_gradient_plan, kernel_gradient_plan):
        made = make(geometry, FLOAT, rows, 2, dispatch.path_index(path))
        assert (made.vectors > 0) == (made.regime in ("batch", "positions"))
        assert (made.splits > 0) == (made.regime == "batch")
        if made.regime == "batch":
            inputs = inputs_of_widest_range(geometry, made.splits, make is input_gradient_plan)
            assert 2 * inputs * made.vectors * made.lanes * FLOAT.itemsize <= SCRATCH_BYTES


@pytest.mark.parametrize("geometry", [TALL, WIDE], ids=["2D", "1D"])
@pytest.mark.parametrize("rows", [1, 9, LIMIT])
def test_tasks_of_sizes_beyond_32_bits_are_parts_of_the_work(geometry, rows):
    positions, filters, block = _filters.forward_blocks(geometry, rows, 4, 2)
    assert 0 < positions <= geometry.positions
    assert filters == geometry.filters
    assert 0 < block <= rows


@pytest.mark.parametrize(
    "geometry",
    [Geometry((LIMIT,), 1, 1, (1,), (1 << 30,)), Geometry((1,), 1, LIMIT, (1,), (1,))],
    ids=["inputs", "outputs"],
)
def test_sizes_that_the_sparse_engine_cannot_index_are_refused(geometry):
    with pytest.raises(ValueError, match=str(LIMIT)):
        sparse.pattern_of(geometry)
    x = np.broadcast_to(np.zeros((), FLOAT), (1, *geometry.input_shape))
    dy = np.broadcast_to(np.zeros((), FLOAT), (1, *geometry.output_shape))
    with pytest.raises(ValueError, match=str(LIMIT)):
        sparse.kernel_gradient(x, dy, geometry, dispatch.active_index(), 1)


def test_the_largest_matrix_with_32_bit_indices_is_accepted():
    geometry = Geometry((LIMIT - 1,), 1, 1, (1,), (1 << 30,))
    pattern = sparse.pattern_of(geometry)
    assert pattern.shape == (2, LIMIT - 1)
    assert pattern.indices.tolist() == [0, 1 << 30]
    x = untouched_zeros(1, LIMIT - 1, 1)
    x[0, 1 << 30] = 3
    kernel = sparse.connected(geometry, np.array([5, 7], FLOAT))
    assert ops.forward(x, kernel, None, geometry, options=ComputeOptions("sparse", 1)).tolist() == [
        [[0], [21]]
    ]
