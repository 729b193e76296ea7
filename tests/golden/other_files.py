"""Files that tf_keras 2.21 would not write, or that a loader has to refuse."""

import json

import h5py
import numpy as np
import tensorflow as tf
import tf_keras
from support import HERE, report, save_h5, seeded
from tf_keras import layers
from whole_models import random_weight

# ---------------------------------------------------------------- older dialects

GLOROT_UNIFORM = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None},
}
ZEROS = {"class_name": "Zeros", "config": {}}


def config_of_keras_2_3(entry: dict) -> dict:
    """A layer as Keras 2.3 described it: no implementation, no data_format for 1D."""
    absent = {"implementation"}
    if entry["class_name"] == "LocallyConnected1D":
        absent.add("data_format")
    config = {key: value for key, value in entry["config"].items() if key not in absent}
    if "kernel_initializer" in config:
        config |= {"kernel_initializer": GLOROT_UNIFORM, "bias_initializer": ZEROS}
    return {"class_name": entry["class_name"], "config": config}


def config_of_keras_2_1(entry: dict) -> dict:
    """A layer as Keras 2.1 described it: a dtype only beside an input shape, a bare Flatten."""
    config = dict(config_of_keras_2_3(entry)["config"])
    if "batch_input_shape" not in config:
        del config["dtype"]
    if entry["class_name"] == "Flatten":
        del config["data_format"]
    return {"class_name": entry["class_name"], "config": config}


def write_old_dialect(file_name: str, version: bytes, sequential_config: list | dict) -> None:
    """model_sequential_1d under another config, its attributes fixed-length bytes, not str."""
    model_config = {"class_name": "Sequential", "config": sequential_config}
    origin = {"keras_version": np.bytes_(version), "backend": np.bytes_(b"tensorflow")}
    with (
        h5py.File(HERE / "model_sequential_1d.h5") as current,
        h5py.File(HERE / file_name, "w") as old,
    ):
        old.attrs.update(origin)
        old.attrs["model_config"] = np.bytes_(json.dumps(model_config).encode())
        weights = old.create_group("model_weights")
        weights.attrs.update(origin)
        layer_names = list(current["model_weights"].attrs["layer_names"])
        weights.attrs["layer_names"] = np.array([name.encode() for name in layer_names])
        for layer in layer_names:
            source, group = current["model_weights"][layer], weights.create_group(layer)
            weight_names = list(source.attrs["weight_names"])
            group.attrs["weight_names"] = np.array([name.encode() for name in weight_names])
            for weight in weight_names:
                group[weight] = source[weight][()]
    report(file_name, f"Keras {version.decode()}")


def write_old_dialects() -> None:
    with h5py.File(HERE / "model_sequential_1d.h5") as current:
        config = json.loads(current.attrs["model_config"])["config"]
    entries = [entry for entry in config["layers"] if entry["class_name"] != "InputLayer"]
    with_name = {"name": "sequential_1", "layers": [config_of_keras_2_3(e) for e in entries]}
    write_old_dialect("model_sequential_1d_keras_2_3.h5", b"2.3.1", with_name)
    write_old_dialect("model_list_config.h5", b"2.1.6", [config_of_keras_2_1(e) for e in entries])


# ---------------------------------------------------------------- what a loader must refuse


def halve(tensor: tf.Tensor) -> tf.Tensor:
    return tensor / 2


def write_unsupported() -> None:
    tf_keras.backend.clear_session()
    # A Lambda is saved as bytecode; without this the file would depend on where `halve` stands,
    # and on whether its own code, which shares constants with the copy, is still in memory.
    code = halve.__code__
    halve.__code__ = code.replace(co_filename="model.py", co_firstlineno=525)
    halve.__module__ = "__main__"
    signal = tf_keras.Input((12, 3))
    x = layers.GroupNormalization(groups=1, name="normalised")(signal)
    x = layers.RNN(layers.SimpleRNNCell(3), name="recurrent")(x)
    x = layers.Lambda(halve, name="python")(x)
    model = tf_keras.Model(signal, layers.Dense(2, name="classes")(x))
    rng = seeded("unsupported")
    model.set_weights([random_weight(weight, rng) for weight in model.weights])
    save_h5(model, "unsupported.h5")
