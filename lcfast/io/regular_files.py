"""Files that are read as bytes: regular ones only."""

from __future__ import annotations

import os
import stat

from lcfast.errors import ModelFileError
from lcfast.io.reading import naming


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
