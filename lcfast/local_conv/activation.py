"""Activations on arrays: our own polynomials in C, with the same bits on every FMA path."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lcfast.local_conv import _direct, reference
from lcfast.local_conv.arrays import as_array, as_batch, as_output, check_same_rows
from lcfast.local_conv.call import DEFAULT_CALL, Call, by_dtype
from lcfast.local_conv.threads import threads_for

# Multiplications that one exponential is worth, for the choice of threads.
WORK_OF_AN_ACTIVATION = 8


class Activation(NamedTuple):
    """An activation that the kernels know, by its name, with its parameter."""

    name: str
    alpha: float = 0.0


LINEAR = Activation("linear")


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
    activate_in_place(y, activation, call)
    if y is not target:
        target[...] = y
    return target


def activation_gradient(
    y: np.ndarray, dy: np.ndarray, activation: Activation, call: Call = DEFAULT_CALL
) -> np.ndarray:
    """Dz = dy * activation'(z), written in terms of y = activation(z)."""
    y = as_array(y, y.dtype.newbyteorder("="), "the output")
    dy = as_batch(dy, y.dtype, y.shape[1:], "the gradient of the output")
    check_same_rows(y, dy)
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


def activate_in_place(y: np.ndarray, activation: Activation, call: Call) -> None:
    """Y = activation(y) of a contiguous array."""
    threads = threads_for(y.size * WORK_OF_AN_ACTIVATION, call.threads)
    flat = y.reshape(-1)
    if activation.name == "softmax":
        rows = math.prod(y.shape[:-1])
        _SOFTMAX[y.dtype](rows, y.shape[-1], flat, flat, call.path(), threads)
    elif activation.name != "linear":
        code = _direct.ELEMENTWISE[activation.name]
        _ACTIVATE[y.dtype](flat, code, activation.alpha, call.path(), threads)


_ACTIVATE = by_dtype(_direct.activate)
_ACTIVATION_GRADIENT = by_dtype(_direct.activation_gradient)
_SOFTMAX = by_dtype(_direct.softmax)
_SOFTMAX_GRADIENT = by_dtype(_direct.softmax_gradient)
