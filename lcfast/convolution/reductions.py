"""Sums over axes, each one ascending chain: the same bits whatever the batch and the layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry


@lru_cache(maxsize=64)
def _row_geometry(size: int) -> Geometry:
    """A row of numbers that gives one number."""
    return Geometry((1,), size, 1, (1,), (1,))


def sum_over(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The sum over `axes`, which stay as axes of size 1."""
    summed = [axis % values.ndim for axis in axes]
    kept = [axis for axis in range(values.ndim) if axis not in summed]
    count = math.prod(values.shape[axis] for axis in summed)
    rest = math.prod(values.shape[axis] for axis in kept)
    shape = [1 if axis in summed else size for axis, size in enumerate(values.shape)]
    # numpy's own sum chooses its order by the layout, and so by the batch.
    if count and kept + summed == list(range(values.ndim)):
        # A product with ones is the same chain, and reads rows as they lie.
        ones = np.ones(count, values.dtype)
        as_they_lie = values.reshape(rest, 1, count)
        return ops.forward(as_they_lie, ones, None, _row_geometry(count)).reshape(shape)
    terms = values.transpose(*summed, *kept).reshape(count, rest)
    return ops.sum_rows(terms).reshape(shape)


def sum_to(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes along which an array of `shape` was repeated to give `values`."""
    repeated = [axis for axis, size in enumerate(shape) if size != values.shape[axis]]
    return sum_over(values, repeated) if repeated else values
