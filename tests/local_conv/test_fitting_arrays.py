"""The fast checks of arrays in `_arrays`, against numpy's own functions."""

import numpy as np
import pytest

from lcfast.local_conv import _arrays, arrays, ops
from lcfast.local_conv.geometry import Geometry
from tests.support.cases import DTYPES, LAYOUTS

SHAPE = (3, 4, 5)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", ["contiguous", *LAYOUTS])


def filled(layout, dtype):
    return LAYOUTS.get(layout, np.array)(np.arange(60, dtype=dtype).reshape(SHAPE))


@every_dtype
@every_layout
def test_an_array_fits_where_the_kernels_can_read_it_and_an_output_where_they_can_write(
    layout, dtype
):
    array, wanted = filled(layout, dtype), np.dtype(dtype)
    flags = array.flags
    plain = array.dtype == wanted and flags.c_contiguous and flags.aligned
    assert _arrays.fits(array, wanted, array.shape[1:]) == plain
    assert _arrays.fits_output(array, wanted, array.shape) == (plain and flags.writeable)
    assert _arrays.takes_answer(array, np.empty(3)) == (flags.c_contiguous and flags.aligned)


@every_dtype
def test_another_dtype_shape_or_class_does_not_fit(dtype):
    array, wanted = filled("contiguous", dtype), np.dtype(dtype)
    other = np.dtype("f8" if dtype == "float32" else "f4")
    for shape in ((4,), (5, 4), (4, 5, 1), (4, 6), (3, 4, 5), ()):
        assert not _arrays.fits(array, wanted, shape)
    for shape in ((4, 5), (2, 4, 5), (3, 4, 5, 1), ()):
        assert not _arrays.fits_output(array, wanted, shape)
    assert not _arrays.fits(array, other, (4, 5))
    assert not _arrays.fits(array.view(np.recarray), wanted, (4, 5))
    for value in (array.tolist(), None, 1.0, memoryview(array), wanted.type(1)):
        assert not _arrays.fits(value, wanted, (4, 5))
        assert not _arrays.fits_output(value, wanted, SHAPE)
    assert _arrays.fits(array[:0], wanted, (4, 5))
    assert _arrays.fits(np.array(1, dtype)[None], wanted, ())


@every_layout
def test_arrays_overlap_where_numpy_says_that_they_may(layout):
    base = filled(layout, "float32")
    views = [
        base,
        base[:1],
        base[1:],
        base[2:],
        base[:, 1:3],
        base[..., ::2],
        base[:0],
        base.copy(),
    ]
    for first in views:
        for second in views:
            expected = np.may_share_memory(first, second)
            # The fast check may be more careful, but only for empty arrays.
            assert _arrays.may_overlap(first, second) == expected or 0 in (first.size, second.size)


def test_adjacent_contiguous_parts_do_not_overlap():
    room = np.empty(20, np.float32)
    assert not _arrays.may_overlap(room[:10], room[10:])
    assert not _arrays.may_overlap(room[10:], room[:10])
    assert _arrays.may_overlap(room[:11], room[10:])


def start(array):
    return array.__array_interface__["data"][0]


@every_dtype
def test_a_large_output_starts_at_a_cache_line_and_is_a_plain_array(dtype):
    rows = -(-arrays.ALIGNED_FROM // (13 * 8 * np.dtype(dtype).itemsize))
    for n in (1, rows, rows + 1, 5 * rows):
        y = arrays.as_output(None, (n, 13, 8), np.dtype(dtype))
        assert (type(y), y.shape, y.dtype) == (np.ndarray, (n, 13, 8), dtype)
        assert y.flags.carray
        if n >= rows:
            assert start(y) % arrays.CACHE_LINE == 0


def test_a_bias_of_another_item_size_is_refused_before_it_is_read():
    geometry = Geometry((15,), 2, 8, (3,), (1,))
    x, kernel = np.ones((1, 15, 2), np.float32), np.ones(geometry.kernel_shape, np.float32)
    with pytest.raises(ValueError, match="8 bytes"):
        ops.forward(x, kernel, np.ones(geometry.bias_size), geometry)
