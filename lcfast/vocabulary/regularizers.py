"""Keras's weight penalties by name, each with its gradient.

Penalties are summed in float64 for any dtype of the weights. As in Keras, factors are rounded to
float32 on input, so 0.01 is stored, used and saved as 0.009999999776482582.

Source: https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/regularizers
"""

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcfast.vocabulary.registry import Configured, Registry, number

Array = NDArray[Any]
RegularizerLike = Callable[[Array], float]

SMALLEST_SQUARED_NORM = (
    1e-12  # smaller squared norms are clamped to this, as in tf.math.l2_normalize
)


class Regularizer(Configured):
    """Base class: `regularizer(w)` returns a float, `regularizer.gradient(w)` an array like w."""

    def __call__(self, w: ArrayLike) -> float:
        """Return the penalty of the weights `w`."""
        raise NotImplementedError(f"{type(self).__name__} needs a __call__ method.")

    def gradient(self, w: ArrayLike) -> Array:
        """Return the gradient of the penalty with respect to `w`."""
        raise NotImplementedError(f"{type(self).__name__} needs a gradient method.")


class _SumOfPowers(Regularizer, abc.ABC):
    """The shared base class of L1, L2 and L1L2: l1 * sum(abs(w)) + l2 * sum(w**2)."""

    @abc.abstractmethod
    def _factors(self) -> tuple[float, float]:
        """The factors l1 and l2."""

    def __call__(self, w: ArrayLike) -> float:
        """Return the penalty of the weights `w`."""
        weights, (l1, l2) = _floats(w), self._factors()
        # Skip terms with factor 0: 0 * infinity would be NaN.
        absolute = l1 * float(np.abs(weights).sum(dtype=np.float64)) if l1 else 0.0
        squared = l2 * float(np.square(weights, dtype=np.float64).sum()) if l2 else 0.0
        return absolute + squared

    def gradient(self, w: ArrayLike) -> Array:
        """Return the gradient with respect to `w`; that of abs(w) at 0 is 0."""
        weights, (l1, l2) = _floats(w), self._factors()
        slope = np.zeros_like(weights)
        if l1:
            slope += l1 * np.sign(weights)
        if l2:
            slope += 2 * l2 * weights
        return slope


@dataclass(frozen=True)
class L1(_SumOfPowers):
    """l1 * sum(abs(w))."""

    old_arguments: ClassVar[Mapping[str, str | None]] = MappingProxyType({"l": "l1"})
    l1: float = 0.01

    def __post_init__(self) -> None:
        self._set(l1=_factor("l1", self.l1, default=0.01))

    def _factors(self) -> tuple[float, float]:
        return self.l1, 0.0


@dataclass(frozen=True)
class L2(_SumOfPowers):
    """l2 * sum(w**2)."""

    old_arguments: ClassVar[Mapping[str, str | None]] = MappingProxyType({"l": "l2"})
    l2: float = 0.01

    def __post_init__(self) -> None:
        self._set(l2=_factor("l2", self.l2, default=0.01))

    def _factors(self) -> tuple[float, float]:
        return 0.0, self.l2


