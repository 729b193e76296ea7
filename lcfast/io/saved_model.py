"""SavedModel directories: `model.save("directory")` of TensorFlow 2.

    saved_model.pb        the graph, which is never run, and the objects
    keras_metadata.pb     the config of every layer as JSON; before 2.5 saved_model.pb held it
    variables/            a checkpoint: variables.index, variables.data-00000-of-00001

Layers are found by the model's names for them (layer-0, layer-1, ...); each lists its variables in
the order of get_weights(). Links out of the directory are refused.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

from lcfast.errors import ModelFileError, quoted
from lcfast.io import checkpoint
from lcfast.io.checkpoint import Checkpoint
from lcfast.io.object_graph import keys_in_order
from lcfast.io.protobuf import Message
from lcfast.io.reading import errors_name, parsed_json, read_bytes, refusal
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import WeightsFile

_GRAPH, _METADATA = "saved_model.pb", "keras_metadata.pb"
_ROOT = "root"
_METRIC = "_tf_keras_metric"
_BUILD_BY_HAND = "build it by hand and set the weights, which lcfast.read_weights reads by name"
_MODELS = ("Sequential", "Functional", "Model")


def read_model(path: str) -> StoredModel:
    """Read the config and the weights of a Sequential or functional model."""
    _check_links(path)
    metadata_path = _metadata_path(path)
    described = read_bytes(metadata_path)
    with errors_name(metadata_path):
        read = _nodes if os.path.basename(metadata_path) == _METADATA else _nodes_of_graph
        texts = read(Message(described))
        if _ROOT not in texts:
            raise refusal("holds no model of Keras", advice=_BUILD_BY_HAND)
        root = _decoded(texts.pop(_ROOT), _ROOT)
        config = _model_config(root)
        layers = {holder: _layer_name(text, holder) for holder, text in texts.items()}
    stored = checkpoint.read_checkpoint(_prefix(path))
    with errors_name(f"{stored.prefix}.index"):
        layer_keys = _layer_keys(stored, layers)
        weights, names = checkpoint.stored_weights(stored), stored.weight_names()
        layer_weights = {
            layer: tuple(_name_of(key, names) for key in keys) for layer, keys in layer_keys.items()
        }
    arrays = {name: weights[name] for name in dict.fromkeys(chain(*layer_weights.values()))}
    version = root.get("keras_version")
    return StoredModel(
        path, config, arrays, layer_weights, version if isinstance(version, str) else None
    )


def open_weights(path: str) -> AbstractContextManager[WeightsFile]:
    """List the weights, whatever the class of the model; see `checkpoint.open_weights`."""
    _check_links(path)
    return checkpoint.open_weights(_prefix(path))


def _prefix(path: str) -> str:
    return os.path.join(path, "variables", "variables")


def _check_links(path: str) -> None:
    """Check that the directory is a SavedModel, and that the files to read are inside it."""
    if not os.path.lexists(os.path.join(path, _GRAPH)):
        os.listdir(path)  # raises OSError if there is no such directory
        raise ModelFileError(
            f"{path}: is not a SavedModel, because it has no {_GRAPH}; give the directory that "
            "model.save(directory) wrote, or a checkpoint by its prefix"
        )
    variables = os.path.join(path, "variables")
    read = [os.path.join(path, name) for name in (_GRAPH, _METADATA)] + [variables]
    inside = os.path.join(os.path.realpath(path), "")
    for each in read:
        _check_is_inside(each, inside)
    for name in os.listdir(variables):
        _check_is_inside(os.path.join(variables, name), inside)


def _check_is_inside(path: str, directory: str) -> None:
    if not os.path.realpath(path).startswith(directory):
        raise ModelFileError(
            f"{path}: is a link out of the directory of the model, which lcfast never follows; "
            "put the file itself there"
        )


def _metadata_path(path: str) -> str:
    metadata = os.path.join(path, _METADATA)
    return metadata if os.path.lexists(metadata) else os.path.join(path, _GRAPH)


def _nodes(saved_metadata: Message) -> dict[str, str]:
    """The JSON of the model, under "root", and of its layers, by name."""
    texts: dict[str, str] = {}
    for node in saved_metadata.messages(1):
        root, _, holder = node.text(3).partition(".")
        if root == _ROOT and "." not in holder and node.text(4) != _METRIC:
            texts[holder or _ROOT] = node.text(5)
    return texts


def _nodes_of_graph(saved_model: Message) -> dict[str, str]:
    """The same, of the objects in saved_model.pb."""
    graph = next(saved_model.messages(2), None)
    objects = graph.message(7).contents(1) if graph else []
    if not objects:
        return {}
    root = Message(objects[0])
    held: dict[int, str] = {}  # a layer is held by several names, layer-0, layer_with_weights-0
    for reference in root.messages(1):
        held.setdefault(reference.integer(1), reference.text(2))
    texts = {_ROOT: _metadata_of(root)}
    for child, holder in held.items():
        if child >= len(objects):
            raise refusal(f"has a model whose {quoted(holder)} is the missing object {child}")
        texts.setdefault(holder, _metadata_of(Message(objects[child])))
    return {holder: text for holder, text in texts.items() if text}


def _metadata_of(saved_object: Message) -> str:
    user_object = saved_object.message(4)
    return "" if user_object.text(1) == _METRIC else user_object.text(3)


def _decoded(text: str, holder: str) -> dict[str, Any]:
    location = f"the JSON of {quoted(holder)}"
    decoded = parsed_json(text, location, object_hook=_plain)
    if not isinstance(decoded, dict):
        raise refusal(f"{location} is {quoted(text)}, not an object")
    return decoded


def _plain(value: dict[str, Any]) -> Any:
    """Rewrite a config as in HDF5 files: tuples and shapes as lists, no object ids."""
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return value["items"]
    value.pop("shared_object_id", None)
    return value


def _model_config(root: dict[str, Any]) -> dict[str, Any]:
    for described in (root.get("model_config"), root):
        match described:
            case {"class_name": str(name), "config": {"layers": list()} | list() as config}:
                if name in _MODELS:
                    return {"class_name": name, "config": config}
    kind = root.get("class_name")
    found = f"holds a model of class {quoted(kind)}" if isinstance(kind, str) else "holds a model"
    raise refusal(f"{found}, whose config does not describe its computation", advice=_BUILD_BY_HAND)


def _layer_name(text: str, holder: str) -> str:
    described = _decoded(text, holder)
    name = described.get("name")
    if not isinstance(name, str):
        raise refusal(f"the JSON of {quoted(holder)} has no name")
    return name


def _layer_keys(stored: Checkpoint, layers: dict[str, str]) -> dict[str, list[str]]:
    """The keys of each layer's variables, by the layer's name."""
    objects = stored.objects
    if not objects:
        raise refusal("has no graph of objects, so the layers of the variables are unknown")
    held = objects[0].children
    keys: dict[str, list[str]] = {}
    for holder, name in layers.items():
        if holder not in held:
            raise refusal(f"lacks {quoted(holder)}, the layer {quoted(name)} of the model")
        if name in keys:
            raise refusal(f"has two layers {quoted(name)}")
        keys[name] = keys_in_order(objects, held[holder])
    return keys


def _name_of(key: str, names: dict[str, str]) -> str:
    if key not in names:
        raise refusal(f"has a layer whose variable {quoted(key)} is not a weight")
    return names[key]
