"""Whole models in the containers beside .h5, and what they compute: tf_keras's and Keras 3's."""

import csv
import json
from collections.abc import Callable

import keras
import numpy as np
import tf_keras
from support import HERE, Arrays, normal, numbered, report, seeded, write_arrays
from tf_keras import layers


def sequential() -> tf_keras.Model:
    """Compiled and fitted, so that optimizer slots and metrics lie beside its weights."""
    model = tf_keras.Sequential(
        [
            layers.LocallyConnected1D(3, 3, activation="relu", input_shape=(7, 2), name="first"),
            layers.BatchNormalization(),
            layers.LocallyConnected1D(2, 2, kernel_regularizer="l2"),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(3, activation="relu", name="b"),
            layers.Dense(3, activation="softmax", name="a"),
        ]
    )
    model.compile("adam", "mse")
    model.fit(np.ones((4, 7, 2)), np.ones((4, 3)), verbose=0)
    return model


def functional() -> tf_keras.Model:
    """Two inputs, a layer that is called twice, two outputs in a dict."""
    signal, flags = tf_keras.Input((8, 2), name="signal"), tf_keras.Input((3,), name="flags")
    local = layers.Flatten()(layers.LocallyConnected1D(2, 3, implementation=2)(signal))
    shared = layers.Dense(4, name="shared")
    both = layers.Concatenate()([shared(local), shared(layers.Dense(12)(flags))])
    outputs = {"z": layers.Dense(1, name="score")(both), "y": layers.PReLU()(layers.ReLU()(both))}
    return tf_keras.Model({"signal": signal, "flags": flags}, outputs)


def keras_3_sequential() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((9, 2)),
            keras.layers.Conv1D(3, 3, kernel_regularizer="l2", name="first"),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(0.25),
            keras.layers.Conv1D(2, 2, strides=2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(3, activation="gelu", name="b"),
            keras.layers.Dense(3, activation="softmax", name="a"),
        ]
    )
    model.compile("sgd", "mse")
    return model


def keras_3_functional() -> keras.Model:
    image, flags = keras.Input((6, 5, 2), name="image"), keras.Input((3,), name="flags")
    seen = keras.layers.Conv2D(2, 3, activation="relu")(image)
    seen = keras.layers.Flatten()(keras.layers.MaxPooling2D(2)(seen))
    shared = keras.layers.Dense(4, name="shared")
    both = [shared(seen), shared(keras.layers.Dense(4)(flags))]
    total = keras.layers.Activation("tanh")(keras.layers.Add()(both))
    joined = keras.layers.Concatenate()([total, *both])
    outputs = [keras.layers.Dense(1, name="score")(joined), keras.layers.PReLU()(total)]
    return keras.Model([image, flags], outputs)


def json_and_npz() -> tf_keras.Model:
    """Shaped as MHCflurry's networks are, with more than ten weights."""
    peptide = tf_keras.Input((6, 3), name="peptide")
    x = layers.LocallyConnected1D(2, 3, activation="tanh", name="lc_0")(peptide)
    x = layers.LocallyConnected1D(2, 2, activation="tanh", name="lc_1")(x)
    x = layers.Flatten(name="flattened_0")(x)
    for i in range(3):
        x = layers.Dense(4, activation="tanh", name=f"dense_{i}")(x)
    x = layers.Dropout(0.5, name="dropout_dense_0")(x)
    x = layers.BatchNormalization(name="batch_norm")(x)
    return tf_keras.Model(peptide, layers.Dense(1, activation="sigmoid", name="output")(x))


def random_weights(model: tf_keras.Model | keras.Model, rng: np.random.Generator) -> None:
    """Give a model random weights; a variance, or what may be one, is positive."""
    model.set_weights(
        [
            np.exp(normal(rng, w.shape, "float32") / 4)
            if "variance" in v.name
            else normal(rng, w.shape, "float32") / 2
            for v, w in zip(model.weights, model.get_weights(), strict=True)
        ]
    )


def made(build: Callable, backend) -> tuple[tf_keras.Model | keras.Model, Arrays]:
    """A model of random weights, its inputs and outputs; those in a dict by their sorted names."""
    name = build.__name__
    rng = seeded(f"container {name}")
    backend.clear_session()
    model = build()
    random_weights(model, rng)
    tensors = model.input if build is functional else dict(enumerate(model.inputs))
    names = sorted(tensors)
    x = [normal(rng, (3, *tensors[key].shape[1:]), "float32") for key in names]
    given = dict(zip(names, x, strict=True)) if build is functional else x
    y = model(given if len(x) > 1 else x[0], training=False)
    y = [y[key] for key in sorted(y)] if isinstance(y, dict) else y
    y = [np.asarray(part) for part in (y if isinstance(y, list | tuple) else [y])]
    arrays = {**numbered("x", x), **numbered("y", y)}
    return model, {f"{name}/{key}": array for key, array in arrays.items()}


def write_manifest(model: tf_keras.Model) -> None:
    """What MHCflurry's Class1AffinityPredictor.save leaves: a manifest, and weights beside it."""
    config = {"hyperparameters": {}, "network_json": model.to_json(), "network_weights": None}
    with open(HERE / "container_manifest.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["model_name", "allele", "config_json"])
        rows.writerow(["network-0", "HLA-A*02:01", json.dumps(config)])
    weights = {f"array_{i}": weight for i, weight in enumerate(model.get_weights())}
    np.savez(HERE / "container_weights_network-0.npz", **weights)
    report("container_manifest.csv", "1 network")
    report("container_weights_network-0.npz", f"{len(weights)} arrays")


def write_containers() -> None:
    arrays: Arrays = {}
    for build, backend, endings in [
        (sequential, tf_keras.backend, ("keras", "weights.h5")),
        (functional, tf_keras.backend, ("keras",)),
        (keras_3_sequential, keras.backend, ("keras", "weights.h5", "h5")),
        (keras_3_functional, keras.backend, ("keras",)),
        (json_and_npz, tf_keras.backend, ()),
    ]:
        model, found = made(build, backend)
        arrays.update(found)
        for ending in endings:
            path = HERE / f"container_{build.__name__}.{ending}"
            save = model.save_weights if ending == "weights.h5" else model.save
            save(path)
            report(path.name, f"{len(model.layers)} layers")
        if build is json_and_npz:
            write_manifest(model)
    write_arrays("containers", arrays, f"{len(arrays)} arrays")
