"""How each layer of a model changes for another data format.

The numbers of a row are permuted there. So each value between two layers has an *order*: an array
of the shape of a converted row, whose entries are indices into the original row, flattened. A rule
for each class of layer returns the change of the layer and the order of its output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lcfast import layers
from lcfast.layers import activation_argument
from lcfast.layers.core.layer import Layer
from lcfast.layers.locally_connected_base import LocallyConnected
from lcfast.local_conv.geometry import CHANNELS_FIRST
from lcfast.models.graph import Graph


@dataclass(frozen=True)
class Change:
    """The change of a layer: new arguments and weights, or the converted layer itself."""

    arguments: dict[str, Any] = field(default_factory=dict)
    weights: list[np.ndarray] | None = None
    layer: Layer | None = None


UNCHANGED = Change()

# Layers by name that compute each number on its own.
_POINTWISE = frozenset(
    ("Dropout", "ELU", "GaussianDropout", "GaussianNoise", "LeakyReLU", "ReLU", "ThresholdedReLU")
)
_POINTWISE_MERGES = frozenset({"Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"})
# Layers whose output has the axes of their inputs.
_KEEP_AXES = frozenset(
    ("Activation", "BatchNormalization", "Concatenate", "PReLU", "Softmax")
).union(_POINTWISE, _POINTWISE_MERGES)


@dataclass(frozen=True)
class Call:
    """A call of a layer, for the rules.

    Parameters
    ----------
    layer : Layer
        The original layer.
    rows : list of tuple of int
        The shapes of the original inputs without the batch.
    row : tuple of int
        The shape of the original output without the batch.
    orders : list of ndarray
        The order of each input.
    wanted : bool
        Whether later layers need the output with its channels moved.
    target : str
        The data format of the converted model.
    """

    layer: Any
    rows: list[tuple[int, ...]]
    row: tuple[int, ...]
    orders: list[np.ndarray]
    wanted: bool
    target: str

    @property
    def kept(self) -> bool:
        """Whether the orders of all inputs are the original ones."""
        return all(_same(o, _kept(r)) for o, r in zip(self.orders, self.rows, strict=True))

    @property
    def moved(self) -> bool:
        """Whether all inputs have their channels moved."""
        return all(
            len(r) > 1 and _same(o, _moved(r, self.target))
            for o, r in zip(self.orders, self.rows, strict=True)
        )

    def moved_axis(self, axis: int) -> int:
        """The index of an axis of the input, batch included, after the channels moved."""
        rank = len(self.rows[0])
        axes: list[int] = _moved_axes(list(range(rank)), self.target)
        return axes.index(axis % (rank + 1) - 1) + 1


Rule = Callable[[Call], tuple[Change, np.ndarray]]


def in_data_format(
    graph: Graph, target: str, problems: list[str]
) -> tuple[dict[Layer, Change], list[tuple[int | None, ...]]]:
    """The change of each layer, and the shapes of the converted inputs."""
    unknown = [value.node.layer.name for value in graph.values if None in value.shape[1:]]
    if unknown:
        problems.append(
            f"the sizes of the outputs of these layers are not known: {', '.join(unknown)}; give "
            "the inputs a shape without None"
        )
        return {}, []
    rows: list[Any] = [value.shape[1:] for value in graph.values]
    wanted = _wanted_moved(graph, target)
    orders: list[Any] = [None] * len(rows)
    for i in graph.inputs:
        orders[i] = _moved(rows[i], target) if i in wanted else _kept(rows[i])
    changes: dict[Layer, Change] = dict.fromkeys(graph.layers, UNCHANGED)
    calls: dict[Layer, tuple[Call, Change]] = {}
    for step in graph.steps:
        layer = graph.layers[step.layer]
        call = Call(
            layer,
            [rows[i] for i in step.inputs],
            rows[step.output],
            [orders[i] for i in step.inputs],
            step.output in wanted,
            target,
        )
        try:
            change, orders[step.output] = _converted(call)
            _check_shared(*calls.setdefault(layer, (call, change)), call, change)
            changes[layer] = change
        except ValueError as error:
            problems.append(f"layer {layer.name!r} ({type(layer).__name__}): {error}")
            row = rows[step.output]  # continue to find all problems
            orders[step.output] = _moved(row, target) if call.wanted else _kept(row)
    for i in set(graph.outputs):
        known = (_kept(rows[i]), *((_moved(rows[i], target),) if len(rows[i]) > 1 else ()))
        if not any(_same(orders[i], order) for order in known):
            name = graph.values[i].node.layer.name
            problems.append(f"the output of layer {name!r} would have its numbers in another order")
    shapes = [(graph.values[i].shape[0], *orders[i].shape) for i in graph.inputs]
    return changes, shapes


def _wanted_moved(graph: Graph, target: str) -> set[int]:
    """The values whose channels must move for the layers that use them."""
    wanted: set[int] = set()
    for step in reversed(graph.steps):
        layer = graph.layers[step.layer]
        if _is_formatted(layer):
            moves = layer.data_format != target  # type: ignore[attr-defined]
        else:
            moves = _is_one_of(layer, _KEEP_AXES) and step.output in wanted
        if moves:
            wanted.update(step.inputs)
    return wanted


def _check_shared(first: Call, first_change: Change, call: Call, change: Change) -> None:
    """Refuse a shared layer whose calls need different changes."""
    if _is_formatted(call.layer) or (change is UNCHANGED and first_change is UNCHANGED):
        return
    same = len(first.orders) == len(call.orders) and all(map(_same, first.orders, call.orders))
    if not same:
        raise ValueError("is called several times, on numbers in different orders")


def _is_one_of(layer: Layer, names: frozenset[str]) -> bool:
    """Whether a layer is an instance of one of these classes, not of a user's subclass."""
    name = type(layer).__name__
    return name in names and vars(layers).get(name) is type(layer)


