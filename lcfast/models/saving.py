"""Writing models into files that Keras reads.

The files are those of tf_keras; `lcfast.io` writes the format, this module supplies the content.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lcfast.layers.core.weights import SWAP_LOCK, Weight
from lcfast.models.configs import as_json, model_entry
from lcfast.models.structure import ModelStructure
from lcfast.models.weight_mapping import weight_tree, weights_in

KERAS_VERSION = "2.21.0"  # the version of tf_keras whose format the files have

_FORMATS = {"h5": "h5", "hdf5": "h5", "keras": "keras", "keras_v3": "keras"}
_ENDINGS = {".h5": "h5", ".hdf5": "h5", ".keras": "keras"}
_ENDINGS_OF_WEIGHTS = {".weights.h5": "tree", ".h5": "h5", ".hdf5": "h5"}


def to_json(model: ModelStructure, **options: Any) -> str:
    """The class, config and version of a model as JSON; the options are those of `json.dumps`."""
    entry = model_entry(model, "keras")
    described = {key: entry[key] for key in ("class_name", "config")}
    return as_json(
        {**described, "keras_version": KERAS_VERSION, "backend": "tensorflow"}, **options
    )


def save_model(
    model: ModelStructure,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    save_format: str | None = None,
) -> None:
    """Write a whole model; see `Model.save`."""
    path = os.fspath(filepath)
    if path.endswith(".weights.h5"):
        raise ValueError(
            f"{path}: Keras reads a file with this ending as weights alone; write them with "
            "`save_weights`, or choose another name for the whole model, such as model.h5."
        )
    kind = _chosen_format(path, save_format, _ENDINGS)
    model.graph_of_layers()  # raises ValueError where the model is not built
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
    model: ModelStructure,
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


def _named_values(model: ModelStructure) -> dict[str, list[tuple[str, np.ndarray]]]:
    with SWAP_LOCK:  # never half of a `set_weights`
        return {
            layer.name: [
                (weight.name, weight.value) for weight in weights_in("trainable first", [layer])
            ]
            for layer in model.layers
        }


def _values(tree: dict[str, list[Weight]]) -> dict[str, list[np.ndarray]]:
    with SWAP_LOCK:
        return {path: [weight.value for weight in weights] for path, weights in tree.items()}


def _chosen_format(path: str, save_format: str | None, endings: dict[str, str]) -> str:
    """The format that the ending of a path, or `save_format`, selects."""
    by_ending = next((kind for end, kind in endings.items() if path.endswith(end)), None)
    known = ", ".join(endings)
    if save_format is None:
        if by_ending is None:
            raise ValueError(
                f"{path}: the ending decides the format and is unknown; use one of {known}."
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
