"""Convolutions in groups: each group of channels has filters of its own.

Wide groups are ordinary convolutions, one after the other, on copies of their channels.  Narrow
ones would leave most lanes of a vector unused; they are computed together, see narrow_groups.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from lcfast.convolution import narrow_groups
from lcfast.convolution.conv_geometry import ConvGeometry
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_LAST, Geometry

NARROW = 16
"""Groups with fewer channels or filters than this are computed together: measured."""


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    conv: ConvGeometry,
    activation: ops.Activation,
    options: ops.ComputeOptions,
) -> np.ndarray:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[k,f] + bias[f]), k in the group of f."""
    kernel = _by_groups(kernel, conv)
    if _narrow(conv):
        return narrow_groups.forward(x, kernel, bias, conv, activation, options)
    rows, one = conv.phases_of_input(x), _one_group(conv)
    y = np.empty((len(rows), *conv.phase.output_shape), x.dtype)
    for group, (channels, filters) in enumerate(_slices(conv)):
        own = None if bias is None else bias[filters]
        y[..., filters] = ops.forward(rows[..., channels], kernel[group], own, one, options=options)
    return conv.output_of_phases(ops.activate(y, activation, y, options))


def input_gradient(
    dy: np.ndarray, kernel: np.ndarray, conv: ConvGeometry, options: ops.ComputeOptions
) -> np.ndarray:
    """The gradient of the input."""
    kernel = _by_groups(kernel, conv)
    if _narrow(conv):
        return narrow_groups.input_gradient(dy, kernel, conv, options)
    rows, one = conv.phases_of_output(dy), _one_group(conv)
    dx = np.empty((len(rows), *conv.phase.input_shape), dy.dtype)
    for group, (channels, filters) in enumerate(_slices(conv)):
        own = kernel[group].reshape(one.kernel_shape)
        dx[..., channels] = ops.input_gradient(rows[..., filters], own, one, options)
    return conv.input_of_phases(dx)


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, conv: ConvGeometry, options: ops.ComputeOptions
) -> np.ndarray:
    """The gradient of the kernel, (taps, filters)."""
    if _narrow(conv):
        by_groups = narrow_groups.kernel_gradient(x, dy, conv, options)
    else:
        rows, dy_rows = conv.phases_of_input(x), conv.phases_of_output(dy)
        one = _one_group(conv)
        parts = [
            ops.kernel_gradient(rows[..., channels], dy_rows[..., filters], one, options)
            for channels, filters in _slices(conv)
        ]
        by_groups = np.concatenate(parts)
    return by_groups.transpose(1, 0, 2).reshape(-1, conv.filters)


def _narrow(conv: ConvGeometry) -> bool:
    return min(conv.channels, conv.filters) < NARROW * conv.groups


def _by_groups(kernel: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """Keras's kernel, (*kernel_size, channels // groups, filters), as (groups, taps, filters)."""
    own = conv.filters // conv.groups
    return np.ascontiguousarray(kernel.reshape(-1, conv.groups, own).transpose(1, 0, 2))


@lru_cache(maxsize=256)
def _one_group(conv: ConvGeometry) -> Geometry:
    """The convolution of one group on a phase."""
    return Geometry(
        conv.phase.input_size,
        conv.channels // conv.groups,
        conv.filters // conv.groups,
        conv.kernel_size,
        conv.strides,
        CHANNELS_LAST,
        shared=True,
    )


def _slices(conv: ConvGeometry) -> Iterator[tuple[slice, slice]]:
    """Channels and filters of each group."""
    channels = conv.channels // conv.groups
    filters = conv.filters // conv.groups
    for group in range(conv.groups):
        yield (
            slice(group * channels, (group + 1) * channels),
            slice(group * filters, (group + 1) * filters),
        )
