"""The limits of this machine, measured in each run: multiply-adds, bandwidth, the roofline."""

from __future__ import annotations

import ctypes
import math
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compiling import compiled

SIZES = tuple(1 << power for power in range(16, 29))
"""Sizes in bytes at which bandwidth is measured: from a core's cache to main memory."""
READ, COPY, STREAM = range(3)


@dataclass
class Machine:
    """Rates in operations and bytes per second, on all threads; 0 if not measured."""

    threads: int
    peak_512: float = 0.0
    peak_256: float = 0.0
    read: list[float] = field(default_factory=lambda: [0.0] * len(SIZES))
    copy: list[float] = field(default_factory=lambda: [0.0] * len(SIZES))
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def peak(self) -> float:
        """float32 operations a second."""
        return max(self.peak_512, self.peak_256)

    def memory_seconds(self, read: int, written: int) -> float:
        """Time to read and write bytes once, all in the same level of the memory hierarchy.

        A copy reads and writes one byte each; its time beyond that of reading is the write time.
        """
        size = read + written
        read_cost, copy_cost = 1 / _at(self.read, size), 1 / _at(self.copy, size)
        return read * read_cost + written * max(2 * copy_cost - read_cost, read_cost)

    def roofline_seconds(self, operations: int, moved: tuple[int, int]) -> float:
        """The least time for given numbers of operations and bytes."""
        return max(operations / self.peak, self.memory_seconds(*moved))

    def compute_bound(self, operations: int, moved: tuple[int, int]) -> bool:
        """Whether the operations take longer than the bytes."""
        return operations / self.peak >= self.memory_seconds(*moved)

    def merge(self, other: Machine) -> None:
        """Keep the better of two measurements, because a limit is the best the machine can do."""
        self.peak_512 = max(self.peak_512, other.peak_512)
        self.peak_256 = max(self.peak_256, other.peak_256)
        self.read = [max(pair) for pair in zip(self.read, other.read, strict=True)]
        self.copy = [max(pair) for pair in zip(self.copy, other.copy, strict=True)]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "sizes": SIZES}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Machine:
        return cls(**{name: value for name, value in stored.items() if name != "sizes"})


def _at(rates: list[float], size: int) -> float:
    """A rate at a size between two of SIZES, on a logarithmic scale of sizes."""
    place = math.log2(max(size, SIZES[0])) - math.log2(SIZES[0])
    below = min(int(place), len(SIZES) - 1)
    above = min(below + 1, len(SIZES) - 1)
    share = min(place - below, 1.0)
    return rates[below] * (1 - share) + rates[above] * share


class Meter:
    """Measures the machine through benchmarks/c/machine.c."""

    def __init__(self, threads: int) -> None:
        library = compiled("machine")
        self.threads = threads
        self._peak = library.peak_flops
        self._peak.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_double]
        self._peak.restype = ctypes.c_double
        self._bandwidth = library.bandwidth
        self._bandwidth.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int, ctypes.c_double]
        self._bandwidth.restype = ctypes.c_double

    def peaks(self, seconds: float) -> Machine:
        """Measure only the peaks, in twice `seconds`."""
        return Machine(
            self.threads,
            peak_512=self._peak(self.threads, 64, seconds),
            peak_256=self._peak(self.threads, 32, seconds),
        )

    def everything(self, seconds: float) -> Machine:
        """Measure peaks and bandwidths, `seconds` for each."""
        machine = self.peaks(seconds)
        for index, size in enumerate(SIZES):
            rates = [self._bandwidth(self.threads, size, kind, seconds) for kind in range(3)]
            machine.read[index] = rates[READ]
            machine.copy[index] = max(rates[COPY], rates[STREAM])
        machine.facts = facts()
        return machine


def usable_threads() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def facts() -> dict[str, str]:
    """Describe the machine: processor, cores, caches, memory, system."""
    found = {"system": platform.system(), "machine": platform.machine()}
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return found
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {key.strip(): value.strip() for key, value in values.items()}
    found["processor"] = names.get("model name", "unknown")
    flags = names.get("flags", "").split()
    found["vectors"] = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "other"
    found["largest cache"] = largest_cache_text()
    return found


def largest_cache() -> int:
    """Bytes of the largest cache of the first core; 32 MiB if Linux does not report it."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KM")) << (20 if text.endswith("M") else 10))
    return max(sizes, default=32 << 20)


def largest_cache_text() -> str:
    return f"{largest_cache() >> 20} MiB"
