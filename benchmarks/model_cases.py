"""The whole models to time: built in lcfast, and described so that other engines can build them.

A described model is a folder: `model.h5` (Keras), `model.json` (its config) and `weights.npz`.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import deepface
from benchmarks.answers import random_array
from benchmarks.compiling import ROOT

LOCAL = ("LocallyConnected1D", "LocallyConnected2D")
QUICK = ("mhcflurry", "calogan", "adapt", "pfnet")
ADAPT_FOLDER = "LCFAST_ADAPT"
"""Environment variable: the unpacked wheel of adapt-diagnostics, which has ADAPT's own models."""


@dataclass(frozen=True)
class ModelCase:
    """One model: how it is built in lcfast, with weights, and the numbers of rows to time."""

    name: str
    rows: tuple[int, ...]
    build: Callable[[], Any]
    needs: str = ""
    """An environment variable without which the model is left out."""


@dataclass(frozen=True)
class Step:
    """One layer of a described model."""

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    """Names of the steps whose outputs it takes; empty for the input of the model."""
    input_shape: tuple[int, ...]
    """Shape of one row of the input, of the first of several."""


def mhcflurry() -> Any:
    import lcfast as keras

    x = peptides = keras.Input((15, 21))
    for _ in range(2):
        x = keras.LocallyConnected1D(8, 3, activation="tanh")(x)
    x = keras.Dense(16, activation="tanh")(keras.Flatten()(x))
    return filled(keras.Model(peptides, keras.Dense(1, activation="sigmoid")(x)))


def calogan() -> Any:
    """One of CaloGAN's generators, from 64 random numbers."""
    import lcfast as keras

    noise = keras.Input((64,))
    x = keras.LeakyReLU()(keras.Dense(1568)(noise))
    x = keras.Conv2D(16, 5, padding="same")(keras.Reshape((14, 14, 8))(x))
    x = keras.BatchNormalization()(x)
    x = keras.LocallyConnected2D(6, 2, activation="relu")(x)
    x = keras.BatchNormalization()(x)
    return filled(keras.Model(noise, keras.LocallyConnected2D(1, 2, activation="relu")(x)))


def adapt() -> Any:
    """ADAPT's classifier; see examples/adapt.py."""
    import lcfast as keras

    x = pairs = keras.Input((48, 8))
    x = keras.BatchNormalization()(keras.Conv1D(238, 1, activation="relu")(x))
    x = keras.AveragePooling1D(2, strides=1)(x)
    both = [keras.LocallyConnected1D(4, width, activation="relu")(x) for width in (1, 2)]
    x = keras.Concatenate()([keras.Flatten()(y) for y in both])
    x = keras.Dense(46, activation="relu")(x)
    return filled(keras.Model(pairs, keras.Dense(1, activation="sigmoid")(x)))


def pfnet() -> Any:
    import lcfast as keras

    maps = keras.Input((28, 28, 6))
    x = keras.Conv2D(24, 3, padding="same", activation="relu")(maps)
    x = keras.MaxPooling2D(2)(x)
    small = keras.LocallyConnected2D(8, 3, activation="relu")(x)
    large = keras.LocallyConnected2D(8, 5, activation="relu")(keras.ZeroPadding2D(1)(x))
    x = keras.Flatten()(keras.Concatenate()([small, large]))
    return filled(keras.Model(maps, keras.Dense(1)(x)))


def docs() -> Any:
    """The example of Keras's documentation, with an end that classifies."""
    import lcfast as keras

    images = keras.Input((32, 32, 3))
    x = keras.LocallyConnected2D(64, 3, activation="relu")(images)
    x = keras.LocallyConnected2D(32, 3, activation="relu")(x)
    x = keras.GlobalAveragePooling2D()(x)
    return filled(keras.Model(images, keras.Dense(10, activation="softmax")(x)))


def p1b3() -> Any:
    import lcfast as keras

    features = keras.Input((29532, 1))
    x = keras.LocallyConnected1D(10, 10, activation="relu")(features)
    x = keras.Flatten()(keras.MaxPooling1D(100)(x))
    for units in (100, 50, 1):
        x = keras.Dense(units, activation="relu")(x)
    return filled(keras.Model(features, x))


def gpnet() -> Any:
    """Four locally connected layers of one filter, each added to its cropped input."""
    import lcfast as keras

    x = markers = keras.Input((44314, 1))
    for size in (2, 3, 4, 5):
        y = keras.LocallyConnected1D(1, size, activation="relu")(x)
        x = keras.Add()([y, keras.Cropping1D((0, size - 1))(x)])
    return filled(keras.Model(markers, keras.Dense(1)(keras.Flatten()(x))))


