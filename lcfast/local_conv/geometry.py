"""The sizes of an unshared convolution: shapes, receptive fields and runs, as integers.

The receptive field of one output position is read from the flattened input as `runs` runs of
`run_length` contiguous numbers.  That holds for 1D and 2D and for both data formats, in the order
in which Keras stores the kernel, so no im2col is needed:

====================  ==================  ==============  ================================
layer, data_format    runs                run_length      order of the K taps
====================  ==================  ==============  ================================
1D, channels_last     1                   k * C           (k, C)
1D, channels_first    C                   k               (C, k)
2D, channels_last     kh                  kw * C          (kh, kw, C)
2D, channels_first    C * kh              kw              (C, kh, kw)
====================  ==================  ==============  ================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

CHANNELS_LAST = "channels_last"
CHANNELS_FIRST = "channels_first"


Pads = tuple[tuple[int, int], ...]


def valid_output_size(size: int, kernel: int, stride: int) -> int:
    """Number of positions in `size` inputs without padding (0 or less: the kernel does not fit)."""
    return (size - kernel) // stride + 1


def same_output_size(size: int, stride: int) -> int:
    """Number of positions with padding "same"."""
    return -(-size // stride)


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros (before, after) one dimension for "same" of the locally connected layers.

    Keras's rule for these layers, not the one of convolutions: the receptive field of position p
    starts at p * stride - kernel // 2, whatever the stride.  A negative number of zeros after the
    input leaves out inputs that no position reads.
    """
    before = kernel // 2
    return before, (same_output_size(size, stride) - 1) * stride + kernel - before - size


