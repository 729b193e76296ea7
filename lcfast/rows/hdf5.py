"""Rows in the datasets of HDF5 files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from lcfast.rows.stored_rows import NOTHING, Output, Reached, StoredRows, sliced


def hdf5_dataset(path: str, member: str | None) -> StoredRows:
    """The rows of a dataset; None is the only one in the file."""
    try:
        file = h5py.File(path, "r")
        found: list[str] = []
        file.visititems(lambda name, item: _note(found, name, item))
        item: Any = None
        if member is not None or len(found) == 1:
            item = file.get(member if member is not None else found[0])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as HDF5: {error}") from None
    if not isinstance(item, h5py.Dataset):
        wrong = "several datasets or none" if member is None else f"no dataset {member!r}"
        names = ", ".join(f"/{name}" for name in found[:8]) + (", ..." if len(found) > 8 else "")
        raise ValueError(
            f"{path}: {wrong}; it has {names or 'no dataset'}; name one as in {path}:/"
            f"{found[0] if found else 'NAME'}"
        )
    if not item.shape:
        raise ValueError(f"{path}:{item.name}: contains a single number; rows are needed")
    chunk = item.chunks[0] if item.chunks else 1
    address, shape = f"{path}:{item.name}", item.shape
    return StoredRows(address, shape[1:], item.dtype, shape[0], sliced(item, shape[0]), chunk)


def _note(found: list[str], name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset):
        found.append(name)


class Hdf5Writer:
    """Writes the rows of each output into a dataset of the output's name.

    Parameters
    ----------
    path : str
        The file.
    outputs : sequence of Output
        The outputs to write.
    rows : int or None
        The number of rows, if known.
    reached : Reached
        What the file already contains.
    """

    def __init__(
        self, path: str, outputs: Sequence[Output], rows: int | None, reached: Reached = NOTHING
    ) -> None:
        self.reached = reached
        self._file = h5py.File(path, "r+" if reached.rows else "w")
        self._grows = rows is None
        if not reached.rows:
            for name, row_shape, dtype in outputs:
                shape = (rows or 0, *row_shape)
                grown = (None, *row_shape) if self._grows else None
                self._file.create_dataset(name, shape, dtype, maxshape=grown)
        self._datasets = [self._file[output.name] for output in outputs]

    def write(self, blocks: list[np.ndarray]) -> None:
        """Write the next rows."""
        start, end = self.reached.rows, self.reached.rows + len(blocks[0])
        with _short_errors():
            for dataset, block in zip(self._datasets, blocks, strict=True):
                if self._grows:
                    dataset.resize(end, axis=0)
                dataset[start:end] = block
        self.reached = Reached(end)

    def flush(self) -> None:
        """Flush buffers to the operating system."""
        with _short_errors():
            self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        with _short_errors():
            self._file.close()


@contextmanager
def _short_errors() -> Iterator[None]:
    """Reduce HDF5's errors of several lines to the error of the operating system."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise OSError(" ".join(str(error).split())) from error
        code = int(number[1])
        raise OSError(code, os.strerror(code)) from error
