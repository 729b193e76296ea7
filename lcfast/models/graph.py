"""The graph between symbolic inputs and outputs: its layers in Keras's order, its steps in ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcfast.layers.base import Layer
from lcfast.layers.symbolic import Node, SymbolicTensor
from lcfast.models.masks import check_masks


@dataclass(frozen=True)
class Step:
    """One call of a layer: values[output] = layers[layer](values[i] for i in inputs).

    After it, the values in `last_use_of` are needed no more.
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
    layers : tuple of Layer
        Every layer once, in the order in which Keras lists them and their weights.
    nodes : tuple of Node
        Every call once, each after those that it needs; value i is the output of nodes[i].
    steps : tuple of Step
        The calls that compute something.
    inputs, outputs : tuple of int
        Which values the caller gives, and which it gets.
    """

    layers: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def trace(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> Graph:
    """Follow the outputs back to the inputs.

    Raises
    ------
    ValueError
        If an output depends on an input that is not given, an input is given twice, or a layer
        would use a mask.
    """
    given = [tensor.node for tensor in inputs]
    if len(set(given)) != len(given):
        raise ValueError("The list of inputs passed to the model contains the same input twice.")
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
    layers = _layers_in_order(nodes, traversal, given)
    _check_names(layers)
    place = {node: i for i, node in enumerate(nodes)}
    number = {layer: i for i, layer in enumerate(layers)}
    needed = {place[tensor.node] for tensor in outputs}
    steps: list[Step] = []
    for node in reversed(nodes):
        if node not in given:
            sources = tuple(place[tensor.node] for tensor in node.inputs)
            last_use_of = tuple(sorted(set(sources) - needed))
            steps.append(Step(number[node.layer], sources, place[node], last_use_of))
            needed.update(sources)
    return Graph(
        tuple(layers),
        tuple(nodes),
        tuple(reversed(steps)),
        tuple(place[node] for node in given),
        tuple(place[tensor.node] for tensor in outputs),
    )


def _nodes_in_order(
    outputs: Sequence[SymbolicTensor], given: Sequence[Node]
) -> tuple[list[Node], dict[Layer, int]]:
    """Nodes, each after its inputs, and the order in which the layers were first met."""
    nodes: list[Node] = []
    finished: set[Node] = set()
    traversal: dict[Layer, int] = {}
    for output in outputs:
        stack = [(output.node, False)]
        while stack:  # a deep model must not end in Python's recursion limit
            node, inputs_done = stack.pop()
            if inputs_done:
                if node not in finished:
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
    """Layers by their distance from the outputs, the farthest first, as Keras lists them."""
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
