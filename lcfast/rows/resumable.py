"""Atomic, resumable output: it is written to a partial file, with a note to resume the run.

    .scores.npy.part      what is written so far
    .scores.npy.resume    a note (JSON): the number of rows, and the identity of the run

The note is locked while a run writes, so two runs never write one output at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lcfast.rows.stored_rows import NOTHING, Reached

_ENDS = 1 << 16
"""The bytes at each end of an input that are part of its identity."""


class ResumableOutput:
    """The partial file and the note of an output.

    Parameters
    ----------
    output : Path
        The path of the finished output.
    run : dict of str to str
        The identity of the run: only a run with the same values can be resumed.

    Raises
    ------
    ValueError
        If another run writes this output.
    OSError
        If the files cannot be created.
    """

    def __init__(self, output: Path, run: dict[str, str]) -> None:
        self.output = output
        self.part = output.with_name(f".{output.name}.part")
        self._note_path = output.with_name(f".{output.name}.resume")
        self._run = run
        self._note = self._locked()

    def _locked(self) -> int:
        while True:
            try:
                note = os.open(self._note_path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                sentence = f"cannot be written here: {error.strerror}"
                raise OSError(error.errno, sentence, str(self.output)) from None
            try:
                fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(note)
                raise ValueError(f"{self.output}: is being written by another run") from None
            if os.fstat(note).st_nlink:
                return note
            os.close(note)  # deleted by its run in the meantime

    def reached(self) -> Reached:
        """How far an interrupted run came; no rows if there is none to resume.

        Raises
        ------
        ValueError
            If it was a different run, or its note is corrupt.
        """
        text = os.pread(self._note, 1 << 20, 0)
        if not text or not self.part.exists():
            return NOTHING
        advice = "leave --resume out to start again"
        try:
            noted = json.loads(text)
            reached, run = Reached(noted["rows"], noted["offset"]), dict(noted["run"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{self._note_path}: is not a valid note of an interrupted run; {advice}"
            ) from None
        if self.part.is_file() and self.part.stat().st_size < reached.offset:
            raise ValueError(f"{self.part}: is shorter than its note says; {advice}")
        names = {**run, **self._run}
        other = [name for name in names if run.get(name) != self._run.get(name)]
        if other:
            raise ValueError(
                f"{self.output}: the interrupted run cannot be resumed, because it had another "
                f"{' and another '.join(other)}; {advice}"
            )
        return reached

    def note(self, reached: Reached) -> None:
        """Note how far the part is written, after syncing it to disk."""
        self._sync()
        noted = {"rows": reached.rows, "offset": reached.offset, "run": self._run}
        text = json.dumps(noted, indent=1).encode() + b"\n"
        os.ftruncate(self._note, 0)  # a truncated note is not valid JSON, and is refused
        os.pwrite(self._note, text, 0)
        os.fsync(self._note)

    def finish(self) -> None:
        """Replace the output by the complete part."""
        if self.part.is_dir() and self.output.is_dir():
            old = self.output.with_name(f".{self.output.name}.old")
            os.replace(self.output, old)
            os.replace(self.part, self.output)
            shutil.rmtree(old)
        else:
            self._sync()
            os.replace(self.part, self.output)
        self.release(keep=False)

    def _sync(self) -> None:
        """Sync the part to disk; a zarr directory is not synced."""
        if self.part.is_file():
            part = os.open(self.part, os.O_RDONLY)
            try:
                os.fsync(part)
            finally:
                os.close(part)

    def release(self, keep: bool) -> None:
        """Unlock the note, and delete both files unless the run may be resumed."""
        if not keep:
            if self.part.is_dir():
                shutil.rmtree(self.part)
            else:
                self.part.unlink(missing_ok=True)
            self._note_path.unlink(missing_ok=True)
        os.close(self._note)


def digest_of_model(path: Path) -> str:
    """A hash of the content of a model file or directory."""
    digest = hashlib.sha256()
    for name, file in _files(path):
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def identity_of_input(path: Path) -> str:
    """A hash that identifies an input without reading it all: sizes, times and both ends."""
    digest = hashlib.sha256()
    for name, file in _files(path):
        status = file.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        if file is path:
            with file.open("rb") as stream:
                digest.update(stream.read(_ENDS))
                stream.seek(max(status.st_size - _ENDS, 0))
                digest.update(stream.read(_ENDS))
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of a file, or of every file in a directory, in the order of their names."""
    if not path.is_dir():
        yield "", path
        return
    found: list[Any] = sorted(file for file in path.rglob("*") if file.is_file())
    for file in found:
        yield str(file.relative_to(path)), file
