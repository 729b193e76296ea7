"""Free memory, checked before arrays that may exceed it are allocated."""

from __future__ import annotations

import os


def available_memory() -> int | None:
    """Bytes that can be used without swapping; None if the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def check_memory(size: int, what: str, advice: str) -> None:
    """Raise MemoryError if `size` bytes are not free; allocate nothing.

    Raises
    ------
    MemoryError
        Naming what needs the memory, how much is needed and free, and what to do.
    """
    available = available_memory()
    if available is not None and size > available:
        raise MemoryError(
            f"{what} needs {size / 1e9:,.1f} GB, but {available / 1e9:,.1f} GB are free; {advice}."
        )
