"""Writing models into files that Keras reads, and setting weights from files.

The files are those of tf_keras; `lcfast.io` knows how they look, this module what goes into them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lcfast import io
from lcfast.errors import ModelFileError, listed
from lcfast.io.reading import snake_case
from lcfast.io.stored_model import WeightOrder
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.weights import SWAP_LOCK, Weight
from lcfast.layers.recurrent import Recurrent
from lcfast.models.configs import as_json, model_entry
from lcfast.models.weight_order import weight_refs_in
from lcfast.models.weights import LayersOfGraph

if TYPE_CHECKING:
    from lcfast.models.writable import WritableModel

KERAS_VERSION = "2.21.0"  # whose form the files have

_FORMATS = {"h5": "h5", "hdf5": "h5", "keras": "keras", "keras_v3": "keras"}
_ENDINGS = {".h5": "h5", ".hdf5": "h5", ".keras": "keras"}
_ENDINGS_OF_WEIGHTS = {".weights.h5": "tree", ".h5": "h5", ".hdf5": "h5"}
_OF_TREE = re.compile(r"(?:.*/)?vars/\d+")


def to_json(model: WritableModel, **options: Any) -> str:
    """The class, config and version of a model as JSON; the options are those of `json.dumps`."""
    entry = model_entry(model, "keras")
    described = {key: entry[key] for key in ("class_name", "config")}
    return as_json(
        {**described, "keras_version": KERAS_VERSION, "backend": "tensorflow"}, **options
    )


def save_model(
    model: WritableModel,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    save_format: str | None = None,
) -> None:
    """Write a whole model; see `Model.save`."""
    path = os.fspath(filepath)
    if path.endswith(".weights.h5"):
        raise ValueError(
            f"{path}: Keras takes a file of this ending for weights alone; write them with "
            "`save_weights`, or name the whole model otherwise, such as model.h5."
        )
    kind = _chosen_format(path, save_format, _ENDINGS)
    model.graph_of_layers()  # says that the model is not built
    entry = model_entry(model, "keras" if kind == "keras" else "hdf5")
    if kind == "keras":
        from lcfast.io import keras_writing

        arrays = _values(weight_tree(model))
        keras_writing.write_model(path, as_json(entry), arrays, KERAS_VERSION, overwrite)
    else:
        from lcfast.io import hdf5_writing

        named = _named_values(model)
        hdf5_writing.write_model(path, as_json(entry), named, KERAS_VERSION, overwrite)


def save_weights(
    model: WritableModel,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    save_format: str | None = None,
) -> None:
    """Write the weights of a model; see `Model.save_weights`."""
    path = os.fspath(filepath)
    kind = _chosen_format(path, save_format, _ENDINGS_OF_WEIGHTS)
    model.graph_of_layers()
    if kind == "tree":
        from lcfast.io import keras_writing

        keras_writing.write_weights(path, _values(weight_tree(model)), overwrite)
    else:
        from lcfast.io import hdf5_writing

        hdf5_writing.write_weights(path, _named_values(model), KERAS_VERSION, overwrite)


def load_weights(model: WritableModel, filepath: str | os.PathLike[str]) -> None:
    """Set all weights to those in a file; see `Model.load_weights`."""
    path = os.fspath(filepath)
    model.graph_of_layers()
    found, checkpoint = dict(io.read_weights(path)), io.layers_of_checkpoint(path)
    if checkpoint is not None:
        layers, order = checkpoint
        if found and not layers:
            raise ModelFileError(
                f"{path} knows its weights by name alone, and not which layer has which; set them "
                "by hand from lcfast.read_weights"
            )
        found = {name: found[name] for names in layers for name in names}
        pairs, problems = _by_order(_in_order(order, model.layers), found)
    elif found and all(map(_OF_TREE.fullmatch, found)):
        pairs, problems = _by_place(model, found)
    else:
        pairs, problems = _by_order(_in_order("trainable first", model.layers), found)
    problems += [
        f"{weight.name} needs shape {weight.shape}; {name} in the file has {found[name].shape}"
        for weight, name in pairs
        if found[name].shape != weight.shape
    ]
    if problems:
        raise ModelFileError(f"{path} does not fit model {model.name}, {listed(problems)}")
    values = {id(weight): found[name] for weight, name in pairs}
    model.set_weights([values[id(weight)] for weight in model.weights])


def _by_order(
    weights: list[Weight], found: dict[str, np.ndarray]
) -> tuple[list[tuple[Weight, str]], list[str]]:
    """Each weight with the name of the array that comes in its place, and what is left over."""
    names = list(found)
    problems = [f"{weight.name} {weight.shape} is missing" for weight in weights[len(names) :]]
    problems += [f"{name} {found[name].shape} is surplus" for name in names[len(weights) :]]
    return list(zip(weights, names, strict=False)), problems


def _by_place(
    model: WritableModel, found: dict[str, np.ndarray]
) -> tuple[list[tuple[Weight, str]], list[str]]:
    """Each weight with the name of the array at its place in the tree, and what is left over."""
    weight_refs = {
        f"{place}/vars/{i}": weight
        for place, weights in weight_tree(model).items()
        for i, weight in enumerate(weights)
    }
    problems = [
        f"{weight.name} {weight.shape} is missing: there is no {name}"
        for name, weight in weight_refs.items()
        if name not in found
    ]
    problems += [
        f"{name} {found[name].shape} is surplus" for name in found if name not in weight_refs
    ]
    return [(weight, name) for name, weight in weight_refs.items() if name in found], problems


def weight_tree(holder: Layer) -> dict[str, list[Weight]]:
    """The weights of each layer by its place in the tree of a .keras or .weights.h5 file.

    Places are those below `holder`, a model or a layer. Layers of a list are called after their
    class there, and counted: "layers/dense", "layers/dense_1".
    """
    tree: dict[str, list[Weight]] = {"": []}
    seen: set[Layer] = set()

    def below(place: str, name: str) -> str:
        return f"{place}/{name}" if place else name

    def visit(layer: Any, place: str) -> None:
        seen.add(layer)
        if isinstance(layer, LayersOfGraph):
            tree[place] = []
            visit_all(layer.layers, below(place, "layers"))  # type: ignore[attr-defined]
            return
        tree[place] = weights = [layer.weight_of(slot) for slot in layer._slots]
        if isinstance(layer, Recurrent):  # Keras gives the weights to a layer inside, the cell
            tree[place], tree[below(place, "cell")] = [], weights
        for name in sorted(layer._holders, reverse=True):  # the order of tf_keras
            held = vars(layer)[name]
            if isinstance(held, Layer):
                if held not in seen:
                    visit(held, below(place, name))
            else:
                parts = held.values() if isinstance(held, dict) else held
                visit_all([part for part in parts if isinstance(part, Layer)], below(place, name))

    def visit_all(layers: Sequence[Layer], place: str) -> None:
        counts: Counter[str] = Counter()
        for layer in layers:
            if layer not in seen:
                name = snake_case(_class_name(layer))
                number = counts[name]
                counts[name] += 1
                visit(layer, f"{place}/{name}_{number}" if number else f"{place}/{name}")

    visit(holder, "")
    return tree


def _class_name(layer: Any) -> str:
    if isinstance(layer, LayersOfGraph):
        return str(layer.class_name_in_files)  # type: ignore[attr-defined]
    return type(layer).__name__


def _in_order(order: WeightOrder, layers: Sequence[Layer]) -> list[Weight]:
    """The weights of layers as a file lists them."""
    weight_refs = [place for layer in layers for place in weight_refs_in(order, layer)]
    return [holder.weight_of(holder._slots[i]) for holder, i in weight_refs]


def _named_values(model: WritableModel) -> dict[str, list[tuple[str, np.ndarray]]]:
    with SWAP_LOCK:  # never half of a `set_weights`
        return {
            layer.name: [
                (weight.name, weight.value) for weight in _in_order("trainable first", [layer])
            ]
            for layer in model.layers
        }


def _values(tree: dict[str, list[Weight]]) -> dict[str, list[np.ndarray]]:
    with SWAP_LOCK:
        return {place: [weight.value for weight in weights] for place, weights in tree.items()}


def _chosen_format(path: str, save_format: str | None, endings: dict[str, str]) -> str:
    """The format that the ending of a path, or `save_format`, asks for."""
    by_ending = next((kind for end, kind in endings.items() if path.endswith(end)), None)
    known = ", ".join(endings)
    if save_format is None:
        if by_ending is None:
            raise ValueError(
                f"{path}: the ending says which file to write, and this one is unknown; there are "
                f"{known}."
            )
        return by_ending
    wanted = _FORMATS.get(save_format) if isinstance(save_format, str) else None
    if wanted not in endings.values():
        raise ValueError(
            f"The `save_format` argument must be one of {', '.join(map(repr, _FORMATS))} for a "
            f"whole model, and 'h5' for weights. Received: {save_format!r}."
        )
    assert wanted is not None
    if by_ending not in (None, wanted):
        raise ValueError(
            f"{path}: save_format={save_format!r} contradicts the ending; leave one of them out. "
            f"The endings are {known}."
        )
    return wanted
