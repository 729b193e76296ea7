"""The config of a model, in any dialect of Keras, becomes its layers and their calls.

A name in a file is looked up in LAYERS below and nowhere else: nothing is imported or run
because a file says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lcfast import layers
from lcfast.errors import ModelFileError
from lcfast.layers.base import Layer
from lcfast.layers.input import InputLayer
from lcfast.layers.keras_3 import in_keras_2
from lcfast.layers.symbolic import SymbolicTensor
from lcfast.models.inbound_nodes import references, short, sources_of
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential

LAYERS: dict[str, type[Layer]] = {
    name: layer
    for name, layer in vars(layers).items()
    if isinstance(layer, type) and issubclass(layer, Layer) and layer is not Layer
}

MODELS = ("Sequential", "Functional", "Model")

# What a bad value in a config can end in, in a constructor that expected another type.
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
    """What is wrong with a model file, one sentence each."""

    def stop_if_any(self, source: str) -> None:
        """Raise one error that lists them all."""
        if self:
            count = f"{len(self)} problems" if len(self) > 1 else "1 problem"
            lines = "".join(f"\n  - {problem}" for problem in self)
            raise ModelFileError(f"{source} cannot be loaded, {count}:{lines}")


def model_of(
    config: Any, source: str, problems: Problems, keras_version: str | None = None
) -> Model:
    """The model of a config, its layers built and without weights."""
    inner = config.get("config") if isinstance(config, dict) else None
    kind = config.get("class_name") if isinstance(config, dict) else None
    if kind == "Sequential" and isinstance(inner, list):
        inner = {"layers": inner}  # Keras before 2.2
    if isinstance(kind, str) and kind not in MODELS:
        problems.append(
            f"a model of class {kind!r} cannot be made from its config alone; make it in Python, "
            "of lcfast's layers, and set the weights that lcfast.read_weights gives"
        )
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        problems.stop_if_any(source)
        raise ModelFileError(f"{source} holds no model: its config has no list of layers.")
    is_keras_3 = _is_of_keras_3(inner["layers"], keras_version)
    made = [_layer_of(entry, problems, is_keras_3) for entry in inner["layers"]]
    if kind not in MODELS and not problems:
        problems.append(f"a model of class {kind!r} cannot be made from its config alone")
    problems.stop_if_any(source)
    chain = [layer for layer in made if layer is not None]
    try:
        if kind == "Sequential":
            return _sequential(inner, chain, config.get("build_config"))
        return _functional(inner, chain)
    except BAD_VALUE as error:
        problems.append(sentence(error))
        problems.stop_if_any(source)
        raise


def _is_of_keras_3(entries: list[Any], keras_version: str | None) -> bool:
    if keras_version is not None:
        return keras_version.startswith("3.")
    return any(  # a JSON that model.to_json() of Keras 3 gives does not say its version
        isinstance(entry, dict)
        and isinstance(entry.get("config"), dict)
        and "batch_shape" in entry["config"]
        for entry in entries
    )


def _layer_of(entry: Any, problems: Problems, is_keras_3: bool) -> Layer | None:
    """The layer of one entry of a config; None where it is a problem."""
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        problems.append(f"an entry of the list of layers is no layer: {short(entry)}")
        return None
    kind, config = entry.get("class_name"), dict(entry["config"])
    name = config.get("name", entry.get("name"))
    if kind in ("Lambda", "TFOpLambda", "SlicingOpLambda"):
        problems.append(
            f"layer {short(name)}: {kind} holds Python code, which lcfast never runs; replace it "
            "in Keras by a layer that says what it does, and save the model again"
        )
        return None
    if not isinstance(kind, str) or kind not in LAYERS:
        problems.append(f"layer {short(name)}: lcfast has no layer {short(kind)}")
        return None
    try:
        layer: Layer = LAYERS[kind].from_config(in_keras_2(kind, config, is_keras_3))
    except BAD_VALUE as error:
        problems.append(f"layer {short(name)} ({kind}): {sentence(error)}")
        return None
    layer.await_weights()
    return layer


def _sequential(config: dict[str, Any], chain: Sequence[Layer], build_config: Any) -> Sequential:
    model = Sequential(chain, name=config.get("name"))
    shape = config.get("build_input_shape")
    if shape is None and isinstance(build_config, dict):
        shape = build_config.get("input_shape")
    if not model.built and shape is not None:
        model.build(shape)
    if not model.built:
        raise ValueError(
            "the model was saved before it knew the shape of its input; call it once in Keras on "
            "data and save it again"
        )
    return model


def _functional(config: dict[str, Any], made: Sequence[Layer]) -> Model:
    by_name = {layer.name: layer for layer in made}
    if len(by_name) != len(made):
        every = [layer.name for layer in made]
        twice = sorted({name for name in every if every.count(name) > 1})
        raise ValueError(f"two layers have the same name: {', '.join(twice)}")
    calls = {
        (entry["config"].get("name", entry.get("name")), number): sources_of(node)
        for entry in config["layers"]
        for number, node in enumerate(entry.get("inbound_nodes") or ())
    }
    tensors: dict[tuple[str, int], SymbolicTensor] = {
        (layer.name, 0): layer.tensor for layer in made if isinstance(layer, InputLayer)
    }
    waiting = dict(calls)
    while waiting:
        # Calls of one layer are numbered, so they are made in the order of their numbers.
        ready = [
            key
            for key, sources in waiting.items()
            if all(source in tensors for source in sources)
            and (key[1] == 0 or (key[0], key[1] - 1) in tensors)
        ]
        if not ready:
            unknown = {name for sources in waiting.values() for name, _ in sources} - set(by_name)
            if unknown:
                raise ValueError(
                    f"layers are called on others that are not there: {', '.join(sorted(unknown))}"
                )
            names = ", ".join(sorted({name for name, _ in waiting}))
            raise ValueError(f"the inputs of these layers are missing or form a cycle: {names}")
        for key in ready:
            sources = waiting.pop(key)
            inputs = [tensors[source] for source in sources]
            layer = by_name[key[0]]
            tensors[key] = layer(inputs[0] if len(inputs) == 1 and not layer.takes_list else inputs)
    inputs = [tensors[source] for source in references(config.get("input_layers"))]
    outputs = [tensors[source] for source in references(config.get("output_layers"))]
    return Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=config.get("name"),
    )


def sentence(error: BaseException) -> str:
    """What an error says, or its type where it says nothing."""
    text = str(error) or type(error).__name__
    return text[:1000]
