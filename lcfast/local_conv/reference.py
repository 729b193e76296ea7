"""Naive loops, the oracle of every other engine: slow, plain, in the widest precision there is.

All functions take canonical arrays (kernel (P, K, F), flat bias) and one row of the batch is
`geometry.input_shape`; they loop over positions and taps and leave only the batch and the
filters to numpy, whose element-wise operations cannot reorder a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lcfast.local_conv.geometry import Geometry


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, geometry: Geometry
) -> np.ndarray:
    """y[n,p,f] = sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]."""
    wide = _wide(kernel.dtype)
    rows = x.reshape(len(x), -1).astype(wide)
    y = np.zeros((len(x), geometry.positions, geometry.filters), wide)
    for position, k, tap in _taps(geometry):
        weights = kernel[0 if geometry.shared else position, k].astype(wide)
        y[:, position] += rows[:, tap, None] * weights
    y = _from_positions(y, geometry)
    if bias is not None:
        y += bias if geometry.shared else bias.reshape(y.shape[1:])
    return np.asarray(y, kernel.dtype)


def input_gradient(dy: np.ndarray, kernel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """dx[n, tap(p,k)] = sum_p sum_f dy[n,p,f] kernel[p,k,f]."""
    wide = _wide(kernel.dtype)
    by_position = _to_positions(dy.astype(wide), geometry)
    dx = np.zeros((len(dy), int(np.prod(geometry.input_shape))), wide)
    for position, k, tap in _taps(geometry):
        weights = kernel[0 if geometry.shared else position, k].astype(wide)
        for f in range(geometry.filters):
            dx[:, tap] += by_position[:, position, f] * weights[f]
    return dx.reshape(len(dy), *geometry.input_shape).astype(kernel.dtype)


def kernel_gradient(x: np.ndarray, dy: np.ndarray, geometry: Geometry) -> np.ndarray:
    """dkernel[p,k,f] = sum_n x[n,p,k] dy[n,p,f] (summed over p where the kernel is shared)."""
    wide = _wide(x.dtype)
    rows = x.reshape(len(x), -1).astype(wide)
    by_position = _to_positions(dy.astype(wide), geometry)
    dkernel = np.zeros(geometry.kernel_shape, wide)
    for position, k, tap in _taps(geometry):
        for n in range(len(x)):
            product = rows[n, tap] * by_position[n, position]
            dkernel[0 if geometry.shared else position, k] += product
    return dkernel.astype(x.dtype)


def sum_rows(values: np.ndarray) -> np.ndarray:
    """total[j] = sum_n values[n,j]."""
    total = np.zeros(values.shape[1:], _wide(values.dtype))
    for row in values:
        total += row
    return total.astype(values.dtype)


def activate(name: str, alpha: float, z: np.ndarray) -> np.ndarray:
    """activation(z), from numpy's functions in the widest precision."""
    wide = z.astype(_wide(z.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(_ACTIVATIONS[name](wide, alpha), z.dtype)


def activation_gradient(name: str, alpha: float, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Dz = dy * activation'(z), written in terms of y = activation(z)."""
    wide = _wide(y.dtype)
    return np.asarray(_GRADIENTS[name](y.astype(wide), dy.astype(wide), alpha), y.dtype)


SELU_SCALE = 1.05070098735548049342
SELU_ALPHA = 1.67326324235437728481


def _elu(z: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(z > 0, z, alpha * np.expm1(z))


def _softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


_ACTIVATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "linear": lambda z, alpha: z,
    "relu": lambda z, alpha: np.maximum(z, 0),
    "tanh": lambda z, alpha: np.tanh(z),
    "sigmoid": lambda z, alpha: 1 / (1 + np.exp(-z)),
    "elu": _elu,
    "selu": lambda z, alpha: SELU_SCALE * _elu(z, SELU_ALPHA),
    "softmax": lambda z, alpha: _softmax(z),
}
_GRADIENTS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "linear": lambda y, dy, alpha: dy,
    "relu": lambda y, dy, alpha: np.where(y > 0, dy, 0),
    "tanh": lambda y, dy, alpha: dy * (1 - y * y),
    "sigmoid": lambda y, dy, alpha: dy * y * (1 - y),
    "elu": lambda y, dy, alpha: np.where(y > 0, dy, dy * (y + alpha)),
    "selu": lambda y, dy, alpha: np.where(
        y >= 0, dy * SELU_SCALE, dy * (y + SELU_SCALE * SELU_ALPHA)
    ),
    "softmax": lambda y, dy, alpha: (dy - (dy * y).sum(axis=-1, keepdims=True)) * y,
}


def _taps(geometry: Geometry) -> Iterator[tuple[int, int, int]]:
    """(position, tap of the patch, flat index in the input) of each tap that lies in the input."""
    inputs, inside = geometry.inputs_of_taps()
    for position, k in np.argwhere(inside):
        yield position, k, inputs[position, k]


def _wide(dtype: np.dtype) -> type[np.floating]:
    return np.float64 if dtype == np.float32 else np.longdouble


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
