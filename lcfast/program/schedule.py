"""How many rows a program runs at a time, and what its threads share: blocks or steps.

A schedule changes the speed of a call, never the bits of its result.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from lcfast.local_conv.threads import threads_for
from lcfast.program.layout import places
from lcfast.program.steps import Steps

DEFAULT_CACHE = 512 << 10
"""Bytes of a core's own cache where the system does not tell."""
SHARE_OF_CACHE = 0.75
"""Of a core's cache, for the values of a block; the rest is for weights."""
MOST_CACHED_WEIGHTS = 16 << 20
"""From so many bytes of weights on, threads that each read all of them wait for memory."""
FEWEST_ROWS = 16
"""Fewest rows of a block while there are enough rows: each block reads all weights."""
BLOCK_BYTES = 12 << 20
"""Most bytes of the values of a block that are not in the cache."""
SHARED_WORK = 600_000
"""Least multiplications for each thread where threads share the steps of few rows: measured."""
SHARED_BYTES = 24 << 20
"""Most bytes for each thread of the values of a block that threads share."""


class Schedule(NamedTuple):
    """Rows of a block, whether the threads share its steps, and the number of threads."""

    block_rows: int
    within: bool
    threads: int


def cache_bytes() -> int:
    """Bytes of the second-level cache of a core."""
    name = "SC_LEVEL2_CACHE_SIZE"
    try:
        size = os.sysconf(name) if name in os.sysconf_names else 0
    except (OSError, ValueError):
        size = 0
    return size if size > 0 else DEFAULT_CACHE


CACHE = cache_bytes()


def bytes_of_row(steps: Steps) -> int:
    """Bytes of the values between the steps, for each row of the batch."""
    return places(steps)[1]


def schedule(steps: Steps, row_bytes: int, rows: int, most_threads: int) -> Schedule:
    """The schedule of a call on `rows` rows."""
    threads = threads_for(steps.work * rows, most_threads)
    fitting = max(int(SHARE_OF_CACHE * CACHE) // max(row_bytes, 1), 1)
    shared = max(threads * SHARED_BYTES // max(row_bytes, 1), 1)
    if steps.weight_bytes > MOST_CACHED_WEIGHTS:
        return Schedule(_even(rows, shared), threads > 1, threads)
    block = max(fitting, min(FEWEST_ROWS, BLOCK_BYTES // max(row_bytes, 1)), 1)
    if threads == 1:
        return Schedule(_even(rows, block), False, 1)
    if rows < 2 * FEWEST_ROWS:
        threads = min(threads, max(steps.work * rows // SHARED_WORK, 1))
        return Schedule(_even(rows, shared), threads > 1, threads)
    # At least two blocks for each thread, so that one that loses its core holds nobody up.
    block = min(block, max(-(-rows // (2 * threads)), min(FEWEST_ROWS, block)))
    return Schedule(_even(rows, block), False, threads)


def _even(rows: int, block: int) -> int:
    """Rows of blocks that are at most `block` and nearly equal, in whole vectors if there are."""
    count = -(-rows // block)
    size = -(-rows // count)
    return min(-(-size // 8) * 8, max(block, 1)) if size > 8 else size
