"""The cases to time: layers of real models, unusual shapes, Dense and Conv; all without padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FLOAT32 = 4
LARGEST_CELL = 6e9
"""Bytes of arrays above which a cell is left out."""
LARGEST_BLOCK = 1 << 30
"""The most im2col bytes that a peer holds at once; a larger batch is processed in blocks."""

LOCAL, CONV, DENSE = "local", "conv", "dense"


@dataclass(frozen=True)
class Case:
    """One layer: its geometry, channels last, and where it comes from."""

    name: str
    input_shape: tuple[int, ...]
    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str = LOCAL
    origin: str = "real model"

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        sizes = zip(self.input_shape[:-1], self.kernel_size, self.strides, strict=True)
        return tuple((n - k) // s + 1 for n, k, s in sizes)

    @property
    def channels(self) -> int:
        return self.input_shape[-1]

    @property
    def inputs(self) -> int:
        """Numbers in one row of the input."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Numbers in one row of the output."""
        return self.positions * self.filters

    @property
    def positions(self) -> int:
        return math.prod(self.output_size)

    @property
    def patch(self) -> int:
        """Taps of one receptive field."""
        return math.prod(self.kernel_size) * self.channels

    @property
    def shared(self) -> bool:
        """Whether all positions have the same filters."""
        return self.kind != LOCAL

    @property
    def kernel_shape(self) -> tuple[int, int, int]:
        """Positions, taps in the order (kernel rows, kernel columns, channels), filters."""
        return (1 if self.shared else self.positions, self.patch, self.filters)

    @property
    def bias_shape(self) -> tuple[int, int]:
        return (1 if self.shared else self.positions, self.filters)

    @property
    def weights(self) -> int:
        """Numbers in kernel and bias."""
        return math.prod(self.kernel_shape) + math.prod(self.bias_shape)

    @property
    def run_length(self) -> int:
        """Contiguous inputs in one row of a receptive field."""
        return self.kernel_size[-1] * self.channels

    @cached_property
    def run_offsets(self) -> np.ndarray:
        """Where each row of a receptive field starts, in inputs from the field's start."""
        rows = np.arange(math.prod(self.kernel_size[:-1]), dtype=np.int64)
        return rows * math.prod(self.input_shape[1:])

    @cached_property
    def window_offsets(self) -> np.ndarray:
        """Where each receptive field starts, in inputs from the start of a row of the batch."""
        steps = (math.prod(self.input_shape[1:]), self.channels)[-len(self.strides) :]
        grids = np.indices(self.output_size, np.int64).reshape(len(self.strides), -1)
        offsets = np.zeros(self.positions, np.int64)
        for grid, stride, step in zip(grids, self.strides, steps, strict=True):
            offsets += grid * stride * step
        return offsets

    def taps(self) -> np.ndarray:
        """Flat index in a row of the input of each tap of each position: int64 (P, K)."""
        in_window = self.run_offsets[:, None] + np.arange(self.run_length, dtype=np.int64)
        return self.window_offsets[:, None] + in_window.ravel()

    def operations(self, batch: int, gradients: bool = False) -> int:
        """Multiplications and additions; the two gradients need twice as many."""
        return 2 * batch * self.outputs * self.patch * (2 if gradients else 1)

    def bytes_moved(self, batch: int, gradients: bool = False) -> tuple[int, int]:
        """Bytes that must be read and written, each array once."""
        x, y, w = batch * self.inputs, batch * self.outputs, self.weights
        read, written = (x + w + y, x + w) if gradients else (x + w, y)
        return FLOAT32 * read, FLOAT32 * written

    def window_bytes(self, batch: int) -> int:
        """Bytes of the im2col array of a batch."""
        return FLOAT32 * batch * self.positions * self.patch

    def block_rows(self, batch: int) -> int:
        """Rows of a batch whose im2col array fits into one block."""
        rows = batch
        while rows % 2 == 0 and self.window_bytes(rows) > LARGEST_BLOCK:
            rows //= 2
        return rows

    def cell_bytes(self, batch: int) -> int:
        """Bytes of a cell in a peer: input and output twice, weights, one im2col block."""
        block = self.window_bytes(self.block_rows(batch)) if not self.shared else 0
        return FLOAT32 * (2 * batch * (self.inputs + self.outputs) + self.weights) + block

    def left_out(self, batch: int) -> str | None:
        """Why a cell is not timed, or None."""
        size = self.cell_bytes(batch)
        if size > LARGEST_CELL:
            return f"{size / 1e9:.1f} GB of arrays, more than {LARGEST_CELL / 1e9:.0f}"
        return None

    def shape_text(self) -> str:
        """`32x32x3, 64 of 3x3, stride 2x2`."""
        text = f"{'x'.join(map(str, self.input_shape))}, {self.filters} of "
        text += "x".join(map(str, self.kernel_size))
        if set(self.strides) != {1}:
            text += f", stride {'x'.join(map(str, self.strides))}"
        return text


