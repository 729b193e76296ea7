"""How to compute: engine, threads and SIMD path."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lcfast.local_conv import dispatch

ENGINES = ("direct", "sparse", "auto")


class ComputeOptions(NamedTuple):
    """How to compute; results are bit-identical for any threads, and any SIMD path with FMA."""

    engine: str = "direct"
    threads: int | None = None
    kernel_path: str | None = None

    def path(self) -> int:
        """Index of the SIMD path in the tables of kernels."""
        if self.kernel_path is None:
            return dispatch.active_index()
        return dispatch.path_index(self.kernel_path)


DEFAULT_OPTIONS = ComputeOptions()


def checked_engine(engine: str | None) -> str | None:
    """Return `engine`, checked; None leaves the choice to the layer.

    Raises
    ------
    ValueError
        If the engine does not exist.
    """
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)} or None, not {engine!r}.")
    return engine


def by_dtype(function: Any) -> dict[np.dtype, Any]:
    """The float32 and float64 instances of a function with a fused type, by dtype."""
    return {
        np.dtype(np.float32): function["float"],
        np.dtype(np.float64): function["double"],
    }
