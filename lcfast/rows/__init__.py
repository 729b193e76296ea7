"""Files of rows, read and written block by block, so that they may be larger than the memory.

Each format has a module here, imported when the first such file is met. They know files and
arrays, never models.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any, Protocol

import numpy as np

from lcfast import file_signatures
from lcfast.rows.stored_rows import NOTHING, Output, Reached, StoredRows

__all__ = [
    "FORMATS",
    "NOTHING",
    "Output",
    "Reached",
    "StoredRows",
    "Writer",
    "format_of",
    "open_rows",
    "piped_rows",
    "split_place",
    "writer",
]

FORMATS = {".npy": "npy", ".h5": "h5", ".hdf5": "h5", ".zarr": "zarr", ".csv": "csv"}
"""What a file is written as, by how its name ends."""


class Writer(Protocol):
    """What writes the rows of a model's outputs."""

    reached: Reached

    def write(self, blocks: list[np.ndarray]) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def split_place(place: str) -> tuple[str, str | None]:
    """(path, member) of a place such as images.npz:test or rows.h5:/images; None is the only one.

    Examples
    --------
    >>> from lcfast.rows import split_place
    >>> split_place("examples/digits.h5:/model_weights")
    ('examples/digits.h5', '/model_weights')
    """
    if not os.path.lexists(place) and ":" in place:
        path, _, member = place.rpartition(":")
        if os.path.lexists(path):
            return path, member
    return place, None


def open_rows(place: str, width: int | None = None) -> StoredRows:
    """Open the rows at a place; what a file is, its first bytes say, or for text its name.

    Parameters
    ----------
    place : str
        A file (.npy, .npz, .h5, .csv) or directory (.zarr); after a colon, the member of it.
    width : int, optional
        How many numbers a row has, where that is known; text is checked against it.

    Returns
    -------
    StoredRows

    Raises
    ------
    ValueError
        If there are no rows of numbers.
    OSError
        If the system cannot give the file.

    Examples
    --------
    >>> from lcfast.rows import open_rows
    >>> rows = open_rows("examples/digits_images.npy")
    >>> rows.count, rows.row_shape
    (360, (8, 8, 1))
    """
    path, member = split_place(place)
    if path.rstrip("/").endswith(".zarr"):
        from lcfast.rows import zarr

        return zarr.zarr_array(path, member)
    with open(path, "rb") as file:
        start = file.read(8)
    if start == file_signatures.HDF5:
        from lcfast.rows import hdf5

        return hdf5.hdf5_dataset(path, member)
    from lcfast.rows import npy

    if start.startswith(file_signatures.ZIP):
        return npy.npz_member(path, member)
    if member is not None:
        raise ValueError(f"{path}: has no members, so {member!r} names nothing in it")
    if start.startswith(file_signatures.NPY):
        return npy.npy_file(path)
    if path.lower().endswith(".csv"):
        from lcfast.rows import csv

        return csv.csv_file(path, width)
    if not start:
        raise ValueError(f"{path}: is empty")
    raise ValueError(
        f"{path}: is not a .npy file; write one with numpy.save, or give .npz, .h5, .zarr or .csv"
    )


def piped_rows(stream: Any, width: int | None = None) -> StoredRows:
    """Rows that come through a pipe, as .npy or as text."""
    from lcfast.rows import csv, npy

    place = "standard input"
    if stream.peek(len(file_signatures.NPY)).startswith(file_signatures.NPY):
        return npy.npy_pipe(stream, place)
    return csv.csv_pipe(stream, place, width)


def format_of(path: str) -> str:
    """The format to write a file in, by how its name ends.

    Raises
    ------
    ValueError
        If no format goes by that ending.
    """
    ending = os.path.splitext(path.rstrip("/"))[1].lower()
    if ending not in FORMATS:
        raise ValueError(
            f"{path}: the ending {ending or 'that is missing'} says no format; end it with "
            f"{', '.join(FORMATS)}, or give --format"
        )
    return FORMATS[ending]


def writer(
    kind: str,
    target: str | IO[bytes],
    outputs: Sequence[Output],
    rows: int | None,
    chunk: int = 1,
    reached: Reached = NOTHING,
) -> Writer:
    """What writes rows in a format.

    Parameters
    ----------
    kind : str
        One of the values of `FORMATS`.
    target : str or binary file
        A path for h5 and zarr, an open file for npy and csv.
    outputs : sequence of Output
        What there is to write; npy and csv take one.
    rows : int or None
        How many rows there will be, where that is known.
    chunk : int
        Rows of a block, which zarr packs together.
    reached : Reached
        What the target holds already.
    """
    if isinstance(target, str):
        if kind == "h5":
            from lcfast.rows import hdf5

            return hdf5.Hdf5Writer(target, outputs, rows, reached)
        from lcfast.rows import zarr

        return zarr.ZarrWriter(target, outputs, rows, chunk, reached)
    if kind == "csv":
        from lcfast.rows import csv

        return csv.CsvWriter(target, outputs[0], reached)
    from lcfast.rows import npy

    return npy.NpyWriter(target, outputs[0], rows, reached)
