"""What TensorFlow leaves of a model in its own formats: SavedModels and checkpoints.

Every folder and checkpoint is cut to what a reader needs: of saved_model.pb the graph of operations
goes, and where no reader looks at its objects, they too.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from support import HERE, Arrays, normal, numbered, report, seeded, write_arrays
from tensorflow.core.protobuf import saved_model_pb2
from tf_keras import layers
from tf_keras.protobuf import saved_metadata_pb2
from whole_models import random_weight

SAVED_MODEL, METADATA = "saved_model.pb", "keras_metadata.pb"
ADAPT = {
    "classify": "adapt/models/classify/cas13a/v1_0",
    "regress": "adapt/models/regress/cas13a/v1_0",
}


def sequential() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.LocallyConnected1D(3, 2, activation="relu", input_shape=(5, 2)),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )


def functional() -> tf_keras.Model:
    """Two inputs, two outputs, and a layer that is called twice."""
    image, numbers = tf_keras.Input((4, 3, 2), name="image"), tf_keras.Input((5,), name="numbers")
    local = layers.LocallyConnected2D(2, 2, activation="tanh", name="local")(image)
    shared = layers.Dense(3, name="shared")
    left, right = shared(layers.Dense(5)(layers.Flatten()(local))), shared(numbers)
    return tf_keras.Model([image, numbers], [layers.Add()([left, right]), right])


class Branches(tf_keras.Model):
    """A class of one's own, with its layers in lists, as ADAPT's."""

    def __init__(self) -> None:
        super().__init__()
        self.local = [layers.LocallyConnected1D(2, width, name=f"w{width}") for width in (1, 2)]
        self.merge = layers.Concatenate(axis=1)
        self.flatten = layers.Flatten()
        self.last = layers.Dense(1, name="last")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.last(self.flatten(self.merge([layer(x) for layer in self.local])))


def prepared(build: Callable[[], tf_keras.Model], input_shape: tuple | None = None):
    tf_keras.backend.clear_session()
    rng = seeded(build.__name__)
    model = build()
    if input_shape:
        model.build(input_shape)
    model.set_weights([random_weight(weight, rng) for weight in model.weights])
    return model, rng


def trained_one_step(model: tf_keras.Model, rng: np.random.Generator) -> None:
    """Train, so that the files hold what are no weights: an optimizer's slots and a metric."""
    model.compile("adam", "mse")
    x = normal(rng, (2, *model.inputs[0].shape[1:]), "float32")
    model.fit(x, normal(rng, (2, *model.outputs[0].shape[1:]), "float32"), shuffle=False, verbose=0)


def arrays_of(model: tf_keras.Model, inputs: list[np.ndarray]) -> Arrays:
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    weights = {f"weight/{w.name.removesuffix(':0')}": w.numpy() for w in model.weights}
    outputs = [y.numpy() for y in tf.nest.flatten(outputs)]
    return {**numbered("x", inputs), **numbered("y", outputs), **weights}


def below(name: str, arrays: Arrays) -> Arrays:
    return {f"{name}/{key}": array for key, array in arrays.items()}


