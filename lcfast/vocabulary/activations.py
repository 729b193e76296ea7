"""Activations by their Keras name.

All are computed by lcfast's own polynomials in C (local_conv/c/functions.template.h), so results
are bit-identical for any batch size and any build of numpy.

Source: https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/activations
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.local_conv import ops
from lcfast.vocabulary.registry import Registry, number


@dataclass(frozen=True)
class ActivationFunction:
    """An activation that is callable on arrays and that the kernels implement.

    Parameters
    ----------
    name : str
        Keras's name.
    kernel : ops.Activation
        The activation of the kernels.

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.relu([-1.0, 2.0])
    array([0., 2.], dtype=float32)
    """

    name: str
    kernel: ops.Activation

    def __call__(self, x: Any) -> np.ndarray:
        """Return the activation of `x`, float64 where `x` is a float64 array, else float32."""
        return ops.activate(as_floats(x), self.kernel)

    def check_input_shape(self, shape: Sequence[Any]) -> None:
        """Raise ValueError if softmax has no axis besides the batch."""
        if self.name == "softmax" and len(shape) < 2:
            raise ValueError(f"softmax needs at least 2 axes; its input has shape {tuple(shape)}.")
        if self.name == "log_softmax" and not shape:
            raise ValueError("log_softmax needs an axis; its input is a number.")


class _Relu(ActivationFunction):
    def __call__(
        self, x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0
    ) -> np.ndarray:
        """Return x above `threshold`, at most `max_value`, else alpha * (x - threshold)."""
        return rectified(
            as_floats(x),
            number("alpha", alpha),
            None if max_value is None else number("max_value", max_value, finite=False),
            number("threshold", threshold),
        )


class _LeakyRelu(ActivationFunction):
    def __call__(self, x: Any, alpha: float = 0.2) -> np.ndarray:
        """Return x where it is positive, alpha * x where it is not."""
        return ops.activate(as_floats(x), leaky(number("alpha", alpha)))


class _Elu(ActivationFunction):
    def __call__(self, x: Any, alpha: float = 1.0) -> np.ndarray:
        """Return x where it is positive, alpha * (e^x - 1) where it is not."""
        return ops.activate(as_floats(x), ops.Activation("elu", number("alpha", alpha)))


class _Gelu(ActivationFunction):
    def __call__(self, x: Any, approximate: bool = False) -> np.ndarray:
        """Return x times the normal distribution function of x, or its approximation by tanh."""
        kernel = ops.Activation("gelu_approximate") if approximate else self.kernel
        return ops.activate(as_floats(x), kernel)


class _OverAxis(ActivationFunction):
    def __call__(self, x: Any, axis: int = -1) -> np.ndarray:
        """Return the activation of `x` along `axis`."""
        z = as_floats(x)
        self.check_input_shape(z.shape)
        rows, back = as_rows(z, (axis,))
        return back(ops.activate(rows, self.kernel))


@dataclass(frozen=True)
class CustomActivation:
    """A user's function as an activation, without gradient and without a name in files.

    Parameters
    ----------
    name : str
        Name in error messages.
    function : callable
        Takes an array and returns one of the same shape.
    """

    name: str
    function: Callable[[np.ndarray], Any]

    def __call__(self, x: Any) -> np.ndarray:
        """Return the function of `x`, in the dtype of `x`.

        Raises
        ------
        ValueError
            If the shape changes.
        """
        z = as_floats(x)
        y = ops.as_array(self.function(z), z.dtype, f"the output of the activation {self.name}")
        if y.shape != z.shape:
            raise ValueError(
                f"The activation {self.name} returned shape {y.shape} for shape {z.shape}; "
                "the shapes must be equal."
            )
        return y

    def check_input_shape(self, shape: Sequence[Any]) -> None:
        """Accept any shape."""


def as_floats(x: Any) -> np.ndarray:
    """`x` as an array, float64 where it is a float64 array, else float32."""
    wide = isinstance(x, np.ndarray | np.generic) and x.dtype == np.float64
    return ops.as_array(x, np.dtype(np.float64 if wide else np.float32), "x")


def as_rows(
    array: np.ndarray, axes: Sequence[int]
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """`array` with some axes joined into the last one, and the inverse function."""
    axes = sorted(axes, key=lambda axis: axis % array.ndim)
    last = range(-len(axes), 0)
    moved = np.moveaxis(array, axes, last)
    # -1 is ambiguous for empty arrays.
    shape = (*moved.shape[: -len(axes)], math.prod(moved.shape[-len(axes) :]))
    rows = np.ascontiguousarray(moved).reshape(shape)

    def back(rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(rows.reshape(moved.shape), last, axes))

    return rows, back


def leaky(alpha: float) -> ops.Activation:
    """The leaky ReLU; a ReLU if the slope is 0, so that -infinity becomes 0, not NaN."""
    with np.errstate(over="ignore"):
        slope = float(np.float32(alpha))  # TensorFlow stores float32 for any dtype
    return ops.Activation("leaky_relu", slope) if slope else relu.kernel


def rectified(x: np.ndarray, alpha: float, max_value: float | None, threshold: float) -> np.ndarray:
    """X > threshold ? min(x, max_value) : alpha * (x - threshold), as Keras computes it."""
    dtype = x.dtype.type
    if max_value is None and threshold == 0:
        return ops.activate(x, leaky(alpha))
    below: Any = dtype(0)  # avoids -0 and -infinity * 0 = NaN
    if alpha:
        below = (x - dtype(threshold)) * dtype(alpha)
    limit = _limit(max_value, x.dtype)
    above = x if limit is None else np.clip(x, dtype(0), limit)
    y: np.ndarray = np.where(x <= dtype(threshold), below, above)
    return y


def rectified_slope(
    x: np.ndarray, alpha: float, max_value: float | None, threshold: float
) -> np.ndarray:
    """The derivative of `rectified`; at its kinks, Keras's choice."""
    dtype = x.dtype.type
    leaks = max_value is None and threshold == 0
    below = dtype(leaky(alpha).alpha if leaks else alpha)
    slope: np.ndarray = np.where(x > dtype(threshold), dtype(1), below)
    if not leaks:
        slope[x == dtype(threshold)] = 0
    limit = _limit(max_value, x.dtype)
    if limit is not None:
        flat = (x < 0) | (x > limit)
        if max_value == 6 and threshold == 0:  # TensorFlow's relu6
            flat |= x == limit
        slope[flat & (x > dtype(threshold))] = 0
    return slope


