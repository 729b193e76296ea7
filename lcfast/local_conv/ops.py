"""THE GATE: checks arrays once, allocates, chooses engine and threads; below it all is trusted.

Arrays come in as callers have them (any layout, any real dtype) and go down contiguous, aligned,
native and of the kernel's dtype.  An empty batch never goes down.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.local_conv import (
    _direct,
    _kernel_gradient,
    _panels,
    _positions,
    reference,
    sparse,
)
from lcfast.local_conv._activation import ELEMENTWISE
from lcfast.local_conv.activation import (
    LINEAR,
    Activation,
    activate,
    activate_in_place,
    activation_gradient,
)
from lcfast.local_conv.arrays import REAL_DTYPES, as_array, as_batch, as_output, check_same_rows
from lcfast.local_conv.call import DEFAULT_CALL, ENGINES, Call, by_dtype, checked_engine
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.plan import forward_plan, input_gradient_plan, kernel_gradient_plan
from lcfast.local_conv.threads import threads_for

__all__ = [
    "DEFAULT_CALL",
    "ENGINES",
    "LINEAR",
    "REAL_DTYPES",
    "Activation",
    "Call",
    "activate",
    "activation_gradient",
    "as_array",
    "as_batch",
    "as_output",
    "checked_engine",
    "forward",
    "input_gradient",
    "kernel_gradient",
    "sum_rows",
]

Kernel = np.ndarray | sparse.SparseKernel


def forward(
    x: Any,
    kernel: Kernel,
    bias: np.ndarray | None,
    geometry: Geometry,
    activation: Activation = LINEAR,
    out: np.ndarray | None = None,
    call: Call = DEFAULT_CALL,
) -> np.ndarray:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]).

    Parameters
    ----------
    x : array_like, shape (N, *geometry.input_shape)
        The input, of any real dtype and layout; never modified.
    kernel : ndarray, shape geometry.kernel_shape, or SparseKernel for the sparse engine
        Canonical kernel, contiguous, float32 or float64: the dtype of the computation.
    bias : ndarray or None, shape (geometry.bias_size,)
        Canonical bias.
    geometry : Geometry
        What is computed.
    activation : Activation
        Applied to the sum; softmax runs over the last axis.
    out : ndarray, optional
        Where the answer goes; it may share memory with `x`.
    call : Call
        Engine, threads and SIMD path.

    Returns
    -------
    ndarray, shape (N, *geometry.output_shape)
    """
    dtype = kernel_dtype(kernel)
    x = as_batch(x, dtype, geometry.input_shape, "the input")
    shape = (len(x), *geometry.output_shape)
    target = as_output(out, shape, dtype)
    if 0 in shape:
        return target
    if call.engine == "reference":
        assert isinstance(kernel, np.ndarray)
        y = reference.forward(x, kernel, bias, geometry)
        target[...] = reference.activate(activation.name, activation.alpha, y)
        return target

    y = target
    if not (target.flags.c_contiguous and target.flags.aligned) or np.may_share_memory(target, x):
        y = np.empty(shape, dtype)
    if isinstance(kernel, sparse.SparseKernel):
        threads = threads_for(sparse.work(kernel, len(x)), call.threads)
        fused = activation if activation.name in ELEMENTWISE else LINEAR
        code = ELEMENTWISE[fused.name]
        sparse.forward(x, kernel, bias, y, code, fused.alpha, call.path(), threads)
        if fused is not activation:
            activate_in_place(y, activation, call)
        if y is not target:
            target[...] = y
        return target
    fused = activation if activation.name in ELEMENTWISE else LINEAR
    windows = geometry.padded
    path = call.path()
    threads = threads_for(
        len(x) * geometry.positions * geometry.patch_size * geometry.filters, call.threads
    )
    plan = forward_plan(windows, dtype, len(x), threads, path)
    arrays = (_padded(x, geometry).reshape(-1), kernel.reshape(-1), bias, y.reshape(-1))
    how = (ELEMENTWISE[fused.name], fused.alpha, path, threads)
    if plan.regime == "batch":
        _BATCH_FORWARD[dtype](windows, len(x), *arrays, *how, plan.vectors, plan.splits)
    elif plan.regime == "positions":
        _POSITIONS_FORWARD[dtype](windows, len(x), *arrays, *how, plan.vectors)
    else:
        forward_filters = _WIDE_FORWARD if plan.packed else _FORWARD
        forward_filters[dtype](windows, len(x), *arrays, *how)
    if fused is not activation:
        activate_in_place(y, activation, call)
    if y is not target:
        target[...] = y
    return target


