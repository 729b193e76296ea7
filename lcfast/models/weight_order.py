"""In which order a file has the weights of a layer that holds others, or of a model inside."""

from __future__ import annotations

from typing import Any

from lcfast.io.reading import in_natural_order
from lcfast.io.stored_model import WeightOrder
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.tracking import WeightRef, layers_in
from lcfast.models.weights import LayersOfGraph

# What a wrapper holds, in the order of its weights where that is not the alphabet's.
_FIRST_HELD = ("forward_layer", "backward_layer")


def weight_refs_in(order: WeightOrder, layer: Layer) -> list[WeightRef]:
    """Where each of a layer's weights is stored, as a file lists them.

    Examples
    --------
    >>> import lcfast
    >>> layers = [lcfast.BatchNormalization(name="a"), lcfast.Dense(1, name="b")]
    >>> model = lcfast.Sequential([lcfast.Input((2,)), *layers])
    >>> def names(order):
    ...     return [layer.name + str(i) for layer, i in weight_refs_in(order, model)]
    >>> names("trainable first")
    ['a0', 'a1', 'b0', 'b1', 'a2', 'a3']
    >>> names("layer by layer")
    ['a0', 'a1', 'a2', 'a3', 'b0', 'b1']
    """
    if order == "get_weights":
        return layer.weight_refs()
    if order == "trainable first":
        trainable, others = layer.split_weight_refs()
        return list(dict.fromkeys(trainable + others))
    return list(dict.fromkeys(_layer_by_layer(layer, by_name=order == "by name")))


def _layer_by_layer(layer: Layer, by_name: bool) -> list[WeightRef]:
    held: list[Any] = layer.sublayers()
    if by_name and not isinstance(layer, LayersOfGraph):
        held = _held_by_name(layer)
    own: list[WeightRef] = [(layer, i) for i in range(len(layer._slots))]
    return own + [ref for part in held for ref in _layer_by_layer(part, by_name)]


def _held_by_name(layer: Layer) -> list[Layer]:
    """What a layer holds, in the order of its attributes' names."""

    def rank(name: str) -> tuple[int, list[Any]]:
        first = _FIRST_HELD.index(name) if name in _FIRST_HELD else len(_FIRST_HELD)
        return first, in_natural_order(name)

    values = (vars(layer)[name] for name in sorted(layer._holders, key=rank))
    found = [part for value in values for part in layers_in(value)]
    return list(dict.fromkeys(found))
