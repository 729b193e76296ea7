"""Where scores go: a file that appears when it is whole, or a pipe."""

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
"""Seconds between two notes of how far a file is: what a crash costs."""


def checked_format(output: str, given: str | None) -> str:
    """The format to write in: the one asked for, or the one that the output's ending says."""
    if output == PIPE:
        if given in ("h5", "zarr"):
            raise UserError(f"A pipe cannot carry {given}; give --format npy or --format csv")
        return given or "npy"
    path = Path(output)
    is_of_zarr = any((path / mark).exists() for mark in (".zgroup", ".zarray", "zarr.json"))
    if path.is_dir() and not (is_of_zarr and (given or format_of(output)) == "zarr"):
        raise UserError(f"{output}: is a directory; name a file")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{output}: is no ordinary file; name one, or - for standard output")
    return given or format_of(output)


class Destination:
    """What blocks of scores are written to.

    Parameters
    ----------
    scores : Writer
        What writes them.
    room : ResumableOutput or None
        Where notes are left for a later run that goes on; None where none can.
    name : str
        What the user calls it, for errors.
    """

    def __init__(self, scores: Writer, room: ResumableOutput | None, name: str) -> None:
        self._scores, self._room, self._name = scores, room, name
        self._noted = time.monotonic()

    @property
    def rows(self) -> int:
        """Whole rows that are written."""
        return self._scores.reached.rows

    def write(self, blocks: list[np.ndarray]) -> None:
        """Write the next rows, and note from time to time how far they are."""
        with named_errors(self._name):
            self._scores.write(blocks)
            if self._room is not None and time.monotonic() - self._noted > NOTE_EVERY:
                self.note()

    def note(self) -> None:
        """Note how far the file is, so that a later run can go on from there."""
        if self._room is not None:
            self._scores.flush()
            self._room.note(self._scores.reached)
            self._noted = time.monotonic()

    def close(self) -> None:
        """Finish what is written."""
        with named_errors(self._name):
            self._scores.close()


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
    """A place for scores, which is whole after it, or else not there.

    Where it is interrupted, a later run with the same `run` may resume it; an empty one says that
    no run can.
    """
    if output == PIPE:
        pipe = Destination(writer(kind, sys.stdout.buffer, outputs, count), None, "the pipe")
        yield pipe
        pipe.close()
        return
    room, keep = ResumableOutput(Path(output), run), resume  # what cannot be resumed is not ours
    scored: Destination | None = None
    with ExitStack() as opened:
        try:
            reached = room.reached() if resume else NOTHING
            keep = bool(reached.rows)  # what an earlier run did outlives an error in this one
            with named_errors(output):
                target: str | IO[bytes] = str(room.part)
                if kind in ("npy", "csv"):
                    file = room.part.open("r+b" if reached.rows else "wb")
                    opened.callback(_closed_quietly, file)
                    target = file
                scores = writer(kind, target, outputs, count, chunk, reached)
                if isinstance(target, str):
                    opened.callback(_closed_quietly, scores)
            scored = Destination(scores, room if run else None, output)
            yield scored
            with undisturbed():
                scored.close()
                room.finish()
        except BaseException as error:
            with undisturbed():
                try:
                    if isinstance(error, KeyboardInterrupt) and run and scored and scored.rows:
                        scored.note()
                        keep = True
                finally:
                    opened.close()
                    room.release(keep)
            raise


def _closed_quietly(file: Any) -> None:
    # What went wrong was said already; a file that is closed twice says nothing new.
    with suppress(OSError, RuntimeError, ValueError):
        file.close()


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Let errors of the system name what could not be written."""
    try:
        yield
    except OSError as error:
        if error.filename == name:
            raise
        raise OSError(error.errno, error.strerror or str(error), name) from error
