"""One weight: Weight, which users see, and WeightSlot, what is known before there is a value."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from lcfast.local_conv import ops
from lcfast.vocabulary import initializers
from lcfast.vocabulary.constraints import ConstraintLike
from lcfast.vocabulary.regularizers import RegularizerLike

Record = tuple[np.ndarray, ...]


def lock_kept_at_forks() -> threading.RLock:
    """A lock that a fork waits for: a child process must not inherit it held."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


# Held while the records of several layers are read or replaced, so that a call sees all or none.
SWAP_LOCK = lock_kept_at_forks()
# Held by the first call of a layer, which builds it.  Defined after SWAP_LOCK, so that a fork takes
# it first, as `build` does: the hooks before a fork run in reverse order.
BUILD_LOCK = lock_kept_at_forks()


class Weight(NDArrayOperatorsMixin):
    """A weight of a layer; numpy takes it as an array of its current value.

    Parameters
    ----------
    name : str
        Such as "dense/kernel:0".
    shape : tuple of int
        Shape as Keras stores it.
    dtype : numpy.dtype
        float32 or float64.
    trainable : bool
        Whether training would change it, if its layer is trainable.
    read : callable
        Returns the value, read-only.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        trainable: bool,
        read: Callable[[], np.ndarray],
    ) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.trainable = trainable
        self._read = read

    @property
    def value(self) -> np.ndarray:
        """The value, read-only."""
        return self._read()

    @value.setter
    def value(self, value: Any) -> None:
        raise AttributeError(
            f"You cannot assign to the value of the weight {self.name}: use `set_weights` of its "
            "layer, which replaces all of them at once."
        )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def numpy(self) -> np.ndarray:
        """Return the value as a new array."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.value if dtype is None else self.value.astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        values = [item.value if isinstance(item, Weight) else item for item in inputs]
        return getattr(ufunc, method)(*values, **options)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __len__(self) -> int:
        return len(self.value)

    def __getattr__(self, name: str) -> Any:
        # Every other attribute of an array: T, reshape, sum, astype, ...
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"A weight has no attribute {name!r}.")
        return getattr(self.value, name)

    def __repr__(self) -> str:
        return f"<lcfast.Weight {self.name} {self.shape} {self.dtype}>"


@dataclass(frozen=True, eq=False)
class WeightSlot:
    """What is known of a weight before it has a value; compared by identity."""

    name: str
    shape: tuple[int, ...]
    initializer: initializers.InitializerLike | None
    trainable: bool
    regularizer: RegularizerLike | None = None
    constraint: ConstraintLike | None = None
    dtype: np.dtype | None = None  # None: the layer's

    def initial_value(self, dtype: np.dtype) -> np.ndarray:
        """The initial value, read-only; by default from GlorotUniform, as in Keras."""
        initializer = self.initializer or initializers.GlorotUniform()
        dtype = self.dtype or dtype
        return frozen(initializer(self.shape, dtype), dtype)

    def checked_value(self, value: Any, dtype: np.dtype, layer: str, copy: bool) -> np.ndarray:
        """`value` as a read-only array of this shape; see `WeightHolder.own_checked_record`."""
        dtype, what = self.dtype or dtype, f"The weight {self.name} of layer {layer}"
        array = ops.as_array(value, dtype, what)
        if array.shape != self.shape:
            raise ValueError(f"{what} has shape {array.shape}; expected {self.shape}.")
        if copy and np.may_share_memory(array, np.asarray(value)):
            array = array.copy()
        return frozen(array, dtype)


def own(value: np.ndarray) -> np.ndarray:
    """`value`, or a copy where it is read-only or a view: an array that the caller may change."""
    return value if value.flags.writeable and value.base is None else value.copy()


def frozen(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`value` as a read-only array of `dtype`."""
    array = np.require(value, dtype, ["C", "A"])
    array.flags.writeable = False
    return array
