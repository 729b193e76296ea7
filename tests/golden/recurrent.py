"""Recurrent layers, wrappers and models inside of models, as tf_keras computes them."""

import json
from collections.abc import Callable

import numpy as np
import tf_keras
from support import Arrays, normal, run_both_ways, save_h5, seeded, write_arrays
from tf_keras import layers
from whole_models import default_dtype, random_weight, summary_of

SEQUENCES = {"return_sequences": True}
BACKWARDS = {"go_backwards": True}


def layer_cases() -> dict[str, tuple[Callable[[], layers.Layer], tuple[int, ...]]]:
    sequence = (3, 5, 4)
    return {
        "simple_rnn": (lambda: layers.SimpleRNN(3), sequence),
        "simple_rnn_sequences": (
            lambda: layers.SimpleRNN(
                3, activation="relu", use_bias=False, **SEQUENCES, **BACKWARDS
            ),
            sequence,
        ),
        "simple_rnn_softmax": (lambda: layers.SimpleRNN(3, activation="softmax"), sequence),
        "lstm": (lambda: layers.LSTM(3), sequence),
        "lstm_sequences": (lambda: layers.LSTM(3, **SEQUENCES), sequence),
        "lstm_of_keras_2_2": (
            lambda: layers.LSTM(
                3, recurrent_activation="hard_sigmoid", implementation=1, **SEQUENCES, **BACKWARDS
            ),
            sequence,
        ),
        "lstm_without_bias": (
            lambda: layers.LSTM(
                3, activation="elu", use_bias=False, unroll=True, unit_forget_bias=False
            ),
            sequence,
        ),
        "lstm_dropout": (lambda: layers.LSTM(3, dropout=0.2, recurrent_dropout=0.3), sequence),
        "lstm_time_major": (lambda: layers.LSTM(3, time_major=True), (5, 3, 4)),
        "lstm_time_major_sequences": (
            lambda: layers.LSTM(3, time_major=True, **SEQUENCES, **BACKWARDS),
            (5, 3, 4),
        ),
        "lstm_one_step": (lambda: layers.LSTM(2), (1, 1, 1)),
        "gru": (lambda: layers.GRU(3), sequence),
        "gru_sequences": (lambda: layers.GRU(3, **SEQUENCES, **BACKWARDS), sequence),
        "gru_without_bias": (lambda: layers.GRU(3, activation="selu", use_bias=False), sequence),
        "gru_reset_before": (lambda: layers.GRU(3, reset_after=False, **SEQUENCES), sequence),
        "gru_of_keras_2_2": (
            lambda: layers.GRU(
                3,
                recurrent_activation="hard_sigmoid",
                reset_after=False,
                implementation=1,
                use_bias=False,
                **BACKWARDS,
            ),
            sequence,
        ),
        "bidirectional_concat": (
            lambda: layers.Bidirectional(layers.LSTM(3, **SEQUENCES)),
            sequence,
        ),
        "bidirectional_sum": (
            lambda: layers.Bidirectional(layers.GRU(3), merge_mode="sum"),
            sequence,
        ),
        "bidirectional_mul": (
            lambda: layers.Bidirectional(layers.SimpleRNN(3, **SEQUENCES), merge_mode="mul"),
            sequence,
        ),
        "bidirectional_ave": (
            lambda: layers.Bidirectional(
                layers.GRU(3, reset_after=False, **SEQUENCES, **BACKWARDS), merge_mode="ave"
            ),
            sequence,
        ),
        "bidirectional_two_layers": (
            lambda: layers.Bidirectional(
                layers.LSTM(3, **SEQUENCES),
                backward_layer=layers.GRU(3, activation="relu", **SEQUENCES, **BACKWARDS),
            ),
            sequence,
        ),
        "time_distributed_dense": (
            lambda: layers.TimeDistributed(layers.Dense(3, activation="softmax")),
            sequence,
        ),
        "time_distributed_local": (
            lambda: layers.TimeDistributed(layers.LocallyConnected1D(2, 3, activation="tanh")),
            (2, 3, 6, 2),
        ),
        "time_distributed_conv": (
            lambda: layers.TimeDistributed(layers.Conv2D(2, 2, padding="same")),
            (2, 3, 4, 3, 2),
        ),
        "time_distributed_normalization": (
            lambda: layers.TimeDistributed(layers.BatchNormalization()),
            sequence,
        ),
        "time_distributed_lstm": (
            lambda: layers.TimeDistributed(layers.Bidirectional(layers.LSTM(2))),
            (2, 3, 4, 2),
        ),
    }


def write_recurrent() -> None:
    arrays: Arrays = {}
    for name, (build, shape) in layer_cases().items():
        arrays.update({f"{name}/{key}": value for key, value in _case(name, build, shape).items()})
    with default_dtype("float64"):
        for name in ("lstm_sequences", "gru_reset_before", "gru"):
            build, shape = layer_cases()[name]
            found = _case(f"{name}_float64", build, shape)
            arrays.update({f"{name}_float64/{key}": value for key, value in found.items()})
    write_arrays("recurrent", arrays, f"{len(arrays)} arrays")
    for model in (*INNER_MODELS, *RECURRENT_MODELS):
        _write_model(model)


