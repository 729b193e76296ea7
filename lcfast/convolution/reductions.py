"""Sums over axes in ascending order: bit-identical for any batch and memory layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry


@lru_cache(maxsize=64)
def row_geometry(size: int) -> Geometry:
    """The geometry of a product of one row with one filter."""
    return Geometry((1,), size, 1, (1,), (1,))


def sum_over(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The sum over `axes`, which are kept with size 1."""
    summed = [axis % values.ndim for axis in axes]
    kept = [axis for axis in range(values.ndim) if axis not in summed]
    count = math.prod(values.shape[axis] for axis in summed)
    rest = math.prod(values.shape[axis] for axis in kept)
    shape = [1 if axis in summed else size for axis, size in enumerate(values.shape)]
    # numpy's sum chooses its order by the layout, so its bits depend on the batch.
    if count and kept + summed == list(range(values.ndim)):
        # A product with ones sums in the same order and needs no transposed copy.
        ones = np.ones(count, values.dtype)
        rows = values.reshape(rest, 1, count)
        return ops.forward(rows, ones, None, row_geometry(count)).reshape(shape)
    terms = values.transpose(*summed, *kept).reshape(count, rest)
    return ops.sum_rows(terms).reshape(shape)


def sum_to(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes along which an array of `shape` was broadcast to give `values`."""
    repeated = [axis for axis, size in enumerate(shape) if size != values.shape[axis]]
    return sum_over(values, repeated) if repeated else values
