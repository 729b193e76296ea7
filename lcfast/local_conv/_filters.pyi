"""The filters regime; only ops.py calls it."""

from typing import Any

PACKED_FROM_ROWS: int

def forward_blocks(
    geometry: Any, rows: int, item_bytes: int, threads: int
) -> tuple[int, int, int]: ...

# See the .pyx for the arguments; forward_wide is indexed by "float" or "double" first.
forward: Any
forward_wide: Any