_REAL = (
    # the examples of tf.keras's documentation
    Case("docs_lc2d_a", (32, 32, 3), 64, (3, 3), (1, 1)),
    Case("docs_lc2d_b", (30, 30, 64), 32, (3, 3), (1, 1)),
    Case("docs_lc1d_a", (10, 32), 64, (3,), (1,)),
    # immunology, CRISPR, faces, cancer, genomics, neuroscience
    Case("mhcflurry", (15, 21), 8, (3,), (1,)),
    Case("adapt", (47, 238), 4, (2,), (1,)),
    Case("deepface_L4", (63, 63, 16), 16, (9, 9), (1, 1)),
    Case("deepface_L5", (55, 55, 16), 16, (7, 7), (2, 2)),
    Case("deepface_L6", (25, 25, 16), 16, (5, 5), (1, 1)),
    Case("p1b3", (29532, 1), 10, (10,), (1,)),
    Case("gpnet_k3", (44314, 1), 1, (3,), (1,)),
    Case("eir", (64000, 1), 4, (32,), (32,)),
    Case("tnn_1", (150, 150, 3), 64, (7, 7), (3, 3)),
)
_ODD = (
    Case("filters_7", (32, 32, 3), 7, (3, 3), (1, 1), origin="odd"),
    Case("filters_81", (16, 16, 16), 81, (3, 3), (1, 1), origin="odd"),
    Case("kernel_1", (28, 28, 32), 32, (1, 1), (1, 1), origin="odd"),
    Case("stride_is_kernel", (32, 32, 16), 16, (4, 4), (4, 4), origin="odd"),
    Case("one_position", (16, 16, 32), 64, (16, 16), (1, 1), origin="odd"),
    Case("positions_1e6", (1000002, 1), 1, (3,), (1,), origin="odd"),
)
_SHARED = (
    Case("dense_4096", (1, 4096), 4096, (1,), (1,), DENSE, "dense and conv"),
    Case("deepface_C1", (152, 152, 3), 32, (11, 11), (1, 1), CONV, "dense and conv"),
    Case("deepface_C3", (71, 71, 32), 16, (9, 9), (1, 1), CONV, "dense and conv"),
)
CASES = {case.name: case for case in (*_REAL, *_ODD, *_SHARED)}
ALMOST_NOTHING = Case("almost_nothing", (1, 1), 1, (1,), (1,), origin="overhead")
"""A layer of one multiplication: its time is the overhead of a call."""

BATCHES = (1, 32, 512)
GRADIENT_BATCHES = (32, 512)
QUICK = ("docs_lc1d_a", "mhcflurry", "stride_is_kernel")


def case_named(name: str) -> Case:
    """A case by its name."""
    return ALMOST_NOTHING if name == ALMOST_NOTHING.name else CASES[name]
