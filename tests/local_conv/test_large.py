"""Sizes that 32 bits do not count: 2**31 numbers and more in an array, or in a step through one."""

import math

import numpy as np
import pytest
from cases import assert_same_bits, numbers

from lcfast.local_conv import _direct, dispatch, ops, sparse
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from lcfast.local_conv.ops import Call
from lcfast.local_conv.plan import forward_plan, input_gradient_plan, kernel_gradient_plan

LIMIT = 2**31
FLOAT = np.dtype(np.float32)
GB = 10**9


def untouched_zeros(*shape):
    """Zeros whose pages the system has not made yet: they take addresses alone."""
    try:
        return np.zeros(shape, FLOAT)
    except MemoryError:
        return pytest.skip(f"needs {4 * math.prod(shape) / GB:.0f} GB of addresses")


# ---------------------------------------------------------------- steps through an input


def test_windows_further_apart_than_2_31_inputs_are_all_found():
    geometry = Geometry((LIMIT + 4096,), 1, 3, (5,), (1 << 24,))
    windows = geometry.window_offsets()
    assert windows[-1] == LIMIT
    x = untouched_zeros(1, *geometry.input_shape)
    seen = numbers((1, geometry.positions * 5, 1), FLOAT, 1)
    x[0, windows[:, None] + np.arange(5), 0] = seen.reshape(-1, 5)
    kernel = numbers(geometry.kernel_shape, FLOAT, 2)
    dy = numbers((1, *geometry.output_shape), FLOAT, 3)
    alone = Geometry((geometry.positions * 5,), 1, 3, (5,), (5,))
    assert_same_bits(ops.forward(x, kernel, None, geometry), ops.forward(seen, kernel, None, alone))
    assert_same_bits(ops.kernel_gradient(x, dy, geometry), ops.kernel_gradient(seen, dy, alone))


# ---------------------------------------------------------------- sizes alone

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
    assert tall.window_offsets()[-1] == last * pixel > LIMIT
    offsets = tall.run_offsets
    assert offsets.dtype == np.int64
    assert offsets[-1] == (2 * side * side + side if first else 3 * side)
    assert tall.taps().max() == (last + offsets[-1] + 2 if first else 3 * (last + side + 3) - 1)


def test_counts_of_numbers_are_exact_beyond_32_bits():
    geometry = Geometry((LIMIT,), 1 << 10, 1 << 10, (3,), (1,))
    positions = LIMIT - 2
    assert geometry.positions == positions
    assert geometry.connections == geometry.multiplications == positions * 3 << 20
    assert geometry.kernel_shape == (positions, 3 << 10, 1 << 10)
    assert geometry.bias_size == positions << 10
    assert ops.work_of_forward(geometry, 1 << 20) > (positions * 3 << 40) // 6


@pytest.mark.parametrize("geometry", [TALL, WIDE], ids=["2D", "1D"])
@pytest.mark.parametrize("rows", [1, 9, LIMIT])
def test_plans_are_made_for_such_sizes(geometry, rows):
    for plan in (forward_plan, input_gradient_plan, kernel_gradient_plan):
        made = plan(geometry, FLOAT, rows, 2, dispatch.active_index())
        assert made.vectors >= 0
        assert made.regime in ("filters", "batch", "positions", "taps")
    positions, filters, block = _direct.forward_blocks(geometry, rows, 4, 2)
    assert 0 < positions <= geometry.positions
    assert filters == geometry.filters
    assert 0 < block <= rows


@pytest.mark.parametrize(
    "geometry",
    [Geometry((LIMIT,), 1, 1, (1,), (1 << 30,)), Geometry((1,), 1, LIMIT, (1,), (1,))],
    ids=["inputs", "outputs"],
)
def test_what_the_sparse_engine_cannot_index_is_refused_with_a_way_out(geometry):
    with pytest.raises(ValueError, match=r"needs more\. Use engine='direct'"):
        sparse.pattern_of(geometry)
    x = np.broadcast_to(np.zeros((), FLOAT), (1, *geometry.input_shape))
    dy = np.broadcast_to(np.zeros((), FLOAT), (1, *geometry.output_shape))
    with pytest.raises(ValueError, match="indexes with 32 bits"):
        sparse.kernel_gradient(x, dy, geometry, dispatch.active_index(), 1)


def test_the_largest_matrix_that_32_bits_index_is_taken():
    geometry = Geometry((LIMIT - 1,), 1, 1, (1,), (1 << 30,))
    pattern = sparse.pattern_of(geometry)
    assert pattern.shape == (2, LIMIT - 1)
    assert pattern.indices.tolist() == [0, 1 << 30]
    x = untouched_zeros(1, LIMIT - 1, 1)
    x[0, 1 << 30] = 3
    kernel = sparse.connected(geometry, np.array([5, 7], FLOAT))
    assert ops.forward(x, kernel, None, geometry, call=Call("sparse", 1)).tolist() == [[[0], [21]]]
