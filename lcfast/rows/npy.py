"""Rows in .npy files, in the members of .npz files, and in a pipe that carries a .npy file."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from lcfast.rows.stored_rows import NOTHING, UNREADABLE, Output, Reached, StoredRows, sliced

# What a zip archive can end in, beside what the system says.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def npy_file(path: str) -> StoredRows:
    """The rows of a .npy file; those stored by columns are mapped into memory."""
    with open(path, "rb") as file:
        header = _header(file, path)
        start = file.tell()
        held = file.seek(0, os.SEEK_END) - start
    shape, row_bytes = header.shape, header.row_bytes
    if held < shape[0] * row_bytes:
        raise ValueError(
            f"{path}: {UNREADABLE}: it has {held:,} of the {shape[0] * row_bytes:,} bytes that its "
            "header promises, so it was cut off"
        )

    if header.by_columns and len(shape) > 1 and held:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return StoredRows(path, shape[1:], header.dtype, shape[0], sliced(mapped, shape[0]))

    def read(size: int, first: int) -> Iterator[np.ndarray]:
        with open(path, "rb") as stream:
            stream.seek(start + first * row_bytes)
            yield from _blocks(stream, header, path, size, first)

    return StoredRows(path, shape[1:], header.dtype, shape[0], read)


def npz_member(path: str, member: str | None) -> StoredRows:
    """The rows of a member of a .npz file, or of the only one; they are unpacked as they go."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if member is None and len(names) == 1:
                member = names[0]
            if member is None or member not in names:
                wrong = "holds several arrays" if member is None else f"holds no array {member!r}"
                raise ValueError(
                    f"{path}: {wrong}; name one of {', '.join(names) or 'none'}, as in "
                    f"{path}:{names[0] if names else 'NAME'}"
                )
            place, entry = f"{path}:{member}", archive.namelist()[names.index(member)]
            with archive.open(entry) as stream:
                header = _header(stream, place)
    except _DAMAGED as error:
        if str(error).startswith(path):
            raise
        raise ValueError(f"{path}: is a zip archive that cannot be read: {error}") from None
    _refuse_columns(header, place)

    def read(size: int, first: int) -> Iterator[np.ndarray]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
                _header(stream, place)
                for _ in _blocks(stream, header, place, size, 0, first):
                    pass  # what lies before the first row has to be unpacked all the same
                yield from _blocks(stream, header, place, size, first)
        except _DAMAGED as error:
            if str(error).startswith(place):
                raise
            raise ValueError(f"{place}: {UNREADABLE}: {error}") from None

    return StoredRows(place, header.shape[1:], header.dtype, header.shape[0], read)


def npy_pipe(stream: IO[bytes], place: str) -> StoredRows:
    """The rows of a .npy file that comes through a pipe."""
    header = _header(stream, place)
    _refuse_columns(header, place)

    def read(size: int, first: int) -> Iterator[np.ndarray]:
        return _blocks(stream, header, place, size, first)

    return StoredRows(place, header.shape[1:], header.dtype, header.shape[0], read)


def _header(stream: IO[bytes], place: str) -> _Header:
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version} of the format is not known")
        header = _Header(*read(stream))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{place}: {UNREADABLE}: {error}") from None
    if header.dtype.hasobject:
        raise ValueError(f"{place}: {UNREADABLE}: it holds Python objects")
    if not header.shape:
        raise ValueError(f"{place}: holds a single number; rows are needed")
    return header


def _refuse_columns(header: _Header, place: str) -> None:
    if header.by_columns and len(header.shape) > 1:
        raise ValueError(
            f"{place}: is stored by columns, so its rows cannot be read one after the other; save "
            "numpy.ascontiguousarray(x) instead"
        )


def _blocks(
    stream: IO[bytes], header: _Header, place: str, size: int, first: int, end: int | None = None
) -> Iterator[np.ndarray]:
    """Blocks of the rows from `first` on, which is where the stream stands, up to `end`."""
    count = header.shape[0]
    for start in range(first, count if end is None else end, max(size, 1)):
        rows = min(size, (count if end is None else end) - start)
        block = np.empty((rows, *header.shape[1:]), header.dtype)
        view, filled = block.reshape(-1).view(np.uint8).data, 0
        while filled < len(view):
            part = stream.read(len(view) - filled)
            if not part:
                raise ValueError(
                    f"{place}: {UNREADABLE}: it ends after "
                    f"{start + filled // max(header.row_bytes, 1):,} of {count:,} rows"
                )
            view[filled : filled + len(part)] = part
            filled += len(part)
        yield block


class NpyWriter:
    """Writes rows as .npy, the header anew at the end where their number was not known.

    Parameters
    ----------
    file : binary file
        Where to; it need not know how to seek where `rows` is given.
    output : Output
        What the rows are.
    rows : int or None
        How many there will be.
    reached : Reached
        What the file holds already.
    """

    def __init__(
        self, file: IO[bytes], output: Output, rows: int | None, reached: Reached = NOTHING
    ) -> None:
        self._file, self._output, self._rows = file, output, rows
        self.reached = reached
        if reached.rows:
            file.truncate(reached.offset)
            file.seek(reached.offset)
        else:
            self.reached = Reached(0, self._write_header(rows or 0))

    def write(self, blocks: list[np.ndarray]) -> None:
        """Write the next rows."""
        data = np.ascontiguousarray(blocks[0]).data
        self._file.write(data)
        self.reached = Reached(
            self.reached.rows + len(blocks[0]), self.reached.offset + data.nbytes
        )

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._rows is None:
            self._file.seek(0)
            self._write_header(self.reached.rows)
        self._file.flush()

    def _write_header(self, rows: int) -> int:
        # numpy leaves room behind the header for the number of rows to grow
        header = {
            "descr": np.lib.format.dtype_to_descr(self._output.dtype),
            "fortran_order": False,
            "shape": (rows, *self._output.row_shape),
        }
        counted = _Counted(self._file)
        np.lib.format.write_array_header_1_0(counted, header)
        return counted.written


class _Counted:
    """A file of which only the number of bytes written matters; a pipe cannot tell it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.written = file, 0

    def write(self, data: bytes) -> int:
        self.written += len(data)
        return self._file.write(data)
