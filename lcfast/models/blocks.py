"""How many rows to score at once: a function of a model's shapes and weights alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lcfast.layers.symbolic import Shape
from lcfast.models.graph import Graph

CACHE_BYTES = 8 << 20
"""Of the values of a block: they pass from layer to layer through the caches."""
MEMORY_BYTES = 256 << 20
"""Of the values of a block, at most, unless one row has more."""
MOST_ROWS = 1 << 14
"""Rows of a block, at most: progress is told between two blocks."""
WHOLE_PANELS = 48
"""Rows of three vectors of 16, which the kernels transpose at once; blocks are multiples."""


def rows_at_once(graph: Graph, record: Sequence[Any], input_shapes: Sequence[Shape]) -> int:
    """Rows of a block of inputs of these shapes, batch first.

    Their values fill `CACHE_BYTES`, or take as many bytes as the weights, which every block reads
    anew, where those are more; they never take more than `MEMORY_BYTES`, unless one row does.
    """
    room = min(max(CACHE_BYTES, weight_bytes(record)), MEMORY_BYTES)
    rows = min(room // max(row_bytes(graph, input_shapes), 1), MOST_ROWS)
    return max(rows - rows % WHOLE_PANELS if rows > WHOLE_PANELS else rows, 1)


def row_bytes(graph: Graph, input_shapes: Sequence[Shape]) -> int:
    """Bytes of the values that one row needs at the same time, inputs and outputs included."""
    shapes: list[Any] = [value.shape for value in graph.values]
    for i, shape in zip(graph.inputs, input_shapes, strict=True):
        shapes[i] = shape
    for step in graph.steps:
        if None in shapes[step.output][1:]:
            layer = graph.layers[step.layer]
            taken = [shapes[i] for i in step.inputs]
            shapes[step.output] = layer.shape_of_output(taken if layer.takes_list else taken[0])
    sizes = [
        math.prod(shape[1:]) * np.dtype(value.dtype).itemsize
        for shape, value in zip(shapes, graph.values, strict=True)
    ]
    held: int = sum(sizes[i] for i in graph.inputs)
    most = held
    for step in graph.steps:
        held += sizes[step.output]
        most = max(most, held)
        held -= sum(sizes[i] for i in step.last_use_of)
    return most


def weight_bytes(record: Any) -> int:
    """Bytes of the weights in a record, as the engines hold them."""
    if isinstance(record, np.ndarray):
        return record.nbytes
    if isinstance(record, Mapping):
        return sum(map(weight_bytes, record.values()))
    if isinstance(record, tuple | list):
        return sum(map(weight_bytes, record))
    numbers = getattr(record, "numbers", None)  # of a sparse kernel
    return 0 if numbers is None else weight_bytes(numbers)