def _is_formatted(layer: Layer) -> bool:
    return hasattr(layer, "data_format") and not isinstance(layer, layers.Flatten)


def _converted(call: Call) -> tuple[Change, np.ndarray]:
    """The change of the layer and the order of its output."""
    rule = _rule_of(call.layer)
    if call.kept and rule not in (_any_other, _formatted, _reshape):
        return UNCHANGED, _kept(call.row)
    return rule(call)


def _rule_of(layer: Layer) -> Rule:
    name = type(layer).__name__
    if vars(layers).get(name) is not type(layer):
        return _any_other
    if _is_formatted(layer):
        return _formatted
    if name in _POINTWISE:
        return _pointwise
    if name in _POINTWISE_MERGES:
        return _pointwise_merge
    return _RULES.get(name, _any_other)


def _any_other(call: Call) -> tuple[Change, np.ndarray]:
    parts = call.layer.flat_layers()
    if any(_is_formatted(part) and part.data_format != call.target for part in parts):
        raise ValueError("contains layers or has a data format that cannot be converted")
    if not call.kept:
        raise ValueError("takes numbers in an order that would change")
    return UNCHANGED, _kept(call.row)


def _formatted(call: Call) -> tuple[Change, np.ndarray]:
    """Layers with a data format: LocallyConnected, Conv, pooling and others."""
    layer, target = call.layer, call.target
    if layer.data_format == target:
        return _any_other(call)
    if not call.moved:
        raise ValueError("takes an input whose axes cannot be moved")
    keeps_axes = len(call.row) == len(call.rows[0])
    order = _moved(call.row, target) if keeps_axes else _kept(call.row)
    if isinstance(layer, LocallyConnected):
        return Change(layer=layer.with_data_format(target)), order
    activation = getattr(layer, "activation", None)
    if activation is not None and activation_argument.runs_over_an_axis(activation):
        raise ValueError(
            f"applies {activation.name}, which runs, or may run, over the last axis, and that "
            "axis would change; apply it in a separate Softmax layer"
        )
    return Change({"data_format": target}, layer.get_weights()), order


def _flatten(call: Call) -> tuple[Change, np.ndarray]:
    numbers = _flat(_kept(call.rows[0]), call.layer.data_format)
    taken = _flat(call.orders[0], call.target)
    index = np.empty_like(numbers)
    index[numbers] = np.arange(len(numbers))
    return Change({"data_format": call.target}), index[taken]


def _flat(row: np.ndarray, data_format: str) -> np.ndarray:
    if data_format == CHANNELS_FIRST and row.ndim > 1:
        row = np.moveaxis(row, 0, -1)
    return row.reshape(-1)


def _dense(call: Call) -> tuple[Change, np.ndarray]:
    if len(call.rows[0]) > 1:
        raise ValueError("multiplies the last axis, which would change")
    kernel, *bias = call.layer.get_weights()
    return Change(weights=[kernel[call.orders[0]], *bias]), _kept(call.row)


