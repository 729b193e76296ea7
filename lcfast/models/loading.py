"""Config and arrays become a model; every problem is listed, then it stops.

A name in a file is looked up in LAYERS below and nowhere else: nothing is imported or run
because a file says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from lcfast import io, layers
from lcfast.errors import ModelFileError
from lcfast.layers.base import Layer
from lcfast.layers.input import InputLayer
from lcfast.layers.symbolic import SymbolicTensor
from lcfast.models.folding import folded
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential

LAYERS: dict[str, type[Layer]] = {
    name: layer
    for name, layer in vars(layers).items()
    if isinstance(layer, type) and issubclass(layer, Layer) and layer is not Layer
}

MODELS = ("Sequential", "Functional", "Model")
MOST_LEVELS = 50
"""Of layers inside of layers: far more than anyone makes, far from the end of Python's stack."""

# What a bad value in a config can end in, in a constructor that expected another type.
_BAD_VALUE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
    MemoryError,
)


class _Problems(list[str]):
    """What is wrong with a model file, one sentence each."""

    def stop_if_any(self, source: str) -> None:
        """Raise one error that lists them all."""
        if self:
            count = f"{len(self)} problems" if len(self) > 1 else "1 problem"
            lines = "".join(f"\n  - {problem}" for problem in self)
            raise ModelFileError(f"{source} cannot be loaded, {count}:{lines}")


def load_model(path: str | os.PathLike[str], fold: bool = False) -> Model:
    """Load a whole model from a file that Keras wrote, without TensorFlow.

    Parameters
    ----------
    path : str or os.PathLike
        An HDF5 file of Keras 1 or 2 (`model.save("model.h5")`).
    fold : bool
        Whether `predict` and calls compute with BatchNormalization folded into the layers before
        it, which is faster and changes last bits; `get_weights` and `save` give the originals.

    Returns
    -------
    Model
        A `Sequential` where the file holds one; a `FoldedModel`, its view, with `fold`.

    Raises
    ------
    ModelFileError
        If the file is damaged, or holds layers, arguments or weights that lcfast cannot take;
        then every one of them is listed.
    OSError
        If the system cannot give the file.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/saving/load_model

    Examples
    --------
    >>> import lcfast
    >>> model = lcfast.load_model("examples/digits.h5")
    >>> model.output_shape
    (None, 10)
    """
    stored = io.read_model(path)
    problems = _Problems()
    model = _model_of(stored.config, stored.path, problems)
    arrays = {
        layer: [stored.arrays[name] for name in names]
        for layer, names in stored.layer_weights.items()
    }
    _fill(model, arrays, problems)
    problems.stop_if_any(stored.path)
    return folded(model) if fold else model


