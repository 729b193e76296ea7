"""The weights of a layer: what is stored, what is shown, and what is known before there is a value.

A layer holds one record, a tuple of read-only arrays.  It is never changed, only replaced.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from lcfast.layers.core.call_state import THREAD
from lcfast.local_conv import ops
from lcfast.vocabulary import initializers
from lcfast.vocabulary.constraints import ConstraintLike
from lcfast.vocabulary.regularizers import RegularizerLike

Record = tuple[np.ndarray, ...]


def lock_kept_at_forks() -> threading.RLock:
    """A lock that a fork waits for: a child would find it held for ever, and work half done."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


# Held while the records of several layers are taken or replaced: an answer sees all or none.
SWAP_LOCK = lock_kept_at_forks()


class Weight(NDArrayOperatorsMixin):
    """A weight of a layer, as a name for its value of the moment: an array to numpy.

    Parameters
    ----------
    name : str
        Such as "dense/kernel:0".
    shape : tuple of int
        Shape as Keras stores it.
    dtype : numpy.dtype
        float32 or float64.
    trainable : bool
        Whether training would change it, as far as the weight itself is concerned.
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
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it holds."""
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
        # Whatever else an array has: T, reshape, sum, astype, ...
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"A weight has no attribute {name!r}.")
        return getattr(self.value, name)

    def __repr__(self) -> str:
        return f"<lcfast.Weight {self.name} {self.shape} {self.dtype}>"


@dataclass(frozen=True, eq=False)
class WeightSlot:
    """What is known of a weight before it has a value; two of one name are two."""

    name: str
    shape: tuple[int, ...]
    initializer: initializers.InitializerLike | None
    trainable: bool
    regularizer: RegularizerLike | None = None
    constraint: ConstraintLike | None = None
    dtype: np.dtype | None = None  # None: the layer's

    def initial_value(self, dtype: np.dtype) -> np.ndarray:
        """A first value, read-only; GlorotUniform where there is no initializer, as in Keras."""
        initializer = self.initializer or initializers.GlorotUniform()
        dtype = self.dtype or dtype
        return frozen(initializer(self.shape, dtype), dtype)


def own(value: np.ndarray) -> np.ndarray:
    """`value` as an array of the caller's: a copy, unless it was made just now."""
    return value if value.flags.writeable and value.base is None else value.copy()


def frozen(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`value` as a read-only array of `dtype`."""
    array = np.require(value, dtype, ["C", "A"])
    array.flags.writeable = False
    return array


class WeightHolder:
    """The part of a layer that holds its weights: one record, replaced as a whole.

    A record is what computes.  `pack` makes it of the arrays that Keras stores and `unpack` gives
    those back; where a layer computes with the stored arrays themselves, both do nothing.
    """

    built: bool

    def __init__(
        self, name: str, dtype: str, trainable: bool, initial_weights: Sequence[Any] | None
    ) -> None:
        self._name = name
        self._dtype = dtype
        self.numpy_dtype = np.dtype(dtype)
        self._trainable = trainable
        self._initial_weights = None if initial_weights is None else list(initial_weights)
        self._awaits_weights = False
        self._slots: tuple[WeightSlot, ...] = ()
        self._record: Any = ()
        self._weights: dict[WeightSlot, Weight] = {}

    @property
    def name(self) -> str:
        """The name of the layer."""
        return self._name

    @property
    def dtype(self) -> str:
        """The dtype of the weights, the computation and the output: "float32" or "float64"."""
        return self._dtype

    def pack(self, stored: Record) -> Any:
        """Return the record that computes, of read-only arrays as Keras stores them."""
        return stored

    def unpack(self, record: Any) -> Record:
        """Return the arrays that Keras stores, of a record."""
        stored: Record = record
        return stored

    def own_record(self) -> Any:
        """The layer's own weights as one immutable whole; in a call, those that it took."""
        records = THREAD.records
        return records.get(self, self._record) if records else self._record

    def swap_own_record(self, record: Any) -> None:
        """Let the layer's own weights be `record` from the next call on."""
        self._record = record

    def finish_build(self, slots: Sequence[WeightSlot]) -> None:
        """Take the slots and give them their first values; after `build` the layer is built."""
        # Keras lists and stores trainable weights before the others.
        self._slots = tuple(sorted(slots, key=lambda slot: not slot.trainable))
        self._weights = {}
        if self._initial_weights is None and not self._awaits_weights:
            self.initialize_weights()

    def await_weights(self) -> None:
        """Let `build` only note the shapes: the values come from a file, through `swap_record`."""
        self._awaits_weights = True

    def initialize_weights(self) -> None:
        """Give all weights new values from their initializers."""
        dtype = np.dtype(self.dtype)
        self.swap_own_record(self.pack(tuple(slot.initial_value(dtype) for slot in self._slots)))

    def own_checked_record(self, weights: Sequence[Any], copy: bool = True) -> Any:
        """Return the record that `weights` make, or raise what `set_weights` raises.

        Without `copy` arrays that fit as they are become the layer's own, and read-only.
        """
        values = list(weights)
        if len(values) != len(self._slots):
            hint = "" if self.built or self._slots else "; it is not built yet: call `build` first"
            raise ValueError(
                f"Layer {self.name} expects {len(self._slots)} weights, but {len(values)} were "
                f"given{hint}."
            )
        record = []
        for slot, value in zip(self._slots, values, strict=True):
            dtype = slot.dtype or np.dtype(self.dtype)
            what = f"The weight {slot.name} of layer {self.name}"
            array = ops.as_array(value, dtype, what)
            if array.shape != slot.shape:
                raise ValueError(f"{what} has shape {array.shape}; expected {slot.shape}.")
            if copy and np.may_share_memory(array, np.asarray(value)):
                array = array.copy()
            record.append(frozen(array, dtype))
        return self.pack(tuple(record))

    def weight_of(self, slot: WeightSlot) -> Weight:
        """The weight of one of the layer's own slots, always the same object."""
        if slot not in self._weights:
            self._weights[slot] = Weight(
                f"{self.name}/{slot.name}:0",
                slot.shape,
                slot.dtype or np.dtype(self.dtype),
                slot.trainable,
                functools.partial(self._stored_in, slot),
            )
        return self._weights[slot]

    def _stored_in(self, slot: WeightSlot) -> np.ndarray:
        return self.unpack(self.own_record())[self._slots.index(slot)]
