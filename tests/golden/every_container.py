"""Models of many layers in every container: those that other files hold as .h5, and two of our own.

The predictions of the former lie beside their .h5 files.
"""

import warnings

import keras
import numpy as np
import tf_keras
from checkpoints import report_folder, save_cut
from containers import random_weights
from support import HERE, Arrays, normal, numbered, report, save_h5, seeded, write_arrays
from tf_keras import layers

SAVED_AS_H5 = {
    "words_and_numbers": "companions_words_and_numbers",
    "pixels": "companions_pixels",
    "convolutions_1d": "model_convolutions_1d",
    "functional_convolutions": "model_functional_convolutions",
    "recurrent_text": "model_recurrent_text",
}


def activations() -> tf_keras.Model:
    """The activations that are layers of their own, and what else no other model here holds."""
    signal, image = tf_keras.Input((8, 2), name="signal"), tf_keras.Input((6, 6, 2), name="image")
    x = layers.ELU(0.75)(signal)
    x = layers.MaxPooling1D(2, strides=1)(x)
    x = layers.LeakyReLU(0.25)(x)
    x = layers.PReLU(shared_axes=[1])(x)
    x = layers.AveragePooling1D(3)(x)
    x = layers.Softmax()(layers.Reshape((4,))(x))
    y = layers.ThresholdedReLU(0.5)(image)
    y = layers.MaxPooling2D(2)(layers.ReLU(2.0)(y))
    y = layers.LocallyConnected2D(2, 2)(y)
    y = layers.Activation("tanh")(layers.AveragePooling2D(2)(y))
    joined = layers.Dropout(0.5)(layers.Concatenate()([x, layers.Flatten()(y)]))
    return tf_keras.Model([signal, image], layers.Dense(3)(joined))


def keras_3_layers() -> keras.Model:
    """What of Keras 3 has other arguments, or other places for its weights, than Keras 2."""
    k = keras.layers
    words, image = keras.Input((6,), name="words"), keras.Input((7, 6, 3), name="image")
    x = k.SpatialDropout1D(0.2)(k.Embedding(9, 4)(words))
    x = k.LayerNormalization()(k.GaussianNoise(0.1)(x))
    x = k.SeparableConv1D(4, 2)(x)
    x = k.Bidirectional(k.LSTM(3, return_sequences=True))(x)
    x = k.TimeDistributed(k.Dense(4))(k.GaussianDropout(0.1)(x))
    x = k.GRU(3, return_sequences=True)(k.Permute((2, 1))(x))
    x = k.DepthwiseConv1D(2)(k.Conv1DTranspose(3, 3)(x))
    x = k.AveragePooling1D(2)(k.MaxPooling1D(2, strides=1)(k.UpSampling1D(2)(x)))
    x = k.Cropping1D(1)(k.ActivityRegularization(0.1)(x))
    pooled = k.Add()([k.GlobalMaxPooling1D()(x), k.GlobalAveragePooling1D()(x)])
    x = k.SimpleRNN(3)(k.RepeatVector(2)(k.AlphaDropout(0.1)(pooled)))
    y = k.Rescaling(0.5, offset=-1.0)(k.SpatialDropout2D(0.1)(image))
    y = k.ELU()(k.Conv2DTranspose(2, 3, strides=2, padding="same")(y))
    y = k.Cropping2D(1)(k.DepthwiseConv2D(3, padding="same")(y))
    y = k.Softmax()(k.SeparableConv2D(3, 3)(y))
    y = k.UpSampling2D(2, interpolation="bilinear")(k.AveragePooling2D(2)(y))
    y = k.ReLU(max_value=4.0, negative_slope=0.1)(k.ZeroPadding2D(1)(y))
    pooled = k.Multiply()([k.GlobalAveragePooling2D()(y), k.GlobalMaxPooling2D()(y)])
    pooled = k.Reshape((3,))(k.Normalization(mean=0.5, variance=2.0)(pooled))
    scores = k.Dot(1)([x, pooled])
    both = k.Maximum()([x, k.Subtract()([x, k.Average()([pooled, x])])])
    return keras.Model([words, image], k.Concatenate()([scores, both, k.Minimum()([x, pooled])]))


def write_in_every_container(model: tf_keras.Model, name: str) -> None:
    """Write a model beside its .h5 file, as everything else that tf_keras makes of one."""
    for file_name, save in {
        f"container_{name}.keras": model.save,
        f"container_{name}.weights.h5": model.save_weights,
        f"container_{name}_weights.h5": model.save_weights,
    }.items():
        save(HERE / file_name)
        report(file_name, f"{len(model.layers)} layers")
    report_folder(save_cut(lambda path: model.save(path, save_traces=False), f"saved_model_{name}"))
    model.save_weights(HERE / f"checkpoint_{name}" / "weights", save_format="tf")
    (HERE / f"checkpoint_{name}" / "checkpoint").unlink()
    report_folder(HERE / f"checkpoint_{name}")


def made(model: tf_keras.Model | keras.Model, name: str, rows: dict[str, int]) -> Arrays:
    """Give a model random weights; its inputs, indices where `rows` says how many, and outputs."""
    rng = seeded(f"every container {name}")
    random_weights(model, rng)
    inputs = [
        rng.integers(0, rows[tensor.name], (3, *tensor.shape[1:])).astype("float32")
        if tensor.name in rows
        else normal(rng, (3, *tensor.shape[1:]), "float32")
        for tensor in model.inputs
    ]
    outputs = [np.asarray(model(inputs, training=False))]
    return {**numbered("x", inputs), **numbered("y", outputs)}


def write_every_container() -> None:
    warnings.filterwarnings("ignore", message="No training configuration found")
    for name, stem in SAVED_AS_H5.items():
        tf_keras.backend.clear_session()
        model = tf_keras.models.load_model(HERE / f"{stem}.h5", compile=False)
        write_in_every_container(model, name)

    tf_keras.backend.clear_session()
    model = activations()
    write_arrays("container_activations", made(model, "activations", {}), "3 rows")
    save_h5(model, "container_activations.h5")
    write_in_every_container(model, "activations")

    keras.backend.clear_session()
    model = keras_3_layers()
    arrays = made(model, "keras_3_layers", {"words": 9})
    write_arrays("container_keras_3_layers", arrays, "3 rows")
    path = HERE / "container_keras_3_layers.keras"
    model.save(path)
    report(path.name, f"{len(model.layers)} layers")
