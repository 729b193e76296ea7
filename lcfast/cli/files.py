"""Files that a command writes whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lcfast.cli.errors import UserError


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file."""
    return first.exists() and second.exists() and first.samefile(second)


@contextmanager
def written_beside(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole, and vanishes otherwise."""
    if path.is_dir():
        raise UserError(f"{path}: is a directory; name a file")
    try:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
    except OSError as error:
        raise UserError(f"{path}: cannot be written here: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private; a result is as open as any new file of this user
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
