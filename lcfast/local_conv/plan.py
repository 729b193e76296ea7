"""How the direct engine computes one call: which axis vectors run along, and the cut of the work.

A plan changes the speed of a call, never the bits of its result.  It depends on the geometry, the
dtype, the batch size, the threads and the SIMD path only, and is cached for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lcfast.local_conv import _filters, _simd_paths
from lcfast.local_conv.geometry import Geometry

PANEL_VECTORS = 3
"""Most vectors of batch rows in a panel; with 8 filters their sums fill 24 registers."""
PANEL_BYTES = 16 << 20
"""Most bytes of one thread's panel."""
SCRATCH_BYTES = 56 << 20
"""Most bytes of the panels of all threads."""
WEIGHTS_BYTES = 64 << 10
"""Most bytes of weights of a group of positions: they stay in L2 for the whole batch."""
ONCE_BYTES = 12 << 10
"""The same for one or two batch rows: the weights pass through L1 once."""
UNZIPPED_BYTES = 32 << 10
"""The same with the unzipped inputs and outputs of a block of rows, which stay in L1."""
ROW_BLOCK = 8
"""Batch rows in such a block."""
MOST_VECTORS = 256
"""Most vectors of positions in a group: a row is read and written a few pages at a time."""
WIDE = 128
"""Fewest filters of a single position whose kernel is packed block by block."""
SHORT_PATCH = 96
"""Most taps for which one vector of 8 filters needs no transposed input: measured with AVX2."""
FEW_ROWS = _filters.PACKED_FROM_ROWS
"""Fewest batch rows for which packing pays."""
CACHED_PLANS = 256
"""Most plans that a geometry caches; then the cache is emptied."""


