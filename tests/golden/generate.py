"""Write the golden files beside this script: what tf_keras itself computes, for lcfast's tests.

Run it as `python tests/golden/generate.py` in an environment of its own, made with

    pip install tensorflow-cpu==2.21.0 tf_keras==2.21.0

It never imports lcfast: a golden must not be made by the code it checks. Every case draws from
a generator seeded with its own name, so a second run writes the same arrays, and a new case
leaves the others as they are. Nothing in the files needs `allow_pickle`.

locally_connected.npz   <case>/config, x, y, dy, dx, w0 [w1], dw0 [dw1]
activations.npz         <activation>/<dtype>/x, y, dy, dx
model_<name>.h5         a whole model, every weight random
model_<name>.npz        x, y, dy, dx (x0, x1, ... where there are several), dw0, dw1, ... in the
                        order of trainable_weights, summary, params, and losses where there are any
model_sequential_1d_keras_2_3.h5, model_list_config.h5
                        model_sequential_1d in the dialects of Keras 2.3.1 and 2.1.6
unsupported.h5          layers and an argument that the loader has to refuse, all at once
"""

import json
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

HERE = Path(__file__).resolve().parent
FORMATS = ("channels_last", "channels_first")
Arrays = dict[str, np.ndarray]


def seeded(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def numbered(key: str, arrays: list[np.ndarray]) -> Arrays:
    """One array keeps the bare key; several are numbered."""
    if len(arrays) == 1:
        return {key: arrays[0]}
    return {f"{key}{i}": array for i, array in enumerate(arrays)}


def run_both_ways(
    call: Callable, inputs: list[np.ndarray], weights: list[tf.Variable], rng: np.random.Generator
) -> Arrays:
    """The outputs of `call(inputs)` and, for random dy, the gradients of inputs and weights."""
    tensors = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = tf.nest.flatten(call(tensors[0] if len(tensors) == 1 else tensors))
    dy = [normal(rng, tuple(y.shape), y.dtype.name) for y in outputs]
    upstream = [tf.constant(d) for d in dy]
    dx, dweights = tape.gradient(outputs, [tensors, weights], output_gradients=upstream)
    return {
        **numbered("x", inputs),
        **numbered("y", [y.numpy() for y in outputs]),
        **numbered("dy", dy),
        **numbered("dx", [d.numpy() for d in dx]),
        **{f"dw{i}": d.numpy() for i, d in enumerate(dweights)},
    }


# ---------------------------------------------------------------- locally connected layers


@dataclass(frozen=True)
class Case:
    data_format: str
    size: tuple[int, ...]  # of the input, without its channels
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    channels: int
    filters: int
    bias: bool = True
    activation: str = "linear"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        size, kernel, strides = (
            "x".join(map(str, numbers)) for numbers in (self.size, self.kernel, self.strides)
        )
        parts = [f"{len(self.size)}d", self.data_format, f"n{size}", f"c{self.channels}"]
        parts += [f"k{kernel}", f"s{strides}", f"f{self.filters}"]
        parts += ["bias"] if self.bias else []
        parts += [self.activation] if self.activation != "linear" else []
        parts += [self.dtype] if self.dtype != "float32" else []
        return "-".join(parts)


FILTERS = (1, 2, 3, 5, 8, 17)
ACTIVATIONS = ("relu", "tanh", "sigmoid", "softmax", "elu", "selu")
LARGEST_KERNEL = 600  # numbers in a drawn 2D kernel, to keep the file small

GEOMETRIES_1D = [
    ((size,), (kernel,), (stride,))
    for (kernel, stride), size in zip(
        product((1, 2, 3, 4), (1, 2, 3)), (7, 8, 9, 11, 13, 10, 9, 7, 11, 5, 9, 13), strict=True
    )
]
GEOMETRIES_2D = [
    ((5, 3), (1, 1), (1, 1)),
    ((5, 7), (1, 1), (3, 3)),
    ((7, 5), (2, 2), (1, 1)),
    ((5, 7), (2, 2), (3, 2)),
    ((5, 7), (3, 3), (1, 1)),
    ((7, 5), (3, 3), (2, 2)),
    ((6, 5), (4, 4), (1, 1)),
    ((7, 9), (4, 4), (3, 2)),
    ((7, 5), (2, 3), (1, 1)),
    ((4, 9), (2, 3), (1, 2)),
    ((3, 7), (1, 4), (1, 1)),
    ((3, 9), (1, 4), (1, 2)),
    ((5, 3), (3, 1), (1, 2)),
    ((7, 9), (3, 2), (3, 3)),
    ((7, 9), (4, 3), (2, 3)),
    ((7, 4), (4, 2), (3, 1)),
]
ACTIVATED = {1: ((9,), (3,), (2,)), 2: ((5, 7), (2, 3), (1, 2))}
AT_THE_EDGE = [
    Case("channels_last", (4,), (4,), (1,), 3, 5),  # the kernel is as large as the input
    Case("channels_first", (4,), (4,), (1,), 3, 5),
    Case("channels_last", (3, 4), (3, 4), (1, 1), 2, 5),
    Case("channels_first", (3, 4), (3, 4), (1, 1), 2, 5),
    Case("channels_first", (5,), (4,), (3,), 2, 3),  # the stride leaves one position
    Case("channels_last", (4, 5), (3, 3), (2, 3), 1, 17),
    Case("channels_last", (11,), (3,), (3,), 5, 17),  # windows that do not overlap
    Case("channels_first", (11,), (3,), (3,), 5, 17),
    Case("channels_last", (5, 7), (2, 3), (2, 3), 3, 8),
    Case("channels_first", (5, 7), (2, 3), (2, 3), 3, 17),
    Case("channels_last", (1,), (1,), (1,), 1, 1),  # as small as a layer can be
    Case("channels_last", (1, 1), (1, 1), (1, 1), 1, 1),
    Case("channels_last", (17,), (2,), (1,), 1, 1),  # one channel and one filter, as in genomics
    Case("channels_first", (3, 9), (3, 2), (1, 1), 2, 3),  # one row of positions
]
IN_DOUBLE = [
    Case("channels_last", (9,), (3,), (1,), 3, 5, dtype="float64"),
    Case("channels_first", (9,), (3,), (2,), 3, 5, dtype="float64"),
    Case("channels_last", (7,), (2,), (1,), 2, 17, False, dtype="float64"),
    Case("channels_last", (7,), (2,), (3,), 5, 3, True, "selu", "float64"),
    Case("channels_first", (11,), (4,), (2,), 4, 3, True, "softmax", "float64"),
    Case("channels_last", (5, 7), (2, 3), (2, 1), 2, 3, dtype="float64"),
    Case("channels_first", (3, 7), (2, 3), (1, 2), 2, 5, dtype="float64"),
    Case("channels_last", (4, 3), (3, 2), (1, 1), 2, 17, False, dtype="float64"),
    Case("channels_first", (7, 5), (3, 3), (2, 2), 3, 2, True, "tanh", "float64"),
    Case("channels_last", (5, 7), (1, 4), (3, 2), 2, 8, True, "sigmoid", "float64"),
]


def drawn_linear_case(data_format: str, geometry: tuple, rng: np.random.Generator) -> Case:
    size, kernel, strides = geometry
    channels = int(rng.integers(1, 6))
    output = [(n - k) // s + 1 for n, k, s in zip(size, kernel, strides, strict=True)]
    per_filter = int(np.prod(output) * np.prod(kernel) * channels)
    affordable = [f for f in FILTERS if f * per_filter <= LARGEST_KERNEL] or [1]
    filters = int(rng.choice(affordable))
    return Case(data_format, size, kernel, strides, channels, filters, bias=bool(rng.integers(2)))


def locally_connected_cases() -> Iterator[Case]:
    for data_format, geometry in product(FORMATS, GEOMETRIES_1D + GEOMETRIES_2D):
        yield drawn_linear_case(data_format, geometry, seeded(f"{data_format} {geometry}"))
    for dimensions, activation in product((1, 2), ACTIVATIONS):
        yield Case("channels_first", *ACTIVATED[dimensions], 2, 5, True, activation)
        yield Case("channels_last", *ACTIVATED[dimensions], 3, 3, False, activation)
    yield from AT_THE_EDGE
    yield from IN_DOUBLE


def locally_connected_arrays(case: Case) -> Arrays:
    rng = seeded(case.name)
    kind = layers.LocallyConnected1D if len(case.size) == 1 else layers.LocallyConnected2D
    layer = kind(
        case.filters,
        case.kernel,
        strides=case.strides,
        data_format=case.data_format,
        activation=case.activation,
        use_bias=case.bias,
        implementation=1,
        dtype=case.dtype,
        name="layer",
    )
    last = case.data_format == "channels_last"
    shape = (*case.size, case.channels) if last else (case.channels, *case.size)
    layer.build((None, *shape))
    layer.set_weights([normal(rng, w.shape, case.dtype) / 2 for w in layer.get_weights()])
    x = normal(rng, (int(rng.integers(1, 6)), *shape), case.dtype)
    config = {"class_name": kind.__name__, "config": layer.get_config()}
    return {
        "config": np.array(json.dumps(config)),
        **{f"w{i}": w for i, w in enumerate(layer.get_weights())},
        **run_both_ways(layer, [x], layer.trainable_weights, rng),
    }


def write_locally_connected() -> None:
    cases = list(locally_connected_cases())
    arrays = {
        f"{case.name}/{key}": array
        for case in cases
        for key, array in locally_connected_arrays(case).items()
    }
    assert len({case.name for case in cases}) == len(cases), "two cases share a name"
    write_arrays("locally_connected", arrays, f"{len(cases)} cases")


# ---------------------------------------------------------------- activations

AWKWARD = [0.0, 1e-30, 1e-6, 0.5, 5.0, 20.0, 100.0]


def activation_arrays(name: str, dtype: str) -> Arrays:
    rng = seeded(f"{name} {dtype}")
    x = 3 * normal(rng, (40, 17), dtype)
    awkward = np.array(AWKWARD + [-value for value in AWKWARD], dtype)
    x[0, : awkward.size] = awkward  # side by side, so that a softmax sees them in one row
    x[10:, 3].flat[: awkward.size] = awkward  # and each among ordinary numbers
    return run_both_ways(tf_keras.activations.get(name), [x], [], rng)


def write_activations() -> None:
    pairs = list(product(("linear", *ACTIVATIONS), ("float32", "float64")))
    arrays = {
        f"{name}/{dtype}/{key}": array
        for name, dtype in pairs
        for key, array in activation_arrays(name, dtype).items()
    }
    write_arrays("activations", arrays, f"{len(pairs)} cases")


# ---------------------------------------------------------------- whole models


def sequential_1d() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.LocallyConnected1D(8, 3, activation="relu", input_shape=(10, 4)),
            layers.LocallyConnected1D(4, 3),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def sequential_2d() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", activation="relu", input_shape=(11, 9, 2)),
            layers.MaxPooling2D(),
            layers.LocallyConnected2D(5, (2, 3), activation="relu"),
            layers.BatchNormalization(),
            layers.Activation("tanh"),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ]
    )


