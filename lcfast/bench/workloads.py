"""Shapes of locally connected layers: of real models by name, others written as text."""

from __future__ import annotations

from typing import NamedTuple


class Workload(NamedTuple):
    """The shapes of one layer, channels last, padding "valid".

    Parameters
    ----------
    input_shape : tuple of int
        Shape of a row: (steps, channels) or (rows, columns, channels).
    filters : int
        Number of filters.
    kernel_size, strides : tuple of int
        One number for each spatial dimension.

    Examples
    --------
    >>> from lcfast.bench.workloads import WORKLOADS
    >>> WORKLOADS["mhcflurry"]
    Workload(input_shape=(15, 21), filters=8, kernel_size=(3,), strides=(1,))
    """

    input_shape: tuple[int, ...]
    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]


# From the examples of tf.keras's pages, MHCflurry, ADAPT's Cas13a, DeepFace, CANDLE's P1B3, GpNet,
# EIR and the first layer of All-TNN.
WORKLOADS = {
    "docs_lc2d_a": Workload((32, 32, 3), 64, (3, 3), (1, 1)),
    "docs_lc2d_b": Workload((30, 30, 64), 32, (3, 3), (1, 1)),
    "docs_lc1d_a": Workload((10, 32), 64, (3,), (1,)),
    "mhcflurry": Workload((15, 21), 8, (3,), (1,)),
    "adapt": Workload((47, 238), 4, (2,), (1,)),
    "deepface_L4": Workload((63, 63, 16), 16, (9, 9), (1, 1)),
    "deepface_L5": Workload((55, 55, 16), 16, (7, 7), (2, 2)),
    "deepface_L6": Workload((25, 25, 16), 16, (5, 5), (1, 1)),
    "p1b3": Workload((29532, 1), 10, (10,), (1,)),
    "gpnet_k3": Workload((44314, 1), 1, (3,), (1,)),
    "eir": Workload((64000, 1), 4, (32,), (32,)),
    "tnn_1": Workload((150, 150, 3), 64, (7, 7), (3, 3)),
}


def workload_of(text: str) -> Workload:
    """Return the workload with a name, or parse shapes such as ``32x32x3:64:3x3:1x1``.

    Parameters
    ----------
    text : str
        A key of `WORKLOADS`, or input shape (channels last), filters, kernel size and strides,
        separated by colons; strides of 1 may be left out.

    Returns
    -------
    Workload

    Raises
    ------
    ValueError
        If the text is neither.

    Examples
    --------
    >>> from lcfast.bench.workloads import workload_of
    >>> workload_of("10x32:64:3")
    Workload(input_shape=(10, 32), filters=64, kernel_size=(3,), strides=(1,))
    """
    if text in WORKLOADS:
        return WORKLOADS[text]
    try:
        shape, (filters,), kernel_size, *rest = (_sizes(part) for part in text.split(":"))
        (strides,) = rest or [(1,) * len(kernel_size)]
    except ValueError:
        raise ValueError(
            f"{text!r} is not a workload; give input shape (channels last), filters, kernel size "
            "and strides as positive integers, such as 32x32x3:64:3x3:1x1 or 10x32:64:3."
        ) from None
    if not len(shape) - 1 == len(kernel_size) == len(strides) or len(kernel_size) not in (1, 2):
        raise ValueError(
            f"{text!r} is not a workload: the input has {len(shape)} dimensions, the kernel "
            f"{len(kernel_size)} and the strides {len(strides)}; give 2, 1 and 1, or 3, 2 and 2."
        )
    return Workload(shape, filters, kernel_size, strides)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(map(int, text.split("x")))
    if min(sizes) < 1:
        raise ValueError(text)
    return sizes
