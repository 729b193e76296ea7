"""The weights of a file by their names, each read when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from lcfast.errors import ModelFileError


class StoredWeights(Mapping[str, np.ndarray]):
    """A dict of weights that stays in its file: names and shapes are known, arrays are read.

    Parameters
    ----------
    path : str
        The file.
    shapes : dict of str to tuple of int
        The shape of each weight by its name, in the file's order.
    read : callable
        Gives the array of a name.

    Examples
    --------
    >>> weights = StoredWeights(__file__, {"kernel": (2,)}, lambda name: np.ones(2))
    >>> weights
    StoredWeights({'kernel': (2,)})
    >>> weights["kernel"]
    array([1., 1.])
    """

    def __init__(
        self,
        path: str,
        shapes: dict[str, tuple[int, ...]],
        read: Callable[[str], np.ndarray],
    ) -> None:
        self.path = path
        self.shapes = shapes
        self._read = read
        self._state = _state(path)

    def __getitem__(self, name: str) -> np.ndarray:
        """Read the array of one name.

        Raises
        ------
        KeyError
            If there is no such weight.
        ModelFileError
            If the array cannot be read, or the file is no longer the one that was listed.
        OSError
            If the system cannot give the file.
        """
        if name not in self.shapes:
            raise KeyError(name)
        if _state(self.path) != self._state:
            raise ModelFileError(
                f"{self.path}: the file has changed since its weights were listed; call "
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


def _state(path: str) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
