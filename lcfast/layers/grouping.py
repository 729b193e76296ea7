"""Convolutions in groups: each group of channels has filters of its own.

Wide groups are ordinary convolutions, one after the other, on copies of their channels; many
narrow ones would leave the vectors empty and are computed side by side, see banding.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from lcfast.layers import banding
from lcfast.layers.arrangement import Arrangement
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_LAST, Geometry

NARROW = 16
"""Channels or filters of a group below which all groups are computed side by side: measured."""


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    arrangement: Arrangement,
    activation: ops.Activation,
    call: ops.Call,
) -> np.ndarray:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[k,f] + bias[f]), k in the group of f."""
    kernel = _by_groups(kernel, arrangement)
    if _narrow(arrangement):
        return banding.forward(x, kernel, bias, arrangement, activation, call)
    rows, one = arrangement.phases_of_input(x), _one_group(arrangement)
    y = np.empty((len(rows), *arrangement.phase.output_shape), x.dtype)
    for group, (channels, filters) in enumerate(_slices(arrangement)):
        own = None if bias is None else bias[filters]
        y[..., filters] = ops.forward(rows[..., channels], kernel[group], own, one, call=call)
    return arrangement.output_of_phases(ops.activate(y, activation, y, call))


def input_gradient(
    dy: np.ndarray, kernel: np.ndarray, arrangement: Arrangement, call: ops.Call
) -> np.ndarray:
    """The gradient of the input."""
    kernel = _by_groups(kernel, arrangement)
    if _narrow(arrangement):
        return banding.input_gradient(dy, kernel, arrangement, call)
    rows, one = arrangement.phases_of_output(dy), _one_group(arrangement)
    dx = np.empty((len(rows), *arrangement.phase.input_shape), dy.dtype)
    for group, (channels, filters) in enumerate(_slices(arrangement)):
        own = kernel[group].reshape(one.kernel_shape)
        dx[..., channels] = ops.input_gradient(rows[..., filters], own, one, call)
    return arrangement.input_of_phases(dx)


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, arrangement: Arrangement, call: ops.Call
) -> np.ndarray:
    """The gradient of the kernel, (taps of a group, filters)."""
    if _narrow(arrangement):
        by_groups = banding.kernel_gradient(x, dy, arrangement, call)
    else:
        rows, dy_rows = arrangement.phases_of_input(x), arrangement.phases_of_output(dy)
        one = _one_group(arrangement)
        parts = [
            ops.kernel_gradient(rows[..., channels], dy_rows[..., filters], one, call)
            for channels, filters in _slices(arrangement)
        ]
        by_groups = np.concatenate(parts)
    return by_groups.transpose(1, 0, 2).reshape(-1, arrangement.filters)


def _narrow(arrangement: Arrangement) -> bool:
    return min(arrangement.channels, arrangement.filters) < NARROW * arrangement.groups


def _by_groups(kernel: np.ndarray, arrangement: Arrangement) -> np.ndarray:
    """Keras's kernel, (*kernel_size, channels of a group, filters), as (groups, taps, filters)."""
    own = arrangement.filters // arrangement.groups
    return np.ascontiguousarray(kernel.reshape(-1, arrangement.groups, own).transpose(1, 0, 2))


@lru_cache(maxsize=256)
def _one_group(arrangement: Arrangement) -> Geometry:
    """The convolution of one group on a phase."""
    return Geometry(
        arrangement.phase.input_size,
        arrangement.channels // arrangement.groups,
        arrangement.filters // arrangement.groups,
        arrangement.kernel_size,
        arrangement.strides,
        CHANNELS_LAST,
        shared=True,
    )


def _slices(arrangement: Arrangement) -> Iterator[tuple[slice, slice]]:
    """Channels and filters of each group."""
    channels = arrangement.channels // arrangement.groups
    filters = arrangement.filters // arrangement.groups
    for group in range(arrangement.groups):
        yield (
            slice(group * channels, (group + 1) * channels),
            slice(group * filters, (group + 1) * filters),
        )
