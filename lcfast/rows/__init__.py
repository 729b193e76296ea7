"""Files of rows, read and written in blocks, so that they may be larger than memory.

Each format has a module here, imported when the first such file is opened. They do not
depend on models.
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
    "split_address",
    "writer",
]

FORMATS = {".npy": "npy", ".h5": "h5", ".hdf5": "h5", ".zarr": "zarr", ".csv": "csv"}
"""The format in which a file is written, by the ending of its name."""


class Writer(Protocol):
    """Writes the rows of a model's outputs."""

    reached: Reached

    def write(self, blocks: list[np.ndarray]) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def split_address(address: str) -> tuple[str, str | None]:
    """Split an address, PATH or PATH:MEMBER such as images.npz:test; None is the only member.

    Examples
    --------
    >>> from lcfast.rows import split_address
    >>> split_address("examples/digits.h5:/model_weights")
    ('examples/digits.h5', '/model_weights')
    """
    if not os.path.lexists(address) and ":" in address:
        path, _, member = address.rpartition(":")
        if os.path.lexists(path):
            return path, member
    return address, None


def open_rows(address: str, width: int | None = None) -> StoredRows:
    """Open the rows at an address; the format is recognised by content, .csv and .zarr by name.

    Parameters
    ----------
    address : str
        A file (.npy, .npz, .h5, .csv) or directory (.zarr), with a member after a colon.
    width : int, optional
        The numbers in a row, if known; text is checked against it.

    Returns
    -------
    StoredRows

    Raises
    ------
    ValueError
        If there are no rows of numbers.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> from lcfast.rows import open_rows
    >>> rows = open_rows("examples/digits_images.npy")
    >>> rows.count, rows.row_shape
    (360, (8, 8, 1))
    """
    path, member = split_address(address)
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
        raise ValueError(f"{path}: has no members, so there is no {member!r}")
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
    """Rows from a pipe, as .npy or as text."""
    from lcfast.rows import csv, npy

    address = "standard input"
    if stream.peek(len(file_signatures.NPY)).startswith(file_signatures.NPY):
        return npy.npy_pipe(stream, address)
    return csv.csv_pipe(stream, address, width)


def format_of(path: str) -> str:
    """The format in which to write a file, by the ending of its name.

    Raises
    ------
    ValueError
        If the ending is unknown.
    """
    ending = os.path.splitext(path.rstrip("/"))[1].lower()
    if ending not in FORMATS:
        raise ValueError(
            f"{path}: the ending {ending or '(none)'} is not that of a format; use one of "
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
    """Return the writer of a format.

    Parameters
    ----------
    kind : str
        One of the values of `FORMATS`.
    target : str or binary file
        A path for h5 and zarr, an open file for npy and csv.
    outputs : sequence of Output
        The outputs to write; npy and csv take one.
    rows : int or None
        The number of rows, if known.
    chunk : int
        The rows of a block, which zarr stores as one chunk.
    reached : Reached
        What the target already contains.
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
