"""The config of a model, as tf_keras writes it: its layers and the inputs of their calls.

There are three forms. "plain" is what `get_config` returns; "hdf5" adds the modules of
initializers, regularizers and constraints, "keras" those of layers too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from lcfast import layers
from lcfast.errors import listed
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import Node, SymbolicTensor
from lcfast.layers.input import InputLayer
from lcfast.models.structure import Form, ModelStructure

# The module of the class or function that a key of a layer's config names.
_MODULES = {
    "_initializer": "keras.initializers",
    "_regularizer": "keras.regularizers",
    "_constraint": "keras.constraints",
}
# What a user's `get_config` raises where a layer cannot be described.
_NO_CONFIG = (AttributeError, NotImplementedError, TypeError, ValueError)


def sequential_config(model: ModelStructure, form: Form = "plain") -> dict[str, Any]:
    """The config of a chain of layers, the InputLayer first."""
    return {"name": model.name, "layers": _layer_entries(model, model.sublayers(), form)}


def functional_config(model: ModelStructure, form: Form = "plain") -> dict[str, Any]:
    """The config of a graph of layers, each with the inputs of its calls."""
    graph = model.graph_of_layers()
    _check_inputs(model)
    call_of = {
        node: (node.layer.name, i) for layer in graph.listed for i, node in _calls(model, layer)
    }

    def reference(tensor: SymbolicTensor) -> list[Any]:
        name, call = call_of[tensor.node]
        return [name, call, tensor.node.outputs.index(tensor)]

    entries = _layer_entries(model, graph.listed, form)
    for entry, layer in zip(entries, graph.listed, strict=True):
        entry["name"] = layer.name
        entry["inbound_nodes"] = [
            [[*reference(tensor), {}] for tensor in node.inputs]
            for _, node in _calls(model, layer)
            if node.inputs
        ]
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": entries,
        "input_layers": [reference(tensor) for tensor in model.inputs],
        "output_layers": [reference(tensor) for tensor in model.outputs],
    }


def model_entry(model: ModelStructure, form: Form) -> dict[str, Any]:
    """The class of a model and its config, as a file holds them.

    Raises
    ------
    TypeError
        If the model is an instance of a user's subclass, whose code no file can hold.
    """
    kind = model.class_name_in_files
    if kind is None:
        raise TypeError(
            f"Model {model.name} is a {type(model).__name__}, a class of your own, whose code "
            "cannot be saved; save lcfast.Model(model.inputs, model.outputs), which has the same "
            "layers."
        )
    entry: dict[str, Any] = {"class_name": kind, "config": model.config_in(form)}
    if form != "keras":
        return entry
    functional = kind == "Functional"
    return {
        "module": "tf_keras.src.engine.functional" if functional else "keras",
        **entry,
        "registered_name": kind if functional else None,
        "build_config": {"input_shape": model.input_shape},
    }


def as_json(value: Any, **options: Any) -> str:
    """JSON of a config; numpy numbers and arrays become Python numbers and lists."""
    return json.dumps(value, default=_of_numpy, **options)


def _of_numpy(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _calls(model: ModelStructure, layer: Layer) -> list[tuple[int, Node]]:
    """The calls of a layer that are part of the model, each with its number in Keras."""
    part = set(model.graph_of_layers().nodes)
    first = (
        1 if isinstance(layer, ModelStructure) else 0
    )  # Keras counts the creation of a model as call 0
    return list(enumerate((node for node in layer._nodes if node in part), first))


def _check_inputs(model: ModelStructure) -> None:
    for tensor in model.inputs:
        if not isinstance(tensor.node.layer, InputLayer):
            raise ValueError(
                f"Model {model.name} begins at the output of layer {tensor.name}, which a Keras "
                "config cannot describe; start at lcfast.Input."
            )


def _layer_entries(
    model: ModelStructure, chosen: Iterable[Layer], form: Form
) -> list[dict[str, Any]]:
    """The entry of each layer.

    Raises
    ------
    ValueError
        If layers cannot be described; the message lists all of them.
    """
    entries, problems = [], []
    for layer in chosen:
        try:
            entries.append(_layer_entry(model, layer, form))
        except _NO_CONFIG as error:
            problems.append(f"layer {layer.name!r} ({type(layer).__name__}): {error}")
    if problems:
        raise ValueError(f"Model {model.name} cannot be written, {listed(problems)}")
    return entries


def _layer_entry(model: ModelStructure, layer: Layer, form: Form) -> dict[str, Any]:
    if isinstance(layer, ModelStructure):
        return model_entry(layer, form)
    ours = vars(layers).get(type(layer).__name__) is type(layer)
    if not ours:
        _check_describes_itself(layer)
    config = layer.get_config()
    if form == "plain":
        return {"class_name": type(layer).__name__, "config": config}
    entry: dict[str, Any] = {
        "class_name": type(layer).__name__,
        "config": _with_modules(config),
    }
    as_json(entry)  # raises for this layer where JSON cannot represent a value
    if form == "hdf5":
        return entry
    entry = {
        "module": "keras.layers" if ours else type(layer).__module__,
        **entry,
        "registered_name": None if ours else type(layer).__name__,
    }
    if model.built and not isinstance(layer, InputLayer):
        shapes = [tensor.shape for tensor in _calls(model, layer)[0][1].inputs]
        entry["build_config"] = {"input_shape": shapes if layer.takes_list else shapes[0]}
    return entry


def _check_describes_itself(layer: Layer) -> None:
    """Refuse a class that defines a constructor, but inherits `get_config`."""
    of_constructor, of_config = (
        next(kind for kind in type(layer).__mro__ if name in vars(kind))
        for name in ("__init__", "get_config")
    )
    is_own = of_constructor.__module__.partition(".")[0] != "lcfast"
    if is_own and not issubclass(of_config, of_constructor):
        raise TypeError(
            "has a constructor of its own, but no `get_config`; define one that returns the "
            "arguments of the constructor and super().get_config()"
        )


def _with_modules(config: dict[str, Any]) -> dict[str, Any]:
    """A layer's config with the modules of initializers, regularizers and constraints."""
    named: dict[str, Any] = {}
    for key, value in config.items():
        module = next((m for end, m in _MODULES.items() if key.endswith(end)), None)
        if module and isinstance(value, dict) and "module" not in value:
            value = {"module": module, **value, "registered_name": None}
        elif isinstance(value, dict):
            value = _with_modules(value)
        named[key] = value
    return named
