"""What every reader of rows returns, and what every writer of them takes."""

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
    place : str
        Where they are, for errors: a file, and the member in it.
    row_shape : tuple of int
        Shape of a row.
    dtype : numpy.dtype
        Of the blocks.
    count : int or None
        How many rows there are; None where only the end tells.
    read : callable
        ``read(size, start)`` gives blocks of `size` rows, the last one shorter, from row `start`.
    chunk : int
        Rows that the file packs together: blocks of a multiple of it unpack them only once.
    flat : bool
        Whether the numbers of a row have no shape, so that they take any.
    """

    place: str
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
    """How far a file is written: whole rows, and the bytes that hold them."""

    rows: int = 0
    offset: int = 0


NOTHING = Reached()


def sliced(array: object, count: int) -> Callable[[int, int], Iterator[np.ndarray]]:
    """The `read` of what has slices as an array has."""

    def read(size: int, start: int) -> Iterator[np.ndarray]:
        for place in range(start, count, size):
            yield array[place : min(place + size, count)]  # type: ignore[index]

    return read
