"""The rows of each input of a model, read from files or a pipe in blocks of equal length."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from lcfast.cli.errors import UserError
from lcfast.layers.core.symbolic import Shape
from lcfast.models import Model
from lcfast.rows import StoredRows, open_rows, piped_rows

PIPE = "-"


def addresses_of_inputs(
    model: Model, path: object, input_: str | None, named: Sequence[str]
) -> list[str]:
    """The address of the rows of each input, a file or a pipe, in the model's order.

    `input_` is the argument INPUT, `named` the values of the options --input NAME=INPUT.
    """
    names = model.input_names
    wanted = f"give {' '.join(f'--input {name}=ROWS' for name in names)}"
    if input_ is not None:
        if named:
            raise UserError("INPUT and --input cannot be combined; give one of them")
        if len(names) > 1:
            raise UserError(
                f"{path}: has several inputs; {wanted}, or use "
                "lcfast.load_model(...).predict([...]) in Python"
            )
        return [input_]
    found: dict[str, str] = {}
    for text in named:
        name, equals, given = text.partition("=")
        if not equals or name not in names or name in found:
            raise UserError(f"--input {text}: names no input, or the same one twice; {wanted}")
        found[name] = given
    if len(found) < len(names):
        missing = ", ".join(name for name in names if name not in found)
        raise UserError(f"{path}: has no rows for its input {missing}; {wanted}")
    if list(found.values()).count(PIPE) > 1:
        raise UserError("Two inputs cannot come from one pipe; give a file for one of them")
    return [found[name] for name in names]


def open_input(address: str, needed: Shape, model: object) -> StoredRows:
    """The rows at an address, checked against an input of this shape, batch first."""
    sizes = [size for size in needed[1:] if size is not None]
    width = math.prod(sizes) if len(sizes) == len(needed) - 1 else None
    rows = piped_rows(_standard_input(), width) if address == PIPE else open_rows(address, width)
    if rows.flat and width is not None:
        return replace(rows, row_shape=tuple(sizes))
    fits = len(rows.row_shape) == len(needed) - 1 and all(
        size in (None, given) for size, given in zip(needed[1:], rows.row_shape, strict=True)
    )
    if not fits:
        count = "any" if rows.count is None else rows.count
        raise UserError(
            f"{rows.address}: has shape {(count, *rows.row_shape)}, that is rows of shape "
            f"{rows.row_shape}; {model} takes rows of shape {needed[1:]}"
        )
    return rows


def _standard_input() -> Any:
    stream = sys.stdin.buffer
    return stream if hasattr(stream, "peek") else io.BufferedReader(stream)


def check_same_count(inputs: Sequence[StoredRows]) -> int | None:
    """The number of rows, which must be the same for all inputs; None where it is not known."""
    counts = [rows.count for rows in inputs if rows.count is not None]
    if len(set(counts)) > 1:
        numbers = ", ".join(f"{rows.address}: {rows.count}" for rows in inputs)
        raise UserError(f"The inputs have different numbers of rows: {numbers}")
    return counts[0] if counts else None


def blocks(inputs: Sequence[StoredRows], size: int, start: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of the same rows of all inputs, from row `start` on."""
    for parts in zip_longest(*(rows.read(size, start) for rows in inputs)):
        if len({-1 if part is None else len(part) for part in parts}) > 1:
            names = " and ".join(rows.address for rows in inputs)
            raise UserError(f"The inputs have different numbers of rows: {names}")
        yield tuple(
            part.reshape(len(part), *rows.row_shape) if rows.flat else part
            for part, rows in zip(parts, inputs, strict=True)
        )
