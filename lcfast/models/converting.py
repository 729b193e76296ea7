"""Models with another implementation or data format, which compute the same."""

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


def convert(
    model: Model, implementation: int | None = None, data_format: str | None = None
) -> Model:
    """Return a model of its own that computes the same with other weights, or on other axes.

    Parameters
    ----------
    model : Model
        The model, built.
    implementation : int, optional
        1, 2 or 3: the weights that all LocallyConnected layers store, those of models inside too.
        The engine follows it.
    data_format : str, optional
        "channels_last" or "channels_first", of all layers. The converted model takes inputs whose
        axes are moved accordingly, and gives such outputs where they still have a channel axis.
        Flatten follows too, and where it then gives its numbers in another order, as it does for
        channels_first with a Flatten of channels_last, the rows of the Dense after it move. Such
        sums are rounded differently; nothing else changes.

    Returns
    -------
    Model
        A Sequential where `model` is one, with the names and weights of its layers.

    Raises
    ------
    ValueError
        If a layer cannot be converted; then every one of them is listed.

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
                made = change.layer or layer
                assert isinstance(made, LocallyConnected)
                changes[layer] = Change(layer=made.with_implementation(implementation))
            except (TypeError, ValueError) as error:
                problems.append(f"layer {layer.name!r} ({type(layer).__name__}): {error}")
        elif any(isinstance(part, LocallyConnected) for part in layer.flat_layers()):
            # a class of the user's may compute something else
            if not isinstance(layer, Model) or layer.class_name_in_files is None:
                problems.append(_holds_others(layer))
                continue
            try:
                changes[layer] = Change(layer=convert(layer, implementation))
            except ValueError as error:
                problems.append(str(error))


def _shared_problems(graph: Graph) -> Iterator[str]:
    """The layers that another one holds, and something else too."""
    users = Counter(part for layer in graph.listed for part in layer.flat_layers())
    for part, count in users.items():
        if count > 1:
            yield (
                f"layer {part.name!r} ({type(part).__name__}) is in the model and inside of one of "
                "its layers, or inside of two, and would become several layers"
            )


def _holds_others(layer: Layer) -> str:
    return (
        f"layer {layer.name!r} ({type(layer).__name__}) holds layers of its own, which are not "
        "converted; convert them first and build the model of them"
    )


# ---------------------------------------------------------------- the new model


def _rebuilt(
    model: Model, changes: dict[Layer, Change], input_shapes: Sequence[tuple[int | None, ...]]
) -> Model:
    """The model with its layers changed, called on each other as before."""
    tensors: dict[SymbolicTensor, SymbolicTensor] = {}
    for tensor, shape in zip(model.inputs, input_shapes, strict=True):
        entry = InputLayer(batch_input_shape=shape, dtype=tensor.dtype, name=tensor.name)
        tensors[tensor] = entry.tensor
    made: dict[Layer, Layer] = {}
    for node in model.graph_of_layers().nodes:  # each after those that it needs
        if node.outputs[0] in tensors:
            continue  # an input
        layer = node.layer
        taken = [tensors[tensor] for tensor in node.inputs]
        is_new = layer not in made
        if is_new:
            made[layer] = _changed(layer, changes[layer])
            if layer.batch_input_shape is not None:
                made[layer].batch_input_shape = taken[0].shape
        given = made[layer](taken if layer.takes_list or len(taken) > 1 else taken[0])
        of_node = given if isinstance(given, list) else [given]
        tensors.update(zip(node.outputs, of_node, strict=True))
        weights = changes[layer].weights
        if is_new and weights is not None:
            made[layer].set_weights(weights)
    inputs = [tensors[tensor] for tensor in model.inputs]
    if isinstance(model, Sequential):
        chain = [made[layer] for layer in model.layers]
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
