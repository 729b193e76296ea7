"""Choice of the SIMD path: the fastest the processor has, or the one that LCFAST_KERNEL names."""

from __future__ import annotations

import os
from functools import cache

from lcfast.local_conv import _simd_paths

PATHS: tuple[str, ...] = tuple(_simd_paths.PATH_NAMES[path] for path in _simd_paths.SUPPORTED_PATHS)
"""Names of the SIMD paths this processor can run, fastest first."""


def path_index(name: str | None) -> int:
    """Index of the SIMD path `name` in the tables of kernels; None means the fastest.

    Raises
    ------
    ValueError
        If the path does not exist, or this processor cannot run it.
    """
    if name is None:
        return int(_simd_paths.SUPPORTED_PATHS[0])
    if name not in PATHS:
        known = name in _simd_paths.PATH_NAMES
        problem = "this processor cannot run it" if known else "there is no such path"
        raise ValueError(
            f"The SIMD path {name!r} was requested, but {problem}; set the environment variable "
            f"LCFAST_KERNEL to one of {', '.join(PATHS)}, or leave it unset."
        )
    return int(_simd_paths.PATH_NAMES.index(name))


@cache
def active_path() -> str:
    """Name of the SIMD path in use; LCFAST_KERNEL is read once, at the first use."""
    return str(_simd_paths.PATH_NAMES[active_index()])


@cache
def active_index() -> int:
    """Index of the SIMD path in use."""
    return path_index(os.environ.get("LCFAST_KERNEL") or None)
