"""Padding and output sizes of Conv and pooling; LocallyConnected has another rule for SAME.

`kernel_size` is one dimension of a kernel or of a pooling window.
"""

from __future__ import annotations

from lcfast.local_conv.geometry import valid_output_size


def dilated_size(kernel_size: int, dilation: int) -> int:
    """Inputs from the first tap of a receptive field to its last, inclusive."""
    return (kernel_size - 1) * dilation + 1


def output_size(size: int, kernel_size: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Positions along one dimension: ceil(size / stride) for same and causal."""
    if padding != "valid":
        return -(-size // stride)
    return valid_output_size(size, dilated_size(kernel_size, dilation), stride)


def pads(
    size: int, kernel_size: int, stride: int, padding: str, dilation: int = 1
) -> tuple[int, int]:
    """Zeros before and after one dimension; for same the odd one comes after."""
    if padding == "valid":
        return 0, 0
    dilated = dilated_size(kernel_size, dilation)
    if padding == "causal":
        return dilated - 1, 0
    last_start = (output_size(size, kernel_size, stride, padding) - 1) * stride
    total = max(last_start + dilated - size, 0)
    return total // 2, total - total // 2


def transposed_size(
    size: int,
    kernel_size: int,
    stride: int,
    padding: str,
    output_padding: int | None,
    dilation: int = 1,
) -> int:
    """Outputs of a transposed convolution along one dimension, as Keras counts them."""
    dilated = dilated_size(kernel_size, dilation)
    if output_padding is None:
        return size * stride + (max(dilated - stride, 0) if padding == "valid" else 0)
    cut = 2 * (dilated // 2) if padding == "same" else 0
    return (size - 1) * stride + dilated - cut + output_padding
