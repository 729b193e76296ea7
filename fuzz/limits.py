"""The memory and time that one input may use; more is a finding."""

import resource
from pathlib import Path

MOST_MEMORY = 2**30  # bytes in addition to those of the process at its start
LONGEST = 5  # seconds


def limit_memory() -> None:
    """Make allocations of a gigabyte fail, even if most of it would stay untouched."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
