"""Keras's weight constraints by name: projections applied after a training step.

A constraint takes the weights and returns a new array of the same shape and dtype. A norm is
taken over `axis`: an axis, several of them, or None for all.

Source: https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/constraints
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcfast.errors import quoted
from lcfast.vocabulary.registry import Configured, Registry, number

Array = NDArray[Any]
ConstraintLike = Callable[[Array], Array]
Axis = int | Sequence[int] | None

EPSILON = 1e-7  # keras.backend.epsilon(): avoids division by a norm of 0


class Constraint(Configured):
    """Base class: `constraint(w)` returns a new array with the shape and dtype of w."""

    def __call__(self, w: ArrayLike) -> Array:
        """Return the weights `w` projected as Keras does."""
        weights = np.asarray(w)
        if weights.dtype.kind != "f":
            raise ValueError(f"{type(self).__name__} needs weights of floats, not {weights.dtype}.")
        # numpy before 2.0 converts 0-d arrays to float64.
        return np.asarray(self._constrained(weights), weights.dtype)

    def _constrained(self, w: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} needs a __call__ method.")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, ready for JSON."""
        config = super().get_config()
        return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


@dataclass(frozen=True)
class MaxNorm(Constraint):
    """Scale down weights with a norm above max_value."""

    old_arguments: ClassVar[Mapping[str, str | None]] = MappingProxyType({"m": "max_value"})
    max_value: float = 2
    axis: Axis = 0

    def __post_init__(self) -> None:
        max_value = number("max_value", self.max_value, finite=False)
        self._set(max_value=max_value, axis=_checked_axis(self.axis))

    def _constrained(self, w: Array) -> Array:
        norms = _norms(w, self.axis)
        return w * (_clip(norms, 0, self.max_value) / (EPSILON + norms))


@dataclass(frozen=True)
class NonNeg(Constraint):
    """Make negative weights 0."""

    def _constrained(self, w: Array) -> Array:
        return w * (w >= 0)


@dataclass(frozen=True)
class UnitNorm(Constraint):
    """Scale every norm to 1."""

    axis: Axis = 0

    def __post_init__(self) -> None:
        self._set(axis=_checked_axis(self.axis))

    def _constrained(self, w: Array) -> Array:
        return w / (EPSILON + _norms(w, self.axis))


@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """Move every norm towards [min_value, max_value] by the fraction `rate`."""

    old_arguments: ClassVar[Mapping[str, str | None]] = MappingProxyType(
        {"low": "min_value", "high": "max_value"}
    )
    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axis = 0

    def __post_init__(self) -> None:
        self._set(
            min_value=number("min_value", self.min_value, finite=False),
            max_value=number("max_value", self.max_value, finite=False),
            rate=number("rate", self.rate),
            axis=_checked_axis(self.axis),
        )

    def _constrained(self, w: Array) -> Array:
        norms = _norms(w, self.axis)
        clipped = _clip(norms, self.min_value, self.max_value)
        wanted = self.rate * clipped + (1 - self.rate) * norms
        return w * (wanted / (EPSILON + norms))


@dataclass(frozen=True)
class RadialConstraint(Constraint):
    """Make each square ring of a kernel of shape (size, size, channels, filters) constant.

    As in Keras, the value of a ring is taken from the diagonal of the lower right quarter; for the
    innermost ring, from the weight just above and left of the centre.
    """

    def _constrained(self, w: Array) -> Array:
        if w.ndim != 4 or w.shape[0] != w.shape[1]:
            raise ValueError(
                "RadialConstraint needs weights of shape (size, size, channels, filters), "
                f"not {w.shape}."
            )
        size = w.shape[0]
        middle, is_odd = divmod(size, 2)
        position = np.arange(size)
        from_middle = np.where(position < middle, middle - 1 + is_odd - position, position - middle)
        ring = np.maximum.outer(from_middle, from_middle)
        source = np.where(ring == 0, middle - 1, middle + ring - is_odd)
        return np.asarray(w[source, source])


max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm
radial_constraint = RadialConstraint


def _norms(w: Array, axis: Axis) -> Array:
    checked = axis if axis is None or isinstance(axis, int) else tuple(axis)
    try:
        return np.asarray(np.sqrt(np.sum(np.square(w), axis=checked, keepdims=True)))
    except ValueError:  # an axis that does not exist or is repeated
        raise ValueError(f"axis {axis} does not fit weights of shape {w.shape}.") from None


def _clip(norms: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip(norms, low, max(low, high)))


def _checked_axis(axis: Any) -> Axis:
    """Return the axis as an int, a tuple of ints or None; JSON turns tuples into lists."""
    if axis is None:
        return None
    several = np.ndim(axis) > 0
    numbers = tuple(number("axis", one) for one in (axis if several else (axis,)))
    whole = tuple(one for one in numbers if isinstance(one, int))
    if whole != numbers:
        raise ValueError(f"axis needs an int, a sequence of ints or None, not {quoted(axis)}.")
    return whole if several else whole[0]


REGISTRY: Registry[ConstraintLike] = Registry(
    "constraint",
    {cls.__name__: cls for cls in (MaxNorm, NonNeg, UnitNorm, MinMaxNorm, RadialConstraint)},
    {
        "max_norm": MaxNorm,
        "non_neg": NonNeg,
        "unit_norm": UnitNorm,
        "min_max_norm": MinMaxNorm,
        "radial_constraint": RadialConstraint,
        # Keras 1.
        "maxnorm": MaxNorm,
        "nonneg": NonNeg,
        "unitnorm": UnitNorm,
    },
)


def get(identifier: object) -> ConstraintLike | None:
    """Return the constraint that a name, a dict or a callable denotes.

    Parameters
    ----------
    identifier : object
        None, a name, the dict of a model file, a class (instantiated) or any other callable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/constraints/get

    Examples
    --------
    >>> from lcfast.vocabulary import constraints
    >>> constraints.get("maxnorm")
    MaxNorm(max_value=2, axis=0)
    """
    return REGISTRY.get(identifier)


def serialize(constraint: object) -> dict[str, Any] | None:
    """Return the dict, in Keras 2's format, that describes `constraint`.

    Parameters
    ----------
    constraint : object
        None or an object with a `get_config` method; a plain function raises ValueError.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/constraints/serialize

    Examples
    --------
    >>> from lcfast.vocabulary import constraints
    >>> constraints.serialize(constraints.UnitNorm(axis=1))
    {'class_name': 'UnitNorm', 'config': {'axis': 1}}
    """
    return REGISTRY.serialize(constraint)


def deserialize(config: object) -> ConstraintLike | None:
    """Return the constraint that a dict or a name denotes, as `get` does.

    Parameters
    ----------
    config : dict, str or None
        A name or the dict of a model file.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/constraints/deserialize

    Examples
    --------
    >>> from lcfast.vocabulary import constraints
    >>> constraints.deserialize({"class_name": "UnitNorm", "config": {"axis": [0, 1]}})
    UnitNorm(axis=(0, 1))
    """
    return REGISTRY.deserialize(config)