def deepface_small() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Conv2D(3, 5, activation="relu", input_shape=(29, 27, 3)),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Conv2D(3, 3, activation="relu"),
            layers.LocallyConnected2D(3, 3, activation="relu"),
            layers.LocallyConnected2D(4, 3, strides=2, activation="relu"),
            layers.LocallyConnected2D(4, 2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(8, activation="relu"),
            layers.Dense(5, activation="softmax"),
        ]
    )


def functional_branches() -> tf_keras.Model:
    signal = tf_keras.Input((16, 2))
    narrow = layers.LocallyConnected1D(3, 2, activation="tanh")(signal)
    narrow = layers.AveragePooling1D(2)(narrow)
    wide = layers.LocallyConnected1D(3, 5, strides=2, activation="elu")(signal)
    wide = layers.MaxPooling1D(3, strides=1)(wide)
    joined = layers.Flatten()(layers.Concatenate(axis=1)([narrow, wide]))
    total = layers.Add()([layers.Dense(6)(joined), layers.Dense(6, use_bias=False)(joined)])
    clipped = layers.ReLU(max_value=1.5, negative_slope=0.2, threshold=0.1)(total)
    return tf_keras.Model(signal, layers.Dense(3)(clipped))


def functional_two_inputs_two_outputs() -> tf_keras.Model:
    signal, numbers = tf_keras.Input((6, 4), name="signal"), tf_keras.Input((5,), name="numbers")
    local = layers.LocallyConnected1D(3, 2, activation="relu")(signal)
    shared = layers.Dense(4, activation="tanh", name="shared")
    left = shared(layers.Dense(5)(layers.Flatten()(local)))
    right = shared(numbers)
    both = layers.Concatenate()([left, right])
    table = layers.Reshape((2, -1), name="table")(both)
    classes = layers.Dense(3, activation="softmax", name="classes")(layers.Add()([left, right]))
    return tf_keras.Model([signal, numbers], [table, classes])