def input_gradient(
    dy: np.ndarray, kernel: Kernel, geometry: Geometry, call: Call = DEFAULT_CALL
) -> np.ndarray:
    """dx[n, tap(p,k)] = sum over p, then f, of dy[n,p,f] kernel[p,k,f]; shape of the input."""
    dtype = kernel_dtype(kernel)
    dy = as_batch(dy, dtype, geometry.output_shape, "the gradient of the output")
    if isinstance(kernel, sparse.SparseKernel):
        dx = np.empty((len(dy), *geometry.input_shape), dtype)
        if dx.size:
            threads = threads_for(sparse.work(kernel, len(dy)), call.threads)
            sparse.input_gradient(dy, kernel, dx, call.path(), threads)
        return dx
    if call.engine == "reference":
        return reference.input_gradient(dy, kernel, geometry)
    windows = geometry.padded
    shape = (len(dy), *windows.input_shape)
    if 0 in dy.shape or 0 in shape:
        return _inside(np.zeros(shape, dtype), geometry)
    path, threads = call.path(), threads_for(dy.size * geometry.patch_size, call.threads)
    plan = input_gradient_plan(windows, dtype, len(dy), threads, path)
    arrays = dy.reshape(-1), kernel.reshape(-1)
    if plan.regime == "batch":
        dx = np.empty(shape, dtype)
        how = path, threads, plan.vectors, plan.splits
        _BATCH_INPUT_GRADIENT[dtype](windows, len(dy), *arrays, dx.reshape(-1), *how)
    elif plan.regime == "positions":
        dx = np.empty(shape, dtype)
        cut = path, threads, plan.vectors
        _POSITIONS_INPUT_GRADIENT[dtype](windows, len(dy), *arrays, dx.reshape(-1), *cut)
    else:
        dx = np.zeros(shape, dtype)
        _INPUT_GRADIENT[dtype](windows, len(dy), *arrays, dx.reshape(-1), path, threads)
    return _inside(dx, geometry)


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, geometry: Geometry, call: Call = DEFAULT_CALL
) -> np.ndarray:
    """dkernel[p,k,f] = sum over n of x[n,p,k] dy[n,p,f].

    Of shape geometry.kernel_shape; the sparse engine's is the vector of all connections.
    """
    dtype = dy.dtype.newbyteorder("=")
    x = as_batch(x, dtype, geometry.input_shape, "the input")
    dy = as_batch(dy, dtype, geometry.output_shape, "the gradient of the output")
    check_same_rows(x, dy)
    if call.engine == "sparse":
        threads = threads_for(dy.size * geometry.patch_size, call.threads)
        return sparse.kernel_gradient(x, dy, geometry, call.path(), threads)
    if 0 in dy.shape or geometry.patch_size == 0:
        return np.zeros(geometry.kernel_shape, dy.dtype)
    if call.engine == "reference":
        return reference.kernel_gradient(x, dy, geometry)
    dkernel = np.empty(geometry.kernel_shape, dy.dtype)
    windows = geometry.padded
    path, threads = call.path(), threads_for(dy.size * geometry.patch_size, call.threads)
    plan = kernel_gradient_plan(windows, dtype, len(x), threads, path)
    arrays = _padded(x, geometry).reshape(-1), dy.reshape(-1), dkernel.reshape(-1)
    if plan.regime == "positions":
        _POSITIONS_KERNEL_GRADIENT[dtype](windows, len(x), *arrays, path, threads, plan.vectors)
    else:
        _KERNEL_GRADIENT[dtype](windows, len(x), *arrays, path, threads, plan.regime == "taps")
    return dkernel


def sum_rows(values: np.ndarray, call: Call = DEFAULT_CALL) -> np.ndarray:
    """total[...] = sum_n values[n, ...], one chain over n ascending whatever the batch."""
    values = as_array(values, values.dtype.newbyteorder("="), "the values")
    if 0 in values.shape:
        return np.zeros(values.shape[1:], values.dtype)
    if call.engine == "reference":
        return reference.sum_rows(values)
    total = np.empty(values.shape[1:], values.dtype)
    _SUM_ROWS[values.dtype](
        len(values),
        total.size,
        values.reshape(-1),
        total.reshape(-1),
        call.path(),
        threads_for(values.size, call.threads),
    )
    return total


def kernel_dtype(kernel: Kernel) -> np.dtype:
    """The dtype in which a kernel is computed with."""
    return kernel.numbers.dtype if isinstance(kernel, sparse.SparseKernel) else kernel.dtype


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


_FORWARD = by_dtype(_direct.forward)
_WIDE_FORWARD = by_dtype(_direct.forward_wide)
_BATCH_FORWARD = by_dtype(_panels.forward)
_INPUT_GRADIENT = by_dtype(_direct.input_gradient)
_BATCH_INPUT_GRADIENT = by_dtype(_panels.input_gradient)
_KERNEL_GRADIENT = by_dtype(_kernel_gradient.kernel_gradient)
_POSITIONS_FORWARD = by_dtype(_positions.forward)
_POSITIONS_INPUT_GRADIENT = by_dtype(_positions.input_gradient)
_POSITIONS_KERNEL_GRADIENT = by_dtype(_positions.kernel_gradient)
_SUM_ROWS = by_dtype(_direct.sum_rows)
