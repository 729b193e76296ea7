"""Files that are read as bytes: regular ones only, and every refusal names the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from lcfast.errors import ModelFileError

_ADVICE = "the file is damaged or not TensorFlow's, so copy it again or save the model again"


def refusal(found: str, advice: str = _ADVICE) -> ModelFileError:
    """Return the error that says what was found and what to do, to be raised in `naming`."""
    return ModelFileError(f"{found}; {advice}")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the path in front of every refusal."""
    try:
        yield
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from problem.__cause__
    except MemoryError as error:
        message = "it does not fit the memory that is free; give this process more"
        raise ModelFileError(f"{path}: {message}") from error


def size_of(path: str) -> int:
    """Return the size of a regular file; of a pipe or device nothing is read, as it may wait."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: is not a regular file; copy the model into one")
    return status.st_size


def read_bytes(path: str) -> memoryview:
    """Return what a regular file holds."""
    size_of(path)
    with naming(path), open(path, "rb") as file:
        return memoryview(file.read())


def quoted(text: str) -> str:
    """Return a text of a file as an error shows it, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