@dataclass(frozen=True)
class Plan:
    """How a call computes; `str(plan)` describes it.

    Parameters
    ----------
    regime : str
        What vectors run along: "filters", "batch", "positions" or, in the gradient of the
        kernel, "taps".
    threads : int
        Threads that share the work.
    path : str
        SIMD path.
    lanes : int
        Numbers in a vector.
    vectors : int
        Regime "batch": vectors of rows in a panel; regime "positions": vectors of positions in a
        group.
    splits : int
        Regime "batch": ranges of positions, each with a panel of the inputs that it reads.
    packed : bool
        Regime "filters": whether the weights are packed block by block.
    engine : str
        "direct" or "sparse"; the latter has one regime, of the same name.
    block : tuple of int, optional
        Regime "filters": most positions, filters and rows of a task.
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

    @property
    def has_fast_path(self) -> bool:
        """Whether the cached fast path can repeat a call with this plan."""
        return self.regime in ("filters", "batch") and not self.packed

    def __str__(self) -> str:
        shared = f"{self.threads} thread{'s' if self.threads > 1 else ''}, {self.path}"
        if self.engine == "sparse":
            return f"sparse engine: a matrix in CSR form, vectors of {self.lanes}; {shared}"
        if self.block is not None:
            positions, filters, rows = self.block
            block = f"tasks of {positions} positions x {filters} filters x {rows} rows"
            shared = f"{block}; {shared}"
        if self.regime == "positions":
            shared = f"weights of a group unzipped; {shared}"
            return f"vectors of {self.lanes} positions, up to {self.vectors} in a group; {shared}"
        shared = f"weights {'packed' if self.packed else 'as they are stored'}; {shared}"
        if self.regime != "batch":
            return f"vectors of {self.lanes} {self.regime}; {shared}"
        return (
            f"vectors of {self.lanes} rows, up to {self.vectors} at once, from a transposed copy "
            f"of the inputs; positions in {self.splits} ranges; {shared}"
        )


def forward_plan(geometry: Geometry, dtype: np.dtype, rows: int, threads: int, path: int) -> Plan:
    """The plan of a forward call, cached with the geometry."""
    return _cached(_forward_plan, geometry, dtype.itemsize, rows, threads, path)


def input_gradient_plan(
    geometry: Geometry, dtype: np.dtype, rows: int, threads: int, path: int
) -> Plan:
    """The plan of the gradient of the input; its ranges are of pixels instead of positions."""
    return _cached(_input_gradient_plan, geometry, dtype.itemsize, rows, threads, path)


def kernel_gradient_plan(
    geometry: Geometry, dtype: np.dtype, rows: int, threads: int, path: int
) -> Plan:
    """The plan of the gradient of the kernel: vectors run along filters or along taps."""
    return _cached(_kernel_gradient_plan, geometry, dtype.itemsize, rows, threads, path)


def _cached(
    make: Any, geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int
) -> Plan:
    key = (make, item_bytes, rows, threads, path)
    plan: Plan | None = geometry.plans.get(key)
    if plan is None:
        if len(geometry.plans) >= CACHED_PLANS:
            geometry.plans.clear()
        plan = geometry.plans[key] = make(geometry, item_bytes, rows, threads, path)
    return plan


def _forward_plan(geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int) -> Plan:
    plan = _filters_plan(item_bytes, threads, path)
    if _forward_along_positions(geometry, plan.lanes, rows):
        return _positions_plan(plan, geometry, item_bytes, rows)
    if geometry.positions == geometry.runs == 1 and geometry.filters >= WIDE and rows >= FEW_ROWS:
        return replace(plan, packed=True)
    whole_vectors = geometry.filters % plan.lanes == 0
    # With a shared kernel the positions of one batch row fill a tile.
    enough = 1 if geometry.shared and rows < 2 * plan.lanes else 2
    if 2 * rows < plan.lanes or geometry.positions == 1:
        return plan
    if whole_vectors and geometry.filters >= enough * plan.lanes:
        return plan
    if geometry.filters == plan.lanes == 8 and geometry.patch_size <= SHORT_PATCH:
        return plan
    return _batch_plan(plan, geometry, item_bytes, rows, geometry.positions, _panel_rows)


def _input_gradient_plan(
    geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int
) -> Plan:
    plan = _filters_plan(item_bytes, threads, path)
    if _input_gradient_along_positions(geometry, plan.lanes, rows):
        plan = _positions_plan(plan, geometry, item_bytes, rows)
        # A group starts with the inputs that the receptive fields of the previous group reach.
        overlap = -(-geometry.run_length // geometry.window_steps[1]) - 1
        return replace(plan, vectors=max(plan.vectors, -(-4 * overlap // plan.lanes)))
    pixels = math.prod(geometry.input_size)
    plan = _batch_plan(plan, geometry, item_bytes, rows, pixels, _gradient_panel_rows)
    if plan.regime == "batch":
        return plan
    # Even one pixel needs more scratch than the limit.
    return replace(plan, regime="batch", vectors=1, splits=pixels)


def _kernel_gradient_plan(
    geometry: Geometry, item_bytes: int, rows: int, threads: int, path: int
) -> Plan:
    plan = _filters_plan(item_bytes, threads, path)
    lanes = plan.lanes
    if _kernel_gradient_along_positions(geometry, lanes, rows):
        return _positions_plan(plan, geometry, item_bytes, rows)
    filled = {name: size / (-(-size // lanes) * lanes) for name, size in (
        ("filters", geometry.filters), ("taps", geometry.run_length),
    )}  # fmt: skip
    # A block of one vector leaves half the registers empty; 8 filters by 3 vectors of taps do not.
    filled["filters"] *= min(geometry.filters / (3 * lanes) + 0.4, 1)
    filled["taps"] *= min(geometry.filters / 3, 1)
    return replace(plan, regime="taps") if filled["taps"] > filled["filters"] else plan


def _filters_plan(item_bytes: int, threads: int, path: int) -> Plan:
    lanes = _simd_paths.vector_bytes(path) // item_bytes
    return Plan("filters", threads, _simd_paths.PATH_NAMES[path], lanes)


# When regime "positions" is the fastest: measured against the other regimes on two threads, with 1
# to 12 filters, receptive fields of 3 to 243 taps, 1D and 2D, and 1 to 256 rows.  From half a
# vector of rows on, the alternative is regime "batch".  `phases`: rows of positions that the input
# is unzipped into; 5 or more go through a square transpose that they do not fill.


def _positions_fill(geometry: Geometry, lanes: int) -> bool:
    """Whether regime "positions" can compute a geometry: few filters, and rows of a vector."""
    few = 0 < geometry.filters <= 3 * lanes // 4 or geometry.filters == 1
    return few and not geometry.shared and geometry.output_columns >= lanes


def _phases(geometry: Geometry) -> int:
    return min(geometry.window_steps[1], geometry.run_length)


def _forward_along_positions(geometry: Geometry, lanes: int, rows: int) -> bool:
    if not _positions_fill(geometry, lanes) or geometry.patch_size == 0:
        return False
    filters, taps, along = geometry.filters, geometry.patch_size, geometry.window_steps[1]
    if rows == 1:  # the alternative computes several positions at once
        few = 4 * filters <= lanes and taps * filters <= 4 * lanes
        if filters == 1 and (along == 1 or lanes >= 16):
            return True
        return few and (along == 1 or 2 * filters * _phases(geometry) <= lanes)
    if 2 * rows < lanes:
        return True
    if along == 1:
        weights = 48 if geometry.channels_first else 16
        return taps <= 64 if filters == 1 else taps * filters <= weights
    return geometry.runs == 1 and filters <= 2 and _phases(geometry) <= 4


def _kernel_gradient_along_positions(geometry: Geometry, lanes: int, rows: int) -> bool:
    if not _positions_fill(geometry, lanes) or geometry.patch_size == 0:
        return False
    filters, weights = geometry.filters, geometry.patch_size * geometry.filters
    if 2 * rows < lanes:
        return 2 * filters <= lanes or weights <= 128
    if geometry.channels_first and filters > 1:
        return filters <= 8  # the other regimes start with a copy
    if filters > 1 and 4 * filters > lanes:
        return False
    if geometry.window_steps[1] == 1:
        most = 5 * lanes if filters == 2 else 40
        return filters == 1 or weights <= most or len(geometry.input_size) == 2
    if geometry.runs == 1 and lanes <= geometry.run_length <= geometry.window_steps[1]:
        return True  # no overlap: whole squares, each read once
    room = lanes if geometry.channels == 1 else lanes // 2
    return _phases(geometry) <= 4 and filters * _phases(geometry) <= room


def _input_gradient_along_positions(geometry: Geometry, lanes: int, rows: int) -> bool:
    along, filters = geometry.window_steps[1], geometry.filters
    row = geometry.input_size[-1] * (1 if geometry.channels_first else geometry.channels)
    if not _positions_fill(geometry, lanes) or row < lanes * along or geometry.patch_size == 0:
        return False
    # For inputs near an edge, this regime adds zeros for positions that do not exist.  They may be
    # part of a single chain, but would move the cuts of a longer sum.
    two_d = len(geometry.input_size) == 2
    down = -(-geometry.kernel_size[0] // geometry.strides[0]) if two_d else 1
    if down * -(-geometry.run_length // along) * filters > _simd_paths.TERMS_OF_PIECE:
        return False
    if 2 * rows < lanes:
        return True
    if len(geometry.input_size) == 2:
        return geometry.channels == 1 and filters <= 2 and rows <= 2 * lanes
    if geometry.channels > 1:
        return filters == 1 if along == 1 else filters <= 2 and along <= 4
    if along == 1:
        return filters == 1 or filters * geometry.patch_size <= (80 if filters == 2 else 40)
    return filters <= 8


def _positions_plan(plan: Plan, geometry: Geometry, item_bytes: int, rows: int) -> Plan:
    """The plan of regime "positions", with groups as large as the caches allow."""
    vector = plan.lanes * item_bytes
    along = geometry.window_steps[1]
    each = geometry.patch_size * geometry.filters * vector
    room = ONCE_BYTES if 2 * rows < ROW_BLOCK else WEIGHTS_BYTES
    if along > 1:
        unzipped = geometry.runs * min(along, geometry.run_length) + geometry.filters
        each += min(rows, ROW_BLOCK) * unzipped * vector
        room = min(room, UNZIPPED_BYTES)
    total = geometry.positions // plan.lanes
    most = min(room // each, MOST_VECTORS, -(-total // plan.threads))
    return replace(plan, regime="positions", vectors=max(most, 1))


def _batch_plan(
    filters_plan: Plan,
    geometry: Geometry,
    item_bytes: int,
    rows: int,
    most_splits: int,
    panel_rows: Callable[[Geometry, int], int],
) -> Plan:
    """Regime "batch" with the fewest ranges that fit the scratch, else `filters_plan`."""
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
    """Most inputs from the first to the last that a range of positions reads."""
    bounds = np.arange(splits + 1) * geometry.positions // splits
    starts = _receptive_field_start(geometry, np.stack([bounds[:-1], bounds[1:] - 1]))
    return int((starts[1] - starts[0]).max()) + geometry.span


def _gradient_panel_rows(geometry: Geometry, splits: int) -> int:
    """Most inputs of a range of pixels plus the outputs of all positions that read them."""
    pixels = math.prod(geometry.input_size)
    per_range = -(-pixels // splits)
    columns = geometry.input_size[-1]
    if len(geometry.input_size) == 1:
        positions = (per_range + geometry.kernel_size[0]) // geometry.strides[0] + 1
    else:
        rows = (per_range - 1) // columns + 2 + geometry.kernel_size[0]
        positions = (rows // geometry.strides[0] + 1) * geometry.output_columns
    return per_range * geometry.channels + min(positions, geometry.positions) * geometry.filters


def _receptive_field_start(geometry: Geometry, position: np.ndarray) -> np.ndarray:
    down, along = geometry.window_steps
    row, column = np.divmod(position, geometry.output_columns)
    offset: np.ndarray = row * down + column * along
    return offset
