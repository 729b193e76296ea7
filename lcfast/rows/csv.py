"""Rows of numbers as text: one row per line, separated by commas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO, NoReturn

import numpy as np

from lcfast.errors import quoted
from lcfast.rows.stored_rows import NOTHING, Output, Reached, StoredRows

_DIGITS = {4: 9, 8: 17}  # that restore the same number, by the bytes of a float


def csv_file(path: str, width: int | None) -> StoredRows:
    """The rows of a .csv file; `width` is the numbers that each must have."""
    with _text(open(path, "rb")) as lines:
        skipped, found = _header(iter(lines), path, width)

    def read(size: int, start: int) -> Iterator[np.ndarray]:
        with _text(open(path, "rb")) as lines:
            before = skipped + start
            yield from _blocks(islice(lines, before, None), path, size, needed, before + 1)

    needed = width or len(found)
    return StoredRows(path, (needed,), np.dtype(np.float64), None, read, flat=True)


def csv_pipe(stream: IO[bytes], address: str, width: int | None) -> StoredRows:
    """The rows of text from a pipe."""
    lines = iter(_text(stream))
    first = list(islice(lines, 1))
    skipped, found = _header(iter(first), address, width)
    needed = width or len(found)

    def read(size: int, start: int) -> Iterator[np.ndarray]:
        rest = islice(chain(first, lines), skipped + start, None)
        return _blocks(rest, address, size, needed, skipped + start + 1)

    return StoredRows(address, (needed,), np.dtype(np.float64), None, read, flat=True)


def _text(stream: IO[bytes]) -> IO[str]:
    from io import TextIOWrapper

    # Spreadsheets write a byte order mark; invalid UTF-8 becomes a cell that is not a number.
    return TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")


def _header(lines: Iterator[str], address: str, width: int | None) -> tuple[int, list[str]]:
    """(lines of the header, cells of the first line).

    A line with as many cells as a row but no numbers is a header.
    """
    try:
        cells = next(lines).strip().split(",")
    except StopIteration:
        return 0, []
    except OSError as error:
        raise ValueError(f"{address}: cannot be read: {error.strerror}") from error
    names = cells != [""] and not any(map(_is_number, cells))
    return int(names and width in (None, len(cells))), cells


def _blocks(
    lines: Iterable[str], address: str, size: int, width: int, number: int
) -> Iterator[np.ndarray]:
    """Blocks of rows, from the line `number` of the file on."""
    lines = iter(lines)
    while taken := list(islice(lines, size)):
        end = len(taken)
        while end and not taken[end - 1].strip():
            end -= 1
        if end < len(taken) and any(line.strip() for line in lines):
            raise ValueError(f"{address}, line {number + end}: is empty; take it out")
        if end:
            yield _parsed(taken[:end], address, width, number)
        number += len(taken)


def _parsed(lines: list[str], address: str, width: int, number: int) -> np.ndarray:
    try:
        block = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        _explain(lines, address, width, number, error)
    if block.shape != (len(lines), width):
        _explain(lines, address, width, number, None)
    return block


def _explain(
    lines: list[str], address: str, width: int, number: int, error: ValueError | None
) -> NoReturn:
    """Raise ValueError for the line that is wrong."""
    for i, line in enumerate(lines, number):
        if not line.strip():
            raise ValueError(f"{address}, line {i}: is empty; take it out")
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != width:
            count = f"{len(cells):,} number{'s' if len(cells) > 1 else ''}"
            raise ValueError(f"{address}, line {i}: has {count}; a row has {width:,}")
        for cell in cells:
            if not _is_number(cell):
                raise ValueError(f"{address}, line {i}: {quoted(cell)} is not a number")
    raise ValueError(f"{address}: cannot be read as numbers: {error}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    # float() takes digits of every script, and underscores; numpy takes neither.
    return cell.strip().isascii() and "_" not in cell


class CsvWriter:
    """Writes rows as text, with enough digits to restore each number.

    Parameters
    ----------
    file : binary file
        The file to write to.
    output : Output
        The shape and dtype of the rows; each is flattened into one line.
    reached : Reached
        What the file already contains.
    """

    def __init__(self, file: IO[bytes], output: Output, reached: Reached = NOTHING) -> None:
        self._file, self.reached = file, reached
        if reached.rows:
            file.truncate(reached.offset)
            file.seek(reached.offset)
        number = f"%.{_DIGITS[output.dtype.itemsize]}g"
        self._line = ",".join([number] * math.prod(output.row_shape)) + "\n"

    def write(self, blocks: list[np.ndarray]) -> None:
        """Write the next rows."""
        rows = len(blocks[0])
        data = (self._line * rows % tuple(blocks[0].reshape(-1).tolist())).encode("ascii")
        self._file.write(data)
        self.reached = Reached(self.reached.rows + rows, self.reached.offset + len(data))

    def flush(self) -> None:
        """Flush buffers to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.flush()
