"""THE GATE: checks arrays once, allocates, chooses engine and threads; below it all is trusted.

Arrays come in as callers have them (any layout, any real dtype) and go down contiguous, aligned,
native and of the kernel's dtype.  An empty batch never goes down.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lcfast.local_conv import _direct, dispatch, reference
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.threads import threads_for

ENGINES = ("direct", "reference")
REAL_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
WORK_OF_AN_ACTIVATION = (
    8  # multiplications that one exponential is worth, for the choice of threads
)


class Activation(NamedTuple):
    """An activation that the kernels know, by its name, with its parameter."""

    name: str
    alpha: float = 0.0


LINEAR = Activation("linear")


class Call(NamedTuple):
    """How to compute, as opposed to what: nothing here changes the bits of the direct engine."""

    engine: str = "direct"
    threads: int | None = None
    kernel_path: str | None = None

    def path(self) -> int:
        """Index of the SIMD path in the tables of kernels."""
        return dispatch.path_index(self.kernel_path or dispatch.active_path())


DEFAULT_CALL = Call()


def checked_engine(engine: str | None) -> str:
    """Return the name of the engine; None means the direct one.

    Raises
    ------
    ValueError
        If there is no such engine, or it is not there yet.
    """
    if engine is None:
        return "direct"
    if engine in ("sparse", "auto"):
        raise ValueError(f"engine={engine!r} is not there yet; use 'direct' or leave it out.")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)} or None, not {engine!r}.")
    return engine


def as_array(value: Any, dtype: np.dtype, what: str) -> np.ndarray:
    """Return `value` as a C-contiguous, aligned, native array of `dtype`, copied only if it must.

    Raises
    ------
    TypeError
        If `value` is not made of real numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{what} cannot be made into an array: {error}.") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{what} has dtype {array.dtype}, which is not real numbers; convert it to {dtype}."
        )
    return np.require(array, dtype, ["C", "A"])


