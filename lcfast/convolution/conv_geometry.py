"""The geometry of a convolution whose kernel all positions share: padding, dilation, groups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from lcfast.convolution import padding_rules
from lcfast.local_conv.geometry import CHANNELS_LAST, Geometry


@dataclass(frozen=True)
class ConvGeometry:
    """The sizes of a convolution with a shared kernel, integers only.

    A dilated convolution is computed on phases.  A phase holds every d-th pixel of the input, d
    the dilation rate: pixel i belongs to phase i % d.  Within a phase the taps of a receptive
    field are adjacent, so each phase is a convolution without dilation.  The phases of a row
    become rows of the batch; without dilation there is one phase, the input itself.

    Parameters
    ----------
    size, kernel_size, strides, dilation_rate : tuple of int
        One entry for each spatial dimension; strides are 1 where a dilation is more.
    channels, filters : int
        Channels of the input, filters of the output.
    groups : int
        Each group of channels has filters of its own.
    padding : str
        "valid", "same" or "causal".
    """

    size: tuple[int, ...]
    channels: int
    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]
    groups: int = 1
    padding: str = "valid"

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        """Positions along each spatial dimension."""
        return tuple(
            padding_rules.output_size(n, k, s, self.padding, d)
            for n, k, s, d in zip(
                self.size, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )

    @cached_property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Zeros before and after each spatial dimension."""
        return tuple(
            padding_rules.pads(n, k, s, self.padding, d)
            for n, k, s, d in zip(
                self.size, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )

    @cached_property
    def phases(self) -> int:
        """Phases of a row: how many rows of the batch it becomes."""
        return math.prod(self.dilation_rate)

    @cached_property
    def phase(self) -> Geometry:
        """The convolution of one phase, without padding, dilation and groups."""
        sizes = zip(self.size, self.pads, self.dilation_rate, strict=True)
        size = tuple(-(-(n + sum(around)) // d) for n, around, d in sizes)
        return Geometry(
            size, self.channels, self.filters, self.kernel_size, self.strides, CHANNELS_LAST,
            shared=True,
        )  # fmt: skip

    def phases_of_input(self, x: np.ndarray) -> np.ndarray:
        """(N, *size, channels), padded with zeros, as rows of inputs of `phase`."""
        size = self._full_size(self.phase.input_size)
        if size != self.size:
            padded = np.zeros((len(x), *size, self.channels), x.dtype)
            padded[self._inside()] = x
            x = padded
        return self._split(x)

    def input_of_phases(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `phases_of_input`, for gradients: the padding is dropped."""
        return np.ascontiguousarray(self._joined(rows)[self._inside()])

    def phases_of_output(self, y: np.ndarray) -> np.ndarray:
        """(N, *output_size, filters), with zeros after it, as rows of outputs of `phase`."""
        size = self._full_size(self.phase.output_size)
        if size != self.output_size:
            extended = np.zeros((len(y), *size, self.filters), y.dtype)
            extended[(slice(None), *map(slice, self.output_size))] = y
            y = extended
        return self._split(y)

    def output_of_phases(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `phases_of_output`."""
        full = self._joined(rows)
        return np.ascontiguousarray(full[(slice(None), *map(slice, self.output_size))])

    def _inside(self) -> tuple[slice, ...]:
        """The slices of the input within the padded input."""
        sizes = zip(self.size, self.pads, strict=True)
        return (slice(None), *(slice(before, before + n) for n, (before, _) in sizes))

    def _full_size(self, phase_size: tuple[int, ...]) -> tuple[int, ...]:
        """The size of which a phase is one part."""
        return tuple(n * d for n, d in zip(phase_size, self.dilation_rate, strict=True))

    def _split(self, array: np.ndarray) -> np.ndarray:
        """(N, *size, depth) to (N * phases, *size / dilation_rate, depth)."""
        if self.phases == 1:
            return array
        count, *size, depth = array.shape
        sizes = [
            part for n, d in zip(size, self.dilation_rate, strict=True) for part in (n // d, d)
        ]
        last = len(sizes) + 1
        split = array.reshape(count, *sizes, depth)
        split = split.transpose(0, *range(2, last, 2), *range(1, last, 2), last)
        return split.reshape(count * self.phases, *sizes[::2], depth)

    def _joined(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `_split`."""
        if self.phases == 1:
            return rows
        dimensions = len(self.size)
        count, *size, depth = len(rows) // self.phases, *rows.shape[1:]
        split = rows.reshape(count, *self.dilation_rate, *size, depth)
        pairs = [axis for i in range(1, dimensions + 1) for axis in (i + dimensions, i)]
        full = split.transpose(0, *pairs, 2 * dimensions + 1)
        return full.reshape(count, *self._full_size(tuple(size)), depth)


conv_geometry = lru_cache(maxsize=256)(ConvGeometry)
"""A cached ConvGeometry of these arguments: its `phase` keeps the plans of earlier calls."""
