"""The golden files that hold a model or its weights, with the predictions of Keras.

The table in docs/keras.md is generated from this list; tests/test_containers.py reads each file.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lcfast
from lcfast import io
from tests.support import goldens

CONTAINERS = (
    "HDF5 model",
    "HDF5 weights",
    ".keras of tf_keras",
    ".keras of Keras 3",
    ".weights.h5",
    "SavedModel",
    "checkpoint",
    "JSON + npz",
)
WEIGHTS_ALONE = ("HDF5 weights", ".weights.h5", "checkpoint")

OLDER_DIALECTS = ("model_sequential_1d_keras_2_3.h5", "model_list_config.h5")
MANIFEST = goldens.DIRECTORY / "container_manifest.csv"
# Written by tests/golden/every_container.py, beside an existing .h5 file of each.
IN_EVERY_CONTAINER = {
    "words_and_numbers": "companions_words_and_numbers",
    "pixels": "companions_pixels",
    "convolutions_1d": "model_convolutions_1d",
    "functional_convolutions": "model_functional_convolutions",
    "recurrent_text": "model_recurrent_text",
    "activations": "container_activations",
}
# Goldens without a model to compare predictions with; other tests read them.
NO_PREDICTIONS = {
    "saved_model_subclassed": "has no config",
    "saved_model_keras_3": "has no config",
    "checkpoint_by_names/model": "belongs to no model of Keras",
}


@dataclass(frozen=True)
class Reading:
    """A golden file, and the .npz file with the predictions of Keras.

    A file that holds only weights is read into the model of another golden, `config`.
    """

    container: str
    golden: str
    predictions: str
    case: str = ""  # the prefix of its arrays, if the .npz file holds several cases
    config: str | None = None

    @property
    def path(self) -> Path:
        return goldens.DIRECTORY / self.golden

    def model_config(self) -> dict[str, Any]:
        """The config of the model, as stored in the golden."""
        if self.container == "JSON + npz":
            return json.loads(network_json())
        return io.read_model(goldens.DIRECTORY / (self.config or self.golden)).config

    def model(self) -> lcfast.Model:
        """The model, loaded from this file."""
        if self.container not in (*WEIGHTS_ALONE, "JSON + npz"):
            return lcfast.load_model(self.path)
        model = lcfast.model_from_json(json.dumps(self.model_config()))
        if self.container == "JSON + npz":
            model.set_weights(list(lcfast.read_weights(self.path).values()))
        else:
            model.load_weights(self.path)
        return model

    def arrays(self, key: str) -> list[np.ndarray]:
        """One array for each input (x) or output (y) of the model."""
        found = goldens.arrays(self.predictions)
        stem = f"{self.case}/{key}" if self.case else key
        names = [stem] if stem in found else [f"{stem}{i}" for i in range(len(found))]
        return [found[name] for name in names if name in found]

    def layers(self) -> set[str]:
        """The classes of all layers that are read; in a weights file, of those with weights."""
        config = self.model_config()
        kinds = set(classes_in(config))
        if self.container in WEIGHTS_ALONE:
            kinds &= set(classes_in(config, of=self._layers_with_weights()))
        return kinds - {"Sequential", "Functional", "Model"}

    def _layers_with_weights(self) -> set[str]:
        stored = io.read_model(goldens.DIRECTORY / (self.config or self.golden))
        return {layer for layer, weights in stored.layer_weights.items() if weights}


def network_json() -> str:
    """The config in a manifest of MHCflurry."""
    with open(MANIFEST, newline="", encoding="utf-8") as file:
        return json.loads(next(csv.DictReader(file))["config_json"])["network_json"]


def classes_in(entry: Any, of: set[str] | None = None) -> Iterator[str]:
    """The classes of a model and all its layers, including wrapped layers and nested models.

    With `of`, only those of the named layers and of what they contain.
    """
    config = entry.get("config")
    parts = config if isinstance(config, list) else config.get("layers", [])
    if of is None:
        yield entry["class_name"]
    for part in parts:
        if of is None or part["config"]["name"] in of:
            yield from classes_in(part)
    if isinstance(config, dict):
        for key in ("layer", "backward_layer"):
            if isinstance(config.get(key), dict):
                yield from classes_in(config[key])


def _readings() -> Iterator[Reading]:
    for name in (*goldens.MODELS, *goldens.NESTED_MODELS):
        yield Reading("HDF5 model", f"model_{name}.h5", f"model_{name}")
    for golden in OLDER_DIALECTS:
        yield Reading("HDF5 model", golden, "model_sequential_1d")
    for name in ("words_and_numbers", "pixels"):
        yield Reading("HDF5 model", f"companions_{name}.h5", f"companions_{name}")
    yield Reading("HDF5 model", "container_activations.h5", "container_activations")

    for name, stem in IN_EVERY_CONTAINER.items():
        yield Reading(".keras of tf_keras", f"container_{name}.keras", stem)
        yield Reading("SavedModel", f"saved_model_{name}", stem)
        for container, golden in {
            "HDF5 weights": f"container_{name}_weights.h5",
            ".weights.h5": f"container_{name}.weights.h5",
            "checkpoint": f"checkpoint_{name}/weights",
        }.items():
            yield Reading(container, golden, stem, config=f"{stem}.h5")

    for case in ("sequential", "functional", "keras_3_sequential", "keras_3_functional"):
        of = "Keras 3" if case.startswith("keras_3") else "tf_keras"
        archive = f"container_{case}.keras"
        yield Reading(f".keras of {of}", archive, "containers", case)
        if case.endswith("sequential"):
            weights = f"container_{case}.weights.h5"
            yield Reading(".weights.h5", weights, "containers", case, config=archive)
    h5 = "container_keras_3_sequential.h5"
    yield Reading("HDF5 model", h5, "containers", "keras_3_sequential")
    name = "container_keras_3_layers"
    yield Reading(".keras of Keras 3", f"{name}.keras", name)
    yield Reading("JSON + npz", "container_weights_network-0.npz", "containers", "json_and_npz")

    for case in ("sequential", "functional"):
        yield Reading("SavedModel", f"saved_model_{case}", "checkpoints", case)
    yield Reading("SavedModel", "saved_model_older", "checkpoints", "sequential")
    saved = "saved_model_sequential"
    yield Reading("checkpoint", "checkpoint_sequential/weights", "checkpoints", "sequential", saved)


READINGS = tuple(_readings())
