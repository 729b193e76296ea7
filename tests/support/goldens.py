"""Read the golden files, once each.

`golden/generate.py` made them with tf_keras. A missing file or case is an error.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

DIRECTORY = Path(__file__).parents[1] / "golden"
EXAMPLES = Path(__file__).parents[2] / "examples"

MODELS = (
    "sequential_1d",
    "sequential_2d",
    "deepface_small",
    "functional_branches",
    "functional_two_inputs_two_outputs",
    "channels_first_1d",
    "conv1d_pooling",
    "conv2d_same_pooling",
    "float64_model",
    "regularized",
    "convolutions_1d",
    "functional_convolutions",
)
NESTED_MODELS = (
    "inner_shared",
    "inner_several",
    "inner_deep",
    "inner_and_outer",
    "recurrent_text",
    "recurrent_windows",
)


@dataclass(frozen=True)
class LayerCase:
    """A layer of tf_keras: its config, weights, outputs and gradients."""

    class_name: str
    config: dict
    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    weights: list[np.ndarray]
    dweights: list[np.ndarray]


@dataclass(frozen=True)
class ModelCase:
    """A model of tf_keras: its file, outputs and gradients, as lists."""

    path: Path
    x: list[np.ndarray]
    y: list[np.ndarray]
    dy: list[np.ndarray]
    dx: list[np.ndarray]
    dweights: list[np.ndarray]
    summary: str
    params: int


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    """Every array of golden/<name>.npz, read-only."""
    with np.load(DIRECTORY / f"{name}.npz") as file:
        read = {key: file[key] for key in file.files}
    for array in read.values():
        array.flags.writeable = False
    return read


def layer_case_names(family: str = "locally_connected") -> list[str]:
    return list(dict.fromkeys(key.split("/")[0] for key in arrays(family)))


def layer_case(name: str, family: str = "locally_connected") -> LayerCase:
    found = _below(arrays(family), name)
    described = json.loads(str(found["config"]))
    return LayerCase(
        described["class_name"],
        described["config"],
        *(found[key] for key in ("x", "y", "dy", "dx")),
        _numbered(found, "w"),
        _numbered(found, "dw"),
    )


def activation_case_names() -> list[str]:
    return list(dict.fromkeys(key.rsplit("/", 1)[0] for key in arrays("activations")))


def activation_case(name: str) -> dict[str, np.ndarray]:
    """The arrays x, y, dy, dx of <activation>/<dtype>."""
    return _below(arrays("activations"), name)


def model_path(name: str) -> Path:
    path = DIRECTORY / f"model_{name}.h5"
    if not path.exists():
        raise FileNotFoundError(path)
    return path


def model_case(name: str) -> ModelCase:
    found = arrays(f"model_{name}")
    lists = {key: [found[key]] if key in found else _numbered(found, key) for key in _BOTH_WAYS}
    assert all(lists.values()), f"{name} lacks one of {_BOTH_WAYS}"
    return ModelCase(
        path=model_path(name),
        **lists,
        dweights=_numbered(found, "dw"),
        summary=str(found["summary"]),
        params=int(found["params"]),
    )


_BOTH_WAYS = ("x", "y", "dy", "dx")


def _below(found: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    below = {key[len(name) + 1 :]: found[key] for key in found if key.startswith(f"{name}/")}
    assert below, f"there is no golden {name}"
    return below


def _numbered(found: dict[str, np.ndarray], stem: str) -> list[np.ndarray]:
    count = sum(key.startswith(stem) and key[len(stem) :].isdecimal() for key in found)
    return [found[f"{stem}{i}"] for i in range(count)]