def _case(name: str, build: Callable[[], layers.Layer], shape: tuple[int, ...]) -> Arrays:
    rng = seeded(name)
    tf_keras.backend.clear_session()
    layer = build()
    layer.build(shape)
    layer.set_weights([random_weight(weight, rng) for weight in layer.weights])
    inputs = [normal(rng, shape, tf_keras.backend.floatx())]
    found = run_both_ways(lambda x: layer(x, training=False), inputs, layer.trainable_weights, rng)
    described = {"class_name": type(layer).__name__, "config": layer.get_config()}
    found["config"] = np.array(json.dumps(described, default=dict))
    found.update({f"w{i}": weight for i, weight in enumerate(layer.get_weights())})
    return found


def inner_shared() -> tf_keras.Model:
    """One Sequential called on two inputs, with weights that training leaves alone."""
    tower = tf_keras.Sequential(
        [
            layers.LocallyConnected1D(3, 2, activation="relu", input_shape=(6, 2)),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4),
        ],
        name="tower",
    )
    left, right = tf_keras.Input((6, 2), name="left"), tf_keras.Input((6, 2), name="right")
    both = layers.Concatenate()([tower(left), tower(right)])
    return tf_keras.Model([left, right], layers.Dense(2)(both))


def inner_several() -> tf_keras.Model:
    """A functional model with two inputs and two outputs inside of another."""
    a, b = tf_keras.Input((3,), name="a"), tf_keras.Input((4,), name="b")
    sums = layers.Add()([layers.Dense(4)(a), b])
    inner = tf_keras.Model([a, b], [layers.Dense(2)(sums), layers.Dense(3)(sums)], name="inner")
    x, y = tf_keras.Input((4,), name="x"), tf_keras.Input((3,), name="y")
    two, three = inner([y, layers.Dense(4, activation="tanh")(x)])
    again, _ = inner([three, x])
    return tf_keras.Model([x, y], [layers.Concatenate()([two, again]), three])


def inner_deep() -> tf_keras.Model:
    """Sequentials inside of Sequentials, the innermost one frozen in part."""
    innermost = tf_keras.Sequential(
        [layers.Dense(4, input_shape=(5,)), layers.BatchNormalization(), layers.Dense(3)],
        name="innermost",
    )
    innermost.layers[0].trainable = False
    middle = tf_keras.Sequential(
        [layers.Dense(5, activation="relu", input_shape=(4,)), innermost, layers.ReLU()],
        name="middle",
    )
    return tf_keras.Sequential([middle, layers.Dense(2), layers.BatchNormalization()])


def inner_and_outer() -> tf_keras.Model:
    """A layer that is in the model and in a model inside of it."""
    common = layers.Dense(3, activation="tanh", name="common")
    a = tf_keras.Input((3,), name="a")
    inner = tf_keras.Model(a, layers.Dense(3)(common(a)), name="inner")
    x = tf_keras.Input((3,), name="x")
    return tf_keras.Model(x, layers.Add()([inner(x), common(x)]))


def recurrent_text() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Bidirectional(layers.LSTM(3, return_sequences=True), input_shape=(5, 4)),
            layers.TimeDistributed(layers.Dense(2, activation="relu")),
            layers.GRU(3, reset_after=False, return_sequences=True),
            layers.Bidirectional(layers.SimpleRNN(2), merge_mode="ave"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def recurrent_windows() -> tf_keras.Model:
    """Windows of a signal, each through a model, then through time."""
    window = tf_keras.Sequential(
        [
            layers.LocallyConnected1D(2, 3, activation="relu", input_shape=(6, 2)),
            layers.BatchNormalization(),
            layers.Flatten(),
        ],
        name="window",
    )
    signal = tf_keras.Input((4, 6, 2))
    local = layers.TimeDistributed(window)(signal)
    convolved = layers.TimeDistributed(layers.Conv1D(2, 3))(signal)
    flat = layers.TimeDistributed(layers.Flatten())(convolved)
    joined = layers.Concatenate()([local, flat])
    return tf_keras.Model(signal, layers.LSTM(3)(joined))


INNER_MODELS = (inner_shared, inner_several, inner_deep, inner_and_outer)
RECURRENT_MODELS = (recurrent_text, recurrent_windows)


def _write_model(build: Callable[[], tf_keras.Model]) -> None:
    name = build.__name__
    rng = seeded(name)
    tf_keras.backend.clear_session()
    model = build()
    model.set_weights([random_weight(weight, rng) for weight in model.weights])
    inputs = [normal(rng, (2, *x.shape[1:]), x.dtype.name) for x in model.inputs]
    arrays = run_both_ways(lambda x: model(x, training=False), inputs, model.trainable_weights, rng)
    arrays["summary"] = np.array(summary_of(model))
    arrays["params"] = np.array(model.count_params())
    arrays.update({f"w{i}": weight for i, weight in enumerate(model.get_weights())})
    write_arrays(f"model_{name}", arrays, f"{len(arrays)} arrays")
    save_h5(model, f"model_{name}.h5")
