"""The products of Conv and its kin, all on local_conv's tile: padded, dilated and grouped.

Arrays have their channels last here.  A transposed convolution is the gradient of the input of an
ordinary one, a depthwise convolution has as many groups as channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from lcfast.layers import grouping, windows
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_LAST, Geometry


@dataclass(frozen=True)
class Arrangement:
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
            windows.output_size(n, k, s, self.padding, d)
            for n, k, s, d in zip(
                self.size, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )

    @cached_property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Zeros before and after each spatial dimension."""
        return tuple(
            windows.pads(n, k, s, self.padding, d)
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


arranged = lru_cache(maxsize=256)(Arrangement)
"""The arrangement of these integers, made once: it keeps its geometry, which keeps its plans."""


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    arrangement: Arrangement,
    activation: ops.Activation = ops.LINEAR,
    out: np.ndarray | None = None,
    call: ops.Call = ops.DEFAULT_CALL,
) -> np.ndarray:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[k,f] + bias[f]), over the channels of f's group.

    Parameters
    ----------
    x : ndarray, shape (N, *size, channels)
        The input.
    kernel : ndarray
        The numbers of (*kernel_size, channels // groups, filters).
    bias : ndarray of shape (filters,) or None
        Added to each position.
    arrangement : Arrangement
        How the kernel lies on the input.
    activation : Activation
        Applied to the sum; softmax runs over the filters.
    out : ndarray, optional
        Where the answer may go, or not: the caller takes what is returned.
    call : Call
        Engine, threads and SIMD path.

    Returns
    -------
    ndarray, shape (N, *output_size, filters)
    """
    rows = _to_phases(_padded(x, arrangement), arrangement)
    phase = arrangement.phase
    if arrangement.groups > 1:
        y = grouping.forward(rows, kernel, bias, phase, arrangement.groups, activation, call)
    else:
        y = ops.forward(
            rows, kernel, bias, phase, activation, out if arrangement.phases == 1 else None, call
        )
    return _from_phases(y, arrangement, arrangement.output_size)


def input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    arrangement: Arrangement,
    call: ops.Call = ops.DEFAULT_CALL,
) -> np.ndarray:
    """The gradient of the input, (N, *size, channels), of that of the output before activation."""
    rows = _to_phases(_dilated_to_whole_phases(dy, arrangement), arrangement)
    phase = arrangement.phase
    if arrangement.groups > 1:
        dx = grouping.input_gradient(rows, kernel, phase, arrangement.groups, call)
    else:
        dx = ops.input_gradient(rows, kernel.reshape(phase.kernel_shape), phase, call)
    size = tuple(
        n + sum(around) for n, around in zip(arrangement.size, arrangement.pads, strict=True)
    )
    padded = _from_phases(dx, arrangement, size)
    return np.ascontiguousarray(padded[_inside(arrangement)])


def kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    arrangement: Arrangement,
    call: ops.Call = ops.DEFAULT_CALL,
) -> np.ndarray:
    """The gradient of the kernel, (*kernel_size, channels // groups, filters)."""
    rows = _to_phases(_padded(x, arrangement), arrangement)
    dy_rows = _to_phases(_dilated_to_whole_phases(dy, arrangement), arrangement)
    phase, groups = arrangement.phase, arrangement.groups
    if groups > 1:
        dkernel = grouping.kernel_gradient(rows, dy_rows, phase, groups, call)
    else:
        dkernel = ops.kernel_gradient(rows, dy_rows, phase, call)
    return dkernel.reshape(
        *arrangement.kernel_size, arrangement.channels // groups, arrangement.filters
    )


def _inside(arrangement: Arrangement) -> tuple[slice, ...]:
    """Where the input lies in the padded input."""
    sizes = zip(arrangement.size, arrangement.pads, strict=True)
    return (slice(None), *(slice(before, before + n) for n, (before, _) in sizes))


def _padded(x: np.ndarray, arrangement: Arrangement) -> np.ndarray:
    """`x` with zeros around it, as many as its windows reach and its phases are whole."""
    size = _whole(arrangement.phase.input_size, arrangement)
    if size == arrangement.size:
        return x
    padded = np.zeros((len(x), *size, arrangement.channels), x.dtype)
    padded[_inside(arrangement)] = x
    return padded


def _dilated_to_whole_phases(dy: np.ndarray, arrangement: Arrangement) -> np.ndarray:
    """`dy` with zeros behind it, until all phases have as many positions."""
    size = _whole(arrangement.phase.output_size, arrangement)
    if size == arrangement.output_size:
        return dy
    whole = np.zeros((len(dy), *size, arrangement.filters), dy.dtype)
    whole[(slice(None), *map(slice, arrangement.output_size))] = dy
    return whole


def _whole(phase_size: tuple[int, ...], arrangement: Arrangement) -> tuple[int, ...]:
    return tuple(n * d for n, d in zip(phase_size, arrangement.dilation_rate, strict=True))


def _to_phases(array: np.ndarray, arrangement: Arrangement) -> np.ndarray:
    """(N, *size, depth) to (N * phases, *size / dilation_rate, depth)."""
    if arrangement.phases == 1:
        return array
    count, *size, depth = array.shape
    rate = arrangement.dilation_rate
    dimensions = len(rate)
    split = [part for n, d in zip(size, rate, strict=True) for part in (n // d, d)]
    order = (0, *range(2, 2 * dimensions + 1, 2), *range(1, 2 * dimensions, 2), 2 * dimensions + 1)
    apart = array.reshape(count, *split, depth).transpose(order)
    return apart.reshape(count * arrangement.phases, *split[::2], depth)


def _from_phases(array: np.ndarray, arrangement: Arrangement, size: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_to_phases`, cut to `size`."""
    if arrangement.phases == 1:
        return array
    rate = arrangement.dilation_rate
    dimensions = len(rate)
    _, *phase_size, depth = array.shape
    count = len(array) // arrangement.phases
    apart = array.reshape(count, *rate, *phase_size, depth)
    order = [axis for i in range(1, dimensions + 1) for axis in (i + dimensions, i)]
    whole = apart.transpose(0, *order, 2 * dimensions + 1)
    whole = whole.reshape(count, *_whole(tuple(phase_size), arrangement), depth)
    return np.ascontiguousarray(whole[(slice(None), *map(slice, size))])