def _limit(max_value: float | None, dtype: np.dtype) -> Any:
    """The largest output; None if unlimited or beyond the range of the dtype."""
    if max_value is None or max_value > float(np.finfo(dtype).max):
        return None
    return dtype.type(max(max_value, 0))


linear = ActivationFunction("linear", ops.LINEAR)
relu = _Relu("relu", ops.Activation("relu"))
relu6 = ActivationFunction("relu6", ops.Activation("relu6"))
leaky_relu = _LeakyRelu("leaky_relu", leaky(0.2))
elu = _Elu("elu", ops.Activation("elu", 1.0))
selu = ActivationFunction("selu", ops.Activation("selu"))
tanh = ActivationFunction("tanh", ops.Activation("tanh"))
sigmoid = ActivationFunction("sigmoid", ops.Activation("sigmoid"))
hard_sigmoid = ActivationFunction("hard_sigmoid", ops.Activation("hard_sigmoid"))
exponential = ActivationFunction("exponential", ops.Activation("exponential"))
softplus = ActivationFunction("softplus", ops.Activation("softplus"))
softsign = ActivationFunction("softsign", ops.Activation("softsign"))
swish = silu = ActivationFunction("swish", ops.Activation("swish"))
mish = ActivationFunction("mish", ops.Activation("mish"))
gelu = _Gelu("gelu", ops.Activation("gelu"))
softmax = _OverAxis("softmax", ops.Activation("softmax"))
log_softmax = _OverAxis("log_softmax", ops.Activation("log_softmax"))

_ALL = (
    linear, relu, relu6, leaky_relu, elu, selu, tanh, sigmoid, hard_sigmoid, exponential,
    softplus, softsign, swish, mish, gelu, softmax, log_softmax,
)  # fmt: skip


def _always(activation: ActivationFunction) -> Callable[[], ActivationFunction]:
    """A factory for the registry that returns the same object every time."""
    return lambda: activation


REGISTRY = Registry("activation", {f.name: _always(f) for f in _ALL}, {"silu": _always(silu)})


def get(identifier: Any) -> ActivationFunction | CustomActivation:
    """Return the activation of a Keras identifier.

    Parameters
    ----------
    identifier : str, dict, callable or None
        A name, as Keras spells it; a dict as in a model file ({"class_name": "function",
        "config": "relu"}); an activation of this module; any other function of an array, which
        has no gradient and cannot be saved; None means linear. The `activation` argument of a
        layer also accepts activation layers, such as LeakyReLU, and their dicts.

    Returns
    -------
    ActivationFunction or CustomActivation

    Raises
    ------
    ValueError
        If lcfast has no such activation.
    TypeError
        If `identifier` has a type that cannot denote an activation.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/activations/get

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.get("tanh").name
    'tanh'
    """
    if isinstance(identifier, ActivationFunction | CustomActivation):
        return identifier
    if callable(identifier) and not isinstance(identifier, type):
        return CustomActivation(getattr(identifier, "__name__", repr(identifier)), identifier)
    return deserialize(identifier)


def serialize(activation: ActivationFunction | CustomActivation) -> str:
    """Return Keras's name of the activation.

    Parameters
    ----------
    activation : ActivationFunction
        One of this module.

    Raises
    ------
    ValueError
        If it is a user's function, which a file cannot describe.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/activations/serialize

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.serialize(lcfast.activations.silu)
    'swish'
    """
    if isinstance(activation, ActivationFunction):
        return activation.name
    name = getattr(activation, "name", activation)
    raise ValueError(f"The activation {name} cannot be serialized: Keras has no name for it.")


def deserialize(config: Any) -> ActivationFunction:
    """Return the activation that a name or the dict from a model file denotes, as `get` does.

    Parameters
    ----------
    config : str, dict or None
        None means linear.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/activations/deserialize

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.deserialize({"class_name": "function", "config": "relu"}).name
    'relu'
    """
    return REGISTRY.deserialize(config) or linear
