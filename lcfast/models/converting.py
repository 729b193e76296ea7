"""Convert a model to another implementation or data format."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence

from lcfast.errors import listed
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import SymbolicTensor
from lcfast.layers.input import InputLayer
from lcfast.layers.locally_connected_base import LocallyConnected
from lcfast.models.data_formats import UNCHANGED, Change, in_data_format
from lcfast.models.folding import FoldedModel, folded
from lcfast.models.graph import Graph
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential
from lcfast.models.structure import as_list


def convert(
    model: Model, implementation: int | None = None, data_format: str | None = None
) -> Model:
    """Return an independent model that computes the same with another implementation or layout.

    Parameters
    ----------
    model : Model
        The model, built.
    implementation : int, optional
        1, 2 or 3: how all LocallyConnected layers store their weights, those of nested models
        too.  The engine follows from it.
    data_format : str, optional
        "channels_last" or "channels_first", for all layers. The axes of the model's inputs move
        accordingly, and those of its outputs where they have a channel axis. Where Flatten then
        returns the numbers in another order, the rows of the kernel of the Dense layer after it
        are permuted; its sums are rounded differently. Nothing else changes.

    Returns
    -------
    Model
        A Sequential if `model` is one; layers keep their names and weights.

    Raises
    ------
    ValueError
        If layers cannot be converted; the message lists all of them.

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> layers = [lcfast.LocallyConnected1D(4, 3, input_shape=(10, 2)), lcfast.Flatten()]
    >>> model = lcfast.Sequential([*layers, lcfast.Dense(1)])
    >>> first = convert(model, implementation=3, data_format="channels_first")
    >>> first.input_shape, first.layers[0].implementation
    ((None, 2, 10), 3)
    """
    if isinstance(model, FoldedModel):
        return folded(convert(model.original, implementation, data_format))
    graph = model.graph_of_layers()
    if implementation is None and data_format is None:
        return copy.deepcopy(model)
    problems = list(_shared_problems(graph))
    changes = dict.fromkeys(graph.listed, UNCHANGED)
    inputs = [graph.values[i].shape for i in graph.inputs]
    if data_format is not None:
        inner = [layer for layer in graph.listed if isinstance(layer, Model)]
        problems += [_holds_others(layer) for layer in inner]
        target = arguments.checked_data_format(data_format)
        if not problems:
            changes, inputs = in_data_format(graph, target, problems)
    if implementation is not None:
        _set_implementation(changes, implementation, problems)
    if problems:
        raise ValueError(f"Model {model.name} cannot be converted, {listed(problems)}")
    return _rebuilt(model, changes, inputs)


# ---------------------------------------------------------------- implementation


def _set_implementation(
    changes: dict[Layer, Change], implementation: int, problems: list[str]
) -> None:
    if implementation not in (1, 2, 3):
        raise ValueError(f"The implementation must be 1, 2 or 3. Received: {implementation!r}.")
    for layer, change in changes.items():
        if isinstance(layer, LocallyConnected):
            try:
                converted = change.layer or layer
                assert isinstance(converted, LocallyConnected)
                changes[layer] = Change(layer=converted.with_implementation(implementation))
            except (TypeError, ValueError) as error:
                problems.append(f"layer {layer.name!r} ({type(layer).__name__}): {error}")
        elif any(isinstance(part, LocallyConnected) for part in layer.flat_layers()):
            # a user's subclass may compute something else
            if not isinstance(layer, Model) or layer.class_name_in_files is None:
                problems.append(_holds_others(layer))
                continue
            try:
                changes[layer] = Change(layer=convert(layer, implementation))
            except ValueError as error:
                problems.append(str(error))


def _shared_problems(graph: Graph) -> Iterator[str]:
    """The layers that are in the graph or in other layers more than once."""
    users = Counter(part for layer in graph.listed for part in layer.flat_layers())
    for part, count in users.items():
        if count > 1:
            yield (
                f"layer {part.name!r} ({type(part).__name__}) is contained in several layers, or "
                "in one and in the model itself, and would become several layers"
            )


def _holds_others(layer: Layer) -> str:
    return (
        f"layer {layer.name!r} ({type(layer).__name__}) contains layers, which are not converted; "
        "convert those first and build the model from them"
    )


# ---------------------------------------------------------------- the new model


def _rebuilt(
    model: Model, changes: dict[Layer, Change], input_shapes: Sequence[tuple[int | None, ...]]
) -> Model:
    """A model of the changed layers, connected as before."""
    tensors: dict[SymbolicTensor, SymbolicTensor] = {}
    for tensor, shape in zip(model.inputs, input_shapes, strict=True):
        entry = InputLayer(batch_input_shape=shape, dtype=tensor.dtype, name=tensor.name)
        tensors[tensor] = entry.tensor
    new: dict[Layer, Layer] = {}
    for node in model.graph_of_layers().nodes:  # in topological order
        if node.outputs[0] in tensors:
            continue  # an input
        layer = node.layer
        taken = [tensors[tensor] for tensor in node.inputs]
        is_new = layer not in new
        if is_new:
            new[layer] = _changed(layer, changes[layer])
            if layer.batch_input_shape is not None:
                new[layer].batch_input_shape = taken[0].shape
        outputs = new[layer](taken if layer.takes_list or len(taken) > 1 else taken[0])
        tensors.update(zip(node.outputs, as_list(outputs), strict=True))
        weights = changes[layer].weights
        if is_new and weights is not None:
            new[layer].set_weights(weights)
    inputs = [tensors[tensor] for tensor in model.inputs]
    if isinstance(model, Sequential):
        chain = [new[layer] for layer in model.layers]
        return Sequential([inputs[0].node.layer, *chain], model.name, model.trainable)
    outputs = [tensors[tensor] for tensor in model.outputs]
    return Model(
        inputs if model._takes_list else inputs[0],
        outputs if model._gives_list else outputs[0],
        model.name,
        model.trainable,
    )


def _changed(layer: Layer, change: Change) -> Layer:
    if change.layer is not None:
        return change.layer
    if not change.arguments:
        return copy.deepcopy(layer)
    config = {**layer.get_config(), **change.arguments}
    if (engine := getattr(layer, "engine", None)) is not None:
        config["engine"] = engine
    made: Layer = type(layer).from_config(config)
    made.await_weights()
    return made