def save_cut(save: Callable[[str], object], name: str, with_objects: bool = False) -> Path:
    """Save a SavedModel, and leave of it what a reader reads."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    save(str(folder))
    shutil.rmtree(folder / "assets", ignore_errors=True)
    (folder / "fingerprint.pb").unlink()
    whole = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL).read_bytes())
    cut = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = cut.meta_graphs.add()
    graph.meta_info_def.tensorflow_version = tf.__version__
    if with_objects:  # without their functions, whose names count on from model to model
        for tracked in whole.meta_graphs[0].object_graph_def.nodes:
            kept = graph.object_graph_def.nodes.add(children=tracked.children)
            kept.user_object.CopyFrom(tracked.user_object)
    (folder / SAVED_MODEL).write_bytes(cut.SerializeToString(deterministic=True))
    return folder


def move_metadata_into_graph(folder: Path) -> None:
    """Make of a SavedModel what TensorFlow before 2.5 wrote: no file for Keras alone."""
    saved = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL).read_bytes())
    objects = saved.meta_graphs[0].object_graph_def.nodes
    metadata = saved_metadata_pb2.SavedMetadata.FromString((folder / METADATA).read_bytes())
    for node in metadata.nodes:
        objects[node.node_id].user_object.metadata = node.metadata
    (folder / METADATA).unlink()
    (folder / SAVED_MODEL).write_bytes(saved.SerializeToString(deterministic=True))


def report_folder(folder: Path) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        report(str(path.relative_to(HERE)), "TensorFlow")


def write_saved_models() -> Arrays:
    arrays: Arrays = {}

    model, rng = prepared(sequential)
    trained_one_step(model, rng)
    arrays |= below("sequential", arrays_of(model, [normal(rng, (3, 5, 2), "float32")]))
    folder = save_cut(model.save, "saved_model_sequential")
    older = save_cut(model.save, "saved_model_older", with_objects=True)
    move_metadata_into_graph(older)
    model.save_weights(HERE / "checkpoint_sequential" / "weights", save_format="tf")
    for place in (folder, older, HERE / "checkpoint_sequential"):
        report_folder(place)

    model, rng = prepared(functional)
    inputs = [normal(rng, (3, 4, 3, 2), "float32"), normal(rng, (3, 5), "float32")]
    arrays |= below("functional", arrays_of(model, inputs))
    folder = save_cut(lambda path: model.save(path, save_traces=False), "saved_model_functional")
    report_folder(folder)

    model, rng = prepared(Branches, input_shape=(None, 4, 3))
    x = normal(rng, (3, 4, 3), "float32")
    arrays |= below("subclassed", arrays_of(model, [x]))
    report_folder(save_cut(model.save, "saved_model_subclassed"))
    return arrays


def write_export_of_keras_3() -> Arrays:
    keras.utils.clear_session()
    rng = seeded("keras_3")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="small")
    model.set_weights([normal(rng, tuple(w.shape), "float32") for w in model.weights])
    folder = save_cut(lambda path: model.export(path, verbose=False), "saved_model_keras_3")
    report_folder(folder)
    return {f"keras_3/weight/{w.path}": w.numpy() for w in model.weights}


def write_checkpoint_by_names() -> Arrays:
    """A checkpoint of TensorFlow 1: names instead of objects, slots below their variables."""
    v1, rng = tf.compat.v1, seeded("by_names")
    values = {
        "dense/kernel": normal(rng, (3, 2), "float32"),
        "dense/bias": normal(rng, (2,), "float32"),
        "count": np.arange(6, dtype="int16").reshape(2, 3),
        "flags": np.array([True, False]),
        "half": normal(rng, (4,), "float16"),
        "wide": normal(rng, (2, 1), "float64"),
        "empty": np.zeros((0, 3), "float32"),
    }
    with tf.Graph().as_default(), v1.Session() as session:
        made = {name: v1.get_variable(name, initializer=value) for name, value in values.items()}
        # Whole numbers of eight bits: bfloat16 has no more.
        short = tf.constant([1.0, -0.15625, 3e38, 0.0], tf.bfloat16)
        v1.get_variable("short", initializer=short)
        kernel, bias = made["dense/kernel"], made["dense/bias"]
        average = tf.train.ExponentialMovingAverage(0.5).apply([kernel])
        loss = tf.reduce_sum(tf.ones((1, 3)) @ kernel + bias)
        step = v1.train.AdamOptimizer().minimize(loss, v1.train.get_or_create_global_step())
        session.run(v1.global_variables_initializer())
        session.run([step, average])
        read = session.run({variable.op.name: variable for variable in v1.global_variables()})
        place = HERE / "checkpoint_by_names"
        v1.train.Saver().save(session, str(place / "model"), write_meta_graph=False)
    report_folder(place)
    return {
        f"by_names/weight/{name}": value.astype("float32") if name == "short" else value
        for name, value in read.items()
    }


def write_checkpoints() -> None:
    arrays = write_saved_models() | write_export_of_keras_3() | write_checkpoint_by_names()
    for place in HERE.glob("checkpoint_*/checkpoint"):
        place.unlink()  # names the newest checkpoint of a folder, which no reader needs
    write_arrays("checkpoints", arrays, f"{len(arrays)} arrays")


# ---------------------------------------------------------------- ADAPT


def pairs_of_bases(rng: np.random.Generator) -> np.ndarray:
    """Targets of 48 bases, and guides of 28 on them with ever more mismatches; then any bases."""
    targets = rng.integers(0, 4, (24, 48))
    guides = targets[:, 10:-10].copy()
    wrong = rng.random(guides.shape) < np.linspace(0, 0.5, len(guides))[:, np.newaxis]
    guides[wrong] = rng.integers(0, 4, np.count_nonzero(wrong))
    pairs = np.zeros((32, 48, 8), np.uint8)
    pairs[:24, :, :4] = np.eye(4)[targets]
    pairs[:24, 10:-10, 4:] = np.eye(4)[guides]
    pairs[24:, :, :4] = np.eye(4)[rng.integers(0, 4, (8, 48))]
    pairs[24:, :, 4:] = np.eye(4)[rng.integers(0, 4, (8, 48))]
    return pairs


def write_adapt() -> None:
    """Write what ADAPT's two models say, where LCFAST_ADAPT names the folder of its wheel."""
    if "LCFAST_ADAPT" not in os.environ:
        print("adapt.npz is left as it is: LCFAST_ADAPT names no folder")
        return
    x = pairs_of_bases(seeded("adapt"))
    arrays = {"x": x}
    for name, place in ADAPT.items():
        model = tf.saved_model.load(os.path.join(os.environ["LCFAST_ADAPT"], place))
        arrays[name] = model(tf.constant(x, tf.float32), training=False).numpy()
    write_arrays("adapt", arrays, f"{len(x)} pairs")
