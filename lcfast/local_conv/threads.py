"""How many threads a call uses.

OpenMP's thread pool does not survive a fork: a child would wait for threads that do not exist.
`_openmp` therefore ends the pool before every fork; OpenMP starts it again when it is needed.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lcfast.local_conv import _openmp, cores

MULTIPLICATIONS_PER_THREAD = 1 << 18
"""Least work per thread; with less, another thread costs more than it saves."""

_default: int | None = None  # process-wide; the only global mutable state, see set_num_threads
_of_openmp: int | None = None  # OpenMP's limit in a new thread, read once


_most_now = _openmp.max_threads if _openmp.HAS_OPENMP else None


class _ThisThread(threading.local):
    most: int | None = None  # set by limited_threads


_this_thread = _ThisThread()


def get_num_threads() -> int:
    """Return how many threads a call may use.

    The number given to `set_num_threads`, else the environment variable LCFAST_NUM_THREADS, else
    OMP_NUM_THREADS, else the cores that this process may use: by its CPU affinity
    (PYTHON_CPU_COUNT from Python 3.13 on) and the CPU quotas of its cgroups.  The environment and
    the cores are read at the first use.

    Fewer if OpenMP is limited in this thread, for example by `threadpoolctl.threadpool_limits`.

    Returns
    -------
    int
        At least 1; always 1 if lcfast was built without OpenMP.

    Raises
    ------
    ValueError
        If one of the environment variables is not a positive integer.

    Examples
    --------
    >>> import lcfast
    >>> lcfast.get_num_threads() >= 1
    True
    """
    global _default
    if _default is None:
        _default = _threads_of_environment()
    most = _this_thread.most or _default
    if most == 1 or _most_now is None:
        return 1 if _most_now is None else most
    now = _most_now()
    return min(most, now) if now < (_of_openmp or _read_openmp()) else most


def set_num_threads(threads: int | None) -> None:
    """Set how many threads a call may use, for the whole process.

    Results are bit-identical for any number of threads.

    Parameters
    ----------
    threads : int or None
        Number of threads, 1 to 4096; None restores the default of the environment.

    Raises
    ------
    TypeError
        If `threads` is not an integer.
    ValueError
        If `threads` is not between 1 and 4096.

    Examples
    --------
    >>> import lcfast
    >>> lcfast.set_num_threads(1)
    >>> lcfast.get_num_threads()
    1
    >>> lcfast.set_num_threads(None)
    """
    global _default
    _default = None if threads is None else checked_threads(threads)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let calls from this thread use up to `threads` threads inside the block."""
    before, _this_thread.most = _this_thread.most, checked_threads(threads)
    try:
        yield
    finally:
        _this_thread.most = before


def checked_threads(threads: Any) -> int:
    """Return `threads` as an int; raise TypeError or ValueError if it is not a valid number."""
    if isinstance(threads, bool):
        raise TypeError(f"The number of threads must be a positive integer, not {threads!r}.")
    try:
        count = operator.index(threads)
    except TypeError:
        raise TypeError(
            f"The number of threads must be a positive integer, not {threads!r}."
        ) from None
    if not 1 <= count <= 4096:
        raise ValueError(f"The number of threads must be from 1 to 4096, not {count}.")
    return count


def threads_for(multiplications: int, threads: int | None = None) -> int:
    """Threads to use for this many multiplications, at most `threads` or the default."""
    most = get_num_threads() if threads is None else checked_threads(threads)
    if most == 1 or multiplications < 2 * MULTIPLICATIONS_PER_THREAD:
        return 1
    return min(most, multiplications // MULTIPLICATIONS_PER_THREAD)


def _threads_of_environment() -> int:
    for variable in ("LCFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text:
            if not text.isdecimal() or int(text) < 1:
                raise ValueError(
                    f"The environment variable {variable} is {text!r}; set it to a positive number "
                    "of threads, or unset it."
                )
            return min(int(text), 4096)
    return cores.usable_cores()


def _read_openmp() -> int:
    """OpenMP's limit in a new thread: that of this thread may already be lowered."""
    global _of_openmp
    assert _most_now is not None
    numbers: list[int] = []
    reader = threading.Thread(target=lambda: numbers.append(_most_now()))
    try:
        reader.start()
    except RuntimeError:  # no more threads, or the interpreter is shutting down
        return _most_now()
    reader.join()
    _of_openmp = numbers[0]
    return _of_openmp