def _reshape(call: Call) -> tuple[Change, np.ndarray]:
    if not call.wanted:
        return UNCHANGED, call.orders[0].reshape(call.row)
    order = _moved(call.row, call.target)
    if not np.array_equal(call.orders[0].reshape(-1), order.reshape(-1)):
        raise ValueError("would return its numbers in another order")
    return Change({"target_shape": order.shape}), order


def _pointwise(call: Call) -> tuple[Change, np.ndarray]:
    return UNCHANGED, call.orders[0]


def _activation(call: Call) -> tuple[Change, np.ndarray]:
    activation = call.layer.activation
    if not activation_argument.runs_over_an_axis(activation):
        return UNCHANGED, call.orders[0]
    if getattr(activation, "name", None) == "softmax" and call.moved:
        softmax = layers.Softmax(call.moved_axis(-1), name=call.layer.name, dtype=call.layer.dtype)
        return Change(layer=softmax), call.orders[0]
    raise ValueError(f"applies {activation.name} over an axis that would change")


def _softmax(call: Call) -> tuple[Change, np.ndarray]:
    if not call.moved:
        raise ValueError("runs over an axis whose numbers would be in another order")
    axis = call.layer.axis
    several = isinstance(axis, list)
    moved = [call.moved_axis(each) for each in (axis if several else [axis])]
    return Change({"axis": moved if several else moved[0]}), call.orders[0]


def _batch_normalization(call: Call) -> tuple[Change, np.ndarray]:
    weights = call.layer.get_weights()
    if call.moved:
        return Change({"axis": call.moved_axis(call.layer.axis)}, weights), call.orders[0]
    if len(call.rows[0]) > 1:
        raise ValueError("normalises an axis whose numbers would be in another order")
    return Change(weights=[weight[call.orders[0]] for weight in weights]), call.orders[0]


def _prelu(call: Call) -> tuple[Change, np.ndarray]:
    (alpha,) = call.layer.get_weights()
    shared = call.layer.shared_axes or []
    if call.moved:
        changes = {"shared_axes": sorted(map(call.moved_axis, shared)) or None}
        return Change(changes, [_moved_axes(alpha, call.target)]), call.orders[0]
    if len(call.rows[0]) > 1 or shared:
        raise ValueError("has a slope for each number, and those would be in another order")
    return Change(weights=[alpha[call.orders[0]]]), call.orders[0]


def _pointwise_merge(call: Call) -> tuple[Change, np.ndarray]:
    if call.moved and all(len(row) == len(call.row) for row in call.rows):
        return UNCHANGED, _moved(call.row, call.target)
    if not all(_same(call.orders[0], order) for order in call.orders[1:]):
        raise ValueError("takes inputs whose numbers would be in different orders")
    return UNCHANGED, call.orders[0]


def _concatenate(call: Call) -> tuple[Change, np.ndarray]:
    axis = call.layer.axis % (len(call.row) + 1)
    if call.moved:
        return Change({"axis": call.moved_axis(axis)}), _moved(call.row, call.target)
    if len(call.row) > 1:
        raise ValueError("takes inputs whose axes would differ")
    sizes = [row[0] for row in call.rows]
    starts = np.cumsum([0, *sizes[:-1]])
    pieces = [order + start for order, start in zip(call.orders, starts, strict=True)]
    return UNCHANGED, np.concatenate(pieces)


_RULES: dict[str, Rule] = {
    "Activation": _activation,
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenate,
    "Dense": _dense,
    "Flatten": _flatten,
    "PReLU": _prelu,
    "Reshape": _reshape,
    "Softmax": _softmax,
}


def _kept(row: tuple[int, ...]) -> np.ndarray:
    """The order of an unchanged row."""
    return np.arange(math.prod(row)).reshape(row)


def _moved(row: tuple[int, ...], target: str) -> np.ndarray:
    """The order of a row whose channels move to their axis in `target`."""
    return np.ascontiguousarray(_moved_axes(_kept(row), target))


def _moved_axes(value: Any, target: str) -> Any:
    """An array, or a list with one entry per axis, with the channel axis moved."""
    if isinstance(value, list):
        return [value[-1], *value[:-1]] if target == CHANNELS_FIRST else [*value[1:], value[0]]
    return np.moveaxis(value, -1, 0) if target == CHANNELS_FIRST else np.moveaxis(value, 0, -1)


def _same(order: np.ndarray, other: np.ndarray) -> bool:
    return order.shape == other.shape and np.array_equal(order, other)
