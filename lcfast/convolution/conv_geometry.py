"""How a shared kernel lies on an input: the zeros around it, and the phases where it is dilated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from lcfast.convolution import padding_rules
from lcfast.local_conv.geometry import CHANNELS_LAST, Geometry


@dataclass(frozen=True)
class ConvGeometry:
    """How a kernel that all positions share lies on an input, described by integers only.

    A dilated convolution takes its input apart into phases, one for each remainder of a pixel's
    place: within a phase the taps of a window are neighbours, so each is an ordinary convolution.
    The phases of a row are further rows of the batch.

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
        """Rows that one row of the batch is taken apart into."""
        return math.prod(self.dilation_rate)

    @cached_property
    def phase(self) -> Geometry:
        """The ordinary convolution of a phase, all groups taken for one."""
        sizes = zip(self.size, self.pads, self.dilation_rate, strict=True)
        size = tuple(-(-(n + sum(around)) // d) for n, around, d in sizes)
        return Geometry(
            size, self.channels, self.filters, self.kernel_size, self.strides, CHANNELS_LAST,
            shared=True,
        )  # fmt: skip

    def phases_of_input(self, x: np.ndarray) -> np.ndarray:
        """(N, *size, channels), with zeros around it, as rows of `phase`'s inputs."""
        size = self._whole(self.phase.input_size)
        if size != self.size:
            padded = np.zeros((len(x), *size, self.channels), x.dtype)
            padded[self._inside()] = x
            x = padded
        return self._taken_apart(x)

    def input_of_phases(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `phases_of_input`, for gradients: what lies in the zeros is dropped."""
        return np.ascontiguousarray(self._put_together(rows)[self._inside()])

    def phases_of_output(self, y: np.ndarray) -> np.ndarray:
        """(N, *output_size, filters), with zeros behind it, as rows of `phase`'s outputs."""
        size = self._whole(self.phase.output_size)
        if size != self.output_size:
            extended = np.zeros((len(y), *size, self.filters), y.dtype)
            extended[(slice(None), *map(slice, self.output_size))] = y
            y = extended
        return self._taken_apart(y)

    def output_of_phases(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `phases_of_output`."""
        whole = self._put_together(rows)
        return np.ascontiguousarray(whole[(slice(None), *map(slice, self.output_size))])

    def _inside(self) -> tuple[slice, ...]:
        """Where the input lies among the zeros."""
        sizes = zip(self.size, self.pads, strict=True)
        return (slice(None), *(slice(before, before + n) for n, (before, _) in sizes))

    def _whole(self, phase_size: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n * d for n, d in zip(phase_size, self.dilation_rate, strict=True))

    def _taken_apart(self, array: np.ndarray) -> np.ndarray:
        """(N, *size, depth) to (N * phases, *size / dilation_rate, depth)."""
        if self.phases == 1:
            return array
        count, *size, depth = array.shape
        split = [
            part for n, d in zip(size, self.dilation_rate, strict=True) for part in (n // d, d)
        ]
        last = len(split) + 1
        apart = array.reshape(count, *split, depth)
        apart = apart.transpose(0, *range(2, last, 2), *range(1, last, 2), last)
        return apart.reshape(count * self.phases, *split[::2], depth)

    def _put_together(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `_taken_apart`."""
        if self.phases == 1:
            return rows
        dimensions = len(self.size)
        count, *size, depth = len(rows) // self.phases, *rows.shape[1:]
        apart = rows.reshape(count, *self.dilation_rate, *size, depth)
        pairs = [axis for i in range(1, dimensions + 1) for axis in (i + dimensions, i)]
        whole = apart.transpose(0, *pairs, 2 * dimensions + 1)
        return whole.reshape(count, *self._whole(tuple(size)), depth)


arranged = lru_cache(maxsize=256)(ConvGeometry)
"""The geometry of these integers, made once: it keeps its geometry, which keeps its plans."""