def channels_first_1d() -> tf_keras.Model:
    form = {"data_format": "channels_first"}
    return tf_keras.Sequential(
        [
            layers.LocallyConnected1D(4, 3, activation="relu", input_shape=(3, 11), **form),
            layers.LocallyConnected1D(2, 2, strides=2, **form),
            layers.Reshape((4, 2)),
            layers.Dense(5, activation="sigmoid"),  # on the last axis of three
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def conv1d_pooling() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Conv1D(4, 3, strides=2, activation="relu", input_shape=(37, 3)),
            layers.Conv1D(5, 4, strides=2, padding="same", activation="selu"),
            layers.AveragePooling1D(3, strides=2, padding="same"),
            layers.MaxPooling1D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def conv2d_same_pooling() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Conv2D(
                4, (4, 2), strides=2, padding="same", use_bias=False, input_shape=(13, 10, 2)
            ),
            layers.BatchNormalization(scale=False),
            layers.ReLU(),
            layers.Conv2D(3, (2, 3), strides=(1, 2), padding="same", activation="elu"),
            layers.AveragePooling2D(3, strides=2, padding="same"),
            layers.BatchNormalization(center=False, epsilon=0.01),
            layers.AveragePooling2D((2, 1)),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def float64_model() -> tf_keras.Model:
    with default_dtype("float64"):
        return tf_keras.Sequential(
            [
                layers.LocallyConnected2D(
                    3, (3, 2), strides=(1, 2), activation="selu", input_shape=(7, 5, 2)
                ),
                layers.BatchNormalization(),
                layers.Flatten(),
                layers.Dense(4, activation="tanh"),
                layers.Dense(2, activation="softmax"),
            ]
        )


def regularized() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.LocallyConnected1D(
                4,
                3,
                activation="relu",
                kernel_initializer="he_normal",
                bias_initializer=tf_keras.initializers.Constant(0.1),
                kernel_regularizer=tf_keras.regularizers.l2(0.01),
                activity_regularizer=tf_keras.regularizers.l1(0.001),
                kernel_constraint=tf_keras.constraints.max_norm(2.0),
                input_shape=(9, 2),
            ),
            layers.Flatten(),
            layers.Dense(
                3,
                kernel_initializer=tf_keras.initializers.RandomNormal(stddev=0.05),
                kernel_regularizer=tf_keras.regularizers.L1L2(l1=0.001, l2=0.002),
                bias_regularizer="l2",
                bias_constraint="non_neg",
            ),
        ]
    )


