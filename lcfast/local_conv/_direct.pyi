"""What the extension gives Python; ops.py is the only one that calls its kernels."""

from typing import Any

PATH_NAMES: tuple[str, ...]
SUPPORTED_PATHS: tuple[int, ...]
HAS_OPENMP: bool
PACKED_FROM_ROWS: int

def vector_bytes(path: int) -> int: ...
def forward_blocks(
    geometry: Any, rows: int, item_bytes: int, threads: int
) -> tuple[int, int, int]: ...

# See the .pyx for the arguments.  The others are indexed by "float" or "double" first.
forward: Any
forward_wide: Any
