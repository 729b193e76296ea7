"""An ONNX graph that is being written, for a fixed number of rows.

A value knows the order of its axes: n (rows), s (positions) and c (channels).  It is transposed
only where the next operation needs another order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}


class Value(NamedTuple):
    """A tensor of the graph; in its shape the positions are one axis or more."""

    name: str
    order: str
    size: tuple[int, ...]
    """Positions along each axis; (1,) where there are none."""
    channels: int
    shape: tuple[int, ...]


class Graph:
    """The nodes and constants of a model that is being written."""

    def __init__(self, rows: int, local_order: str) -> None:
        self.rows, self.local_order = rows, local_order
        self.nodes: list[Any] = []
        self.arrays: dict[str, np.ndarray] = {}

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array: Any) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(array)
        return name

    def value(self, name: str, order: str, size: tuple[int, ...], channels: int) -> Value:
        """A value whose positions are one axis."""
        return Value(name, order, size, channels, self.shape(order, (math.prod(size),), channels))

    def shape(self, order: str, size: tuple[int, ...], channels: int) -> tuple[int, ...]:
        axes = {"n": (self.rows,), "s": size, "c": (channels,)}
        return tuple(length for axis in order for length in axes[axis])

    def shaped(self, name: str, old: tuple[int, ...], new: tuple[int, ...]) -> str:
        if old == new:
            return name
        return self.node("Reshape", [name, self.constant(np.array(new, np.int64))])

    def ordered(self, x: Value, order: str, flat: bool = True) -> Value:
        """The value with its axes in another order, its positions as one axis or as they are."""
        lengths = {"n": self.rows, "s": math.prod(x.size), "c": x.channels}
        wanted = self.shape(order, (lengths["s"],) if flat else x.size, x.channels)
        name, shape = x.name, x.shape
        long = [axis for axis in x.order if lengths[axis] > 1]
        if long != [axis for axis in order if lengths[axis] > 1]:
            three = self.shape(x.order, (lengths["s"],), x.channels)
            name = self.shaped(name, shape, three)
            name = self.node("Transpose", [name], perm=[x.order.index(axis) for axis in order])
            shape = self.shape(order, (lengths["s"],), x.channels)
        return Value(self.shaped(name, shape, wanted), order, x.size, x.channels, wanted)

    def between(self, x: Value, first: int, end: int) -> str:
        """Positions of a value whose positions are one axis."""
        ends = [self.constant(np.array([n])) for n in (first, end, x.order.index("s"))]
        return self.node("Slice", [x.name, *ends])

    def activated(self, x: Value, name: str) -> Value:
        if name == "linear":
            return x
        if name == "softmax":
            x = self.ordered(x, "nsc")
        return x._replace(name=self.node(ACTIVATIONS[name], [x.name]))
