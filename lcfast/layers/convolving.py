"""The products of Conv and its kin, all on local_conv's tile: padded, dilated and grouped.

Arrays have their channels last here.  A transposed convolution is the gradient of the input of an
ordinary one, a depthwise convolution has as many groups as channels.
"""

from __future__ import annotations

import numpy as np

from lcfast.layers import grouping
from lcfast.layers.arrangement import Arrangement
from lcfast.local_conv import ops


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
    if arrangement.groups > 1:
        return grouping.forward(x, kernel, bias, arrangement, activation, call)
    rows = arrangement.phases_of_input(x)
    own = out if arrangement.phases == 1 else None
    y = ops.forward(rows, kernel, bias, arrangement.phase, activation, own, call)
    return arrangement.output_of_phases(y) if own is None else y


def input_gradient(
    dy: np.ndarray,
    kernel: np.ndarray,
    arrangement: Arrangement,
    call: ops.Call = ops.DEFAULT_CALL,
) -> np.ndarray:
    """The gradient of the input, (N, *size, channels), of that of the output before activation."""
    if arrangement.groups > 1:
        return grouping.input_gradient(dy, kernel, arrangement, call)
    phase, rows = arrangement.phase, arrangement.phases_of_output(dy)
    dx = ops.input_gradient(rows, kernel.reshape(phase.kernel_shape), phase, call)
    return arrangement.input_of_phases(dx)


def kernel_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    arrangement: Arrangement,
    call: ops.Call = ops.DEFAULT_CALL,
) -> np.ndarray:
    """The gradient of the kernel, of as many numbers, in its order."""
    if arrangement.groups > 1:
        return grouping.kernel_gradient(x, dy, arrangement, call)
    rows, dy_rows = arrangement.phases_of_input(x), arrangement.phases_of_output(dy)
    return ops.kernel_gradient(rows, dy_rows, arrangement.phase, call)
