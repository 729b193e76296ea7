"""Rows of plain numbers as text: one row a line, commas between its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO, NoReturn

import numpy as np

from lcfast.errors import quoted
from lcfast.rows.stored_rows import NOTHING, Output, Reached, StoredRows

_DIGITS = {4: 9, 8: 17}  # that give the same number back, by the bytes of a float


def csv_file(path: str, width: int | None) -> StoredRows:
    """The rows of a .csv file; `width` is how many numbers each must have."""
    with _text(open(path, "rb")) as lines:
        skipped, found = _header(iter(lines), path, width)

    def read(size: int, start: int) -> Iterator[np.ndarray]:
        with _text(open(path, "rb")) as lines:
            before = skipped + start
            yield from _blocks(islice(lines, before, None), path, size, needed, before + 1)

    needed = width or len(found)
    return StoredRows(path, (needed,), np.dtype(np.float64), None, read, flat=True)


def csv_pipe(stream: IO[bytes], place: str, width: int | None) -> StoredRows:
    """The rows of text that comes through a pipe."""
    lines = iter(_text(stream))
    first = list(islice(lines, 1))
    skipped, found = _header(iter(first), place, width)
    needed = width or len(found)

    def read(size: int, start: int) -> Iterator[np.ndarray]:
        rest = islice(chain(first, lines), skipped + start, None)
        return _blocks(rest, place, size, needed, skipped + start + 1)

    return StoredRows(place, (needed,), np.dtype(np.float64), None, read, flat=True)


def _text(stream: IO[bytes]) -> IO[str]:
    from io import TextIOWrapper

    # Spreadsheets begin their text with a mark; what is no UTF-8 becomes a cell that is no number.
    return TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")


def _header(lines: Iterator[str], place: str, width: int | None) -> tuple[int, list[str]]:
    """(lines of the header, cells of the first line).

    A line with as many cells as a row, but no number in them, is a header.
    """
    try:
        cells = next(lines).strip().split(",")
    except StopIteration:
        return 0, []
    except OSError as error:
        raise ValueError(f"{place}: cannot be read: {error.strerror}") from error
    names = cells != [""] and not any(map(_is_number, cells))
    return int(names and width in (None, len(cells))), cells


def _blocks(
    lines: Iterable[str], place: str, size: int, width: int, number: int
) -> Iterator[np.ndarray]:
    """Blocks of rows, from the line `number` of the file on."""
    lines = iter(lines)
    while taken := list(islice(lines, size)):
        end = len(taken)
        while end and not taken[end - 1].strip():
            end -= 1
        if end < len(taken) and any(line.strip() for line in lines):
            raise ValueError(f"{place}, line {number + end}: is empty; take it out")
        if end:
            yield _parsed(taken[:end], place, width, number)
        number += len(taken)


def _parsed(lines: list[str], place: str, width: int, number: int) -> np.ndarray:
    try:
        block = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        _explain(lines, place, width, number, error)
    if block.shape != (len(lines), width):
        _explain(lines, place, width, number, None)
    return block


def _explain(
    lines: list[str], place: str, width: int, number: int, error: ValueError | None
) -> NoReturn:
    """Say which line is wrong, and what is wrong with it."""
    for i, line in enumerate(lines, number):
        if not line.strip():
            raise ValueError(f"{place}, line {i}: is empty; take it out")
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != width:
            count = f"{len(cells):,} number{'s' if len(cells) > 1 else ''}"
            raise ValueError(f"{place}, line {i}: has {count}; a row has {width:,}")
        for cell in cells:
            if not _is_number(cell):
                raise ValueError(f"{place}, line {i}: {quoted(cell)} is not a number")
    raise ValueError(f"{place}: cannot be read as numbers: {error}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    # Python takes digits of every script, and a line between them; numpy takes neither.
    return cell.strip().isascii() and "_" not in cell


class CsvWriter:
    """Writes rows as text, each number with as many digits as give it back.

    Parameters
    ----------
    file : binary file
        Where to.
    output : Output
        What the rows are; those of several dimensions become one line all the same.
    reached : Reached
        What the file holds already.
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
        """Hand everything to the system."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.flush()
