"""The steps of a convolution with a shared kernel: padding, dilation, product."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lcfast.convolution.conv_geometry import ConvGeometry
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


def forward(
    program: ProgramBuilder,
    x: Value,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    conv: ConvGeometry,
    activation: ops.Activation = ops.LINEAR,
) -> Value:
    """The steps of `conv_ops.forward`: x of (*size, channels), y likewise."""
    if conv.groups > 1:
        return _grouped(program, x, kernel, bias, conv, activation)
    phase, dilation = conv.phase, conv.dilation_rate
    size = tuple(n * d for n, d in zip(phase.input_size, dilation, strict=True))
    x = _padded(program, x, size, conv)
    if conv.phases == 1:
        return program.product(x, kernel, bias, phase, activation)
    dimensions = len(size)
    split = [part for n, d in zip(phase.input_size, dilation, strict=True) for part in (n, d)]
    x = program.reshaped(x, (*split, conv.channels))
    order = (*range(1, 2 * dimensions, 2), *range(0, 2 * dimensions, 2), 2 * dimensions)
    x = program.transposed(x, order)
    rows = x.rows_each
    x = program.reshaped(x, phase.input_shape, rows * conv.phases)
    y = program.product(x, kernel, bias, phase, activation)
    y = program.reshaped(y, (*dilation, *phase.output_size, conv.filters), rows)
    pairs = [axis for i in range(dimensions) for axis in (i + dimensions, i)]
    y = program.transposed(y, (*pairs, 2 * dimensions))
    full = [n * d for n, d in zip(phase.output_size, dilation, strict=True)]
    y = program.reshaped(y, (*full, conv.filters))
    if tuple(full) == conv.output_size:
        return y
    kept = [slice(n) for n in conv.output_size]
    shape = (*conv.output_size, conv.filters)
    return program.placed(y, shape, [slice(None)] * len(shape), [*kept, slice(None)])


def _padded(program: ProgramBuilder, x: Value, size: tuple[int, ...], conv: ConvGeometry) -> Value:
    """The input with the zeros of the padding around it, in all of `size`."""
    if size == conv.size:
        return x
    inside = [
        slice(before, before + n) for n, (before, _) in zip(conv.size, conv.pads, strict=True)
    ]
    everything = [slice(None)] * len(x.shape)
    return program.placed(x, (*size, conv.channels), [*inside, slice(None)], everything)


def _grouped(
    program: ProgramBuilder,
    x: Value,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    conv: ConvGeometry,
    activation: ops.Activation,
) -> Value:
    """Each group of channels with filters of its own."""
    own, channels = conv.filters // conv.groups, conv.channels // conv.groups
    by_taps = kernel.reshape(-1, conv.filters)  # (taps, filters), a group's filters side by side
    if channels == 1:
        return _depthwise(program, x, by_taps, bias, conv, activation)
    one = replace(conv, channels=channels, filters=own, groups=1)
    parts, everything = [], [slice(None)] * len(x.shape)
    for group in range(conv.groups):
        read = slice(group * channels, (group + 1) * channels)
        source = [*everything[:-1], read]
        part = program.placed(x, (*conv.size, channels), everything, source)
        filters = slice(group * own, (group + 1) * own)
        own_bias = None if bias is None else bias[filters]
        parts.append(forward(program, part, by_taps[:, filters].copy(), own_bias, one))
    return program.activated(program.concatenated(parts, len(x.shape) - 1), activation)


def _depthwise(
    program: ProgramBuilder,
    x: Value,
    by_taps: np.ndarray,
    bias: np.ndarray | None,
    conv: ConvGeometry,
    activation: ops.Activation,
) -> Value:
    """One channel for each filter; several filters of a channel read copies of it."""
    multiplier = conv.filters // conv.channels
    size = tuple(n + sum(pads) for n, pads in zip(conv.size, conv.pads, strict=True))
    x = _padded(program, x, size, conv)
    if multiplier > 1:
        steps = [math.prod(x.shape[axis + 1 :]) for axis in range(len(x.shape))]
        x = program.repeated(x, (*x.shape, multiplier), (*steps, 0))
        x = program.reshaped(x, (*size, conv.filters))
    pixels = np.arange(math.prod(size)).reshape(size) * conv.filters
    windows = zip(conv.output_size, conv.strides, strict=True)
    start = pixels[tuple(slice(0, (n - 1) * stride + 1, stride) for n, stride in windows)]
    taps = zip(conv.kernel_size, conv.dilation_rate, strict=True)
    tap = pixels[tuple(slice(0, (k - 1) * rate + 1, rate) for k, rate in taps)]
    shape = (*conv.output_size, conv.filters)
    return program.depthwise(x, shape, (start, tap), by_taps, bias, activation)
