"""The weights of a file: names and shapes are known, each array is read when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lcfast.errors import ModelFileError

WeightOrder = Literal["get_weights", "trainable first", "layer by layer", "by name"]
"""How a file orders the weights of a layer that holds others, or of a nested model.

"get_weights" is Keras's: a layer has all trainable ones first, a model goes layer by layer. HDF5
files of Keras 1 and 2 have "trainable first" for both. Checkpoints go "layer by layer", in the
order in which a layer created its attributes; trees of groups too, but "by name" of the attributes.
"""

Layout = Literal["layer groups", "tree of groups", "checkpoint", "npz"]
"""How a file arranges weights: in a group per layer, in a tree by attributes, or by name alone."""

LayerWeights = dict[str, tuple[str, ...]]
"""The full names of the weights of each layer, by the name of the layer in the file."""


class StoredWeights(Mapping[str, np.ndarray]):
    """A mapping of weights that stay in their file.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        The shape of each weight by its name, in the file's order.
    read : callable
        Returns the array of a name.
    path : str, optional
        The file that `read` opens; each call first checks that the file did not change. None
        where `read` uses a file that is already open.

    Examples
    --------
    >>> weights = StoredWeights({"kernel": (2,)}, lambda name: np.ones(2))
    >>> weights
    StoredWeights({'kernel': (2,)})
    >>> weights["kernel"]
    array([1., 1.])
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        read: Callable[[str], np.ndarray],
        path: str | None = None,
    ) -> None:
        self.shapes = shapes
        self._read = read
        self._path = path
        self._state = _state(path)

    def __getitem__(self, name: str) -> np.ndarray:
        """Read the array of one name.

        Raises
        ------
        KeyError
            If there is no such weight.
        ModelFileError
            If the array cannot be read, or the file has changed since its weights were listed.
        OSError
            If the file cannot be opened.
        """
        if name not in self.shapes:
            raise KeyError(name)
        if _state(self._path) != self._state:
            raise ModelFileError(
                f"{self._path}: the file has changed since its weights were listed; call "
                "read_weights again"
            )
        return self._read(name)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes  # Mapping's own would read the array

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        return f"StoredWeights({self.shapes})"


@dataclass(frozen=True)
class WeightsFile:
    """What is known of the weights of a file while it is open."""

    #: The file; of a checkpoint or a SavedModel, its index.
    path: str
    layout: Layout
    arrays: StoredWeights
    order: WeightOrder
    #: Reads one array after the file is closed; None where that takes as long as reading them all.
    read_again: Callable[[str], np.ndarray] | None = None
    #: Finds which layer has which weights; {} where the file does not tell.
    find_layers: Callable[[], LayerWeights] = dict


def _state(path: str | None) -> tuple[int, ...]:
    if path is None:
        return ()
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