MODELS = (
    sequential_1d,
    sequential_2d,
    deepface_small,
    functional_branches,
    functional_two_inputs_two_outputs,
    channels_first_1d,
    conv1d_pooling,
    conv2d_same_pooling,
    float64_model,
    regularized,
)


@contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    before = tf_keras.backend.floatx()
    tf_keras.backend.set_floatx(dtype)
    try:
        yield
    finally:
        tf_keras.backend.set_floatx(before)


def random_weight(weight: tf.Variable, rng: np.random.Generator) -> np.ndarray:
    shape, dtype = tuple(weight.shape), weight.dtype.name
    if weight.name.endswith("moving_variance:0"):
        return rng.uniform(0.5, 2.0, shape).astype(dtype)
    if weight.name.endswith("gamma:0"):
        return 1 + normal(rng, shape, dtype) / 4
    if weight.name.endswith("kernel:0"):  # scaled by the fan-in, so that nothing saturates
        fan_in = np.prod(shape[:-1]) if weight.name.startswith("conv") else shape[-2]
        return normal(rng, shape, dtype) / np.sqrt(fan_in).astype(dtype)
    return normal(rng, shape, dtype) / 2


def summary_of(model: tf_keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return "\n".join(lines)


def write_model(build: Callable[[], tf_keras.Model]) -> None:
    name = build.__name__
    rng = seeded(name)
    tf_keras.backend.clear_session()  # or the layers' names would count on from model to model
    model = build()
    model.set_weights([random_weight(weight, rng) for weight in model.weights])
    inputs = [normal(rng, (2, *x.shape[1:]), x.dtype.name) for x in model.inputs]
    arrays = run_both_ways(lambda x: model(x, training=False), inputs, model.trainable_weights, rng)
    arrays["summary"] = np.array(summary_of(model))
    arrays["params"] = np.array(model.count_params())
    if model.losses:
        arrays["losses"] = np.array([loss.numpy() for loss in model.losses])
    write_arrays(f"model_{name}", arrays, f"{len(arrays)} arrays")
    save_h5(model, f"model_{name}.h5")


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
    # A Lambda is saved as bytecode; without this it would carry the path of this script.
    halve.__code__ = halve.__code__.replace(co_filename="model.py")
    signal = tf_keras.Input((12, 3))
    x = layers.Conv1D(4, 3, dilation_rate=2, name="dilated")(signal)
    x = layers.LayerNormalization(name="normalised")(x)
    x = layers.LSTM(3, name="recurrent")(x)
    x = layers.Lambda(halve, name="python")(x)
    model = tf_keras.Model(signal, layers.Dense(2, name="classes")(x))
    rng = seeded("unsupported")
    model.set_weights([random_weight(weight, rng) for weight in model.weights])
    save_h5(model, "unsupported.h5")


# ---------------------------------------------------------------- files


def report(file_name: str, content: str) -> None:
    size = (HERE / file_name).stat().st_size
    print(f"{file_name:48} {content:12} {size / 1000:8.1f} kB")


def write_arrays(name: str, arrays: Arrays, content: str) -> None:
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    report(f"{name}.npz", content)


def save_h5(model: tf_keras.Model, file_name: str) -> None:
    model.save(HERE / file_name, include_optimizer=False, save_format="h5")
    report(file_name, f"{len(model.layers)} layers")


def main() -> None:
    # One thread: the order in which several share a sum is not fixed.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
    write_locally_connected()
    write_activations()
    for build in MODELS:
        write_model(build)
    write_old_dialects()
    write_unsupported()


if __name__ == "__main__":
    main()
