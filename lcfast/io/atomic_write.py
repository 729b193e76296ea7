"""Atomic writes: a file is written completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def atomic_write(path: str, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that replaces it at the end, unless there is an error.

    Parameters
    ----------
    path : str
        The file to write.
    overwrite : bool
        Whether an existing file may be replaced.

    Yields
    ------
    file object
        Open for reading and writing bytes.

    Raises
    ------
    FileExistsError
        If the file is there and `overwrite` is False.
    OSError
        If the file cannot be written; an existing one is then unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "numbers")
    >>> with atomic_write(path) as file:
    ...     written = file.write(b"12")
    ...     os.path.exists(path)
    False
    >>> os.path.getsize(path)
    2
    """
    target = os.path.realpath(path)  # a link keeps pointing at the file
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    _refuse_unless(overwrite, target, path)
    folder, name = os.path.split(target)
    # Named before it is created, so that Ctrl-C right after that still removes it.
    beside = os.path.join(folder, f".{name[:60]}.{os.urandom(8).hex()}.part")
    try:
        try:
            with open(beside, "x+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _refuse_unless(overwrite, target, path)
            os.replace(beside, target)
        except OSError as error:
            if isinstance(error, FileExistsError) or error.errno is None:
                raise
            raise OSError(error.errno, os.strerror(error.errno), path) from error
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _refuse_unless(overwrite: bool, target: str, path: str) -> None:
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(
            errno.EEXIST, "exists already; give overwrite=True to replace it", path
        )
