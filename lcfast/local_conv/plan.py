"""How the direct engine computes one call: which numbers fill its vectors, and how work is cut.

A plan changes how fast an answer is there, never its bits.  It depends on the geometry, the dtype,
the batch, the threads and the SIMD path alone, and is made once for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lcfast.local_conv import _direct
from lcfast.local_conv.geometry import Geometry

PANEL_VECTORS = 3
"""Vectors of rows of the batch in a panel, at most; with 8 filters their sums fill 24 registers."""
PANEL_BYTES = 16 << 20
"""Of one thread's panel: what all threads have together stays under SCRATCH_BYTES."""
SCRATCH_BYTES = 56 << 20
WIDE = 128
"""Filters of one position from which on blocks of its kernel are packed, where there are ..."""
FEW_ROWS = 6
"""... rows enough to share them."""
REMEMBERED = 256
"""Plans that a geometry keeps before it forgets them all."""


@dataclass(frozen=True)
class Plan:
    """What a call does; `str(plan)` says it in words.

    Parameters
    ----------
    regime : str
        What vectors run along: "filters", "batch" or, in the gradient of the kernel, "taps".
    threads : int
        Threads that share the work.
    path : str
        SIMD path.
    lanes : int
        Numbers in a vector.
    vectors : int
        Regime "batch": vectors of rows in a panel.
    splits : int
        Regime "batch": ranges of positions, each with a panel of the inputs that it sees.
    packed : bool
        Regime "filters": whether blocks of the weights are packed before they are used.
    engine : str
        "direct", "sparse" or "reference"; the last two have one regime, of the same name.
    block : tuple of int, optional
        Regime "filters": positions, filters and rows of a task, at most.
    """

    regime: str
    threads: int
    path: str
    lanes: int
    vectors: int = 0
    splits: int = 0
    packed: bool = False
    engine: str = "direct"
    block: tuple[int, int, int] | None = None

    def __str__(self) -> str:
        if self.engine == "reference":
            return "reference engine: plain loops in the widest precision; 1 thread"
        shared = f"{self.threads} thread{'s' if self.threads > 1 else ''}, {self.path}"
        if self.engine == "sparse":
            return f"sparse engine: a matrix in CSR form, vectors of {self.lanes}; {shared}"
        if self.block is not None:
            positions, filters, rows = self.block
            block = f"tasks of {positions} positions x {filters} filters x {rows} rows"
            shared = f"{block}; {shared}"
        shared = f"weights {'packed' if self.packed else 'as they are stored'}; {shared}"
        if self.regime != "batch":
            return f"vectors of {self.lanes} {self.regime}; {shared}"
        return (
            f"vectors of {self.lanes} rows, up to {self.vectors} at once, from a transposed copy "
            f"of the inputs; positions in {self.splits} ranges; {shared}"
        )


def forward_plan(geometry: Geometry, dtype: np.dtype, rows: int, threads: int, path: int) -> Plan:
    """The plan of a forward call; made once and then remembered with the geometry."""
    return _remembered(_forward_plan, geometry, dtype.itemsize, rows, threads, path)


def input_gradient_plan(
    geometry: Geometry, dtype: np.dtype, rows: int, threads: int, path: int
) -> Plan:
    """The plan of the gradient of the input; its ranges are of inputs instead of positions."""
    return _remembered(_input_gradient_plan, geometry, dtype.itemsize, rows, threads, path)


def kernel_gradient_plan(
    geometry: Geometry, dtype: np.dtype, rows: int, threads: int, path: int
) -> Plan:
    """The plan of the gradient of the kernel: vectors run along filters or along taps."""
    return _remembered(_kernel_gradient_plan, geometry, dtype.itemsize, rows, threads, path)


def _remembered(
    make: Any, geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int
) -> Plan:
    key = (make, item_bytes, rows, threads, path)
    plan: Plan | None = geometry.plans.get(key)
    if plan is None:
        if len(geometry.plans) >= REMEMBERED:
            geometry.plans.clear()
        plan = geometry.plans[key] = make(geometry, item_bytes, rows, threads, path)
    return plan


