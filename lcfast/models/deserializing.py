"""Build a model from its config, as Keras 1, 2 or 3 wrote it.

Names in a file are looked up in the caller's custom objects and in LAYERS only; nothing that a file
names is imported or run.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lcfast import layers
from lcfast.errors import ModelFileError, listed, quoted
from lcfast.io.reading import layer_name
from lcfast.layers.config_keras3 import in_keras_2
from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import SymbolicTensor
from lcfast.layers.input import InputLayer
from lcfast.models.custom_objects import (
    CustomObjects,
    arguments_of_any_layer,
    custom_kind_of_model,
    custom_layer,
    names_of,
    with_custom_objects,
)
from lcfast.models.inbound_nodes import Source, references, sources_of
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential
from lcfast.models.structure import as_list

LAYERS: dict[str, type[Layer]] = {
    name: layer
    for name, layer in vars(layers).items()
    if isinstance(layer, type) and issubclass(layer, Layer) and layer is not Layer
}

MODELS = ("Sequential", "Functional", "Model")
OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
"""Keras's classes for TensorFlow operations; some of their inputs are constants in the calls."""
MOST_LEVELS = 50
"""Most levels of nested layers: far below Python's recursion limit."""

# What a constructor may raise for a bad value in a config.
BAD_VALUE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
    MemoryError,
)


class Problems(list[str]):
    """The problems of a model file, one message each."""

    def stop_if_any(self, source: str) -> None:
        """Raise one error that lists them all."""
        if self:
            raise ModelFileError(f"{source} cannot be loaded, {listed(self)}")


@dataclass(frozen=True)
class _Dialect:
    """The context in which the entries of a config are read."""

    problems: Problems
    custom_objects: CustomObjects = field(default_factory=dict)
    is_keras_3: bool = False


def model_of(
    config: Any,
    source: str,
    problems: Problems,
    keras_version: str | None = None,
    custom_objects: CustomObjects | None = None,
) -> Model:
    """The model of a config, its layers built but without values of their weights."""
    inner = config.get("config") if isinstance(config, dict) else None
    kind = custom_kind_of_model(config, custom_objects or {}) if isinstance(config, dict) else None
    if kind == "Sequential" and isinstance(inner, list):
        inner = {"layers": inner}  # Keras before 2.2
    if isinstance(kind, str) and kind not in MODELS:
        problems.append(
            f"a model of class {kind!r} cannot be made from its config alone; make it in Python "
            "from lcfast's layers, and set the weights that lcfast.read_weights returns"
        )
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        problems.stop_if_any(source)
        raise ModelFileError(
            f"{source} does not contain a model: its config has no list of layers."
        )
    is_keras_3 = _is_of_keras_3(inner["layers"], keras_version)
    dialect = _Dialect(problems, custom_objects or {}, is_keras_3)
    made = [_layer_of(entry, dialect) for entry in inner["layers"]]
    if kind not in MODELS and not problems:
        problems.append(f"a model of class {kind!r} cannot be made from its config alone")
    problems.stop_if_any(source)
    chain = [layer for layer in made if layer is not None]
    try:
        if kind == "Sequential":
            model: Model = _sequential(inner, chain, config.get("build_config"))
        else:
            model = _functional(inner, chain)
        if not model.built:
            raise ValueError(
                "the model was saved before the shape of its input was known; call it once in "
                "Keras on data and save it again"
            )
    except BAD_VALUE as error:
        problems.append(sentence(error))
        problems.stop_if_any(source)
        raise
    return model


def _inner_model(entry: dict[str, Any], kind: str, dialect: _Dialect, level: int) -> Model | None:
    """The nested model of an entry in a list of layers; None after a problem."""
    problems = dialect.problems
    config, before = entry["config"], len(problems)
    if isinstance(config, list):
        config = {"name": entry.get("name"), "layers": config}  # Keras before 2.2
    if not isinstance(config.get("layers"), list):
        problems.append(f"model {quoted(layer_name(entry))} has no list of layers")
        return None
    made = [_layer_of(part, dialect, level + 1) for part in config["layers"]]
    chain = [layer for layer in made if layer is not None]
    if len(problems) > before:
        return None
    try:
        if kind == "Sequential":
            return _sequential(config, chain, entry.get("build_config"))
        return _functional(config, chain)
    except BAD_VALUE as error:
        problems.append(f"model {quoted(layer_name(entry))}: {sentence(error)}")
        return None


def _is_of_keras_3(entries: list[Any], keras_version: str | None) -> bool:
    if keras_version is not None:
        return keras_version.startswith("3.")
    return any(  # the JSON of Keras 3's model.to_json() has no version
        isinstance(entry, dict)
        and isinstance(entry.get("config"), dict)
        and "batch_shape" in entry["config"]
        for entry in entries
    )


