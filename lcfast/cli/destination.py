"""Where scores are written: a file, written atomically, or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from lcfast.cli.errors import UserError, undisturbed
from lcfast.rows import NOTHING, Output, Writer, format_of, writer
from lcfast.rows.resumable import ResumableOutput

PIPE = "-"
NOTE_EVERY = 10.0
"""Seconds between two notes of the rows written so far: how much work a crash can cost."""


def checked_format(output: str, given: str | None) -> str:
    """The format to write: the one given, or else that of the output's extension."""
    if output == PIPE:
        if given in ("h5", "zarr"):
            raise UserError(f"A pipe cannot carry {given}; give --format npy or --format csv")
        return given or "npy"
    path = Path(output)
    is_of_zarr = any((path / mark).exists() for mark in (".zgroup", ".zarray", "zarr.json"))
    if path.is_dir() and not (is_of_zarr and (given or format_of(output)) == "zarr"):
        raise UserError(f"{output}: is a directory; name a file")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{output}: is not a regular file; name one, or - for standard output")
    return given or format_of(output)


class Destination:
    """A sink of `Model.predict` that writes blocks of scores.

    Parameters
    ----------
    writer : Writer
        Writes the rows.
    resumable : ResumableOutput or None
        Keeps notes of the rows written, for a run that resumes this one; None where none can.
    name : str
        The output as the user named it, for errors.
    """

    def __init__(self, writer: Writer, resumable: ResumableOutput | None, name: str) -> None:
        self._writer, self._resumable, self._name = writer, resumable, name
        self._noted = time.monotonic()

    @property
    def rows(self) -> int:
        """Complete rows that are written."""
        return self._writer.reached.rows

    def write(self, outputs: list[np.ndarray]) -> None:
        """Write the next rows of all outputs, and a note every `NOTE_EVERY` seconds."""
        with named_errors(self._name):
            self._writer.write(outputs)
            if self._resumable is not None and time.monotonic() - self._noted > NOTE_EVERY:
                self.note()

    def note(self) -> None:
        """Note the rows written so far, so that a later run can resume there."""
        if self._resumable is not None:
            self._writer.flush()
            self._resumable.note(self._writer.reached)
            self._noted = time.monotonic()

    def close(self) -> None:
        """Complete the output."""
        with named_errors(self._name):
            self._writer.close()


@contextmanager
def destination(
    output: str,
    kind: str,
    outputs: Sequence[Output],
    count: int | None,
    chunk: int,
    run: dict[str, str],
    resume: bool,
) -> Iterator[Destination]:
    """Open an output for scores; a file appears when the context ends without an error.

    If it is interrupted, a later run with the same `run` may resume it. With an empty `run` no run
    can.
    """
    if output == PIPE:
        pipe = Destination(writer(kind, sys.stdout.buffer, outputs, count), None, "the pipe")
        yield pipe
        pipe.close()
        return
    resumable, keep = ResumableOutput(Path(output), run), resume  # a part that does not fit is kept
    scores: Destination | None = None
    with ExitStack() as opened:
        try:
            reached = resumable.reached() if resume else NOTHING
            keep = bool(reached.rows)  # rows of an earlier run are kept after an error in this one
            with named_errors(output):
                target: str | IO[bytes] = str(resumable.part)
                if kind in ("npy", "csv"):
                    file = resumable.part.open("r+b" if reached.rows else "wb")
                    opened.callback(_closed_quietly, file)
                    target = file
                rows_writer = writer(kind, target, outputs, count, chunk, reached)
                if isinstance(target, str):
                    opened.callback(_closed_quietly, rows_writer)
            scores = Destination(rows_writer, resumable if run else None, output)
            yield scores
            with undisturbed():
                scores.close()
                resumable.finish()
        except BaseException as error:
            with undisturbed():
                try:
                    if isinstance(error, KeyboardInterrupt) and run and scores and scores.rows:
                        scores.note()
                        keep = True
                finally:
                    opened.close()
                    resumable.release(keep)
            raise


def _closed_quietly(file: Any) -> None:
    # The error is reported already; closing a file again can only repeat it.
    with suppress(OSError, RuntimeError, ValueError):
        file.close()


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Name the output in errors of the operating system."""
    try:
        yield
    except OSError as error:
        if error.filename == name:
            raise
        raise OSError(error.errno, error.strerror or str(error), name) from error
