"""Whole models, saved by tf_keras, and what they compute."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
import tf_keras
from support import normal, run_both_ways, save_h5, seeded, write_arrays
from tf_keras import layers


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
