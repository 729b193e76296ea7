"""A file that appears only when it is whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def replacing(path: str, overwrite: bool = True) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place at the end, or vanishes where there is an error.

    Parameters
    ----------
    path : str
        The file to write.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Yields
    ------
    file object
        Open for reading and writing bytes.

    Raises
    ------
    FileExistsError
        If the file is there and `overwrite` is False.
    OSError
        If the system cannot write it; then what was there before is still there.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "numbers")
    >>> with replacing(path) as file:
    ...     written = file.write(b"12")
    ...     os.path.exists(path)
    False
    >>> os.path.getsize(path)
    2
    """
    target = os.path.realpath(path)  # a link goes on pointing at the file
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    _refuse_unless(overwrite, target, path)
    folder, name = os.path.split(target)
    # Named before it is there: Ctrl-C right after the file was made must find it.
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
            errno.EEXIST, "is there already; give overwrite=True to replace it", path
        )
