"""Valid HDF5 model files in the layout of Keras, and ways to damage them."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lcfast.errors import ModelFileError
from lcfast.io import read_model

CONFIG = {"class_name": "Sequential", "config": {"name": "small", "layers": []}}
KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4)
BIAS = np.array([0.5, -1, 2, np.nan], np.float32)
DENSE = "model_weights/dense"
KERNEL_PATH = "model_weights/dense/dense/kernel:0"

Damage = Callable[[h5py.File], None]


def fixed(names: list[str]) -> np.ndarray:
    """Names as fixed-length strings, as old h5py stored them; a list stores variable length."""
    return np.array([name.encode() for name in names], "S")


def write_weights(root: h5py.Group) -> None:
    root.attrs["layer_names"] = fixed(["dense", "flatten"])
    dense = root.create_group("dense")
    dense.attrs["weight_names"] = fixed(["dense/kernel:0", "dense/bias:0"])
    dense["dense/kernel:0"] = KERNEL
    dense["dense/bias:0"] = BIAS
    root.create_group("flatten").attrs["weight_names"] = []


def write_model(path: Path, damage: Damage = lambda _: None) -> Path:
    """Write a valid model file in the layout of Keras, then damage it."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = np.bytes_(json.dumps(CONFIG))
        file.attrs["keras_version"] = np.bytes_("2.15.0")
        write_weights(file.create_group("model_weights"))
        file["optimizer_weights/Adam/m"] = KERNEL
        damage(file)
    return path


def write_weights_file(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        write_weights(file)
    return path


def refusal(path: Path, read: Callable[[Path], object] = read_model) -> str:
    """The message of the ModelFileError that reading raises, without the leading path."""
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def replace_kernel(**options: object) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[KERNEL_PATH]
        file.create_dataset(KERNEL_PATH, **options)

    return damage


def replace_attribute(place: str, name: str, value: object) -> Damage:
    def damage(file: h5py.File) -> None:
        file[place].attrs[name] = value

    return damage
