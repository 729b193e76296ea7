"""The checked entry: checks arrays once, allocates outputs, chooses engine, threads and plan.

Callers give arrays of any layout and real dtype.  The compiled loops get contiguous, aligned,
native arrays of the kernel's dtype, never an empty batch, and check nothing again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lcfast.local_conv import (
    _batch,
    _fast_path,
    _filters,
    _kernel_gradient,
    _positions,
    _positions_input_gradient,
    _simd_paths,
    _sums,
    sparse,
)
from lcfast.local_conv._activation import ELEMENTWISE
from lcfast.local_conv._fast_path import forward as cached_forward
from lcfast.local_conv.activation import (
    LINEAR,
    Activation,
    activate,
    activate_in_place,
    activation_gradient,
)
from lcfast.local_conv.arrays import (
    REAL_DTYPES,
    as_array,
    as_batch,
    as_output,
    check_same_rows,
    fits,
    may_overlap,
    writable_while_reading,
)
from lcfast.local_conv.compute_options import (
    DEFAULT_OPTIONS,
    ENGINES,
    ComputeOptions,
    by_dtype,
    checked_engine,
)
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.plan import (
    Plan,
    forward_plan,
    input_gradient_plan,
    kernel_gradient_plan,
)
from lcfast.local_conv.threads import threads_for

__all__ = [
    "DEFAULT_OPTIONS",
    "ENGINES",
    "LINEAR",
    "REAL_DTYPES",
    "Activation",
    "ComputeOptions",
    "Plan",
    "activate",
    "activation_gradient",
    "as_array",
    "as_batch",
    "as_output",
    "cached_forward",
    "checked_engine",
    "fits",
    "forward",
    "forward_checked",
    "input_gradient",
    "kernel_gradient",
    "may_overlap",
    "plan_of_forward",
    "sum_rows",
]

Kernel = np.ndarray | sparse.SparseKernel

CACHED_BYTES = 1 << 20
"""Largest output of a call that the cached fast path repeats; larger ones start at a cache line."""
READING_A_WEIGHT = 28
"""Multiplications of one row that take as long as reading the row's weights once per call."""
UNSHARED_DISCOUNT = 6
"""Multiplications with unshared weights that count as one in the choice of threads."""