@dataclass(frozen=True)
class L1L2(_SumOfPowers):
    """l1 * sum(abs(w)) + l2 * sum(w**2); no penalty by default."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        self._set(l1=_factor("l1", self.l1, default=0.0), l2=_factor("l2", self.l2, default=0.0))

    def _factors(self) -> tuple[float, float]:
        return self.l1, self.l2


@dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """factor * mean of abs(cosine) over all pairs of rows, or columns, of a matrix.

    For a matrix with a single row the penalty is NaN, as in Keras.
    """

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        if self.mode not in ("rows", "columns"):
            raise ValueError(f"mode needs 'rows' or 'columns', not {self.mode!r}.")
        self._set(factor=_factor("factor", self.factor))

    def __call__(self, w: ArrayLike) -> float:
        """Return the penalty of the matrix `w`."""
        unit, _ = self._unit_vectors(w)
        return self._weight_of_entry(unit) * float(np.abs(_cosines(unit)).sum())

    def gradient(self, w: ArrayLike) -> Array:
        """Return the gradient of the penalty with respect to the matrix `w`."""
        unit, norms = self._unit_vectors(w)
        # The cosine matrix is symmetric, so each unit vector contributes twice.
        by_unit = 2 * self._weight_of_entry(unit) * (np.sign(_cosines(unit)) @ unit)
        # Project out the component along each vector, which only changes its length.
        along = (by_unit * unit).sum(axis=1, keepdims=True) * unit
        is_long = norms > math.sqrt(SMALLEST_SQUARED_NORM)
        by_vector = np.where(is_long, by_unit - along, by_unit) / norms
        in_shape = by_vector if self.mode == "rows" else by_vector.T
        return np.ascontiguousarray(in_shape, dtype=_floats(w).dtype)

    def _unit_vectors(self, w: ArrayLike) -> tuple[Array, Array]:
        """Return the vectors to compare as rows of length 1, and their original lengths."""
        matrix = np.asarray(w, dtype=np.float64)
        if matrix.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer needs weights of 2 axes, not of shape {matrix.shape}."
            )
        vectors = matrix if self.mode == "rows" else matrix.T
        squared = np.square(vectors).sum(axis=1, keepdims=True)
        norms = np.sqrt(np.maximum(squared, SMALLEST_SQUARED_NORM))
        return vectors / norms, norms

    def _weight_of_entry(self, unit: Array) -> float:
        """Return the factor of one entry of the cosine matrix; each pair has two entries."""
        count = len(unit)
        return self.factor / (count * (count - 1)) if count > 1 else math.nan


l1 = L1
l2 = L2


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Return an L1L2 with default factors 0.01.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/regularizers/l1_l2

    Examples
    --------
    >>> l1_l2(0.5, 0.25)([1.0, -2.0])
    2.75
    """
    return L1L2(l1, l2)


def _factor(name: str, value: object, default: float | None = None) -> float:
    """Round a factor to float32, as Keras does; None means the default."""
    given = number(name, default if value is None else value)
    with np.errstate(over="ignore"):
        return float(number(name, np.float32(given)))


def _floats(w: ArrayLike) -> Array:
    weights = np.asarray(w)
    return weights if weights.dtype.kind == "f" else weights.astype(np.float64)


def _cosines(unit: Array) -> Array:
    """Return the cosine of every pair of rows; 0 on the diagonal."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 0.0)
    return np.asarray(cosines)


_CLASSES = (L1, L2, L1L2, OrthogonalRegularizer)
_ALIASES: dict[str, Callable[..., RegularizerLike]] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": l1_l2,
    "orthogonal_regularizer": OrthogonalRegularizer,
    # Keras 1 had separate names for weight and activity regularizers.
    "l1l2": l1_l2,
    "activity_l1": L1,
    "activity_l2": L2,
    "activity_l1l2": l1_l2,
    "L1L2Regularizer": L1L2,
    "WeightRegularizer": L1L2,
    "ActivityRegularizer": L1L2,
}
REGISTRY: Registry[RegularizerLike] = Registry(
    "regularizer", {cls.__name__: cls for cls in _CLASSES}, _ALIASES
)


def get(identifier: object) -> RegularizerLike | None:
    """Return the regularizer that a name, a dict or a callable denotes.

    Parameters
    ----------
    identifier : object
        None, a name, the dict of a model file, a class (instantiated) or any other callable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/regularizers/get

    Examples
    --------
    >>> from lcfast.vocabulary import regularizers
    >>> regularizers.get({"class_name": "L2", "config": {"l2": 0.5}})
    L2(l2=0.5)
    """
    return REGISTRY.get(identifier)


def serialize(regularizer: object) -> dict[str, Any] | None:
    """Return the dict, in Keras 2's format, that describes `regularizer`.

    Parameters
    ----------
    regularizer : object
        None or an object with a `get_config` method; a plain function raises ValueError.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/regularizers/serialize

    Examples
    --------
    >>> from lcfast.vocabulary import regularizers
    >>> regularizers.serialize(regularizers.L2(0.5))
    {'class_name': 'L2', 'config': {'l2': 0.5}}
    """
    return REGISTRY.serialize(regularizer)


def deserialize(config: object) -> RegularizerLike | None:
    """Return the regularizer that a dict or a name denotes, as `get` does.

    Parameters
    ----------
    config : dict, str or None
        A name or the dict of a model file.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/regularizers/deserialize

    Examples
    --------
    >>> from lcfast.vocabulary import regularizers
    >>> regularizers.deserialize("OrthogonalRegularizer").mode
    'rows'
    """
    return REGISTRY.deserialize(config)
