"""What the extension gives Python; ops.py is the only one that calls its kernels."""

from typing import Any

PATH_NAMES: tuple[str, ...]
SUPPORTED_PATHS: tuple[int, ...]
HAS_OPENMP: bool

def vector_bytes(path: int) -> int: ...
def release_threads() -> None: ...

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
forward: Any
forward_wide: Any
input_gradient: Any
sum_rows: Any