def published(name: str) -> Callable[[], Any]:
    """One of ADAPT's own models, by the builder of that name in examples/adapt.py."""

    def build() -> Any:
        import lcfast

        place = ROOT / "examples" / "adapt.py"
        spec = importlib.util.spec_from_file_location("adapt_example", place)
        assert spec
        assert spec.loader
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        folder = {"classifier": example.CLASSIFY, "regressor": example.REGRESS}[name]
        weights = lcfast.read_weights(Path(os.environ[ADAPT_FOLDER]) / folder)
        return getattr(example, name)(weights)

    return build


CASES = {
    case.name: case
    for case in (
        ModelCase("mhcflurry", (1, 32, 4096), mhcflurry),
        ModelCase("calogan", (1, 32, 512), calogan),
        ModelCase("adapt", (1, 32, 1024), adapt),
        ModelCase("pfnet", (1, 32, 720), pfnet),
        ModelCase("docs", (1, 32, 256), docs),
        ModelCase("p1b3", (1, 32, 64), p1b3),
        ModelCase("deepface", (1, 32), deepface.built_model),
        ModelCase("gpnet", (1, 32, 64), gpnet),
        ModelCase("adapt_classifier", (1, 32, 1024), published("classifier"), ADAPT_FOLDER),
        ModelCase("adapt_regressor", (1, 32, 1024), published("regressor"), ADAPT_FOLDER),
    )
}


def filled(model: Any) -> Any:
    """Give every layer weights that keep the numbers of its output near 1."""
    rng = np.random.default_rng(2014)
    for layer in model.layers:
        values = []
        for weight in layer.weights:
            numbers = rng.standard_normal(weight.shape, np.float32)
            name = weight.name.rpartition("/")[2].partition(":")[0]
            if name == "kernel":
                local = type(layer).__name__ in LOCAL
                taps = weight.shape[1] if local else math.prod(weight.shape[:-1])
                values.append(numbers * np.float32((2 / taps) ** 0.5))
            else:  # biases and moving means around 0, factors and variances around 1
                around = name in ("gamma", "moving_variance")
                values.append(numbers * np.float32(0.1) + np.float32(around))
        layer.set_weights(values)
    return model


def input_rows(model: Any, rows: int) -> np.ndarray:
    """The rows that every engine scores."""
    return random_array(3, rows, *model.input_shape[1:])


def layer_by_layer(model: Any, x: np.ndarray) -> np.ndarray:
    """The scores of calling each layer by itself, without what `predict` joins and cuts."""
    values: dict[str, Any] = {}
    layers = {layer.name: layer for layer in model.layers}
    for step in steps_of(json.loads(model.to_json())):
        if step.kind == "InputLayer":
            values[step.name] = x
            continue
        given = [values[name] for name in step.inputs]
        values[step.name] = layers[step.name](given if len(given) > 1 else given[0])
    last: np.ndarray = values[step.name]
    return last


def describe(model: Any, folder: Path) -> None:
    """Write what other engines read."""
    model.save(folder / "model.h5")
    (folder / "model.json").write_text(model.to_json())
    arrays = {
        f"{layer.name}/{index}": weight
        for layer in model.layers
        for index, weight in enumerate(layer.get_weights())
    }
    np.savez(folder / "weights.npz", **arrays)


def described(folder: Path) -> tuple[list[Step], dict[str, list[np.ndarray]]]:
    """The steps and the weights of each, from a folder that `describe` wrote."""
    steps = steps_of(json.loads((folder / "model.json").read_text()))
    weights: dict[str, list[np.ndarray]] = {}
    with np.load(folder / "weights.npz") as arrays:
        for key in arrays.files:
            weights.setdefault(key.rpartition("/")[0], []).append(arrays[key])
    return steps, weights


def steps_of(config: dict[str, Any]) -> list[Step]:
    """The layers of a Keras config of one input and one output, each after its inputs."""
    steps: list[Step] = []
    for layer in config["config"]["layers"]:
        kind, values = layer["class_name"], layer["config"]
        if kind == "InputLayer":
            inputs: tuple[str, ...] = ()
            shape = values["batch_input_shape"]
        else:
            nodes = layer.get("inbound_nodes")
            inputs = tuple(node[0] for node in nodes[0]) if nodes else (steps[-1].name,)
            shape = layer["build_config"]["input_shape"]
            shape = shape[0] if isinstance(shape[0], list) else shape
        steps.append(Step(values["name"], kind, values, inputs, tuple(shape[1:])))
    return steps


def operations(steps: list[Step], weights: dict[str, list[np.ndarray]]) -> int:
    """Multiplications and additions of one row in the layers with kernels."""
    total = 0
    for step in steps:
        if step.kind not in (*LOCAL, "Dense", "Conv1D", "Conv2D"):
            continue
        positions = 1
        if step.kind.startswith("Conv"):
            same = step.config["padding"] == "same"
            sizes = zip(
                step.input_shape, step.config["kernel_size"], step.config["strides"], strict=False
            )
            positions = math.prod(-(-(n if same else n - k + 1) // s) for n, k, s in sizes)
        total += 2 * positions * weights[step.name][0].size
    return total
