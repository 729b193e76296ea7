"""What readers of rows return and writers of rows take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

UNREADABLE = "cannot be read as an array of numbers"


@dataclass(frozen=True)
class StoredRows:
    """Rows in a file or a pipe, read block by block.

    Parameters
    ----------
    address : str
        The file, and the member in it, for errors.
    row_shape : tuple of int
        Shape of a row.
    dtype : numpy.dtype
        The dtype of the blocks.
    count : int or None
        The number of rows; None if it is known only at the end.
    read : callable
        ``read(size, start)`` yields blocks of `size` rows from row `start`; the last is shorter.
    chunk : int
        The rows of a chunk in the file; blocks of a multiple of it read each chunk once.
    flat : bool
        Whether a row has no shape of its own and may be reshaped.
    """

    address: str
    row_shape: tuple[int, ...]
    dtype: np.dtype
    count: int | None
    read: Callable[[int, int], Iterator[np.ndarray]]
    chunk: int = 1
    flat: bool = False


class Output(NamedTuple):
    """One output of a model: its name, and the shape and dtype of its rows."""

    name: str
    row_shape: tuple[int, ...]
    dtype: np.dtype


class Reached(NamedTuple):
    """How far a file is written: complete rows, and their bytes."""

    rows: int = 0
    offset: int = 0


NOTHING = Reached()


def sliced(array: object, count: int) -> Callable[[int, int], Iterator[np.ndarray]]:
    """The `read` of an array that can be sliced."""

    def read(size: int, start: int) -> Iterator[np.ndarray]:
        for first in range(start, count, size):
            yield array[first : min(first + size, count)]  # type: ignore[index]

    return read
