"""Keras's initializers by name: the first values of a weight.

A seeded initializer returns the same array on every call. The random generator is numpy's, not
TensorFlow's: the distributions are Keras's, the values are not. Without a seed every call differs.

Source: https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/initializers
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType, NoneType
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lcfast.errors import quoted
from lcfast.vocabulary.registry import Configured, Registry, number

Array = NDArray[Any]
InitializerLike = Callable[[Sequence[int], DTypeLike], Array]

STD_OF_TRUNCATED_NORMAL = 0.87962566103423978  # of a standard normal cut off at -2 and 2


class Initializer(Configured):
    """Base class: `initializer(shape, dtype)` returns a new array."""

    # TensorFlow 1 wrote the dtype into the config; the layer decides it.
    old_arguments: ClassVar[Mapping[str, str | None]] = MappingProxyType({"dtype": None})

    def __post_init__(self) -> None:
        for f in fields(self):
            value, kinds = getattr(self, f.name), get_args(f.type) or (f.type,)
            if value is None and NoneType in kinds:
                continue
            if int in kinds and not isinstance(value, int | np.integer):
                raise ValueError(f"{f.name} needs an int or None, not {quoted(value)}.")
            if int in kinds or float in kinds:
                self._set(**{f.name: number(f.name, value)})

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """Return a new C-contiguous array of `shape` and `dtype`, float32 or float64."""
        kind = np.dtype(np.float32 if dtype is None else dtype)
        if kind not in (np.float32, np.float64):
            raise ValueError(f"{type(self).__name__} supports float32 and float64, not {kind}.")
        return np.require(self._values(_checked_shape(shape), kind), kind, "C")

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        raise NotImplementedError(f"{type(self).__name__} needs a __call__ method.")


@dataclass(frozen=True)
class Zeros(Initializer):
    """All 0."""

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.zeros(shape, dtype)


@dataclass(frozen=True)
class Ones(Initializer):
    """All 1."""

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.ones(shape, dtype)


@dataclass(frozen=True)
class Constant(Initializer):
    """A constant, or the elements of an array with the size of the weight."""

    value: Any = 0

    def __post_init__(self) -> None:
        value = self.value
        if isinstance(value, Mapping):  # how Keras 3 writes an array: values and dtype
            inner = value.get("config", value)
            value = inner.get("value") if isinstance(inner, Mapping) else None
        try:
            numbers = np.asarray(value)
        except ValueError:  # lists of unequal lengths
            numbers = np.asarray(None)
        if numbers.dtype.kind not in "biuf":
            raise ValueError(f"value needs a number or an array of them, not {quoted(value)}.")
        self._set(value=numbers.tolist())

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        numbers = np.array(self.value, dtype)
        if numbers.size == 1:
            return np.full(shape, numbers.item(), dtype)
        if numbers.size != math.prod(shape):
            raise ValueError(
                f"Constant has {numbers.size} values, which do not fill the shape {shape}."
            )
        return numbers.reshape(shape)


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Drawn from a uniform distribution between minval and maxval."""

    minval: float = -0.05
    maxval: float | None = 0.05
    seed: int | None = None

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        width = (1.0 if self.maxval is None else self.maxval) - self.minval
        return self.minval + width * _generator(self.seed).random(shape, dtype)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Drawn from a normal distribution."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return self.mean + self.stddev * _generator(self.seed).standard_normal(shape, dtype)


@dataclass(frozen=True)
class TruncatedNormal(RandomNormal):
    """As RandomNormal, but values more than two stddev from the mean are redrawn."""

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        generator = _generator(self.seed)
        drawn = generator.standard_normal(math.prod(shape), dtype)
        outside = np.flatnonzero(np.abs(drawn) > 2)
        while outside.size:
            drawn[outside] = generator.standard_normal(outside.size, dtype)
            outside = outside[np.abs(drawn[outside]) > 2]
        return self.mean + self.stddev * drawn.reshape(shape)


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Drawn around 0 with variance scale / n, where `mode` selects n from the fans."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale <= 0:
            raise ValueError(f"scale needs a positive number, not {self.scale}.")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode needs 'fan_in', 'fan_out' or 'fan_avg', not {self.mode!r}.")
        distribution = str(self.distribution).lower()
        if distribution == "normal":  # name in Keras before 2.2
            distribution = "truncated_normal"
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                "distribution needs 'uniform', 'truncated_normal' or 'untruncated_normal', "
                f"not {self.distribution!r}."
            )
        self._set(distribution=distribution)

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return self.of_fans(*fans(shape))._values(shape, dtype)

    def of_fans(self, fan_in: int, fan_out: int) -> Initializer:
        """The distribution for a weight with these fans."""
        units = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, units))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return RandomUniform(-limit, limit, self.seed)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, stddev, self.seed)
        # Truncation reduces the variance, so the untruncated stddev must be larger.
        wider = stddev / STD_OF_TRUNCATED_NORMAL
        return TruncatedNormal(0.0, wider, self.seed)


@dataclass(frozen=True)
class _Preset(Initializer):
    """A VarianceScaling with only the seed as argument."""

    scaling: ClassVar[tuple[float, str, str]]
    seed: int | None = None

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return VarianceScaling(*self.scaling, self.seed)._values(shape, dtype)


