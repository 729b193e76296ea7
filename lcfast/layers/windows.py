"""Windows of Conv and pooling: Keras's SAME padding, which differs from LocallyConnected's."""

from __future__ import annotations

from lcfast.local_conv.geometry import valid_output_size


def output_size(size: int, window: int, stride: int, padding: str) -> int:
    """Windows along one dimension: ceil(size / stride) for same."""
    if padding == "same":
        return -(-size // stride)
    return valid_output_size(size, window, stride)


def pads(size: int, window: int, stride: int, padding: str) -> tuple[int, int]:
    """Zeros before and after one dimension; for same the odd one comes after."""
    if padding != "same":
        return 0, 0
    total = max((output_size(size, window, stride, padding) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2
