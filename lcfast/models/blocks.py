"""How many rows to read and score at a time, from the shapes and weights of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.tracking import Composite
from lcfast.layers.wrappers import TimeDistributed
from lcfast.local_conv.geometry import CHANNELS_FIRST, Geometry
from lcfast.models.graph import Graph, LayerWithGraph
from lcfast.program.steps import Steps

CACHE_BYTES = 8 << 20
"""Bytes of the values of a block, which the layers pass on through the caches."""
MEMORY_BYTES = 256 << 20
"""Most bytes of the values of a block, unless a single row has more."""
MOST_ROWS = 1 << 14
"""Most rows of a block: progress is reported between blocks."""
MOST_MULTIPLICATIONS = 1 << 34
"""Most multiplications of one layer on a block, float64 counted twice: interrupts wait for them."""
WHOLE_PANELS = 48
"""Blocks are multiples of this: the kernels transpose three vectors of 16 rows together."""


def rows_at_once(graph: Graph, record: Sequence[Any], input_shapes: Sequence[Shape]) -> int:
    """Rows of a block of inputs of these shapes, batch first.

    Their values fill `CACHE_BYTES`, or as many bytes as the weights where those are more, because
    every block reads the weights again. `MEMORY_BYTES` and `MOST_MULTIPLICATIONS` are the limits,
    unless a single row exceeds them.
    """
    most_bytes = min(max(CACHE_BYTES, weight_bytes(record)), MEMORY_BYTES)
    rows = min(
        most_bytes // max(row_bytes(graph, input_shapes), 1),
        MOST_MULTIPLICATIONS // max(row_multiplications(graph, input_shapes), 1),
        MOST_ROWS,
    )
    return max(rows - rows % WHOLE_PANELS if rows > WHOLE_PANELS else rows, 1)


def rows_of_program(steps: Steps, ready: bool, progresses: bool) -> int:
    """Rows that a program is given at a time; it cuts them into blocks itself.

    All rows, unless interrupts would wait for them too long, progress is to be reported, or they
    must be converted first (not `ready`), `CACHE_BYTES` at a time.
    """
    rows = 2 * MOST_MULTIPLICATIONS // (steps.dtype.itemsize * max(steps.work, 1))
    if progresses:
        rows = min(rows, MOST_ROWS)
    if not ready:
        size = sum(value.size for value in steps.inputs) * steps.dtype.itemsize
        rows = min(rows, max(CACHE_BYTES // max(size, 1), WHOLE_PANELS))
    return max(rows, 1)


def rows_to_read(batch_size: int, chunk: int, row_bytes: int) -> int:
    """Rows to read at a time from a file that stores `chunk` rows together.

    Whole chunks, so that each is unpacked once, unless they exceed `MEMORY_BYTES`.
    """
    size = -(-batch_size // chunk) * chunk
    return size if size * row_bytes <= MEMORY_BYTES else batch_size


def row_bytes(graph: Graph, input_shapes: Sequence[Shape]) -> int:
    """Bytes of the values that one row needs at the same time, inputs and outputs included."""
    shapes = value_shapes(graph, input_shapes)
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


def value_shapes(graph: Graph, input_shapes: Sequence[Shape]) -> list[Any]:
    """The shape of each value for inputs of these shapes, batch first."""
    shapes: list[Any] = [value.shape for value in graph.values]
    for i, shape in zip(graph.inputs, input_shapes, strict=True):
        shapes[i] = shape
    for step in graph.steps:
        if None in shapes[step.output][1:]:
            layer = graph.layers[step.layer]
            taken = [shapes[i] for i in step.inputs]
            shapes[step.output] = layer.shape_of_output(taken if layer.takes_list else taken[0])
    return shapes


def row_multiplications(graph: Graph, input_shapes: Sequence[Shape]) -> int:
    """Approximate multiplications of one row in the layer with most; float64 counts twice."""
    shapes = value_shapes(graph, input_shapes)
    counts = (
        multiplications(
            graph.layers[step.layer], [shapes[i] for i in step.inputs], shapes[step.output]
        )
        for step in graph.steps
    )
    return max(counts, default=0)


def multiplications(layer: Layer, given: Sequence[Any], made: Any) -> int:
    """The multiplications of one layer on one row: each weight at each of its positions."""
    if isinstance(layer, LayerWithGraph):
        return row_multiplications(layer.graph_of_layers(), given)
    if isinstance(layer, TimeDistributed):
        (shape,) = given
        per_step = multiplications(layer.layer, [(None, *shape[2:])], (None, *made[2:]))
        return int(shape[1]) * per_step
    factor = layer.numpy_dtype.itemsize // 4
    geometry: Geometry | None = getattr(layer, "geometry", None)
    if geometry is not None and geometry.positions > 1:
        return factor * geometry.multiplications
    channels = 1 if getattr(layer, "data_format", None) == CHANNELS_FIRST else -1
    positions: int = max(
        math.prod(shape[1:]) // max(shape[channels], 1) if len(shape) > 1 else 1
        for shape in (*given, made)
    )
    return factor * layer.count_params() * positions


def weight_bytes(record: Any) -> int:
    """Bytes of the weights in a record, as the engines hold them."""
    if isinstance(record, np.ndarray):
        return record.nbytes
    if isinstance(record, Composite):
        return sum(map(weight_bytes, record.of.values()))
    if isinstance(record, tuple | list):
        return sum(map(weight_bytes, record))
    numbers = getattr(record, "numbers", None)  # of a sparse kernel
    return 0 if numbers is None else weight_bytes(numbers)