def _layer_of(entry: Any, dialect: _Dialect, level: int = 0) -> Layer | None:
    """The layer of one entry of a config; None after a problem."""
    problems, custom_objects = dialect.problems, dialect.custom_objects
    if level > MOST_LEVELS:
        problems.append(f"layers are nested more than {MOST_LEVELS} levels deep")
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict | list):
        problems.append(f"an entry of the list of layers is no layer: {quoted(entry)}")
        return None
    kind_of_model = custom_kind_of_model(entry, custom_objects)
    if kind_of_model in MODELS:
        return _inner_model(entry, kind_of_model, dialect, level)
    if not isinstance(entry["config"], dict):
        problems.append(f"an entry of the list of layers is no layer: {quoted(entry)}")
        return None
    kind, config, name = entry.get("class_name"), dict(entry["config"]), layer_name(entry)
    try:
        found = _class_of(entry, name, custom_objects)
    except (TypeError, ValueError) as error:
        problems.append(f"layer {quoted(name)}: {error}")
        return None
    for part in ("layer", "backward_layer"):  # of a wrapper
        if isinstance(config.get(part), dict):
            config[part] = _layer_of(config[part], dialect, level + 1)
            if config[part] is None:
                return None
    try:
        if kind == "Lambda":
            config = arguments_of_any_layer(config)
        config = with_custom_objects(config, custom_objects)
        layer: Layer = found.from_config(in_keras_2(str(kind), config, dialect.is_keras_3))
    except BAD_VALUE as error:
        problems.append(f"layer {quoted(name)} ({kind}): {sentence(error)}")
        return None
    if config.get("name") is None and isinstance(name, str):
        layer._name = name  # not given to the constructor, which need not take one
    layer.await_weights()
    return layer


def _class_of(entry: dict[str, Any], name: Any, custom_objects: CustomObjects) -> type[Layer]:
    """The caller's class of a layer, or lcfast's.

    Raises
    ------
    TypeError, ValueError
        If there is none, or it is not supported.
    """
    kind = entry.get("class_name")
    if kind in OPERATIONS:
        raise ValueError(
            f"{kind} names Python code, which lcfast never runs; replace it in Keras by a layer "
            "that computes the same, and save the model again"
        )
    if kind == "Lambda":  # each has code of its own, so it is looked up by the layer's name
        found = custom_layer([str(name)], custom_objects)
        if found is None:
            raise ValueError(
                f"Lambda holds Python code, which lcfast never runs; write what it does as a "
                "subclass of lcfast.Layer that defines `call`, and give that to load_model: "
                f"custom_objects={{{quoted(name)}: YourLayer}}"
            )
        return found
    found = custom_layer(names_of(entry), custom_objects)
    if found is not None:
        return found
    if not isinstance(kind, str) or kind not in LAYERS:
        raise ValueError(
            f"lcfast has no layer {quoted(kind)}; if it is your own, give its class, a subclass of "
            f"lcfast.Layer, to load_model: custom_objects={{{quoted(kind)}: YourLayer}}"
        )
    return LAYERS[kind]


def _sequential(config: dict[str, Any], chain: Sequence[Layer], build_config: Any) -> Sequential:
    model = Sequential(chain, name=config.get("name"))
    shape = config.get("build_input_shape")
    if shape is None and isinstance(build_config, dict):
        shape = build_config.get("input_shape")
    if not model.built and shape is not None:
        model.build(shape)
    return model


def _functional(config: dict[str, Any], made: Sequence[Layer]) -> Model:
    by_name = {layer.name: layer for layer in made}
    if len(by_name) != len(made):
        counts = Counter(layer.name for layer in made)
        twice = sorted(name for name, count in counts.items() if count > 1)
        raise ValueError(f"two layers have the same name: {', '.join(twice)}")
    nodes = {layer_name(entry): entry.get("inbound_nodes") or () for entry in config["layers"]}
    listed = {name: [sources_of(node) for node in nodes[name]] for name in nodes}
    outputs_of_model = references(config.get("output_layers"))
    used = {source[:2] for every in listed.values() for one in every for source in one}
    used.update(source[:2] for source in outputs_of_model)
    calls = {}
    for name, taken in listed.items():
        # Keras counts the calls of a model from 1: call 0 is its creation.
        first = int(isinstance(by_name[name], Model) and (name, len(taken)) in used)
        calls.update({(name, first + i): sources for i, sources in enumerate(taken)})
    tensors: dict[tuple[str, int, int], SymbolicTensor] = {
        (layer.name, 0, 0): layer.tensor for layer in made if isinstance(layer, InputLayer)
    }
    # The calls of a layer are numbered, so they are made in this order.
    needed = {
        key: {source[:2] for source in sources if source not in tensors}
        | ({(key[0], key[1] - 1)} & calls.keys())
        for key, sources in calls.items()
    }
    followers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for key, others in needed.items():
        for other in others:
            followers.setdefault(other, []).append(key)
    waiting = dict(calls)
    ready = deque(key for key, others in needed.items() if not others)
    while ready:
        key = ready.popleft()
        if not all(source in tensors for source in calls[key]):
            continue
        inputs = [tensors[source] for source in waiting.pop(key)]
        layer = by_name[key[0]]
        outputs = layer(inputs[0] if len(inputs) == 1 and not layer.takes_list else inputs)
        tensors.update({(*key, i): tensor for i, tensor in enumerate(as_list(outputs))})
        for follower in followers.get(key, ()):
            needed[follower].discard(key)
            if not needed[follower]:
                ready.append(follower)
    if waiting:
        raise _missing(waiting, set(by_name))
    inputs = [tensors[source] for source in references(config.get("input_layers"))]
    outputs = [tensors[source] for source in outputs_of_model]
    return Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=config.get("name"),
    )


def _missing(waiting: dict[tuple[str, int], list[Source]], known: set[str]) -> ValueError:
    """The error of calls whose inputs never come."""
    unknown = {source[0] for sources in waiting.values() for source in sources} - known
    if unknown:
        listed = ", ".join(sorted(unknown))
        return ValueError(f"layers are called on layers that do not exist: {listed}")
    names = ", ".join(sorted({name for name, _ in waiting}))
    return ValueError(f"the inputs of these layers are missing or form a cycle: {names}")


def sentence(error: BaseException) -> str:
    """The message of an error, or its type where it has none."""
    text = str(error) or type(error).__name__
    return text[:1000]