def sum_clipped(first: int, step: int, count: int, most: int) -> int:
    """Sum of the `count` numbers first, first + step, ..., each clipped to 0..most."""
    low = min(max(-(first // step), 0), count)  # this many are clipped to 0
    high = min(max(-((first - most) // step), low), count)  # from here on all are clipped to `most`
    between = (high - low) * first + step * (high - low) * (low + high - 1) // 2
    return between + (count - high) * most


@dataclass(frozen=True)
class Geometry:
    """Sizes of one unshared (or, with `shared`, ordinary) convolution.

    Parameters
    ----------
    input_size, kernel_size, strides : tuple of int
        One entry for each of the one or two spatial dimensions.
    channels, filters : int
        Channels of the input, filters of the output.
    data_format : str
        "channels_last" or "channels_first", for input and output.
    shared : bool
        True if all positions share their filters (Conv): the kernel has one position.
    pads : tuple of (int, int), optional
        Zeros before and after each spatial dimension; () means none.  A negative number leaves
        inputs out.  Receptive fields, runs and taps are those of `padded`.
    """

    input_size: tuple[int, ...]
    channels: int
    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    data_format: str = CHANNELS_LAST
    shared: bool = False
    pads: Pads = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy gets the fields only: cached values may hold pointers into this object.
        return type(self), tuple(getattr(self, part.name) for part in fields(self))

    @cached_property
    def padded(self) -> Geometry:
        """The same convolution of the input after padding."""
        if not any(before or behind for before, behind in self.pads):
            return self
        sizes = zip(self.input_size, self.pads, strict=True)
        size = tuple(n + before + behind for n, (before, behind) in sizes)
        return replace(self, input_size=size, pads=())

    @cached_property
    def plans(self) -> dict[Any, Any]:
        """Cached plans of calls; see plan.py."""
        return {}

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        """Output positions along each spatial dimension."""
        if self.padded is not self:
            return self.padded.output_size
        dimensions = zip(self.input_size, self.kernel_size, self.strides, strict=True)
        return tuple(valid_output_size(n, k, s) for n, k, s in dimensions)

    @cached_property
    def positions(self) -> int:
        """P, the number of output positions, counted row by row."""
        return math.prod(self.output_size)

    @cached_property
    def patch_size(self) -> int:
        """K, the number of inputs in a receptive field."""
        return math.prod(self.kernel_size) * self.channels

    @cached_property
    def channels_first(self) -> bool:
        """Whether channels and filters precede the spatial dimensions."""
        return self.data_format == CHANNELS_FIRST

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row of the batch, in the caller's data format."""
        return self._shape(self.input_size, self.channels)

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of the output, in the caller's data format."""
        return self._shape(self.output_size, self.filters)

    @cached_property
    def kernel_shape(self) -> tuple[int, int, int]:
        """(P, K, F) of the kernel; a shared kernel has one position."""
        return (1 if self.shared else self.positions, self.patch_size, self.filters)

    @cached_property
    def bias_size(self) -> int:
        """Numbers in the bias: one for each output of a row, or one for each shared filter."""
        return self.filters if self.shared else self.positions * self.filters

    @cached_property
    def connections(self) -> int:
        """Weights that connect an input to an output; taps in the padding do not count."""
        total = self.channels * self.filters
        pads = self.pads or ((0, 0),) * len(self.input_size)
        sizes = zip(
            self.input_size, self.kernel_size, self.strides, self.output_size, pads, strict=True
        )
        for size, kernel, stride, positions, (before, _) in sizes:
            # Sum over positions of (end - start) of the receptive field, clipped to the input.
            ends = sum_clipped(kernel - before, stride, positions, size)
            total *= ends - sum_clipped(-before, stride, positions, size)
        return total

    @cached_property
    def multiplications(self) -> int:
        """Multiplications of one row of the batch, forward."""
        return self.positions * self.patch_size * self.filters

    @cached_property
    def runs(self) -> int:
        """Runs of contiguous inputs in one receptive field."""
        rows = math.prod(self.kernel_size[:-1])
        return rows * self.channels if self.channels_first else rows

    @cached_property
    def run_length(self) -> int:
        """Contiguous inputs in one run."""
        return self.patch_size // self.runs if self.runs else 0

    @cached_property
    def run_offsets(self) -> np.ndarray:
        """Start of each run, in inputs from the start of the receptive field: int64 (runs,)."""
        offsets = np.arange(math.prod(self.kernel_size[:-1]), dtype=np.int64)
        if self.channels_first:
            channels = np.arange(self.channels, dtype=np.int64) * math.prod(self.input_size)
            offsets = (channels[:, None] + offsets * self.input_size[-1]).ravel()
        else:
            offsets *= self.input_size[-1] * self.channels
        offsets.flags.writeable = False  # layers share geometries
        return offsets

    @cached_property
    def kernel_run_offsets(self) -> np.ndarray:
        """Start of each run in the kernel of a position: int64 (runs,)."""
        offsets = np.arange(self.runs, dtype=np.int64) * self.run_length * self.filters
        offsets.flags.writeable = False
        return offsets

    @cached_property
    def span(self) -> int:
        """Inputs from the first of a receptive field to its last, inclusive."""
        return int(self.run_offsets[-1]) + self.run_length if self.runs else 0

    @cached_property
    def output_columns(self) -> int:
        """Positions in one row of positions (all of them in 1D)."""
        return self.output_size[-1]

    @cached_property
    def window_steps(self) -> tuple[int, int]:
        """Inputs from one receptive field to the next: (down a row of positions, along a row)."""
        pixel = 1 if self.channels_first else self.channels
        down = self.strides[0] * self.input_size[-1] if len(self.strides) == 2 else 0
        return down * pixel, self.strides[-1] * pixel

    def receptive_field_starts(self) -> np.ndarray:
        """Start of each receptive field, in inputs from the start of a batch row: int64 (P,)."""
        down, along = self.window_steps
        position = np.arange(self.positions, dtype=np.int64)
        return position // self.output_columns * down + position % self.output_columns * along

    def taps(self) -> np.ndarray:
        """Flat index in the padded input of each tap of each position: int64 (P, K)."""
        if self.padded is not self:
            return self.padded.taps()
        within_run = np.arange(self.run_length, dtype=np.int64)
        within_field = (self.run_offsets[:, None] + within_run).ravel()
        return self.receptive_field_starts()[:, None] + within_field

    def inputs_of_taps(self) -> tuple[np.ndarray, np.ndarray]:
        """Flat index in the input of each tap, and whether it lies in the input: both (P, K).

        The index of a tap that lies in the padding is 0.
        """
        taps = self.taps()
        if self.padded is self:
            return taps, np.ones(taps.shape, bool)
        numbers = np.arange(math.prod(self.input_shape)).reshape(self.input_shape)
        padded = np.full(self.padded.input_shape, -1)
        target, source = self.overlap()
        padded[target] = numbers[source]
        inputs = padded.ravel()[taps]
        return np.maximum(inputs, 0), inputs >= 0

    def overlap(self) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where the input lies in a row of the padded input, and which part of the input it is."""
        target, source = [], []
        for size, (before, behind) in zip(self.input_size, self.pads, strict=True):
            target.append(slice(max(before, 0), before + size + min(behind, 0)))
            source.append(slice(max(-before, 0), size + min(behind, 0)))
        depth = slice(None)
        if self.channels_first:
            return (depth, *target), (depth, *source)
        return (*target, depth), (*source, depth)

    def _shape(self, size: tuple[int, ...], depth: int) -> tuple[int, ...]:
        return (depth, *size) if self.channels_first else (*size, depth)
