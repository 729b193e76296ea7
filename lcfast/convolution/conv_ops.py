"""Forward and gradients of padded, dilated and grouped convolutions, on local_conv.

Arrays are channels_last here.  A transposed convolution is the input gradient of an ordinary one; a
depthwise convolution has as many groups as channels.
"""

from __future__ import annotations

import numpy as np

from lcfast.convolution import grouped
from lcfast.convolution.conv_geometry import ConvGeometry
from lcfast.local_conv import ops


def forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    conv: ConvGeometry,
    activation: ops.Activation = ops.LINEAR,
    out: np.ndarray | None = None,
    options: ops.ComputeOptions = ops.DEFAULT_OPTIONS,
) -> np.ndarray:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[k,f] + bias[f]), over the channels of f's group.

    Parameters
    ----------
    x : ndarray, shape (N, *size, channels)
        The input.
    kernel : ndarray
        Of size (*kernel_size, channels // groups, filters), in any contiguous shape.
    bias : ndarray of shape (filters,) or None
        Added to each position.
    conv : ConvGeometry
        Sizes, padding, dilation and groups.
    activation : Activation
        Applied to the sum; softmax runs over the filters.
    out : ndarray, optional
        May be used for the output; the caller must use the returned array.
    options : ComputeOptions
        Engine, threads and SIMD path.

    Returns
    -------
    ndarray, shape (N, *output_size, filters)
    """
    if conv.groups > 1:
        return grouped.forward(x, kernel, bias, conv, activation, options)
    rows = conv.phases_of_input(x)
    own = out if conv.phases == 1 else None
    y = ops.forward(rows, kernel, bias, conv.phase, activation, own, options)
    return conv.output_of_phases(y) if own is None else y


def input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    conv: ConvGeometry,
    options: ops.ComputeOptions = ops.DEFAULT_OPTIONS,
) -> np.ndarray:
    """The gradient of the input, (N, *size, channels), from that before the activation."""
    if conv.groups > 1:
        return grouped.input_gradient(dy, kernel, conv, options)
    phase, rows = conv.phase, conv.phases_of_output(dy)
    dx = ops.input_gradient(rows, kernel.reshape(phase.kernel_shape), phase, options)
    return conv.input_of_phases(dx)


def kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    conv: ConvGeometry,
    options: ops.ComputeOptions = ops.DEFAULT_OPTIONS,
) -> np.ndarray:
    """The gradient of the kernel, with its size and order."""
    if conv.groups > 1:
        return grouped.kernel_gradient(x, dy, conv, options)
    rows, dy_rows = conv.phases_of_input(x), conv.phases_of_output(dy)
    return ops.kernel_gradient(rows, dy_rows, conv.phase, options)