def forward(
    x: Any,
    kernel: Kernel,
    bias: np.ndarray | None,
    geometry: Geometry,
    activation: Activation = LINEAR,
    out: np.ndarray | None = None,
    options: ComputeOptions = DEFAULT_OPTIONS,
) -> np.ndarray:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]).

    Parameters
    ----------
    x : array_like, shape (N, *geometry.input_shape)
        The input, of any real dtype and layout; never modified.
    kernel : ndarray, or SparseKernel for the sparse engine
        The numbers of geometry.kernel_shape in a contiguous array of any shape, float32 or
        float64: the dtype of the computation.
    bias : ndarray or None
        The numbers of (geometry.bias_size,) in a contiguous array of any shape and the kernel's
        dtype.
    geometry : Geometry
        Sizes, strides and padding of the convolution.
    activation : Activation
        Applied to the sum; softmax runs over the last axis.
    out : ndarray, optional
        Array for the output; it may share memory with `x`.
    options : ComputeOptions
        Engine, threads and SIMD path.

    Returns
    -------
    ndarray, shape (N, *geometry.output_shape)

    Raises
    ------
    TypeError, ValueError
        If `x` or `out` has the wrong type, dtype or shape.
    """
    y = cached_forward(x, kernel, bias, geometry, activation, out, options)
    if y is not None:
        return y
    x = as_batch(x, kernel_dtype(kernel), geometry.input_shape, "the input")
    return forward_checked(x, kernel, bias, geometry, activation, out, options)


def forward_checked(
    x: np.ndarray,
    kernel: Kernel,
    bias: np.ndarray | None,
    geometry: Geometry,
    activation: Activation,
    out: np.ndarray | None,
    options: ComputeOptions,
) -> np.ndarray:
    """`forward` of an `x` that `as_batch` returned for this kernel; only `out` is checked."""
    dtype = kernel_dtype(kernel)
    target = as_output(out, (len(x), *geometry.output_shape), dtype)
    if target.size == 0:
        return target
    y = target
    if out is not None and not writable_while_reading(out, x):
        y = np.empty(target.shape, dtype)
    if isinstance(kernel, sparse.SparseKernel):
        _forward_sparse(x, kernel, bias, y, activation, options)
    else:
        _forward_direct(x, kernel, bias, y, geometry, activation, options)
    if activation.name not in ELEMENTWISE:
        activate_in_place(y, activation, options)
    if y is not target:
        target[...] = y
    return target


def _forward_sparse(
    x: np.ndarray,
    kernel: sparse.SparseKernel,
    bias: np.ndarray | None,
    y: np.ndarray,
    activation: Activation,
    options: ComputeOptions,
) -> None:
    threads = threads_for(sparse.work(kernel, len(x)), options.threads)
    code, alpha = _fused(activation)
    sparse.forward(x, kernel, _flat(bias), y, code, alpha, options.path(), threads)


def _forward_direct(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    geometry: Geometry,
    activation: Activation,
    options: ComputeOptions,
) -> None:
    rows, dtype, path, padded = len(x), kernel.dtype, options.path(), geometry.padded
    threads = threads_for(work_of_forward(geometry, rows), options.threads)
    plan = forward_plan(padded, dtype, rows, threads, path)
    cacheable = plan.has_fast_path and padded is geometry and activation.name in ELEMENTWISE
    if cacheable and y.nbytes <= CACHED_BYTES:
        _fast_path.remember(geometry, rows, dtype, activation, options, path, threads, plan)
    arrays = _padded(x, geometry), kernel, bias, y
    if plan.regime == "batch":
        _forward_along_batch(padded, arrays, _fused(activation), path, plan)
    elif plan.regime == "positions":
        _forward_along_positions(padded, arrays, _fused(activation), path, plan)
    else:
        _forward_along_filters(padded, arrays, _fused(activation), path, plan)


_ForwardArrays = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]


def _forward_along_batch(
    padded: Geometry, arrays: _ForwardArrays, fused: tuple[int, float], path: int, plan: Plan
) -> None:
    x, *_, y = arrays
    cut = path, plan.threads, plan.vectors, plan.splits
    _batch.forward(padded, len(x), y.itemsize, *arrays, *fused, *cut)


def _forward_along_positions(
    padded: Geometry, arrays: _ForwardArrays, fused: tuple[int, float], path: int, plan: Plan
) -> None:
    x, *_, y = arrays
    cut = path, plan.threads, plan.vectors
    _POSITIONS_FORWARD[y.dtype](padded, len(x), *map(_flat, arrays), *fused, *cut)


def _forward_along_filters(
    padded: Geometry, arrays: _ForwardArrays, fused: tuple[int, float], path: int, plan: Plan
) -> None:
    x, *_, y = arrays
    cut = path, plan.threads
    if plan.packed:
        _WIDE_FORWARD[y.dtype](padded, len(x), *map(_flat, arrays), *fused, *cut)
    else:
        _filters.forward(padded, len(x), y.itemsize, *arrays, *fused, *cut)


def _fused(activation: Activation) -> tuple[int, float]:
    """Code and parameter of the activation in the loops; linear where it needs whole rows."""
    return ELEMENTWISE.get(activation.name, ELEMENTWISE["linear"]), activation.alpha


def _flat(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else array.reshape(-1)


def work_of_forward(geometry: Geometry, rows: int) -> int:
    """Multiplications that a forward call of the direct engine counts for, to choose threads.

    Measured where two threads began to pay: with a shared kernel from 0.5 million multiplications
    on; with few weights for each position from 3 million; for a single row, which reads all
    weights for itself, from 0.1 million.  Below these, two threads were slower than one.
    """
    work = rows * geometry.multiplications
    if geometry.shared:
        return work
    return (work + READING_A_WEIGHT * geometry.multiplications) // UNSHARED_DISCOUNT


def plan_of_forward(
    kernel: Kernel, geometry: Geometry, rows: int, options: ComputeOptions = DEFAULT_OPTIONS
) -> Plan:
    """How `forward` computes that many rows."""
    dtype, path, padded = kernel_dtype(kernel), options.path(), geometry.padded
    if isinstance(kernel, sparse.SparseKernel):
        threads = threads_for(sparse.work(kernel, rows), options.threads)
        lanes = _simd_paths.vector_bytes(path) // dtype.itemsize
        return Plan("sparse", threads, _simd_paths.PATH_NAMES[path], lanes, engine="sparse")
    threads = threads_for(work_of_forward(geometry, rows), options.threads)
    plan = forward_plan(padded, dtype, rows, threads, path)
    if plan.regime != "filters" or plan.packed:
        return plan
    return replace(plan, block=_filters.forward_blocks(padded, rows, dtype.itemsize, threads))


def input_gradient(
    dy: np.ndarray, kernel: Kernel, geometry: Geometry, options: ComputeOptions = DEFAULT_OPTIONS
) -> np.ndarray:
    """dx[n, tap(p,k)] = sum over p, then f, of dy[n,p,f] kernel[p,k,f]; shape of the input."""
    dtype = kernel_dtype(kernel)
    dy = as_batch(dy, dtype, geometry.output_shape, "the gradient of the output")
    shape = (len(dy), *geometry.input_shape)
    if isinstance(kernel, sparse.SparseKernel):
        dx = np.empty(shape, dtype)
        if dx.size:
            threads = threads_for(sparse.work(kernel, len(dy)), options.threads)
            sparse.input_gradient(dy, kernel, dx, options.path(), threads)
        return dx
    if 0 in dy.shape or 0 in geometry.padded.input_shape:
        return np.zeros(shape, dtype)
    return _unpadded(_padded_input_gradient(dy, kernel, geometry.padded, options), geometry)


def _padded_input_gradient(
    dy: np.ndarray, kernel: np.ndarray, padded: Geometry, options: ComputeOptions
) -> np.ndarray:
    """The gradient of the padded input, by the direct engine."""
    path, threads = options.path(), threads_for(dy.size * padded.patch_size, options.threads)
    plan = input_gradient_plan(padded, dy.dtype, len(dy), threads, path)
    dx = np.empty((len(dy), *padded.input_shape), dy.dtype)
    arrays = dy.reshape(-1), kernel.reshape(-1), dx.reshape(-1)
    cut = path, threads, plan.vectors
    if plan.regime == "positions":
        _POSITIONS_INPUT_GRADIENT[dy.dtype](padded, len(dy), *arrays, *cut)
    else:
        _BATCH_INPUT_GRADIENT[dy.dtype](padded, len(dy), *arrays, *cut, plan.splits)
    return dx


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, geometry: Geometry, options: ComputeOptions = DEFAULT_OPTIONS
) -> np.ndarray:
    """dkernel[p,k,f] = sum over n of x[n,p,k] dy[n,p,f].

    Of shape geometry.kernel_shape; the sparse engine's is the vector of all connections.
    """
    dtype = dy.dtype.newbyteorder("=")
    x = as_batch(x, dtype, geometry.input_shape, "the input")
    dy = as_batch(dy, dtype, geometry.output_shape, "the gradient of the output")
    check_same_rows(x, dy)
    path, threads = options.path(), threads_for(dy.size * geometry.patch_size, options.threads)
    if options.engine == "sparse":
        return sparse.kernel_gradient(x, dy, geometry, path, threads)
    if 0 in dy.shape or geometry.patch_size == 0:
        return np.zeros(geometry.kernel_shape, dtype)
    padded = geometry.padded
    plan = kernel_gradient_plan(padded, dtype, len(x), threads, path)
    dkernel = np.empty(geometry.kernel_shape, dtype)
    arrays = _padded(x, geometry).reshape(-1), dy.reshape(-1), dkernel.reshape(-1)
    if plan.regime == "positions":
        _POSITIONS_KERNEL_GRADIENT[dtype](padded, len(x), *arrays, path, threads, plan.vectors)
    else:
        _KERNEL_GRADIENT[dtype](padded, len(x), *arrays, path, threads, plan.regime == "taps")
    return dkernel


def sum_rows(values: np.ndarray, options: ComputeOptions = DEFAULT_OPTIONS) -> np.ndarray:
    """total[...] = sum_n values[n, ...], added in ascending order of n whatever the batch."""
    values = as_array(values, values.dtype.newbyteorder("="), "the values")
    if 0 in values.shape:
        return np.zeros(values.shape[1:], values.dtype)
    total = np.empty(values.shape[1:], values.dtype)
    flat = values.reshape(-1), total.reshape(-1)
    cut = options.path(), threads_for(values.size, options.threads)
    _SUM_ROWS[values.dtype](len(values), total.size, *flat, *cut)
    return total


def kernel_dtype(kernel: Kernel) -> np.dtype:
    """The dtype of the computation."""
    return kernel.dtype if isinstance(kernel, np.ndarray) else kernel.numbers.dtype


def _padded(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """`x` with the zeros of the padding around it."""
    if geometry.padded is geometry:
        return x
    padded = np.zeros((len(x), *geometry.padded.input_shape), x.dtype)
    target, source = geometry.overlap()
    padded[(slice(None), *target)] = x[(slice(None), *source)]
    return padded


def _unpadded(dx: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The gradient of the input from that of the padded one; 0 where an input is left out."""
    if geometry.padded is geometry:
        return dx
    inside = np.zeros((len(dx), *geometry.input_shape), dx.dtype)
    target, source = geometry.overlap()
    inside[(slice(None), *source)] = dx[(slice(None), *target)]
    return inside


_WIDE_FORWARD = by_dtype(_filters.forward_wide)
_BATCH_INPUT_GRADIENT = by_dtype(_batch.input_gradient)
_KERNEL_GRADIENT = by_dtype(_kernel_gradient.kernel_gradient)
_POSITIONS_FORWARD = by_dtype(_positions.forward)
_POSITIONS_INPUT_GRADIENT = by_dtype(_positions_input_gradient.input_gradient)
_POSITIONS_KERNEL_GRADIENT = by_dtype(_positions.kernel_gradient)
_SUM_ROWS = by_dtype(_sums.sum_rows)
