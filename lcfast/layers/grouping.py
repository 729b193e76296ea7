"""Convolutions in groups: each group of channels has filters of its own.

Wide groups are ordinary convolutions, one after the other, on copies of their channels.  Many
narrow ones would leave the vectors empty: they are computed side by side, as an *unshared*
convolution.  Along one row of output pixels, windows of all groups lie on a band of input rows::

    input (kernel rows, columns, channels), kernel (kernel columns, channels of a group),
    strides (stride, channels of a group), positions (output columns, groups)

so a position is a pixel and a group, and its taps are in Keras's order.  Bands are copied block by
block; the kernel is repeated for each output column.  A sequence is an image of one column, whose
rows are its steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, Geometry

BLOCK_BYTES = 1 << 21
"""Of bands that are copied at a time, at least one row of the batch: they stay in the caches."""
NARROW = 16
"""Channels or filters of a group below which all groups are computed side by side: measured."""


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    geometry: Geometry,
    groups: int,
    activation: ops.Activation,
    call: ops.Call,
) -> np.ndarray:
    """The output, (N, *output_size, filters), of a padded input; `geometry` has all groups."""
    y = np.empty((len(x), *geometry.output_shape), x.dtype)
    kernel = _by_groups(kernel, geometry, groups)
    if not _narrow(geometry, groups):
        one = _one_group(geometry, groups)
        for group, (channels, filters) in enumerate(_slices(geometry, groups)):
            own = None if bias is None else bias[filters]
            y[..., filters] = ops.forward(x[..., channels], kernel[group], own, one, call=call)
        return ops.activate(y, activation, y, call)
    bands = _band_geometry(geometry, groups)
    repeated, own = _repeated(kernel, bands), _repeated_bias(bias, bands)
    for block in _blocks(x, bands, geometry):
        part = y[block].reshape(-1, *bands.output_size, bands.filters)
        rows = _bands(x[block], geometry)
        if bands.filters == 1:  # in place: moving an axis of one is no copy
            ops.forward(rows, repeated, own, bands, activation, np.moveaxis(part, -1, 1), call)
            continue
        z = ops.forward(rows, repeated, own, bands, call=call)
        for number in range(bands.filters):  # long rows, where one copy would have short ones
            part[..., number] = z[:, number]
    return y if bands.filters == 1 else ops.activate(y, activation, y, call)


def input_gradient(
    dy: np.ndarray, kernel: np.ndarray, geometry: Geometry, groups: int, call: ops.Call
) -> np.ndarray:
    """The gradient of the padded input."""
    dx = np.zeros((len(dy), *geometry.input_shape), dy.dtype)
    kernel = _by_groups(kernel, geometry, groups)
    if not _narrow(geometry, groups):
        one = _one_group(geometry, groups)
        for group, (channels, filters) in enumerate(_slices(geometry, groups)):
            own = kernel[group : group + 1]
            dx[..., channels] = ops.input_gradient(dy[..., filters], own, one, call)
        return dx
    bands = _band_geometry(geometry, groups)
    repeated = _repeated(kernel, bands)
    image = dx.reshape(len(dx), geometry.input_size[0], math.prod(bands.input_size))
    stride, output_rows = geometry.strides[0], geometry.output_size[0]
    for block in _blocks(dx, bands, geometry):
        rows = _with_filters_first(dy[block], bands)
        dbands = ops.input_gradient(rows, repeated, bands, call)
        dbands = dbands.reshape(-1, output_rows, bands.channels, image.shape[-1])
        for row in range(bands.channels):
            last = row + (output_rows - 1) * stride + 1
            image[block, row:last:stride] += dbands[:, :, row]
    return dx


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, geometry: Geometry, groups: int, call: ops.Call
) -> np.ndarray:
    """The gradient of the kernel: (taps of a group, filters)."""
    taps, filters = geometry.patch_size // groups, geometry.filters // groups
    if not _narrow(geometry, groups):
        one = _one_group(geometry, groups)
        parts = [
            ops.kernel_gradient(x[..., channels], dy[..., own], one, call)
            for channels, own in _slices(geometry, groups)
        ]
        return np.concatenate(parts).transpose(1, 0, 2).reshape(taps, geometry.filters)
    bands = _band_geometry(geometry, groups)
    total = np.zeros(bands.kernel_shape, x.dtype)
    for block in _blocks(x, bands, geometry):
        rows = _with_filters_first(dy[block], bands)
        total += ops.kernel_gradient(_bands(x[block], geometry), rows, bands, call)
    columns = bands.output_size[0]
    dkernel = ops.sum_rows(total.reshape(columns, groups, taps, filters), call)
    return dkernel.transpose(1, 0, 2).reshape(taps, geometry.filters)


def _narrow(geometry: Geometry, groups: int) -> bool:
    return min(geometry.channels, geometry.filters) < NARROW * groups


def _by_groups(kernel: np.ndarray, geometry: Geometry, groups: int) -> np.ndarray:
    """Keras's kernel, (*kernel_size, channels of a group, filters), as (groups, taps, filters)."""
    taps = geometry.patch_size // groups
    return np.ascontiguousarray(kernel.reshape(taps, groups, -1).transpose(1, 0, 2))


