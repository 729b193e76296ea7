"""Activations by their textbook formulas, from numpy's functions in the widest precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

SELU_SCALE = 1.05070098735548049342
SELU_ALPHA = 1.67326324235437728481
GELU_SCALE = math.sqrt(2 / math.pi)


def activate(name: str, alpha: float, z: np.ndarray) -> np.ndarray:
    """activation(z)."""
    with np.errstate(all="ignore"):
        return np.asarray(FORMULAS[name](z.astype(wide(z.dtype)), alpha), z.dtype)


def activation_gradient(name: str, alpha: float, value: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Dz = dy * activation'(z), of the `value` that the activation wants: y or z."""
    precise = wide(value.dtype)
    with np.errstate(all="ignore"):
        dz = GRADIENTS[name](value.astype(precise), dy.astype(precise), alpha)
    return np.asarray(dz, value.dtype)


def wide(dtype: np.dtype) -> type[np.floating]:
    """The dtype in which the reference computes."""
    return np.float64 if dtype == np.float32 else np.longdouble


def _elu(z: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(z > 0, z, alpha * np.expm1(z))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(z < 0, np.exp(z) / (1 + np.exp(z)), 1 / (1 + np.exp(-z))))


def _softplus(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0))


def _normal(z: np.ndarray) -> np.ndarray:
    """The normal distribution function: in float64, whatever the dtype."""
    tail = np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2, otypes=[np.float64])
    return np.asarray(tail(z), z.dtype)


def _density(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-z * z / 2) / math.sqrt(2 * math.pi))


def _gelu_sigmoid(z: np.ndarray) -> np.ndarray:
    return _sigmoid(2 * GELU_SCALE * (z + 0.044715 * z**3))


def _hard_sigmoid_line(z: np.ndarray) -> np.ndarray:
    # Rounded to the dtype of the input, for that moves the ends of the line.
    narrow: Any = np.float32 if z.dtype == np.float64 else np.float64
    line: np.ndarray = z.astype(narrow) * narrow(0.2) + narrow(0.5)
    return line


def _times(z: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Product of both, 0 where the share is 0."""
    return np.asarray(np.where(share == 0, -0.0, z * share))


def _swish_slope(z: np.ndarray) -> np.ndarray:
    return np.asarray(_sigmoid(z) * (1 + _times(z, _sigmoid(-z))))


def _mish_slope(z: np.ndarray) -> np.ndarray:
    tanh = np.tanh(_softplus(z))
    return np.asarray(tanh + _times(z, (1 - tanh * tanh) * _sigmoid(z)))


def _gelu_approximate_slope(z: np.ndarray) -> np.ndarray:
    share = _gelu_sigmoid(z)
    steepness = 2 * GELU_SCALE * (z + 3 * 0.044715 * z**3)
    return np.asarray(share * (1 + _times(steepness, _gelu_sigmoid(-z))))


def _softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _log_softmax(z: np.ndarray) -> np.ndarray:
    below = z - z.max(axis=-1, keepdims=True, initial=-np.inf)
    return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))


FORMULAS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "linear": lambda z, alpha: z,
    "relu": lambda z, alpha: np.maximum(z, 0),
    "relu6": lambda z, alpha: np.clip(z, 0, 6),
    "leaky_relu": lambda z, alpha: np.where(z < 0, alpha * z, z),
    "tanh": lambda z, alpha: np.tanh(z),
    "sigmoid": lambda z, alpha: _sigmoid(z),
    "hard_sigmoid": lambda z, alpha: np.clip(_hard_sigmoid_line(z), 0, 1),
    "elu": _elu,
    "selu": lambda z, alpha: SELU_SCALE * _elu(z, SELU_ALPHA),
    "exponential": lambda z, alpha: np.exp(z),
    "softplus": lambda z, alpha: _softplus(z),
    "softsign": lambda z, alpha: np.where(np.isinf(z), np.sign(z), z / (1 + np.abs(z))),
    "swish": lambda z, alpha: _times(z, _sigmoid(z)),
    "mish": lambda z, alpha: _times(z, np.tanh(_softplus(z))),
    "gelu": lambda z, alpha: _times(z, _normal(z)),
    "gelu_approximate": lambda z, alpha: _times(z, _gelu_sigmoid(z)),
    "softmax": lambda z, alpha: _softmax(z),
    "log_softmax": lambda z, alpha: _log_softmax(z),
}
"""What each activation is."""

GRADIENTS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "linear": lambda y, dy, alpha: dy,
    "relu": lambda y, dy, alpha: np.where(y > 0, dy, 0),
    "relu6": lambda y, dy, alpha: np.where((y > 0) & (y < 6), dy, 0),
    "leaky_relu": lambda v, dy, alpha: np.where(v > 0, dy, alpha * dy),
    "tanh": lambda y, dy, alpha: dy * (1 - y * y),
    "sigmoid": lambda y, dy, alpha: dy * y * (1 - y),
    "hard_sigmoid": lambda z, dy, alpha: np.where(
        (_hard_sigmoid_line(z) >= 0) & (_hard_sigmoid_line(z) <= 1), 0.2 * dy, 0
    ),
    "elu": lambda y, dy, alpha: np.where(y > 0, dy, dy * (y + alpha)),
    "selu": lambda y, dy, alpha: np.where(
        y >= 0, dy * SELU_SCALE, dy * (y + SELU_SCALE * SELU_ALPHA)
    ),
    "exponential": lambda y, dy, alpha: dy * y,
    "softplus": lambda y, dy, alpha: dy * -np.expm1(-y),
    "softsign": lambda z, dy, alpha: dy / (1 + np.abs(z)) ** 2,
    "swish": lambda z, dy, alpha: dy * _swish_slope(z),
    "mish": lambda z, dy, alpha: dy * _mish_slope(z),
    "gelu": lambda z, dy, alpha: dy * (_normal(z) + _times(z, _density(z))),
    "gelu_approximate": lambda z, dy, alpha: dy * _gelu_approximate_slope(z),
    "softmax": lambda y, dy, alpha: (dy - (dy * y).sum(axis=-1, keepdims=True)) * y,
    "log_softmax": lambda y, dy, alpha: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True),
}
"""The gradient of each, of what activation.py says that it wants."""
