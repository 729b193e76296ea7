"""The ONNX graph of a described model, for a fixed number of rows.

Standard ONNX has no locally connected layer.  There are three ways to write one:

- "rows first": Gather takes the receptive fields of each row, then one product per position.
- "rows last": the same with the rows as the last axis, so that Gather copies whole batches.
- "slices": for one channel, a shifted slice of the input times its weights, for each tap.

A value knows the order of its axes: n (rows), s (positions) and c (channels).  It is transposed
only where the next operation needs another order.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.cases import Case
from benchmarks.model_cases import LOCAL, Step

Arrays = list[np.ndarray]

OPSET, IR = 17, 8
WAYS = ("rows first", "rows last", "slices")
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

    def __init__(self, rows: int, way: str) -> None:
        self.rows, self.way = rows, way
        self.local_order = "scn" if way == "rows last" else "nsc"
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

    def activated(self, x: Value, name: str) -> Value:
        if name == "linear":
            return x
        if name == "softmax":
            x = self.ordered(x, "nsc")
        return x._replace(name=self.node(ACTIVATIONS[name], [x.name]))


def write(path: Path, steps: list[Step], weights: dict[str, Arrays], rows: int, way: str) -> None:
    """Write the graph of x (rows, ...) -> y (rows, numbers)."""
    graph = Graph(rows, way)
    first = steps[0]
    *size, channels = first.input_shape
    x = Value("x", "nsc", tuple(size) or (1,), channels, (rows, *first.input_shape))
    values = {first.name: graph.ordered(x, "nsc")}
    for step in steps[1:]:
        given = [values[name] for name in step.inputs]
        kind = "Local" if step.kind in LOCAL else step.kind.rstrip("12D")
        arrays = weights.get(step.name, [])
        made = WRITERS[kind](graph, step, given, arrays)
        values[step.name] = graph.activated(made, step.config.get("activation", "linear"))
    last = graph.ordered(values[steps[-1].name], "nsc")
    numbers = math.prod(last.size) * last.channels
    y = graph.shaped(last.name, last.shape, (rows, numbers))
    graph.nodes.append(helper.make_node("Identity", [y], ["y"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "model",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, *first.input_shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, numbers])],
            [numpy_helper.from_array(array, name) for name, array in graph.arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip
    model.ir_version = IR
    onnx.save_model(model, str(path))


def local(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    """Gather and a product for each position, or slices."""
    x, config = given[0], step.config
    # Taps of a case with one channel: positions of the input, not its numbers.
    case = Case(step.name, (*x.size, 1), config["filters"], tuple(config["kernel_size"]),
                tuple(config["strides"]))  # fmt: skip
    kernel, size, filters = weights[0], case.output_size, case.filters
    bias = weights[1] if len(weights) > 1 else np.zeros((*size, filters), np.float32)
    bias = bias.reshape(case.positions, filters)
    taps = math.prod(case.kernel_size) * x.channels
    x = graph.ordered(x, graph.local_order)
    if graph.way == "slices" and can_slice(step):
        total = graph.constant(bias[None])
        for tap in range(taps):
            ends = [graph.constant(np.array([n])) for n in (tap, tap + case.positions, 1)]
            shifted = graph.node("Slice", [x.name, *ends])
            product = graph.node("Mul", [shifted, graph.constant(kernel[None, :, tap])])
            total = graph.node("Add", [product, total])
        return graph.value(total, "nsc", size, filters)
    axis = x.order.index("s")
    fields = graph.node("Gather", [x.name, graph.constant(case.taps())], axis=axis)
    gathered = Value(fields, x.order, size, taps, ())  # a shape that no reshape takes for its own
    if graph.way == "rows last":
        order, bias = "scn", bias[:, :, None]
        fields = graph.ordered(gathered, order).name
        inputs = [graph.constant(kernel.swapaxes(1, 2)), fields]
    else:
        order, bias = "snc", bias[:, None, :]
        inputs = [graph.ordered(gathered, order).name, graph.constant(kernel)]
    product = graph.node("Add", [graph.node("MatMul", inputs), graph.constant(bias)])
    return graph.value(product, order, size, filters)


def can_slice(step: Step) -> bool:
    """Whether "slices" can write this layer: the taps of a position are neighbours, one channel."""
    return (
        step.kind == "LocallyConnected1D"
        and step.input_shape[-1] == 1
        and step.config["strides"][0] == 1
    )


def dense(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    x = graph.ordered(given[0], "nsc")
    flat = graph.shaped(x.name, x.shape, (graph.rows, x.channels))
    y = graph.node("Gemm", [flat, *map(graph.constant, weights)])
    shape = (graph.rows, step.config["units"])
    return Value(y, "nsc", (1,), step.config["units"], shape)


def convolution(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    kernel, *bias = weights
    inputs = [graph.constant(np.moveaxis(kernel, (-1, -2), (0, 1))), *map(graph.constant, bias)]
    return windowed(graph, step, given[0], "Conv", inputs, step.config["kernel_size"])


def pooling(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    """MaxPool or AveragePool; without overlap beside local layers, the largest of each group."""
    x, size = given[0], step.config["pool_size"]
    largest = step.kind.startswith("Max")
    if (
        largest and x.order != "ncs" and len(x.size) == 1
        and list(size) == list(step.config["strides"]) and step.config["padding"] == "valid"
    ):  # fmt: skip
        x = graph.ordered(x, x.order)
        groups, axis = x.size[0] // size[0], x.order.index("s")
        ends = [graph.constant(np.array([n])) for n in (0, groups * size[0], axis)]
        kept = graph.node("Slice", [x.name, *ends])
        shape = [*x.shape[:axis], groups, size[0], *x.shape[axis + 1 :]]
        split = graph.node("Reshape", [kept, graph.constant(np.array(shape))])
        y = graph.node("ReduceMax", [split], axes=[axis + 1], keepdims=0)
        return graph.value(y, x.order, (groups,), x.channels)
    return windowed(graph, step, x, "MaxPool" if largest else "AveragePool", [], size)


def windowed(
    graph: Graph, step: Step, x: Value, kind: str, inputs: list[str], window: list[int]
) -> Value:
    """A node that moves a window over the positions, channels first."""
    x = graph.ordered(x, "ncs", flat=False)
    same, strides = step.config["padding"] == "same", step.config["strides"]
    pads = {"auto_pad": "SAME_UPPER"} if same else {}
    y = graph.node(kind, [x.name, *inputs], kernel_shape=window, strides=strides, **pads)
    size = tuple(
        -(-(n if same else n - k + 1) // s)
        for n, k, s in zip(x.size, window, strides, strict=True)
    )  # fmt: skip
    channels = step.config.get("filters", x.channels)
    return Value(y, "ncs", size, channels, graph.shape("ncs", size, channels))


def normalization(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    x = given[0]
    gamma, beta, mean, variance = weights
    if x.order == "ncs":
        inputs = map(graph.constant, weights)
        y = graph.node("BatchNormalization", [x.name, *inputs], epsilon=step.config["epsilon"])
        return x._replace(name=y)
    factor = gamma / np.sqrt(variance + np.float32(step.config["epsilon"]))
    axes = [-1 if axis == "c" else 1 for axis in x.order]
    product = graph.node("Mul", [x.name, graph.constant(factor.reshape(axes))])
    shift = graph.constant((beta - mean * factor).reshape(axes))
    return x._replace(name=graph.node("Add", [product, shift]))


def padding(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    x, pads = given[0], step.config["padding"]
    order = x.order if x.order in ("ncs", "scn") else "nsc"
    x = graph.ordered(x, order, flat=False)
    ends = [(0, 0)] * len(x.shape)
    first = order.index("s")
    ends[first : first + len(pads)] = [tuple(pair) for pair in pads]
    amounts = np.array([before for before, _ in ends] + [after for _, after in ends])
    y = graph.node("Pad", [x.name, graph.constant(amounts)])
    size = tuple(n + sum(pair) for n, pair in zip(x.size, pads, strict=True))
    return Value(y, order, size, x.channels, graph.shape(order, size, x.channels))


def cropping(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    x, (before, after) = graph.ordered(given[0], graph.local_order), step.config["cropping"]
    size = x.size[0] - before - after
    ends = (before, before + size, x.order.index("s"))
    y = graph.node("Slice", [x.name, *(graph.constant(np.array([n])) for n in ends)])
    return graph.value(y, x.order, (size,), x.channels)


def flatten(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    return reshaped(graph, given[0], (1,), math.prod(given[0].size) * given[0].channels)


def reshape(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    *size, channels = step.config["target_shape"]
    return reshaped(graph, given[0], tuple(size), channels)


def reshaped(graph: Graph, x: Value, size: tuple[int, ...], channels: int) -> Value:
    x = graph.ordered(x, x.order if x.order in ("nsc", "scn") else "nsc")
    y = graph.value("", x.order, size, channels)
    return y._replace(name=graph.shaped(x.name, x.shape, y.shape))


def average(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    x = graph.ordered(given[0], given[0].order)
    y = graph.node("ReduceMean", [x.name], axes=[x.order.index("s")])
    return graph.value(y, x.order, (1,), x.channels)


def joined(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    """Add or Concatenate, in the order of the first input."""
    order = given[0].order if given[0].order != "ncs" else "nsc"
    parts = [graph.ordered(x, order) for x in given]
    names, first = [x.name for x in parts], parts[0]
    if step.kind == "Add":
        return first._replace(name=graph.node("Add", names))
    channel_axis = step.config["axis"] in (-1, len(step.input_shape))
    y = graph.node("Concat", names, axis=order.index("c" if channel_axis else "s"))
    if channel_axis:
        return graph.value(y, order, first.size, sum(x.channels for x in parts))
    return graph.value(y, order, (sum(x.size[0] for x in parts),), first.channels)


def leaky(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    slope = step.config.get("alpha", step.config.get("negative_slope", 0.3))
    return given[0]._replace(name=graph.node("LeakyRelu", [given[0].name], alpha=float(slope)))


WRITERS = {
    "Local": local, "Dense": dense, "Conv": convolution, "MaxPooling": pooling,
    "AveragePooling": pooling, "BatchNormalization": normalization, "ZeroPadding": padding,
    "Cropping": cropping, "Flatten": flatten, "Reshape": reshape,
    "GlobalAveragePooling": average, "Add": joined, "Concatenate": joined,
    "LeakyReLU": leaky,
}  # fmt: skip
