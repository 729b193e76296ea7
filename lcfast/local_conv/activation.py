"""Activations of arrays by polynomials in C: bit-identical on every SIMD path with FMA."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lcfast.local_conv import _activation
from lcfast.local_conv._activation import ELEMENTWISE, ROWS
from lcfast.local_conv.arrays import as_array, as_batch, as_output, check_same_rows
from lcfast.local_conv.compute_options import DEFAULT_OPTIONS, ComputeOptions, by_dtype
from lcfast.local_conv.threads import threads_for

WORK_OF_AN_ACTIVATION = 8
"""Multiplications that one exponential counts for in the choice of threads."""

# Their gradients need z: y = activation(z) does not determine them, or less accurately.
_GRADIENT_FROM_INPUT = frozenset(
    {"hard_sigmoid", "softsign", "swish", "mish", "gelu", "gelu_approximate"}
)


class Activation(NamedTuple):
    """Name and parameter of an activation that the compiled loops have."""

    name: str
    alpha: float = 0.0

    @property
    def gradient_from_input(self) -> bool:
        """Whether `activation_gradient` takes the input z instead of the output y."""
        # With a negative alpha the sign of z does not follow from that of y.
        return self.name in _GRADIENT_FROM_INPUT or (self.name == "leaky_relu" and self.alpha < 0)


LINEAR = Activation("linear")


def activate(
    z: np.ndarray,
    activation: Activation,
    out: np.ndarray | None = None,
    options: ComputeOptions = DEFAULT_OPTIONS,
) -> np.ndarray:
    """Return activation(z), bit-identical on every SIMD path with FMA; `out` may be `z`."""
    z = as_array(z, z.dtype.newbyteorder("="), "the input")
    target = as_output(out, z.shape, z.dtype)
    if z.size == 0:
        return target
    contiguous = target.flags.c_contiguous and target.flags.aligned
    y = target if contiguous else np.empty(z.shape, z.dtype)
    y[...] = z
    activate_in_place(y, activation, options)
    if y is not target:
        target[...] = y
    return target


def activation_gradient(
    value: np.ndarray,
    dy: np.ndarray,
    activation: Activation,
    options: ComputeOptions = DEFAULT_OPTIONS,
) -> np.ndarray:
    """Return dz = dy * activation'(z); `value` is z if `activation.gradient_from_input`, else y."""
    value = as_array(value, value.dtype.newbyteorder("="), "the value")
    dy = as_batch(dy, value.dtype, value.shape[1:], "the gradient of the output")
    check_same_rows(value, dy)
    name, alpha = activation
    if name == "linear" or value.size == 0:
        return dy
    dz = np.empty_like(dy)
    flat = value.reshape(-1), dy.reshape(-1), dz.reshape(-1)
    threads = threads_for(value.size * WORK_OF_AN_ACTIVATION, options.threads)
    if name in ROWS:
        rows, columns = math.prod(value.shape[:-1]), value.shape[-1]
        _ROW_GRADIENT[value.dtype](rows, columns, *flat, ROWS[name], options.path(), threads)
    else:
        code = ELEMENTWISE[name]
        _ACTIVATION_GRADIENT[value.dtype](*flat, code, alpha, options.path(), threads)
    return dz


def activate_in_place(y: np.ndarray, activation: Activation, options: ComputeOptions) -> None:
    """Replace a contiguous array by its activation."""
    name, alpha = activation
    threads = threads_for(y.size * WORK_OF_AN_ACTIVATION, options.threads)
    flat = y.reshape(-1)
    if name in ROWS:
        rows, columns = math.prod(y.shape[:-1]), y.shape[-1]
        _ACTIVATE_ROWS[y.dtype](rows, columns, flat, flat, ROWS[name], options.path(), threads)
    elif name != "linear":
        _ACTIVATE[y.dtype](flat, ELEMENTWISE[name], alpha, options.path(), threads)


_ACTIVATE = by_dtype(_activation.activate)
_ACTIVATION_GRADIENT = by_dtype(_activation.activation_gradient)
_ACTIVATE_ROWS = by_dtype(_activation.activate_rows)
_ROW_GRADIENT = by_dtype(_activation.row_gradient)
