"""Sums over axes, each one ascending chain: the same bits whatever the batch and the layout."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lcfast.local_conv import ops


def sum_over(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The sum over `axes`, which stay as axes of size 1."""
    summed = [axis % values.ndim for axis in axes]
    kept = [axis for axis in range(values.ndim) if axis not in summed]
    count = math.prod(values.shape[axis] for axis in summed)
    rest = math.prod(values.shape[axis] for axis in kept)
    # numpy's own sum chooses its order by the layout, and so by the batch.
    rows = values.transpose(*summed, *kept).reshape(count, rest)
    shape = [1 if axis in summed else size for axis, size in enumerate(values.shape)]
    return ops.sum_rows(rows).reshape(shape)


def sum_to(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes along which an array of `shape` was repeated to give `values`."""
    repeated = [axis for axis, size in enumerate(shape) if size != values.shape[axis]]
    return sum_over(values, repeated) if repeated else values