def as_batch(value: Any, dtype: np.dtype, row_shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return `value` as an array (N, *row_shape) for the kernels.

    Raises
    ------
    TypeError
        If it is not made of real numbers.
    ValueError
        If it has another rank or shape.
    """
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
        If `out` is no array or has another dtype.
    ValueError
        If it has another shape or cannot be written to.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array, not {type(out).__name__}.")
    if out.dtype != dtype:
        raise TypeError(f"out has dtype {out.dtype}; expected {dtype}.")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; expected {shape}.")
    if not out.flags.writeable:
        raise ValueError("out is read-only; give an array that can be written to.")
    return out


def forward(
    x: Any,
    kernel: np.ndarray,
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
    kernel : ndarray, shape geometry.kernel_shape
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
    x = as_batch(x, kernel.dtype, geometry.input_shape, "the input")
    shape = (len(x), *geometry.output_shape)
    target = as_output(out, shape, kernel.dtype)
    if 0 in shape:
        return target
    if call.engine == "reference":
        y = reference.forward(x, kernel, bias, geometry)
        target[...] = reference.activate(activation.name, activation.alpha, y)
        return target

    y = target
    if not (target.flags.c_contiguous and target.flags.aligned) or np.may_share_memory(target, x):
        y = np.empty(shape, kernel.dtype)
    fused = activation if activation.name in _direct.ELEMENTWISE else LINEAR
    _FORWARD[kernel.dtype](
        geometry,
        len(x),
        x.reshape(-1),
        kernel.reshape(-1),
        bias,
        y.reshape(-1),
        _direct.ELEMENTWISE[fused.name],
        fused.alpha,
        call.path(),
        threads_for(len(x) * geometry.positions * geometry.patch_size * geometry.filters,
                    call.threads),
    )  # fmt: skip
    if fused is not activation:
        _activate_in_place(y, activation, call)
    if y is not target:
        target[...] = y
    return target


def input_gradient(
    dy: np.ndarray, kernel: np.ndarray, geometry: Geometry, call: Call = DEFAULT_CALL
) -> np.ndarray:
    """dx[n, tap(p,k)] = sum over p, then f, of dy[n,p,f] kernel[p,k,f]; shape of the input."""
    dy = as_batch(dy, kernel.dtype, geometry.output_shape, "the gradient of the output")
    dx = np.zeros((len(dy), *geometry.input_shape), kernel.dtype)
    if 0 in dy.shape or 0 in dx.shape:
        return dx
    if call.engine == "reference":
        return reference.input_gradient(dy, kernel, geometry)
    _INPUT_GRADIENT[kernel.dtype](
        geometry,
        len(dy),
        dy.reshape(-1),
        kernel.reshape(-1),
        dx.reshape(-1),
        call.path(),
        threads_for(dy.size * geometry.patch_size, call.threads),
    )
    return dx


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, geometry: Geometry, call: Call = DEFAULT_CALL
) -> np.ndarray:
    """dkernel[p,k,f] = sum over n of x[n,p,k] dy[n,p,f]; shape geometry.kernel_shape."""
    dtype = dy.dtype.newbyteorder("=")
    x = as_batch(x, dtype, geometry.input_shape, "the input")
    dy = as_batch(dy, dtype, geometry.output_shape, "the gradient of the output")
    _same_rows(x, dy)
    if 0 in dy.shape or geometry.patch_size == 0:
        return np.zeros(geometry.kernel_shape, dy.dtype)
    if call.engine == "reference":
        return reference.kernel_gradient(x, dy, geometry)
    dkernel = np.empty(geometry.kernel_shape, dy.dtype)
    _KERNEL_GRADIENT[dy.dtype](
        geometry,
        len(x),
        x.reshape(-1),
        dy.reshape(-1),
        dkernel.reshape(-1),
        call.path(),
        threads_for(dy.size * geometry.patch_size, call.threads),
    )
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


def activate(
    z: np.ndarray,
    activation: Activation,
    out: np.ndarray | None = None,
    call: Call = DEFAULT_CALL,
) -> np.ndarray:
    """Y = activation(z), from lcfast's own polynomials: the same bits on every FMA path."""
    z = as_array(z, z.dtype.newbyteorder("="), "the input")
    target = as_output(out, z.shape, z.dtype)
    if z.size == 0:
        return target
    if call.engine == "reference":
        target[...] = reference.activate(activation.name, activation.alpha, z)
        return target
    contiguous = target.flags.c_contiguous and target.flags.aligned
    y = target if contiguous else np.empty(z.shape, z.dtype)
    y[...] = z
    _activate_in_place(y, activation, call)
    if y is not target:
        target[...] = y
    return target


def activation_gradient(
    y: np.ndarray, dy: np.ndarray, activation: Activation, call: Call = DEFAULT_CALL
) -> np.ndarray:
    """Dz = dy * activation'(z), written in terms of y = activation(z)."""
    y = as_array(y, y.dtype.newbyteorder("="), "the output")
    dy = as_batch(dy, y.dtype, y.shape[1:], "the gradient of the output")
    _same_rows(y, dy)
    if activation.name == "linear" or y.size == 0:
        return dy
    if call.engine == "reference":
        return reference.activation_gradient(activation.name, activation.alpha, y, dy)
    dz = np.empty_like(dy)
    threads = threads_for(y.size * WORK_OF_AN_ACTIVATION, call.threads)
    if activation.name == "softmax":
        rows, columns = math.prod(y.shape[:-1]), y.shape[-1]
        _SOFTMAX_GRADIENT[y.dtype](
            rows, columns, y.reshape(-1), dy.reshape(-1), dz.reshape(-1), call.path(), threads
        )
    else:
        code = _direct.ELEMENTWISE[activation.name]
        _ACTIVATION_GRADIENT[y.dtype](
            y.reshape(-1), dy.reshape(-1), dz.reshape(-1), code, activation.alpha, call.path(),
            threads,
        )  # fmt: skip
    return dz


def _activate_in_place(y: np.ndarray, activation: Activation, call: Call) -> None:
    threads = threads_for(y.size * WORK_OF_AN_ACTIVATION, call.threads)
    flat = y.reshape(-1)
    if activation.name == "softmax":
        rows = math.prod(y.shape[:-1])
        _SOFTMAX[y.dtype](rows, y.shape[-1], flat, flat, call.path(), threads)
    elif activation.name != "linear":
        code = _direct.ELEMENTWISE[activation.name]
        _ACTIVATE[y.dtype](flat, code, activation.alpha, call.path(), threads)


def _same_rows(first: np.ndarray, second: np.ndarray) -> None:
    if len(first) != len(second):
        raise ValueError(
            f"the gradient of the output has {len(second)} rows; expected {len(first)}, as the "
            "input has."
        )


def _by_dtype(function: Any) -> dict[np.dtype, Any]:
    return {
        np.dtype(np.float32): function["float"],
        np.dtype(np.float64): function["double"],
    }


_FORWARD = _by_dtype(_direct.forward)
_INPUT_GRADIENT = _by_dtype(_direct.input_gradient)
_KERNEL_GRADIENT = _by_dtype(_direct.kernel_gradient)
_SUM_ROWS = _by_dtype(_direct.sum_rows)
_ACTIVATE = _by_dtype(_direct.activate)
_ACTIVATION_GRADIENT = _by_dtype(_direct.activation_gradient)
_SOFTMAX = _by_dtype(_direct.softmax)
_SOFTMAX_GRADIENT = _by_dtype(_direct.softmax_gradient)
