"""The ONNX graph of a described model, for a fixed number of rows.

Standard ONNX has no locally connected layer.  There are four ways to write one:

- "rows first": Gather takes the receptive fields of each row, then one product per position.
- "rows last": the same with the rows as the last axis, so that Gather copies whole batches.
- "by taps": one product per position and tap, of all rows, then the sum over the taps.
- "slices": for one channel, a shifted slice of the input times its weights, for each tap.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.cases import Case
from benchmarks.model_cases import LOCAL, Step
from benchmarks.model_graph import Graph, Value

Arrays = list[np.ndarray]

OPSET, IR = 17, 8
ORDERS = {"rows first": "nsc", "rows last": "scn", "by taps": "snc", "slices": "ncs"}
"""Of each way, the order of axes in which a local layer takes its input."""


def write(path: Path, steps: list[Step], weights: dict[str, Arrays], rows: int, way: str) -> None:
    """Write the graph of x (rows, ...) -> y (rows, numbers)."""
    graph = Graph(rows, ORDERS[way])
    first = steps[0]
    *size, channels = first.input_shape
    x = Value("x", "nsc", tuple(size) or (1,), channels, (rows, *first.input_shape))
    values = {first.name: graph.ordered(x, "nsc")}
    for step in steps[1:]:
        given = [values[name] for name in step.inputs]
        kind = "Local" if step.kind in LOCAL else step.kind.rstrip("12D")
        arrays = weights.get(step.name, [])
        if kind == "Local":
            made = local(graph, step, given[0], arrays, way)
        else:
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


def local(graph: Graph, step: Step, x: Value, weights: Arrays, way: str) -> Value:
    """A locally connected layer, in one of the four ways."""
    # Taps of a case with one channel: positions of the input, not its numbers.
    case = Case(step.name, (*x.size, 1), step.config["filters"],
                tuple(step.config["kernel_size"]), tuple(step.config["strides"]))  # fmt: skip
    kernel, size, filters = weights[0], case.output_size, case.filters
    bias = weights[1] if len(weights) > 1 else np.zeros((*size, filters), np.float32)
    bias = bias.reshape(case.positions, filters)
    x = graph.ordered(x, ORDERS[way])
    if way == "slices" and can_slice(step):
        total = graph.constant(bias.T[None])
        for tap in range(case.patch):
            shifted = graph.between(x, tap, tap + case.positions)
            product = graph.node(
                "Mul", [shifted, graph.constant(kernel[None, :, tap].swapaxes(1, 2))]
            )
            total = graph.node("Add", [product, total])
        return graph.value(total, "ncs", size, filters)
    order = "scn" if way == "rows last" else "snc"
    bias = np.expand_dims(bias, order.index("n"))
    axis = x.order.index("s")
    fields = graph.node("Gather", [x.name, graph.constant(case.taps())], axis=axis)
    if way == "by taps":
        kernel = kernel.reshape(case.positions, case.patch, x.channels, filters)
        products = graph.node("MatMul", [fields, graph.constant(kernel)])
        total = graph.node("ReduceSum", [products, graph.constant(np.array([1]))], keepdims=0)
    else:  # channels and taps become one axis; the empty shape is that of no value
        gathered = Value(fields, x.order, size, case.patch * x.channels, ())
        inputs = [graph.ordered(gathered, order).name]
        if way == "rows last":
            inputs.insert(0, graph.constant(kernel.swapaxes(1, 2)))
        else:
            inputs.append(graph.constant(kernel))
        total = graph.node("MatMul", inputs)
    return graph.value(graph.node("Add", [total, graph.constant(bias)]), order, size, filters)


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
    if math.prod(kernel.shape[:-2]) == 1 == math.prod(step.config["strides"]):
        return pointwise(graph, given[0], kernel.reshape(kernel.shape[-2:]), bias)
    inputs = [graph.constant(np.moveaxis(kernel, (-1, -2), (0, 1))), *map(graph.constant, bias)]
    return windowed(graph, step, given[0], "Conv", inputs, step.config["kernel_size"])


def pointwise(graph: Graph, x: Value, kernel: np.ndarray, bias: Arrays) -> Value:
    """A convolution of one tap as a product, in the order of the local layers."""
    x = graph.ordered(x, graph.local_order)
    last = x.order[-1] == "c"
    inputs = [x.name, graph.constant(kernel)] if last else [graph.constant(kernel.T), x.name]
    y = graph.node("MatMul", inputs)
    for array in bias:
        y = graph.node("Add", [y, graph.constant(array if last else array[:, None])])
    return graph.value(y, x.order, x.size, kernel.shape[1])


def pooling(graph: Graph, step: Step, given: list[Value], weights: Arrays) -> Value:
    """MaxPool or AveragePool; beside local layers, where it needs no transposition, otherwise."""
    x, size, strides = given[0], step.config["pool_size"], step.config["strides"]
    largest = step.kind.startswith("Max")
    if x.order != "ncs" and len(x.size) == 1 and step.config["padding"] == "valid":
        x = graph.ordered(x, x.order)
        if largest and size == strides:  # the largest of each group
            groups, axis = x.size[0] // size[0], x.order.index("s")
            kept = graph.between(x, 0, groups * size[0])
            shape = [*x.shape[:axis], groups, size[0], *x.shape[axis + 1 :]]
            split = graph.node("Reshape", [kept, graph.constant(np.array(shape))])
            y = graph.node("ReduceMax", [split], axes=[axis + 1], keepdims=0)
            return graph.value(y, x.order, (groups,), x.channels)
        if not largest and strides == [1] and size == [2]:  # the mean of two neighbours
            count = x.size[0] - 1
            y = graph.node("Add", [graph.between(x, 0, count), graph.between(x, 1, count + 1)])
            y = graph.node("Mul", [y, graph.constant(np.float32(0.5))])
            return graph.value(y, x.order, (count,), x.channels)
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
    order = x.order
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
    end = x.size[0] - after
    return graph.value(graph.between(x, before, end), x.order, (end - before,), x.channels)


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
    order = given[0].order
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
    "Dense": dense, "Conv": convolution, "MaxPooling": pooling,
    "AveragePooling": pooling, "BatchNormalization": normalization, "ZeroPadding": padding,
    "Cropping": cropping, "Flatten": flatten, "Reshape": reshape,
    "GlobalAveragePooling": average, "Add": joined, "Concatenate": joined,
    "LeakyReLU": leaky,
}  # fmt: skip
