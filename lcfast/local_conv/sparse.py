"""The sparse engine: the layer as one CSR matrix of shape (outputs, inputs).

Rows are in the order of the flattened output and columns in that of the flattened input, both in
the caller's data format; within a row the columns ascend.  Keras's implementation 3 stores the
numbers of this matrix in this order.  The sparsity pattern depends on the geometry only, never on
the weights, and is computed once for each geometry.  scipy.sparse transposes it; the products are
lcfast's own, because scipy's use one thread and no FMA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from lcfast.local_conv import _sparse
from lcfast.local_conv._activation import ELEMENTWISE
from lcfast.local_conv.compute_options import by_dtype
from lcfast.local_conv.geometry import Geometry

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LARGEST_INDEX = 2**31 - 1
LEAST_ROWS_OF_WORK = 4  # one row takes as long as a few: reading the weights dominates


@dataclass(frozen=True, eq=False)
class Pattern:
    """The sparsity pattern of a CSR matrix.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    starts : ndarray of int64, shape (rows + 1,)
        Where each row starts in `indices`.
    indices : ndarray of int32, shape (nnz,)
        Columns, ascending within a row.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    indices: np.ndarray

    @property
    def nnz(self) -> int:
        """Numbers that the matrix stores."""
        return len(self.indices)

    @cached_property
    def rows(self) -> np.ndarray:
        """The row of each stored number: int32 (nnz,)."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.starts))

    @cached_property
    def cut(self) -> _sparse.Matrix:
        """The pattern in the form that the loops take."""
        return _sparse.Matrix(self.starts, self.indices, self.shape[1])

    @cached_property
    def transposed(self) -> tuple[Pattern, np.ndarray]:
        """The transposed pattern, and for each of its numbers the index in this pattern."""
        order: Any = self.matrix(np.arange(self.nnz)).T.tocsr()
        starts, indices = order.indptr.astype(np.int64), order.indices.astype(np.int32)
        return Pattern((self.shape[1], self.shape[0]), starts, indices), order.data

    def matrix(self, numbers: np.ndarray) -> csr_array:
        """The matrix with these numbers, which are not copied."""
        from scipy.sparse import csr_array  # imported late to keep `import lcfast` fast

        return csr_array((numbers, self.indices, self.starts), shape=self.shape)


@dataclass(frozen=True, eq=False)
class SparseKernel:
    """The sparse engine's form of a kernel: numbers on a pattern.

    Parameters
    ----------
    pattern : Pattern
        The geometry's pattern, or the part of it that pruning left.
    numbers : ndarray, shape (pattern.nnz,)
        The weights, in the order of the pattern.
    kept : ndarray of int or None
        Indices of the geometry's connections that pruning left; None: all.
    """

    pattern: Pattern
    numbers: np.ndarray
    kept: np.ndarray | None = None

    @cached_property
    def transposed(self) -> tuple[Pattern, np.ndarray]:
        """Pattern and numbers of the transposed matrix."""
        pattern, order = self.pattern.transposed
        return pattern, self.numbers.take(order)

    def vector(self, connections: int) -> np.ndarray:
        """The numbers of all connections, 0 for the pruned ones."""
        if self.kept is None:
            return self.numbers
        vector = np.zeros(connections, self.numbers.dtype)
        vector[self.kept] = self.numbers
        return vector


_PATTERNS: WeakKeyDictionary[Geometry, Pattern] = (
    WeakKeyDictionary()
)  # entries live as long as their geometry


def pattern_of(geometry: Geometry) -> Pattern:
    """The pattern of a geometry's matrix.

    Raises
    ------
    ValueError
        If a row of the input or of the output has 2**31 numbers or more.
    """
    pattern = _PATTERNS.get(geometry)
    if pattern is None:
        pattern = _PATTERNS[geometry] = _new_pattern(geometry)
    return pattern


def _new_pattern(geometry: Geometry) -> Pattern:
    shape = (math.prod(geometry.output_shape), math.prod(geometry.input_shape))
    if max(shape) > LARGEST_INDEX:
        raise ValueError(
            f"The sparse engine uses 32-bit indices; a matrix of shape {shape} needs more. Use "
            "engine='direct'."
        )
    inputs, inside = geometry.inputs_of_taps()
    each = inside.sum(axis=1)  # connections per position
    starts = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(_for_filters(each, geometry), out=starts[1:])
    inputs = inputs.astype(np.int32)
    if geometry.channels_first:
        return Pattern(shape, starts, np.tile(inputs[inside], geometry.filters))
    wide = (geometry.positions, geometry.filters, geometry.patch_size)
    indices = np.broadcast_to(inputs[:, None, :], wide)
    if inside.all():
        return Pattern(shape, starts, np.ascontiguousarray(indices).reshape(-1))
    return Pattern(shape, starts, indices[np.broadcast_to(inside[:, None, :], wide)])


def _for_filters(of_positions: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A number of each position, repeated for its outputs."""
    if geometry.channels_first:
        return np.tile(of_positions, geometry.filters)
    return np.repeat(of_positions, geometry.filters)


def connected(geometry: Geometry, numbers: np.ndarray, prune: bool = False) -> SparseKernel:
    """The kernel from the numbers of all connections; with `prune`, zeros are left out."""
    pattern = pattern_of(geometry)
    if not prune:
        return SparseKernel(pattern, numbers)
    kept = np.flatnonzero(numbers)
    starts = np.searchsorted(kept, pattern.starts).astype(np.int64)
    left = Pattern(pattern.shape, starts, pattern.indices[kept])
    return SparseKernel(left, numbers[kept], kept)


def work(kernel: SparseKernel, rows: int) -> int:
    """Multiplications that a product counts for, to choose threads."""
    return kernel.pattern.nnz * max(rows, LEAST_ROWS_OF_WORK)


def forward(
    x: np.ndarray,
    kernel: SparseKernel,
    bias: np.ndarray | None,
    y: np.ndarray,
    activation: int,
    alpha: float,
    path: int,
    threads: int,
) -> None:
    """y[n,o] = activation(sum_i x[n,i] matrix[o,i] + bias[o]), i ascending."""
    _PRODUCT[y.dtype](
        kernel.pattern.cut, kernel.numbers, len(x), x.reshape(-1), bias, y.reshape(-1), activation,
        alpha, path, threads,
    )  # fmt: skip


def input_gradient(
    dy: np.ndarray, kernel: SparseKernel, dx: np.ndarray, path: int, threads: int
) -> None:
    """dx[n,i] = sum_o dy[n,o] matrix[o,i], o ascending."""
    pattern, numbers = kernel.transposed
    linear = ELEMENTWISE["linear"]
    forward(dy, SparseKernel(pattern, numbers), None, dx, linear, 0.0, path, threads)


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, geometry: Geometry, path: int, threads: int
) -> np.ndarray:
    """dnumbers[r] = sum_n dy[n,o] x[n,i] for each connection r = (o, i)."""
    pattern = pattern_of(geometry)
    gradient = np.empty(pattern.nnz, dy.dtype)
    _GRADIENT[dy.dtype](
        pattern.cut, len(x), x.reshape(-1), dy.reshape(-1), gradient, path, threads
    )  # fmt: skip
    return gradient


_PRODUCT = by_dtype(_sparse.product)
_GRADIENT = by_dtype(_sparse.gradient)
