"""How many threads a call uses, and what keeps a forked child from hanging.

libgomp's pool of threads does not survive a fork: a child that inherits it waits for threads
that do not exist.  The pool is therefore let go before every fork; it comes back by itself.
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
"""Work under which one more thread costs more than it saves (a few microseconds)."""

_default: int | None = None  # the one piece of global mutable state, see set_num_threads
_of_openmp: int | None = None  # what OpenMP gives a new thread, read once


_most_now = _openmp.max_threads if _openmp.HAS_OPENMP else None


class _ThisThread(threading.local):
    most: int | None = None  # what a call under way was given, see limited_threads


_this_thread = _ThisThread()


def get_num_threads() -> int:
    """Return how many threads a call may use.

    The number that `set_num_threads` was given, else the environment variable
    LCFAST_NUM_THREADS, else OMP_NUM_THREADS, else the cores that this process may use: by its
    affinity (PYTHON_CPU_COUNT from Python 3.13 on) and the quotas of its control groups.  The
    environment and the cores are read when a number is first needed.

    Fewer where OpenMP was told so in this thread, as `threadpoolctl.threadpool_limits` does.

    Returns
    -------
    int
        At least 1; always 1 where lcfast was built without OpenMP.

    Raises
    ------
    ValueError
        If one of the environment variables holds something that is not a positive integer.

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

    The answers do not depend on it, to the bit.

    Parameters
    ----------
    threads : int or None
        A positive number of threads; None goes back to the environment's.

    Raises
    ------
    TypeError
        If `threads` is no integer.
    ValueError
        If `threads` is less than 1.

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
    """Let the calls that this thread makes meanwhile use up to `threads`, and nobody else's."""
    before, _this_thread.most = _this_thread.most, checked_threads(threads)
    try:
        yield
    finally:
        _this_thread.most = before


def checked_threads(threads: Any) -> int:
    """`threads` as an int, or the sentence that says what is wrong with it."""
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
    """Threads worth using for this many multiplications, at most `threads` or the default."""
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
                    f"The environment variable {variable} is {text!r}; it must be a positive "
                    "number of threads, or be left unset."
                )
            return min(int(text), 4096)
    return cores.usable_cores()


def _read_openmp() -> int:
    """What OpenMP gives a new thread: what it gives this one may have been limited already."""
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
