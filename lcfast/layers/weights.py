"""The weights of a layer: what is stored, what is shown, and what is known before there is a value.

A layer holds one record, a tuple of read-only arrays.  It is never changed, only replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.vocabulary import initializers

Record = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Weight:
    """One weight of a layer: its name, its value (read-only), and whether it is trained."""

    name: str
    value: np.ndarray
    trainable: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as Keras stores it."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        """The numpy dtype."""
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        """Return the value as a new array."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.value if dtype is None else self.value.astype(dtype)
        return array.copy() if copy else array


@dataclass(frozen=True)
class WeightSlot:
    """What is known of a weight before it has a value."""

    name: str
    shape: tuple[int, ...]
    initializer: initializers.InitializerLike | None
    trainable: bool

    def initial_value(self, dtype: np.dtype) -> np.ndarray:
        """A first value, read-only; GlorotUniform where there is no initializer, as in Keras."""
        initializer = self.initializer or initializers.GlorotUniform()
        return frozen(initializer(self.shape, dtype), dtype)


def frozen(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`value` as a read-only array of `dtype`."""
    array = np.require(value, dtype, ["C", "A"])
    array.flags.writeable = False
    return array
