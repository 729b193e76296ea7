"""Checks of the arrays that callers give, and their conversion to what the loops take."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.local_conv._arrays import fits, fits_output, may_overlap
from lcfast.local_conv._arrays import takes_answer as writable_while_reading

__all__ = [
    "REAL_DTYPES",
    "as_array",
    "as_batch",
    "as_output",
    "check_same_rows",
    "fits",
    "may_overlap",
    "writable_while_reading",
]

ALIGNED_FROM = 1 << 20
"""Bytes from which a new output starts at a cache line; numpy's own start 16 bytes into a page."""
CACHE_LINE = 64

REAL_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def as_array(value: Any, dtype: np.dtype | None, what: str) -> np.ndarray:
    """Return `value` as a C-contiguous, aligned, native array of `dtype`, copied only if needed.

    With `dtype` None it keeps its own dtype.

    Raises
    ------
    TypeError
        If `value` does not hold real numbers.
    """
    if type(value) is np.ndarray and value.dtype is dtype and value.flags.carray:
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{what} cannot be made into an array: {error}.") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{what} has dtype {array.dtype}, which is not real numbers; convert it to "
            f"{'integers' if dtype is None else dtype}."
        )
    wanted = array.dtype.newbyteorder("=") if dtype is None else dtype
    array = np.asarray(array, wanted, order="C")  # np.require does the same, more slowly
    return array if array.flags.aligned else array.copy()


def as_batch(value: Any, dtype: np.dtype, row_shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return `value` as an array (N, *row_shape) that the loops can read.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If its rank or shape is wrong.
    """
    if fits(value, dtype, row_shape):
        return value  # type: ignore[no-any-return]
    array = as_array(value, dtype, what)
    if array.ndim != len(row_shape) + 1 or array.shape[1:] != row_shape:
        expected = ", ".join(["batch", *map(str, row_shape)])
        raise ValueError(f"{what} has shape {array.shape}; expected ({expected}).")
    return array


def as_output(out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return `out`, checked, or a new array.

    Raises
    ------
    TypeError
        If `out` is not an array or has the wrong dtype.
    ValueError
        If its shape is wrong or it is read-only.
    """
    if out is None:
        array = np.empty(shape, dtype)
        return array if array.nbytes < ALIGNED_FROM else _from_cache_line(array)
    if fits_output(out, dtype, shape):
        return out
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array, not {type(out).__name__}.")
    if out.dtype != dtype:
        raise TypeError(f"out has dtype {out.dtype}; expected {dtype}.")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; expected {shape}.")
    if not out.flags.writeable:
        raise ValueError("out is read-only; give an array that can be written to.")
    return out


def _from_cache_line(array: np.ndarray) -> np.ndarray:
    """An empty array like `array` that starts at a cache line, for aligned stores."""
    size = array.nbytes
    room = np.empty(size + CACHE_LINE, np.uint8)
    start = -room.__array_interface__["data"][0] % CACHE_LINE
    return room[start : start + size].view(array.dtype).reshape(array.shape)


def check_same_rows(first: np.ndarray, second: np.ndarray) -> None:
    """Raise ValueError if the gradient `second` has another number of rows than `first`."""
    if len(first) != len(second):
        raise ValueError(
            f"the gradient of the output has {len(second)} rows; expected {len(first)}, as many as "
            "the input."
        )
