"""libxsmm's small products, called for each tile: an upper limit, not a practical engine.

Position by position (several sizes of a block of rows are tried); Conv along rows of the output.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from benchmarks.answers import Weights
from benchmarks.cases import CONV, FLOAT32, Case
from benchmarks.compiling import compiled
from benchmarks.peers.contract import NotOffered, Way, Ways

LIBRARIES = ("-lxsmm", "-lxsmmnoblas", "-lpthread", "-ldl", "-lm")
ROW_BLOCKS = (512, 128, 32)
MOST_FILTERS = 64


def versions() -> dict[str, str]:
    compiled("libxsmm_tiles", *LIBRARIES)
    return {"libxsmm": "Debian's libxsmm-dev"}


def forward(case: Case, weights: Weights) -> Ways:
    ways: Ways = {
        f"{rows} rows": lambda rows=rows: local(case, weights, rows)  # type: ignore[misc]
        for rows in ROW_BLOCKS
    }
    if case.kind == CONV:
        ways["rows of positions"] = lambda: convolution(case, weights)
    return ways


def way(
    case: Case,
    weights: Weights,
    sizes: tuple[int, ...],
    run_offsets: np.ndarray,
    tiles_of: Any,
    by_columns: bool = False,
) -> Way:
    """A way from (m, n, k, lda, ldb, ldc), the runs of a window and the tiles of a batch.

    n counts rows of the batch, of which there may be fewer, or, with `by_columns`, positions.
    """
    run_tiles = compiled("libxsmm_tiles", *LIBRARIES).run_tiles
    kernel, bias = np.ascontiguousarray(weights.kernel), np.ascontiguousarray(weights.bias)
    runs, taps = len(run_offsets), sizes[2]
    in_kernel = np.arange(runs, dtype=np.uint64) * np.uint64(taps * case.filters * FLOAT32)
    in_input = run_offsets.astype(np.uint64) * np.uint64(FLOAT32)

    def prepare(x: np.ndarray) -> Any:
        y = np.empty((len(x), case.positions, case.filters), np.float32)
        tiles = np.ascontiguousarray(tiles_of(len(x)), dtype=np.int64)
        m, n, *rest = sizes
        numbers = [m, n if by_columns else min(n, len(x)), *rest]
        held = (x, y, tiles)
        arguments = [
            *(pointer(a) for a in (x, kernel, bias, y)), ctypes.c_long(len(tiles)), pointer(tiles),
            *map(ctypes.c_int, numbers), ctypes.c_ulonglong(runs),
            pointer(in_kernel), pointer(in_input),
        ]  # fmt: skip
        return arguments, held

    def run(prepared: Any) -> np.ndarray:
        arguments, (_, y, _) = prepared
        if run_tiles(*arguments):
            raise NotOffered("libxsmm has no kernel for this shape")
        result: np.ndarray = y
        return result

    return Way(prepare, run, lambda y: y, in_blocks=False)


def local(case: Case, weights: Weights, rows: int) -> Way:
    """Tiles of some rows at one position; Dense is one position, its filters shared out."""
    wide = case.filters
    filters = MOST_FILTERS if wide > MOST_FILTERS and wide % MOST_FILTERS == 0 else wide
    sizes = (filters, rows, case.run_length, wide, case.inputs, case.outputs)
    position = np.arange(case.positions)[:, None, None]

    def tiles_of(batch: int) -> np.ndarray:
        if rows > 32 and rows >= 2 * batch:
            raise NotOffered(f"batch {batch} is less than a block of rows")
        first = np.arange(0, batch, rows)[None, :, None]
        filter_ = np.arange(0, wide, filters)[None, None, :]
        places = (
            case.window_offsets[position] + first * case.inputs,
            (0 if case.shared else position * case.patch * wide) + filter_,
            (0 if case.shared else position * wide) + filter_,
            position * wide + filter_ + first * case.outputs,
        )
        return np.stack(np.broadcast_arrays(*places), axis=-1).reshape(-1, 4)

    return way(case, weights, sizes, case.run_offsets, tiles_of)


def convolution(case: Case, weights: Weights) -> Way:
    """Tiles of one row of positions of one row of the batch; a run is one pixel's channels."""
    columns, wide = case.output_size[-1], case.filters
    along = case.channels * case.strides[-1]
    sizes = (wide, columns, case.channels, wide, along, wide)
    pixels = np.arange(case.kernel_size[-1]) * case.channels
    runs = (case.run_offsets[:, None] + pixels).ravel()
    starts = case.window_offsets[::columns]

    def tiles_of(batch: int) -> np.ndarray:
        row = np.arange(batch)[:, None]
        of_output = np.arange(len(starts)) * columns * wide
        x, y = starts + row * case.inputs, of_output + row * case.outputs
        return np.stack([x, 0 * x, 0 * x, y], axis=-1).reshape(-1, 4)

    return way(case, weights, sizes, runs, tiles_of, by_columns=True)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
