"""What an input may take: more is a finding."""

import resource
from pathlib import Path

MOST_MEMORY = 2**30  # bytes above what the process has when it starts
LONGEST = 5  # seconds


def limit_memory() -> None:
    """Let an allocation of a gigabyte fail, however little of it would be touched."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