def model_from_json(text: str) -> Model:
    """Make a model, with new weights, from the JSON that Keras's `model.to_json()` gives.

    Parameters
    ----------
    text : str
        The JSON.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If it is no model, or holds layers or arguments that lcfast cannot take; then every one
        of them is listed.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/models/model_from_json

    Examples
    --------
    >>> import lcfast
    >>> dense = {"class_name": "Dense", "config": {"units": 2, "batch_input_shape": [None, 3]}}
    >>> text = json.dumps({"class_name": "Sequential", "config": {"layers": [dense]}})
    >>> lcfast.model_from_json(text).output_shape
    (None, 2)
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"The text is not JSON: {error}.") from None
    problems = _Problems()
    model = _model_of(config, "The JSON", problems)
    for layer in model.layers:
        try:
            layer.initialize_weights()
        except _BAD_VALUE as error:
            problems.append(f"layer {_short(layer.name)}: {_sentence(error)}")
    problems.stop_if_any("The JSON")
    return model


def _model_of(config: Any, source: str, problems: _Problems) -> Model:
    """The model of a config, its layers built and without weights."""
    inner = config.get("config") if isinstance(config, dict) else None
    kind = config.get("class_name") if isinstance(config, dict) else None
    if kind == "Sequential" and isinstance(inner, list):
        inner = {"layers": inner}  # Keras before 2.2
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        raise ModelFileError(f"{source} holds no model: its config has no list of layers.")
    made = [_layer_of(entry, problems) for entry in inner["layers"]]
    if kind not in MODELS:
        problems.append(f"a model of class {kind!r} cannot be made from its config alone")
    problems.stop_if_any(source)
    chain = [layer for layer in made if layer is not None]
    try:
        model = _sequential(inner, chain) if kind == "Sequential" else _functional(inner, chain)
        if not model.built:
            raise ValueError(
                "the model was saved before it knew the shape of its input; call it once in Keras "
                "on data and save it again"
            )
    except _BAD_VALUE as error:
        problems.append(_sentence(error))
        problems.stop_if_any(source)
        raise
    return model


def _inner_model(entry: dict[str, Any], problems: _Problems, level: int) -> Model | None:
    """The model of an entry in a list of layers; None where it is a problem."""
    config, before = entry["config"], len(problems)
    if isinstance(config, list):
        config = {"name": entry.get("name"), "layers": config}  # Keras before 2.2
    if not isinstance(config.get("layers"), list):
        problems.append(f"model {_short(_name_of(entry))} has no list of layers")
        return None
    made = [_layer_of(part, problems, level + 1) for part in config["layers"]]
    chain = [layer for layer in made if layer is not None]
    if len(problems) > before:
        return None
    try:
        make = _sequential if entry["class_name"] == "Sequential" else _functional
        return make(config, chain)
    except _BAD_VALUE as error:
        problems.append(f"model {_short(_name_of(entry))}: {_sentence(error)}")
        return None


def _name_of(entry: dict[str, Any]) -> Any:
    config = entry["config"]
    return config.get("name", entry.get("name")) if isinstance(config, dict) else entry.get("name")


def _layer_of(entry: Any, problems: _Problems, level: int = 0) -> Layer | None:
    """The layer of one entry of a config; None where it is a problem."""
    if level > MOST_LEVELS:
        problems.append(f"there are layers inside of layers, more than {MOST_LEVELS} levels deep")
        return None
    is_model = isinstance(entry, dict) and entry.get("class_name") in MODELS
    if is_model and isinstance(entry.get("config"), dict | list):
        return _inner_model(entry, problems, level)
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        problems.append(f"an entry of the list of layers is no layer: {_short(entry)}")
        return None
    kind, config = entry.get("class_name"), dict(entry["config"])
    name = config.get("name", entry.get("name"))
    if kind in ("Lambda", "TFOpLambda", "SlicingOpLambda"):
        problems.append(
            f"layer {_short(name)}: {kind} holds Python code, which lcfast never runs; replace it "
            "in Keras by a layer that says what it does, and save the model again"
        )
        return None
    if not isinstance(kind, str) or kind not in LAYERS:
        problems.append(f"layer {_short(name)}: lcfast has no layer {_short(kind)}")
        return None
    for part in ("layer", "backward_layer"):  # of a wrapper
        if isinstance(config.get(part), dict):
            config[part] = _layer_of(config[part], problems, level + 1)
            if config[part] is None:
                return None
    try:
        layer: Layer = LAYERS[kind].from_config(config)
    except _BAD_VALUE as error:
        problems.append(f"layer {_short(name)} ({kind}): {_sentence(error)}")
        return None
    layer.await_weights()
    return layer


def _sequential(config: dict[str, Any], chain: Sequence[Layer]) -> Sequential:
    model = Sequential(chain, name=config.get("name"))
    shape = config.get("build_input_shape")
    if not model.built and shape is not None:
        model.build(shape)
    return model


def _functional(config: dict[str, Any], made: Sequence[Layer]) -> Model:
    by_name = {layer.name: layer for layer in made}
    if len(by_name) != len(made):
        every = [layer.name for layer in made]
        twice = sorted({name for name in every if every.count(name) > 1})
        raise ValueError(f"two layers have the same name: {', '.join(twice)}")
    nodes = {_name_of(entry): entry.get("inbound_nodes") or () for entry in config["layers"]}
    listed = {name: [list(_sources(node)) for node in nodes[name]] for name in nodes}
    outputs_of_model = _references(config.get("output_layers"))
    used = {source[:2] for every in listed.values() for one in every for source in one}
    used.update(source[:2] for source in outputs_of_model)
    calls = {}
    for name, sources_of in listed.items():
        # Keras counts the calls of a model from 1: call 0 is the one that it was made by.
        first = int(isinstance(by_name[name], Model) and (name, len(sources_of)) in used)
        calls.update({(name, first + i): sources for i, sources in enumerate(sources_of)})
    tensors: dict[tuple[str, int, int], SymbolicTensor] = {
        (layer.name, 0, 0): layer.tensor for layer in made if isinstance(layer, InputLayer)
    }
    waiting = dict(calls)
    while waiting:
        # Calls of one layer are numbered, so they are made in the order of their numbers.
        ready = [
            key
            for key, sources in waiting.items()
            if all(source in tensors for source in sources) and (key[0], key[1] - 1) not in waiting
        ]
        if not ready:
            needed = {source[0] for sources in waiting.values() for source in sources}
            unknown = needed - set(by_name)
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
            made_of = layer(inputs[0] if len(inputs) == 1 and not layer.takes_list else inputs)
            several = made_of if isinstance(made_of, list) else [made_of]
            tensors.update({(*key, i): tensor for i, tensor in enumerate(several)})
    inputs = [tensors[source] for source in _references(config.get("input_layers"))]
    outputs = [tensors[source] for source in outputs_of_model]
    return Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=config.get("name"),
    )


def _sources(node: Any) -> Iterator[tuple[str, int, int]]:
    """(layer, call, which output) of each input of a node: [[name, call, output, kwargs], ...]."""
    for source in node:
        match source:
            case [str() as name, int() as call, int() as output]:
                yield name, call, output
            case [str() as name, int() as call, int() as output, {**options}]:
                if any(options.get(key) for key in options):
                    raise ValueError(
                        f"a layer is called on {name} with further arguments, {_short(options)}, "
                        "which lcfast does not take"
                    )
                yield name, call, output
            case _:
                raise ValueError(f"an inbound node is not in Keras's form: {_short(source)}")


def _references(value: Any) -> list[tuple[str, int, int]]:
    """(layer, call, which output) of each of the model's inputs or outputs."""
    if isinstance(value, dict):  # Keras orders what it was given in a dict by its keys
        value = [value[name] for name in sorted(value)]
    alone = isinstance(value, list) and value and isinstance(value[0], str)
    entries = [value] if alone else value
    if not isinstance(entries, list) or not entries:
        raise ValueError("the config names no inputs or no outputs")
    return list(_sources(entries))