class GlorotUniform(_Preset):
    """Drawn from a uniform distribution with variance 2 / (fan_in + fan_out)."""

    scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Drawn from a truncated normal distribution with variance 2 / (fan_in + fan_out)."""

    scaling = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Preset):
    """Drawn from a uniform distribution with variance 2 / fan_in."""

    scaling = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Drawn from a truncated normal distribution with variance 2 / fan_in."""

    scaling = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Preset):
    """Drawn from a uniform distribution with variance 1 / fan_in."""

    scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Drawn from a truncated normal distribution with variance 1 / fan_in."""

    scaling = (1.0, "fan_in", "truncated_normal")


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """gain times a random matrix with orthonormal columns, or rows if there are fewer rows.

    The matrix has the product of all axes but the last as rows, the last axis as columns.
    """

    gain: float = 1.0
    seed: int | None = None

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs a shape of at least 2 axes, not {shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(_generator(self.seed).standard_normal(tall, dtype))
        q *= np.sign(np.diagonal(r))  # makes the distribution uniform
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


@dataclass(frozen=True)
class Identity(Initializer):
    """gain on the diagonal of a matrix, 0 elsewhere."""

    gain: float = 1.0

    def _values(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if len(shape) != 2:
            raise ValueError(f"Identity needs a shape of exactly 2 axes, not {shape}.")
        return self.gain * np.eye(*shape, dtype=dtype)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of this shape.

    Examples
    --------
    >>> fans((3, 3, 16, 32))
    (144, 288)
    """
    if len(shape) < 2:
        return (math.prod(shape),) * 2
    receptive_field = math.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


def independent(initializer: InitializerLike | None, shape: Sequence[int]) -> Initializer | None:
    """Return an initializer that draws any number of the elements of a weight of `shape`.

    None if the elements depend on their position, or the initializer is unknown.
    """
    if isinstance(initializer, _Preset):
        initializer = VarianceScaling(*initializer.scaling, initializer.seed)
    elif initializer is None:
        initializer = VarianceScaling(*GlorotUniform.scaling)
    if isinstance(initializer, VarianceScaling):
        return initializer.of_fans(*fans(shape))
    if isinstance(initializer, Constant) and isinstance(initializer.value, list):
        return None
    alike = (Zeros, Ones, Constant, RandomUniform, RandomNormal)
    return initializer if isinstance(initializer, alike) else None


def _checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        checked = tuple(operator.index(length) for length in shape)
    except TypeError:
        checked = (-1,)
    if any(length < 0 for length in checked):
        raise ValueError(f"shape needs a sequence of ints, none negative, not {shape!r}.")
    return checked


def _generator(seed: int | None) -> "np.random.Generator":  # numpy.random takes 10 ms
    # Keras allows negative seeds, numpy does not: use the two's complement.
    return np.random.default_rng(seed if seed is None or seed >= 0 else seed % 2**64)


_CLASSES: dict[str, Callable[..., InitializerLike]] = {
    cls.__name__: cls
    for cls in (
        *(Zeros, Ones, Constant, Identity, Orthogonal),
        *(RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling),
        *(GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal),
    )
}
_SNAKE_CASE = {re.sub("(?<!^)(?=[A-Z])", "_", name).lower(): name for name in _CLASSES}
_ALIASES = {
    **{snake: _CLASSES[name] for snake, name in _SNAKE_CASE.items()},
    # Names that TensorFlow 2.0 wrote with a suffix.
    **{f"{name}V2": _CLASSES[name] for name in _CLASSES},
    **{f"{snake}V2": _CLASSES[name] for snake, name in _SNAKE_CASE.items()},
    # Keras 1.
    "zero": Zeros,
    "one": Ones,
    "uniform": RandomUniform,
    "normal": RandomNormal,
}
REGISTRY: Registry[InitializerLike] = Registry("initializer", _CLASSES, _ALIASES)


def get(identifier: object) -> InitializerLike | None:
    """Return the initializer that a name, a dict or a callable denotes.

    Parameters
    ----------
    identifier : object
        None, a name, the dict of a model file, a class (instantiated) or any other callable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/initializers/get

    Examples
    --------
    >>> from lcfast.vocabulary import initializers
    >>> initializers.get("glorot_uniform")
    GlorotUniform(seed=None)
    """
    return REGISTRY.get(identifier)


def serialize(initializer: object) -> dict[str, Any] | None:
    """Return the dict, in Keras 2's format, that describes `initializer`.

    Parameters
    ----------
    initializer : object
        None or an object with a `get_config` method; a plain function raises ValueError.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/initializers/serialize

    Examples
    --------
    >>> from lcfast.vocabulary import initializers
    >>> initializers.serialize(initializers.Constant(0.5))
    {'class_name': 'Constant', 'config': {'value': 0.5}}
    """
    return REGISTRY.serialize(initializer)


def deserialize(config: object) -> InitializerLike | None:
    """Return the initializer that a dict or a name denotes, as `get` does.

    Parameters
    ----------
    config : dict, str or None
        A name or the dict of a model file.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/initializers/deserialize

    Examples
    --------
    >>> from lcfast.vocabulary import initializers
    >>> initializers.deserialize({"class_name": "Zeros", "config": {"dtype": "float32"}})
    Zeros()
    """
    return REGISTRY.deserialize(config)
