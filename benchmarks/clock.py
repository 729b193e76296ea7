"""The clock: best and median of repeats of a call, within a budget of time."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

SHORTEST_SAMPLE = 5e-4
"""Seconds that the clock runs at least; shorter calls are repeated within a sample."""
FEWEST_REPEATS = 3
SLOW_CALL = 1.5
"""Seconds of a call after which one repeat must do."""


class Timing(NamedTuple):
    """Seconds for one call, best and median of `repeats` samples."""

    best: float
    median: float
    repeats: int


def sample(call: Callable[[], object], calls: int) -> float:
    """Seconds for one of `calls` calls."""
    start = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - start) / calls


def timed(call: Callable[[], object], seconds: float, hopeless: float = SLOW_CALL) -> Timing:
    """Time a call that has been made before, for about `seconds`; once if it is `hopeless`."""
    gc.collect()
    gc.disable()
    try:
        first = sample(call, 1)
        if first > min(SLOW_CALL, hopeless):
            return Timing(first, first, 1)
        calls = max(1, round(SHORTEST_SAMPLE / first))
        samples = [] if calls > 1 else [first]
        spent = first
        while spent < seconds or len(samples) < FEWEST_REPEATS:
            samples.append(sample(call, calls))
            spent += samples[-1] * calls
    finally:
        gc.enable()
    return Timing(min(samples), statistics.median(samples), len(samples))
