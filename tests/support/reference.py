"""Naive loops, the oracle of every engine: slow, plain, in the widest precision there is.

All functions take canonical arrays (kernel (P, K, F), flat bias) and one row of the batch is
`geometry.input_shape`; they loop over positions and taps and leave only the batch and the
filters to numpy, whose element-wise operations cannot reorder a sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lcfast.local_conv.geometry import Geometry
from tests.support.reference_activations import activate, activation_gradient, wide

__all__ = [
    "activate",
    "activation_gradient",
    "forward",
    "input_gradient",
    "kernel_gradient",
    "sum_rows",
]


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, geometry: Geometry
) -> np.ndarray:
    """y[n,p,f] = sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]."""
    precise = wide(kernel.dtype)
    rows = x.reshape(len(x), -1).astype(precise)
    y = np.zeros((len(x), geometry.positions, geometry.filters), precise)
    for position, k, tap in _taps(geometry):
        weights = kernel[0 if geometry.shared else position, k].astype(precise)
        y[:, position] += rows[:, tap, None] * weights
    y = _from_positions(y, geometry)
    if bias is not None:
        y += bias if geometry.shared else bias.reshape(y.shape[1:])
    return np.asarray(y, kernel.dtype)


def input_gradient(dy: np.ndarray, kernel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """dx[n, tap(p,k)] = sum_p sum_f dy[n,p,f] kernel[p,k,f]."""
    precise = wide(kernel.dtype)
    by_position = _to_positions(dy.astype(precise), geometry)
    dx = np.zeros((len(dy), int(np.prod(geometry.input_shape))), precise)
    for position, k, tap in _taps(geometry):
        weights = kernel[0 if geometry.shared else position, k].astype(precise)
        for f in range(geometry.filters):
            dx[:, tap] += by_position[:, position, f] * weights[f]
    return dx.reshape(len(dy), *geometry.input_shape).astype(kernel.dtype)


def kernel_gradient(x: np.ndarray, dy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """dkernel[p,k,f] = sum_n x[n,p,k] dy[n,p,f] (summed over p where the kernel is shared)."""
    precise = wide(x.dtype)
    rows = x.reshape(len(x), -1).astype(precise)
    by_position = _to_positions(dy.astype(precise), geometry)
    dkernel = np.zeros(geometry.kernel_shape, precise)
    for position, k, tap in _taps(geometry):
        for n in range(len(x)):
            product = rows[n, tap] * by_position[n, position]
            dkernel[0 if geometry.shared else position, k] += product
    return dkernel.astype(x.dtype)


def sum_rows(values: np.ndarray) -> np.ndarray:
    """total[j] = sum_n values[n,j]."""
    total = np.zeros(values.shape[1:], wide(values.dtype))
    for row in values:
        total += row
    return total.astype(values.dtype)


def _taps(geometry: Geometry) -> Iterator[tuple[int, int, int]]:
    """(position, tap of the patch, flat index in the input) of each tap that lies in the input."""
    inputs, inside = geometry.inputs_of_taps()
    for position, k in np.argwhere(inside):
        yield position, k, inputs[position, k]


def _from_positions(y: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(N, P, F) to the shape that the caller sees."""
    if geometry.channels_first:
        y = np.ascontiguousarray(y.transpose(0, 2, 1))
    return y.reshape(len(y), *geometry.output_shape)


def _to_positions(dy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The shape that the caller sees to (N, P, F)."""
    if geometry.channels_first:
        return dy.reshape(len(dy), geometry.filters, geometry.positions).transpose(0, 2, 1)
    return dy.reshape(len(dy), geometry.positions, geometry.filters)
