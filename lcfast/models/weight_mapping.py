"""Which array of a file is which weight of a model, for loading and for writing.

Files name arrays by layer, by path in a tree of attributes, or by order alone; see `lcfast.io`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lcfast import io
from lcfast.errors import ModelFileError, listed
from lcfast.io.reading import in_natural_order, snake_case
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import WeightOrder, WeightsFile
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.tracking import WeightRef, layers_in
from lcfast.layers.core.weights import Weight
from lcfast.layers.recurrent import Recurrent
from lcfast.models.structure import ModelStructure

Shapes = Mapping[str, tuple[int, ...]]

# The attributes of a wrapper whose weights come first, whatever their names.
_FIRST_HELD = ("forward_layer", "backward_layer")


def load_weights(model: ModelStructure, filepath: str | os.PathLike[str]) -> None:
    """Set all weights to those in a file; see `Model.load_weights`."""
    path = os.fspath(filepath)
    model.graph_of_layers()  # raises ValueError where the model is not built
    with io.open_weights(path) as file:
        names = _checked_names(model, file, path)
        values = [file.arrays[names[id(weight)]] for weight in model.weights]
    model.set_weights(values)


def _checked_names(model: ModelStructure, file: WeightsFile, path: str) -> dict[int, str]:
    """The name of the array of each weight, by the weight's id.

    Raises
    ------
    ModelFileError
        That lists every array that is missing, surplus or misshapen.
    """
    shapes: Shapes = file.arrays.shapes
    if file.layout == "tree of groups":
        pairs, problems = _by_path(model, shapes)
    else:
        if file.layout == "checkpoint":
            layers = file.find_layers()
            if shapes and not layers:
                raise ModelFileError(
                    f"{path}: does not say which layer has which weights; set them by hand from "
                    "lcfast.read_weights"
                )
            shapes = {name: shapes[name] for names in layers.values() for name in names}
        pairs, problems = _by_order(weights_in(file.order, model.layers), shapes)
    problems += [
        f"{weight.name} needs shape {weight.shape}; {name} in the file has {shapes[name]}"
        for weight, name in pairs
        if shapes[name] != weight.shape
    ]
    if problems:
        raise ModelFileError(f"{path} does not fit model {model.name}, {listed(problems)}")
    return {id(weight): name for weight, name in pairs}


def _by_order(weights: list[Weight], shapes: Shapes) -> tuple[list[tuple[Weight, str]], list[str]]:
    """(weight, name) pairs by their order, and what is missing or surplus."""
    names = list(shapes)
    problems = [f"{weight.name} {weight.shape} is missing" for weight in weights[len(names) :]]
    problems += [f"{name} {shapes[name]} is surplus" for name in names[len(weights) :]]
    return list(zip(weights, names, strict=False)), problems


def _by_path(model: ModelStructure, shapes: Shapes) -> tuple[list[tuple[Weight, str]], list[str]]:
    """(weight, name) pairs by their paths in the tree, and what is missing or surplus."""
    weights = _weight_paths(model)
    problems = [
        f"{weight.name} {weight.shape} is missing: there is no {name}"
        for name, weight in weights.items()
        if name not in shapes
    ]
    problems += [f"{name} {shapes[name]} is surplus" for name in shapes if name not in weights]
    return [(weight, name) for name, weight in weights.items() if name in shapes], problems


def arrays_of_layer(layer: Layer, stored: StoredModel) -> list[np.ndarray]:
    """The arrays of a layer of a whole model, in the order of `get_weights()`.

    Raises
    ------
    ValueError
        If their number or a shape is not that of the layer's weights.
    """
    names = stored.layer_weights.get(layer.name, ())
    indices = _order_in_file(layer, names, stored.order)
    shapes = layer.weight_shapes()
    needed = [shapes[index] for index in indices]
    given = [stored.arrays[name] for name in names]
    if [array.shape for array in given] != needed:
        raise ValueError(
            f"needs weights of shapes {_listed_shapes(needed)}; the file holds "
            f"{_listed_shapes([array.shape for array in given])}"
        )
    by_index = dict(zip(indices, given, strict=True))
    return [by_index[index] for index in range(len(given))]


def _order_in_file(layer: Layer, names: Sequence[str], order: WeightOrder) -> list[int]:
    """The index in `get_weights()` of each weight of a layer, in the file's order."""
    if order == "by name" and len(layer.flat_layers()) > 1:
        # Paths are unambiguous where attributes share a layer or list several classes of layers.
        index_of = {id(weight): index for index, weight in enumerate(layer.weights)}
        paths = {path: index_of[id(weight)] for path, weight in _weight_paths(layer).items()}
        found = [name.split("/", 2)[2] for name in names]  # below "layers/name_of_class"
        if sorted(paths) == sorted(found):
            return [paths[path] for path in found]
    index = {ref: i for i, ref in enumerate(layer.weight_refs())}
    return [index[ref] for ref in weight_refs_in(order, layer)]