def _fill(model: Model, arrays: dict[str, list[Any]], problems: _Problems) -> None:
    """Give each layer its arrays; every missing, surplus or misshapen one is a problem."""
    for layer in model.layers:
        shapes = [layer.weight_shapes()[i] for i in _order_in_files(layer)]
        given = arrays.get(layer.name, [])
        if [array.shape for array in given] != shapes:
            problems.append(
                f"layer {_short(layer.name)} ({type(layer).__name__}) needs weights of shapes "
                f"{_shapes(shapes)}; the file holds {_shapes([array.shape for array in given])}"
            )
            continue
        try:
            layer.swap_record(layer.checked_record(_in_order(layer, given), copy=False))
        except _BAD_VALUE as error:
            problems.append(f"layer {_short(layer.name)}: {_sentence(error)}")
    unknown = set(arrays) - {layer.name for layer in model.layers}
    for name in sorted(unknown):
        if arrays[name]:
            problems.append(f"the file holds weights of a layer {_short(name)} that is not there")


def _order_in_files(layer: Layer) -> list[int]:
    """Which of `get_weights()` a file lists first, and so on: the trainable ones come first.

    For a layer that is no matter, but a model gives its weights layer by layer.
    """
    number = {place: i for i, place in enumerate(layer.places())}
    trainable, others = layer.split_places()
    return [number[place] for place in dict.fromkeys(trainable + others)]


def _in_order(layer: Layer, given: Sequence[Any]) -> list[Any]:
    """The arrays of a file in the order of `get_weights()`."""
    of = dict(zip(_order_in_files(layer), given, strict=True))
    return [of[i] for i in range(len(given))]


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) if shapes else "none"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _sentence(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text[:1000]
