"""THE GATE: checks arrays once, allocates, chooses engine and threads; below it all is trusted.

Arrays come in as callers have them (any layout, any real dtype) and go down contiguous, aligned,
native and of the kernel's dtype.  An empty batch never goes down.
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
    reference,
    sparse,
)
from lcfast.local_conv._activation import ELEMENTWISE
from lcfast.local_conv._fast_path import forward as at_once
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
    takes_answer,
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
    "at_once",
    "checked_engine",
    "fits",
    "forward",
    "input_gradient",
    "kernel_gradient",
    "may_overlap",
    "plan_of_forward",
    "sum_rows",
]

Kernel = np.ndarray | sparse.SparseKernel

SHORT_BYTES = 1 << 20
"""Of an output whose call may take the short cut; a larger one gets a start of its own."""
READING_A_WEIGHT = 28
"""Multiplications of a row that reading its weights is worth, once a call."""
UNSHARED_DISCOUNT = 6
"""Multiplications with weights of a position's own that are worth one of another call."""


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
        The numbers of (geometry.bias_size,), likewise, of the kernel's dtype.
    geometry : Geometry
        What is computed.
    activation : Activation
        Applied to the sum; softmax runs over the last axis.
    out : ndarray, optional
        Where the answer goes; it may share memory with `x`.
    options : ComputeOptions
        Engine, threads and SIMD path.

    Returns
    -------
    ndarray, shape (N, *geometry.output_shape)
    """
    y = at_once(x, kernel, bias, geometry, activation, out, options)
    if y is not None:
        return y
    dtype = kernel_dtype(kernel)
    x = as_batch(x, dtype, geometry.input_shape, "the input")
    rows = len(x)
    shape = (rows, *geometry.output_shape)
    target = as_output(out, shape, dtype)
    if 0 in shape:
        return target
    if options.engine == "reference":
        assert isinstance(kernel, np.ndarray)
        flat = None if bias is None else bias.reshape(-1)
        y = reference.forward(x, kernel.reshape(geometry.kernel_shape), flat, geometry)
        target[...] = reference.activate(activation.name, activation.alpha, y)
        return target

    y = target
    if out is not None and not takes_answer(out, x):
        y = np.empty(shape, dtype)
    name, alpha = activation
    fused = name in ELEMENTWISE
    code, path = ELEMENTWISE[name if fused else "linear"], options.path()
    if isinstance(kernel, sparse.SparseKernel):
        threads = threads_for(sparse.work(kernel, rows), options.threads)
        bias = None if bias is None else bias.reshape(-1)
        sparse.forward(x, kernel, bias, y, code, alpha, path, threads)
    else:
        windows = geometry.padded
        x = x if windows is geometry else _padded(x, geometry)
        threads = threads_for(work_of_forward(geometry, rows), options.threads)
        plan = forward_plan(windows, dtype, rows, threads, path)
        if plan.takes_shortcut and fused and windows is geometry and y.nbytes <= SHORT_BYTES:
            _fast_path.remember(geometry, rows, dtype, activation, options, path, threads, plan)
        if plan.regime == "batch":
            how = code, alpha, path, threads, plan.vectors, plan.splits
            _batch.forward(windows, rows, dtype.itemsize, x, kernel, bias, y, *how)
        elif plan.regime == "positions":
            bias = None if bias is None else bias.reshape(-1)
            arrays = x.reshape(-1), kernel.reshape(-1), bias, y.reshape(-1)
            _POSITIONS_FORWARD[dtype](
                windows, rows, *arrays, code, alpha, path, threads, plan.vectors
            )
        elif plan.packed:
            bias = None if bias is None else bias.reshape(-1)
            arrays = x.reshape(-1), kernel.reshape(-1), bias, y.reshape(-1)
            _WIDE_FORWARD[dtype](windows, rows, *arrays, code, alpha, path, threads)
        else:
            _filters.forward(
                windows, rows, dtype.itemsize, x, kernel, bias, y, code, alpha, path, threads
            )
    if not fused:
        activate_in_place(y, activation, options)
    if y is not target:
        target[...] = y
    return target


def work_of_forward(geometry: Geometry, rows: int) -> int:
    """Multiplications that a forward call of the direct engine is worth, to choose threads by.

    Measured where two threads began to pay: with a shared kernel from 0.5 million multiplications
    on; with few weights of its own for each position from 3 million; for a lone row, which reads
    all weights for itself, from 0.1 million.  Less was slower with two threads than with one.
    """
    work = rows * geometry.multiplications
    if geometry.shared:
        return work
    return (work + READING_A_WEIGHT * geometry.multiplications) // UNSHARED_DISCOUNT


def plan_of_forward(
    kernel: Kernel, geometry: Geometry, rows: int, options: ComputeOptions = DEFAULT_OPTIONS
) -> Plan:
    """How `forward` computes that many rows."""
    if options.engine == "reference":
        return Plan("reference", 1, "numpy", 1, engine="reference")
    dtype, path, windows = kernel_dtype(kernel), options.path(), geometry.padded
    if isinstance(kernel, sparse.SparseKernel):
        threads = threads_for(sparse.work(kernel, rows), options.threads)
        lanes = _simd_paths.vector_bytes(path) // dtype.itemsize
        return Plan("sparse", threads, _simd_paths.PATH_NAMES[path], lanes, engine="sparse")
    threads = threads_for(work_of_forward(geometry, rows), options.threads)
    plan = forward_plan(windows, dtype, rows, threads, path)
    if plan.regime != "filters" or plan.packed:
        return plan
    return replace(plan, block=_filters.forward_blocks(windows, rows, dtype.itemsize, threads))


def input_gradient(
    dy: np.ndarray, kernel: Kernel, geometry: Geometry, options: ComputeOptions = DEFAULT_OPTIONS
) -> np.ndarray:
    """dx[n, tap(p,k)] = sum over p, then f, of dy[n,p,f] kernel[p,k,f]; shape of the input."""
    dtype = kernel_dtype(kernel)
    dy = as_batch(dy, dtype, geometry.output_shape, "the gradient of the output")
    if isinstance(kernel, sparse.SparseKernel):
        dx = np.empty((len(dy), *geometry.input_shape), dtype)
        if dx.size:
            threads = threads_for(sparse.work(kernel, len(dy)), options.threads)
            sparse.input_gradient(dy, kernel, dx, options.path(), threads)
        return dx
    if options.engine == "reference":
        return reference.input_gradient(dy, kernel, geometry)
    windows = geometry.padded
    shape = (len(dy), *windows.input_shape)
    if 0 in dy.shape or 0 in shape:
        return _inside(np.zeros(shape, dtype), geometry)
    path, threads = options.path(), threads_for(dy.size * geometry.patch_size, options.threads)
    plan = input_gradient_plan(windows, dtype, len(dy), threads, path)
    arrays = dy.reshape(-1), kernel.reshape(-1)
    dx = np.empty(shape, dtype)
    if plan.regime == "positions":
        cut: tuple[int, ...] = (path, threads, plan.vectors)
        _POSITIONS_INPUT_GRADIENT[dtype](windows, len(dy), *arrays, dx.reshape(-1), *cut)
    else:
        cut = path, threads, plan.vectors, plan.splits
        _BATCH_INPUT_GRADIENT[dtype](windows, len(dy), *arrays, dx.reshape(-1), *cut)
    return _inside(dx, geometry)


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
    if options.engine == "sparse":
        threads = threads_for(dy.size * geometry.patch_size, options.threads)
        return sparse.kernel_gradient(x, dy, geometry, options.path(), threads)
    if 0 in dy.shape or geometry.patch_size == 0:
        return np.zeros(geometry.kernel_shape, dy.dtype)
    if options.engine == "reference":
        return reference.kernel_gradient(x, dy, geometry)
    dkernel = np.empty(geometry.kernel_shape, dy.dtype)
    windows = geometry.padded
    path, threads = options.path(), threads_for(dy.size * geometry.patch_size, options.threads)
    plan = kernel_gradient_plan(windows, dtype, len(x), threads, path)
    arrays = _padded(x, geometry).reshape(-1), dy.reshape(-1), dkernel.reshape(-1)
    if plan.regime == "positions":
        _POSITIONS_KERNEL_GRADIENT[dtype](windows, len(x), *arrays, path, threads, plan.vectors)
    else:
        _KERNEL_GRADIENT[dtype](windows, len(x), *arrays, path, threads, plan.regime == "taps")
    return dkernel


def sum_rows(values: np.ndarray, options: ComputeOptions = DEFAULT_OPTIONS) -> np.ndarray:
    """total[...] = sum_n values[n, ...], one chain over n ascending whatever the batch."""
    values = as_array(values, values.dtype.newbyteorder("="), "the values")
    if 0 in values.shape:
        return np.zeros(values.shape[1:], values.dtype)
    if options.engine == "reference":
        return reference.sum_rows(values)
    total = np.empty(values.shape[1:], values.dtype)
    _SUM_ROWS[values.dtype](
        len(values),
        total.size,
        values.reshape(-1),
        total.reshape(-1),
        options.path(),
        threads_for(values.size, options.threads),
    )
    return total


def kernel_dtype(kernel: Kernel) -> np.dtype:
    """The dtype in which a kernel is computed with."""
    return kernel.dtype if isinstance(kernel, np.ndarray) else kernel.numbers.dtype


def _padded(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """`x` with the zeros around it that the direct engine's windows run into."""
    if geometry.padded is geometry:
        return x
    padded = np.zeros((len(x), *geometry.padded.input_shape), x.dtype)
    target, source = geometry.overlap()
    padded[(slice(None), *target)] = x[(slice(None), *source)]
    return padded


def _inside(dx: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The gradient of the input from that of the padded one."""
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