def _forward_plan(geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int) -> Plan:
    plan = _filters_plan(item_bytes, threads, path)
    if geometry.positions == geometry.runs == 1 and geometry.filters >= WIDE and rows >= FEW_ROWS:
        return replace(plan, packed=True)
    whole_vectors = geometry.filters >= 3 * plan.lanes and geometry.filters % plan.lanes == 0
    if 2 * rows < plan.lanes or whole_vectors or geometry.positions == 1:
        return plan
    return _batch_plan(plan, geometry, item_bytes, rows, geometry.positions, _panel_rows)


def _input_gradient_plan(
    geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int
) -> Plan:
    plan = _filters_plan(item_bytes, threads, path)
    if 2 * rows < plan.lanes:
        return plan
    pixels = math.prod(geometry.input_size)
    return _batch_plan(plan, geometry, item_bytes, rows, pixels, _gradient_panel_rows)


def _kernel_gradient_plan(
    geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int
) -> Plan:
    plan = _filters_plan(item_bytes, threads, path)
    lanes = plan.lanes
    filled = {name: size / (-(-size // lanes) * lanes) for name, size in (
        ("filters", geometry.filters), ("taps", geometry.run_length),
    )}  # fmt: skip
    # A block of one vector keeps the registers half empty, 8 filters beside 3 vectors of taps not.
    filled["filters"] *= min(geometry.filters / (3 * lanes) + 0.4, 1)
    filled["taps"] *= min(geometry.filters / 3, 1)
    return replace(plan, regime="taps") if filled["taps"] > filled["filters"] else plan


def _filters_plan(item_bytes: int, threads: int, path: int) -> Plan:
    lanes = _direct.vector_bytes(path) // item_bytes
    return Plan("filters", threads, _direct.PATH_NAMES[path], lanes)


def _batch_plan(
    filters_plan: Plan,
    geometry: Geometry,
    item_bytes: int,
    rows: int,
    most_splits: int,
    panel_rows: Callable[[Geometry, int], int],
) -> Plan:
    """Regime "batch" with as few ranges as the scratch allows, or else the other plan."""
    lanes, threads = filters_plan.lanes, filters_plan.threads
    total = -(-rows // lanes)
    blocks = -(-total // PANEL_VECTORS)
    vectors = -(-total // blocks)
    most = min(PANEL_BYTES, SCRATCH_BYTES // threads) // (vectors * lanes * item_bytes)
    splits = min(threads, most_splits)
    while panel_rows(geometry, splits) > most:
        if splits == most_splits:
            return filters_plan
        splits = min(2 * splits, most_splits)
    return replace(filters_plan, regime="batch", vectors=vectors, splits=splits)


def _panel_rows(geometry: Geometry, splits: int) -> int:
    """Inputs that a range of positions sees, from the first to the last, at most."""
    bounds = np.arange(splits + 1) * geometry.positions // splits
    starts = _window_offset(geometry, np.stack([bounds[:-1], bounds[1:] - 1]))
    return int((starts[1] - starts[0]).max()) + geometry.span


def _gradient_panel_rows(geometry: Geometry, splits: int) -> int:
    """Inputs of a range of pixels, and outputs of the positions that see them, at most."""
    pixels = math.prod(geometry.input_size)
    per_range = -(-pixels // splits)
    columns = geometry.input_size[-1]
    if len(geometry.input_size) == 1:
        seen = (per_range + geometry.kernel_size[0]) // geometry.strides[0] + 1
    else:
        rows = (per_range - 1) // columns + 2 + geometry.kernel_size[0]
        seen = (rows // geometry.strides[0] + 1) * geometry.output_columns
    return per_range * geometry.channels + min(seen, geometry.positions) * geometry.filters


def _window_offset(geometry: Geometry, position: np.ndarray) -> np.ndarray:
    down, along = geometry.window_steps
    row, column = np.divmod(position, geometry.output_columns)
    offset: np.ndarray = row * down + column * along
    return offset