# ---------------------------------------------------------------- one group after the other


def _one_group(geometry: Geometry, groups: int) -> Geometry:
    return replace(
        geometry, channels=geometry.channels // groups, filters=geometry.filters // groups
    )


def _slices(geometry: Geometry, groups: int) -> Iterator[tuple[slice, slice]]:
    """Channels and filters of each group."""
    channels, filters = geometry.channels // groups, geometry.filters // groups
    for group in range(groups):
        yield (
            slice(group * channels, (group + 1) * channels),
            slice(group * filters, (group + 1) * filters),
        )


# ---------------------------------------------------------------- all groups side by side


def _band_geometry(geometry: Geometry, groups: int) -> Geometry:
    """The unshared convolution of one row of output pixels."""
    _, columns, *_ = (*geometry.input_size, 1)
    window_rows, window_columns, *_ = (*geometry.kernel_size, 1)
    _, stride, *_ = (*geometry.strides, 1)
    channels = geometry.channels // groups
    return Geometry(
        (columns, geometry.channels), window_rows, geometry.filters // groups,
        (window_columns, channels), (stride, channels), CHANNELS_FIRST,
    )  # fmt: skip


def _repeated(kernel: np.ndarray, bands: Geometry) -> np.ndarray:
    """The kernel of each output column, (positions, taps, filters of a group)."""
    return np.tile(kernel, (bands.output_size[0], 1, 1))


def _repeated_bias(bias: np.ndarray | None, bands: Geometry) -> np.ndarray | None:
    """The bias of each output of a row, (filters of a group, columns, groups)."""
    if bias is None:
        return None
    columns, groups = bands.output_size
    by_filter = bias.reshape(groups, 1, bands.filters).T
    return np.ascontiguousarray(np.broadcast_to(by_filter, (bands.filters, columns, groups)))


def _blocks(x: np.ndarray, bands: Geometry, geometry: Geometry) -> Iterator[slice]:
    """Rows of the batch whose bands are copied at a time; cut by sizes alone."""
    row_bytes = geometry.output_size[0] * math.prod(bands.input_shape) * x.itemsize
    step = max(BLOCK_BYTES // row_bytes, 1)
    for first in range(0, len(x), step):
        yield slice(first, first + step)


def _bands(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The input rows that each row of output pixels sees: (N * output rows, *bands.input_shape)."""
    count, rows, *rest = x.shape
    columns, channels = rest if len(rest) == 2 else (1, rest[0])
    window, stride = geometry.kernel_size[0], geometry.strides[0]
    output_rows = geometry.output_size[0]
    image = x.reshape(count, rows, columns * channels)
    bands = np.lib.stride_tricks.sliding_window_view(image, window, axis=1)[:, ::stride]
    return np.ascontiguousarray(bands.swapaxes(2, 3)).reshape(
        count * output_rows, window, columns, channels
    )


def _with_filters_first(dy: np.ndarray, bands: Geometry) -> np.ndarray:
    """A block of outputs as (rows, filters of a group, columns, groups)."""
    apart = dy.reshape(-1, *bands.output_size, bands.filters)
    moved = np.empty((len(apart), *bands.output_shape), dy.dtype)
    for number in range(bands.filters):
        moved[:, number] = apart[..., number]
    return moved
