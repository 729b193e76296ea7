"""The graph between symbolic inputs and outputs: layers in Keras's order, and steps to compute."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import Node, SymbolicTensor
from lcfast.layers.input import InputLayer
from lcfast.models.masks import check_masks

MOST_CALLS = 100_000
"""Most calls of layers in a model; nested models that are called twice double them per level."""


@dataclass(frozen=True)
class Step:
    """One call of a layer: values[output] = layers[layer](values[i] for i in inputs).

    The values in `last_use_of` are not needed after it.
    """

    layer: int
    inputs: tuple[int, ...]
    output: int
    last_use_of: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Layers and the steps that compute the outputs from the inputs.

    Parameters
    ----------
    listed : tuple of Layer
        The model's own layers, each once, in the order in which Keras lists them and their
        weights; a nested model is one of them.
    layers : tuple of Layer
        Every layer that computes, once; a nested model is replaced by its layers.
    nodes : tuple of Node
        Every call of a listed layer, once, in topological order.
    values : tuple of SymbolicTensor
        The values that are computed, those in nested models included.
    steps : tuple of Step
        The calls that compute them.
    inputs, outputs : tuple of int
        Indices of the inputs and outputs in `values`.
    """

    listed: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    values: tuple[SymbolicTensor, ...]
    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    compiled: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Cached programs; see `lcfast.models.compiling`."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy gets no programs: they point into the arrays of this graph's layers.
        parts = [getattr(self, part.name) for part in fields(self) if part.name != "compiled"]
        return type(self), tuple(parts)


class LayerWithGraph(Layer, abc.ABC):
    """A layer that is itself a graph of layers: a model."""

    @abc.abstractmethod
    def graph_of_layers(self) -> Graph:
        """The nodes and steps of the model."""


