"""Windows of Conv and pooling: Keras's SAME padding, which differs from LocallyConnected's."""

from __future__ import annotations

from lcfast.local_conv.geometry import valid_output_size


def span(window: int, dilation: int) -> int:
    """Inputs from the first tap of a window to its last, inclusive."""
    return (window - 1) * dilation + 1


def output_size(size: int, window: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Windows along one dimension: ceil(size / stride) for same and causal."""
    if padding != "valid":
        return -(-size // stride)
    return valid_output_size(size, span(window, dilation), stride)


def pads(size: int, window: int, stride: int, padding: str, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after one dimension; for same the odd one comes after."""
    reach = span(window, dilation)
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return reach - 1, 0
    total = max((output_size(size, window, stride, padding) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def transposed_size(
    size: int, window: int, stride: int, padding: str, output_padding: int | None, dilation: int = 1
) -> int:
    """Outputs of a transposed convolution along one dimension, as Keras counts them."""
    reach = span(window, dilation)
    if output_padding is None:
        return size * stride + (max(reach - stride, 0) if padding == "valid" else 0)
    cut = 2 * (reach // 2) if padding == "same" else 0
    return (size - 1) * stride + reach - cut + output_padding
