"""Which SIMD path the direct engine takes: the processor's best, or what LCFAST_KERNEL asks for."""

from __future__ import annotations

import os
from functools import cache

from lcfast.local_conv import _simd_paths

PATHS: tuple[str, ...] = tuple(_simd_paths.PATH_NAMES[path] for path in _simd_paths.SUPPORTED_PATHS)
"""Names of the paths this processor can run, fastest first."""


def path_index(name: str | None) -> int:
    """Index of the SIMD path `name` in the tables of kernels; None means the fastest.

    Raises
    ------
    ValueError
        If there is no such path, or this processor cannot run it.
    """
    if name is None:
        return int(_simd_paths.SUPPORTED_PATHS[0])
    if name not in PATHS:
        known = name in _simd_paths.PATH_NAMES
        problem = "this processor cannot run it" if known else "there is no such path"
        raise ValueError(
            f"The kernel path {name!r} was asked for, but {problem}; choose one of "
            f"{', '.join(PATHS)} (environment variable LCFAST_KERNEL, or leave it unset)."
        )
    return int(_simd_paths.PATH_NAMES.index(name))


@cache
def active_path() -> str:
    """Return the path in use, read from LCFAST_KERNEL when the first kernel is about to run."""
    return str(_simd_paths.PATH_NAMES[active_index()])


@cache
def active_index() -> int:
    """Index of the path in use."""
    return path_index(os.environ.get("LCFAST_KERNEL") or None)