def trace(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> Graph:
    """Trace the graph from the outputs back to the inputs.

    Raises
    ------
    ValueError
        If an output depends on an input that is not given, an input is given twice, a layer would
        use a mask, or nested models have too many calls.
    """
    given = [tensor.node for tensor in inputs]
    if len(set(inputs)) != len(inputs):
        raise ValueError("The list of inputs passed to the model contains the same input twice.")
    for node in given:
        if not set(node.outputs) <= set(inputs):
            raise ValueError(
                f"The model begins at some of the outputs of {node.layer.name}; give all of them."
            )
    nodes, traversal = _nodes_in_order(outputs, given)
    for node in given:  # an input that nothing uses still belongs to the model
        if node not in nodes:
            nodes.insert(0, node)
            traversal.setdefault(node.layer, -1)
    for node in nodes:
        if not node.inputs and node not in given:
            raise ValueError(
                f"Graph disconnected: the outputs depend on the input {node.layer.name}, which is "
                "not among the model's inputs."
            )
    check_masks(nodes, given)
    listed = _layers_in_order(nodes, traversal, given)
    _check_names(listed)
    flat = _Flattening()
    for node in nodes:
        flat.add(node, is_given=node in given)
    layers = tuple(dict.fromkeys(part for layer in listed for part in _computing(layer)))
    layers += tuple(layer for layer in flat.casts if layer not in layers)
    wanted = tuple(flat.index[tensor] for tensor in outputs)
    return Graph(
        tuple(listed),
        layers,
        tuple(nodes),
        tuple(flat.values),
        flat.steps(layers, wanted),
        tuple(flat.index[tensor] for tensor in inputs),
        wanted,
    )


class _Flattening:
    """Replaces calls of nested models by the calls inside of them."""

    def __init__(self) -> None:
        self.values: list[SymbolicTensor] = []
        self.index: dict[SymbolicTensor, int] = {}  # in `values`, of outputs of listed layers
        self.calls: list[tuple[Layer, tuple[int, ...], int]] = []
        self.casts: list[Layer] = []

    def add(self, node: Node, is_given: bool) -> None:
        """Append the values of a node, and its calls unless it is given."""
        graph = None if is_given else _graph_of(node.layer)
        if graph is None:
            for tensor in node.outputs:
                self.index[tensor] = self._new(tensor)
            if not is_given:
                sources = tuple(self.index[tensor] for tensor in node.inputs)
                self.calls.append((node.layer, sources, self.index[node.outputs[0]]))
            return
        if len(self.values) + len(graph.values) > MOST_CALLS:
            raise ValueError(f"The nested models have more than {MOST_CALLS:,} calls of layers.")
        index: dict[int, int] = {}  # of the values of the nested graph
        for i, tensor in zip(graph.inputs, node.inputs, strict=True):
            index[i] = self._as(graph.values[i], tensor)
        for i, value in enumerate(graph.values):
            if i not in index:
                index[i] = self._new(value)
        for step in graph.steps:
            sources = tuple(index[i] for i in step.inputs)
            self.calls.append((graph.layers[step.layer], sources, index[step.output]))
        for tensor, i in zip(node.outputs, graph.outputs, strict=True):
            self.index[tensor] = index[i]

    def steps(self, layers: Sequence[Layer], wanted: Sequence[int]) -> tuple[Step, ...]:
        """The calls as steps, each with the values that are not needed after it."""
        number = {layer: i for i, layer in enumerate(layers)}
        needed = set(wanted)
        steps = []
        for layer, sources, output in reversed(self.calls):
            last_use_of = tuple(sorted(set(sources) - needed))
            steps.append(Step(number[layer], sources, output, last_use_of))
            needed.update(sources)
        return tuple(reversed(steps))

    def _new(self, value: SymbolicTensor) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def _as(self, wanted: SymbolicTensor, given: SymbolicTensor) -> int:
        """The index of `given` in the dtype of the input of a nested model."""
        if wanted.dtype == given.dtype:
            return self.index[given]
        cast = InputLayer(batch_input_shape=given.shape, dtype=wanted.dtype, name="cast")
        self.casts.append(cast)
        i = self._new(wanted)
        self.calls.append((cast, (self.index[given],), i))
        return i


def _graph_of(layer: Layer) -> Graph | None:
    """The graph of a model; None for other layers and subclasses that define `call`."""
    if not isinstance(layer, LayerWithGraph) or layer._computes_by_call:
        return None
    return layer.graph_of_layers()


def _computing(layer: Layer) -> tuple[Layer, ...]:
    graph = _graph_of(layer)
    return (layer,) if graph is None else graph.layers


def _nodes_in_order(
    outputs: Sequence[SymbolicTensor], given: Sequence[Node]
) -> tuple[list[Node], dict[Layer, int]]:
    """Nodes in topological order, and the order in which the layers were first visited."""
    nodes: list[Node] = []
    finished: set[Node] = set()
    traversal: dict[Layer, int] = {}
    for output in outputs:
        stack = [(output.node, False)]
        while stack:  # a deep model must not reach Python's recursion limit
            node, inputs_done = stack.pop()
            if inputs_done:
                finished.add(node)
                nodes.append(node)
                continue
            if node in finished:
                continue
            traversal.setdefault(node.layer, len(traversal))
            stack.append((node, True))
            if node not in given:
                stack.extend((tensor.node, False) for tensor in reversed(node.inputs))
    return nodes, traversal


def _layers_in_order(
    nodes: Sequence[Node], traversal: dict[Layer, int], given: Sequence[Node]
) -> list[Layer]:
    """Layers by their distance from the outputs, farthest first, as in Keras."""
    node_depth: dict[Node, int] = {}
    layer_depth: dict[Layer, int] = {}
    for node in reversed(nodes):
        depth = max(node_depth.get(node, 0), layer_depth.get(node.layer, 0))
        node_depth[node] = layer_depth[node.layer] = depth
        if node not in given:
            for tensor in node.inputs:
                node_depth[tensor.node] = max(node_depth.get(tensor.node, 0), depth + 1)
    return sorted(layer_depth, key=lambda layer: (-layer_depth[layer], traversal[layer]))


def _check_names(layers: Sequence[Layer]) -> None:
    names = [layer.name for layer in layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"All layer names should be unique; used twice: {', '.join(twice)}.")