def _listed_shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) if shapes else "none"


# ------------------------------------------------------------ the order of weights in files


def weights_in(order: WeightOrder, layers: Sequence[Layer]) -> list[Weight]:
    """The weights of layers as a file orders them."""
    refs = [ref for layer in layers for ref in weight_refs_in(order, layer)]
    return [holder.weight_of(holder._slots[i]) for holder, i in refs]


def weight_refs_in(order: WeightOrder, layer: Layer) -> list[WeightRef]:
    """The references to a layer's weights as a file orders them.

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
    if by_name and not isinstance(layer, ModelStructure):
        held = _held_by_name(layer)
    own: list[WeightRef] = [(layer, i) for i in range(len(layer._slots))]
    return own + [ref for part in held for ref in _layer_by_layer(part, by_name)]


def _held_by_name(layer: Layer) -> list[Layer]:
    """The layers that a layer holds, in the order of its attributes' names."""

    def rank(name: str) -> tuple[int, list[Any]]:
        first = _FIRST_HELD.index(name) if name in _FIRST_HELD else len(_FIRST_HELD)
        return first, in_natural_order(name)

    values = (vars(layer)[name] for name in sorted(layer._holders, key=rank))
    found = [part for value in values for part in layers_in(value)]
    return list(dict.fromkeys(found))


# ------------------------------------------------------------ the tree of .keras and .weights.h5


def weight_tree(holder: Layer) -> dict[str, list[Weight]]:
    """The weights of each layer by its path in the tree of a .keras or .weights.h5 file.

    Paths are relative to `holder`, a model or a layer. Layers in a list are named after their
    class and numbered: "layers/dense", "layers/dense_1".
    """
    tree: dict[str, list[Weight]] = {"": []}
    seen: set[Layer] = set()

    def below(path: str, name: str) -> str:
        return f"{path}/{name}" if path else name

    def visit(layer: Any, path: str) -> None:
        seen.add(layer)
        if isinstance(layer, ModelStructure):
            tree[path] = []
            visit_all(layer.layers, below(path, "layers"))
            return
        tree[path] = weights = [layer.weight_of(slot) for slot in layer._slots]
        if isinstance(layer, Recurrent):  # Keras stores the weights in the layer's cell
            tree[path], tree[below(path, "cell")] = [], weights
        for name in sorted(layer._holders, reverse=True):  # the order of tf_keras
            held = vars(layer)[name]
            if isinstance(held, Layer):
                if held not in seen:
                    visit(held, below(path, name))
            else:
                parts = held.values() if isinstance(held, dict) else held
                visit_all([part for part in parts if isinstance(part, Layer)], below(path, name))

    def visit_all(layers: Sequence[Layer], path: str) -> None:
        counts: Counter[str] = Counter()
        for layer in layers:
            if layer not in seen:
                name = snake_case(_class_name(layer))
                number = counts[name]
                counts[name] += 1
                visit(layer, f"{path}/{name}_{number}" if number else f"{path}/{name}")

    visit(holder, "")
    return tree


def _weight_paths(holder: Layer) -> dict[str, Weight]:
    """Every weight by its path in the tree: "layers/dense/vars/0"."""
    return {
        f"{path}/vars/{i}" if path else f"vars/{i}": weight
        for path, weights in weight_tree(holder).items()
        for i, weight in enumerate(weights)
    }


def _class_name(layer: Layer) -> str:
    if isinstance(layer, ModelStructure):
        return str(layer.class_name_in_files)
    return type(layer).__name__
