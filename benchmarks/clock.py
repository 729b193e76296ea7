"""Measure the best and median time of a call, within a time budget."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

SHORTEST_SAMPLE = 5e-4
"""The shortest sample in seconds; shorter calls are repeated within a sample."""
FEWEST_REPEATS = 3
SLOW_CALL = 1.5
"""A call that takes more seconds than this is repeated only once."""


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


def timed(call: Callable[[], object], seconds: float, hopeless: float = math.inf) -> Timing:
    """Time a call, which has run before, for about `seconds`.

    If its first repeats all take longer than `hopeless`, no more follow.
    """
    gc.collect()
    gc.disable()
    try:
        samples = [sample(call, 1)]
        if samples[0] > SLOW_CALL:
            return Timing(samples[0], samples[0], 1)
        samples += [sample(call, 1) for _ in range(FEWEST_REPEATS - 1)]
        spent, best = sum(samples), min(samples)
        calls = max(1, round(SHORTEST_SAMPLE / best))
        if calls > 1:
            samples = []  # too short to measure
        while len(samples) < FEWEST_REPEATS or (spent < seconds and best <= hopeless):
            samples.append(sample(call, calls))
            spent += samples[-1] * calls
    finally:
        gc.enable()
    return Timing(min(samples), statistics.median(samples), len(samples))
