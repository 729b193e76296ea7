"""The steps of a convolution with a shared kernel: padding, dilation, product."""

from __future__ import annotations

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
    """The steps of `conv_ops.forward`, for one group: x of (*size, channels), y likewise."""
    phase, dilation = conv.phase, conv.dilation_rate
    size = tuple(n * d for n, d in zip(phase.input_size, dilation, strict=True))
    if size != conv.size:
        inside = [
            slice(before, before + n) for n, (before, _) in zip(conv.size, conv.pads, strict=True)
        ]
        everything = [slice(None)] * len(x.shape)
        x = program.placed(x, (*size, conv.channels), [*inside, slice(None)], everything)
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
