"""Rows in .npy files, in the members of .npz files, and in a .npy file from a pipe."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from lcfast.rows.stored_rows import NOTHING, UNREADABLE, Output, Reached, StoredRows, sliced

# What reading a corrupt zip archive can raise, beside errors of the operating system.
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
    is_fortran_order: bool
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def npy_file(path: str) -> StoredRows:
    """The rows of a .npy file; an array in Fortran order is memory-mapped."""
    with open(path, "rb") as file:
        header = _header(file, path)
        start = file.tell()
        held = file.seek(0, os.SEEK_END) - start
    shape, row_bytes = header.shape, header.row_bytes
    if held < shape[0] * row_bytes:
        raise ValueError(
            f"{path}: {UNREADABLE}: it has {held:,} of the {shape[0] * row_bytes:,} bytes that its "
            "header declares, so it is truncated"
        )

    if header.is_fortran_order and len(shape) > 1 and held:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return StoredRows(path, shape[1:], header.dtype, shape[0], sliced(mapped, shape[0]))

    def read(size: int, first: int) -> Iterator[np.ndarray]:
        with open(path, "rb") as stream:
            stream.seek(start + first * row_bytes)
            yield from _blocks(stream, header, path, size, first)

    return StoredRows(path, shape[1:], header.dtype, shape[0], read)


def npz_member(path: str, member: str | None) -> StoredRows:
    """The rows of a member of a .npz file, decompressed in blocks; None is the only member."""
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
            address, entry = f"{path}:{member}", archive.namelist()[names.index(member)]
            with archive.open(entry) as stream:
                header = _header(stream, address)
    except _DAMAGED as error:
        if str(error).startswith(path):
            raise
        raise ValueError(f"{path}: is a zip archive that cannot be read: {error}") from None
    _refuse_fortran_order(header, address)

    def read(size: int, first: int) -> Iterator[np.ndarray]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
                _header(stream, address)
                for _ in _blocks(stream, header, address, size, 0, first):
                    pass  # what is before the first row must be decompressed too
                yield from _blocks(stream, header, address, size, first)
        except _DAMAGED as error:
            if str(error).startswith(address):
                raise
            raise ValueError(f"{address}: {UNREADABLE}: {error}") from None

    return StoredRows(address, header.shape[1:], header.dtype, header.shape[0], read)


def npy_pipe(stream: IO[bytes], address: str) -> StoredRows:
    """The rows of a .npy file from a pipe."""
    header = _header(stream, address)
    _refuse_fortran_order(header, address)

    def read(size: int, first: int) -> Iterator[np.ndarray]:
        return _blocks(stream, header, address, size, first)

    return StoredRows(address, header.shape[1:], header.dtype, header.shape[0], read)


def _header(stream: IO[bytes], address: str) -> _Header:
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
        raise ValueError(f"{address}: {UNREADABLE}: {error}") from None
    if header.dtype.hasobject:
        raise ValueError(f"{address}: {UNREADABLE}: it contains Python objects")
    if not header.shape:
        raise ValueError(f"{address}: contains a single number; rows are needed")
    return header


def _refuse_fortran_order(header: _Header, address: str) -> None:
    if header.is_fortran_order and len(header.shape) > 1:
        raise ValueError(
            f"{address}: is in Fortran order, so its rows cannot be read in blocks; save "
            "numpy.ascontiguousarray(x) instead"
        )


def _blocks(
    stream: IO[bytes], header: _Header, address: str, size: int, first: int, end: int | None = None
) -> Iterator[np.ndarray]:
    """Blocks of the rows from `first`, the current position of the stream, up to `end`."""
    count = header.shape[0]
    for start in range(first, count if end is None else end, max(size, 1)):
        rows = min(size, (count if end is None else end) - start)
        block = np.empty((rows, *header.shape[1:]), header.dtype)
        view, filled = block.reshape(-1).view(np.uint8).data, 0
        while filled < len(view):
            part = stream.read(len(view) - filled)
            if not part:
                raise ValueError(
                    f"{address}: {UNREADABLE}: it ends after "
                    f"{start + filled // max(header.row_bytes, 1):,} of {count:,} rows"
                )
            view[filled : filled + len(part)] = part
            filled += len(part)
        yield block


class NpyWriter:
    """Writes rows as .npy; the header is rewritten at the end if the count was unknown.

    Parameters
    ----------
    file : binary file
        The file to write to; it need not be seekable if `rows` is given.
    output : Output
        The shape and dtype of the rows.
    rows : int or None
        The number of rows, if known.
    reached : Reached
        What the file already contains.
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
        """Flush buffers to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._rows is None:
            self._file.seek(0)
            self._write_header(self.reached.rows)
        self._file.flush()

    def _write_header(self, rows: int) -> int:
        # numpy pads the header so that the number of rows may grow
        header = {
            "descr": np.lib.format.dtype_to_descr(self._output.dtype),
            "fortran_order": False,
            "shape": (rows, *self._output.row_shape),
        }
        counted = _Counted(self._file)
        np.lib.format.write_array_header_1_0(counted, header)
        return counted.written


class _Counted:
    """Counts the bytes written; a pipe has no tell()."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.written = file, 0

    def write(self, data: bytes) -> int:
        self.written += len(data)
        return self._file.write(data)
