"""Thread-local state of the running call: the records it took, and its losses."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class CallLosses:
    """The losses of the latest call of a layer in this thread, and the inputs of that call."""

    values: list[float]
    inputs: list[Callable[[], Any]]  # weak references, which keep no batch alive

    def depend_on(self, inputs: Any) -> bool:
        """Whether the call was made on the same array objects."""
        given = _as_list(inputs)
        return len(given) == len(self.inputs) and all(
            kept() is item for kept, item in zip(self.inputs, given, strict=True)
        )


class _Thread(threading.local):
    def __init__(self) -> None:
        self.records: Mapping[Any, Any] = {}
        self.training: bool | None = None
        self.inputs: list[Callable[[], Any]] | None = None  # None: no call is running
        self.counts_losses = True
        self.has_losses = False  # whether `losses` may hold any; faster than its length
        self.losses: weakref.WeakKeyDictionary[Any, CallLosses] = weakref.WeakKeyDictionary()


THREAD = _Thread()


@contextmanager
def computing(records: Mapping[Any, Any], training: bool | None = None) -> Iterator[None]:
    """Let these layers read, in this thread, the records that a call took."""
    before = THREAD.records, THREAD.training
    # A layer that this call will build has no record yet.
    THREAD.records = {**before[0], **{k: own for k, own in records.items() if k.built}}
    THREAD.training = before[1] if training is None else training
    try:
        yield
    finally:
        THREAD.records, THREAD.training = before


@contextmanager
def counting_losses(layers: Callable[[], list[Any]], inputs: Any) -> Iterator[None]:
    """The outermost call: drop the losses of the last one; nested calls add to this one."""
    if THREAD.inputs is not None:
        yield
        return
    if THREAD.has_losses and THREAD.counts_losses:
        for layer in layers():
            THREAD.losses.pop(layer, None)
        THREAD.has_losses = bool(THREAD.losses)
    THREAD.inputs = [_reference(item) for item in _as_list(inputs)]
    try:
        yield
    finally:
        THREAD.inputs = None


@contextmanager
def without_losses() -> Iterator[None]:
    """Compute without changing the losses of the last call."""
    before, THREAD.counts_losses = THREAD.counts_losses, False
    try:
        yield
    finally:
        THREAD.counts_losses = before


def note_loss(layer: Any, value: float) -> None:
    """Add a loss to the running call."""
    if THREAD.counts_losses and THREAD.inputs is not None:
        THREAD.has_losses = True
        noted = THREAD.losses.setdefault(layer, CallLosses([], THREAD.inputs))
        noted.values.append(value)


def _as_list(inputs: Any) -> list[Any]:
    several = isinstance(inputs, list | tuple) and any(isinstance(x, np.ndarray) for x in inputs)
    return list(inputs) if several else [inputs]


def _reference(item: Any) -> Callable[[], Any]:
    return weakref.ref(item) if isinstance(item, np.ndarray) else lambda: item
