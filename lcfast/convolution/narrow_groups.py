"""Narrow groups computed together: a shared convolution as an *unshared* one on bands of the input.

The receptive fields of one row of output pixels lie in a band of `kernel rows` rows of the input.
The convolution of a band, as an unshared one, channels first, has

    an input of (kernel rows, columns, channels), a kernel of (kernel columns, channels of a group),
    strides of (stride, channels of a group), positions (output columns, groups).

A position is a pixel and a group, its taps are in Keras's order, and vectors run along the groups.
The kernel is repeated for each output column; all rows of pixels use the same copies.  Bands are
copied block by block.  A sequence is an image of one column, whose rows are its steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from lcfast.convolution.conv_geometry import ConvGeometry
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, Geometry

BLOCK_BYTES = 1 << 21
"""Bytes of the bands that are copied at a time: they stay in the caches."""


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    conv: ConvGeometry,
    activation: ops.Activation,
    options: ops.ComputeOptions,
) -> np.ndarray:
    """The output of a kernel (groups, taps, filters of a group)."""
    bands = band_geometry(conv)
    repeated, repeated_bias = _repeated(kernel, bands), _repeated_bias(bias, bands)
    one_filter = bands.filters == 1  # then the last axis of z holds all filters, as softmax needs
    fused = activation if one_filter else ops.LINEAR
    y = np.empty((len(x), *conv.output_size, conv.filters), x.dtype)
    for block in _blocks(x, conv):
        rows = _bands(conv.phases_of_input(x[block]), conv)
        z = ops.forward(rows, repeated, repeated_bias, bands, fused, None, options)
        z = _with_filters_last(z).reshape(-1, *conv.phase.output_shape)
        y[block] = conv.output_of_phases(z)
    return y if one_filter else ops.activate(y, activation, y, options)


def input_gradient(
    dy: np.ndarray, kernel: np.ndarray, conv: ConvGeometry, options: ops.ComputeOptions
) -> np.ndarray:
    """The gradient of the input: a sum over the bands that read a row, by kernel row ascending."""
    bands = band_geometry(conv)
    repeated = _repeated(kernel, bands)
    phase = conv.phase
    stride, output_rows = phase.strides[0], phase.output_size[0]
    image_shape = phase.input_size[0], math.prod(bands.input_size)
    dx = np.empty((len(dy), *conv.size, conv.channels), dy.dtype)
    for block in _blocks(dy, conv):
        rows = _with_filters_first(conv.phases_of_output(dy[block]), bands)
        dbands = ops.input_gradient(rows, repeated, bands, options)
        dbands = dbands.reshape(-1, output_rows, bands.channels, image_shape[1])
        image = np.zeros((len(dbands), *image_shape), dy.dtype)
        for row in range(bands.channels):
            last = row + (output_rows - 1) * stride + 1
            image[:, row:last:stride] += dbands[:, :, row]
        dx[block] = conv.input_of_phases(image.reshape(-1, *phase.input_shape))
    return dx


def kernel_gradient(
    x: np.ndarray, dy: np.ndarray, conv: ConvGeometry, options: ops.ComputeOptions
) -> np.ndarray:
    """The gradient of the kernel, (groups, taps, filters of a group)."""
    bands = band_geometry(conv)
    total = np.zeros(bands.kernel_shape, x.dtype)
    for block in _blocks(x, conv):
        rows = _bands(conv.phases_of_input(x[block]), conv)
        dy_rows = _with_filters_first(conv.phases_of_output(dy[block]), bands)
        total += ops.kernel_gradient(rows, dy_rows, bands, options)
    columns, groups = bands.output_size
    return ops.sum_rows(total.reshape(columns, groups, bands.patch_size, bands.filters), options)


@lru_cache(maxsize=256)
def band_geometry(conv: ConvGeometry) -> Geometry:
    """The unshared convolution of one row of output pixels, in a phase."""
    phase, groups = conv.phase, conv.groups
    channels, filters = phase.channels // groups, phase.filters // groups
    _, columns, *_ = (*phase.input_size, 1)
    kernel_rows, kernel_columns, *_ = (*phase.kernel_size, 1)
    _, stride, *_ = (*phase.strides, 1)
    return Geometry(
        (columns, phase.channels), kernel_rows, filters,
        (kernel_columns, channels), (stride, channels), CHANNELS_FIRST,
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


def _blocks(x: np.ndarray, conv: ConvGeometry) -> Iterator[slice]:
    """Rows of the batch whose bands are copied at a time, at least one; sizes alone decide."""
    bands = math.prod(band_geometry(conv).input_shape) * x.itemsize
    row_bytes = conv.phases * conv.phase.output_size[0] * bands
    step = max(BLOCK_BYTES // row_bytes, 1)
    for first in range(0, len(x), step):
        yield slice(first, first + step)


def _bands(rows: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """The band of each row of output pixels: (rows * output rows, *bands.input_shape)."""
    shape = band_geometry(conv).input_shape
    kernel_rows, stride = shape[0], conv.strides[0]
    image = rows.reshape(*rows.shape[:2], -1)
    bands = np.lib.stride_tricks.sliding_window_view(image, kernel_rows, axis=1)[:, ::stride]
    return np.ascontiguousarray(bands.swapaxes(2, 3)).reshape(-1, *shape)


def _with_filters_last(z: np.ndarray) -> np.ndarray:
    """(rows, filters of a group, columns, groups) with the filters last."""
    if z.shape[1] == 1:
        return z
    moved = np.empty((len(z), *z.shape[2:], z.shape[1]), z.dtype)
    for number in range(z.shape[1]):  # one filter at a time, so that numpy copies long runs
        moved[..., number] = z[:, number]
    return moved


def _with_filters_first(dy: np.ndarray, bands: Geometry) -> np.ndarray:
    """The inverse of `_with_filters_last`: (rows, filters of a group, columns, groups)."""
    split = dy.reshape(-1, *bands.output_size, bands.filters)
    moved = np.empty((len(split), *bands.output_shape), dy.dtype)
    for number in range(bands.filters):
        moved[:, number] = split[..., number]
    return moved
