"""The layers that real models hold beside convolutions and Dense, and two models full of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from support import Arrays, normal, numbered, save_h5, seeded, write_arrays
from tf_keras import layers
from whole_models import random_weight, summary_of

FIRST = {"data_format": "channels_first"}
SEQUENCE, IMAGE = (5, 3), (3, 4, 2)


@dataclass(frozen=True)
class Companion:
    """A layer, and the shapes of a row of its inputs; `indices` is how many an integer one has."""

    make: Callable[[], layers.Layer]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str = "float32"
    indices: int = 0


def of(make: Callable[[], layers.Layer], *shapes: tuple[int, ...], **options: object) -> Companion:
    return Companion(make, shapes, **options)


COMPANIONS = {
    "global_max_1d": of(layers.GlobalMaxPooling1D, SEQUENCE),
    "global_max_1d_first": of(lambda: layers.GlobalMaxPooling1D(keepdims=True, **FIRST), SEQUENCE),
    "global_max_2d": of(lambda: layers.GlobalMaxPooling2D(keepdims=True), IMAGE),
    "global_max_2d_first": of(lambda: layers.GlobalMaxPooling2D(**FIRST), IMAGE),
    "global_average_1d": of(lambda: layers.GlobalAveragePooling1D(keepdims=True), SEQUENCE),
    "global_average_1d_first": of(lambda: layers.GlobalAveragePooling1D(**FIRST), SEQUENCE),
    "global_average_2d": of(layers.GlobalAveragePooling2D, IMAGE),
    "global_average_2d_first": of(
        lambda: layers.GlobalAveragePooling2D(keepdims=True, dtype="float64", **FIRST),
        IMAGE,
        dtype="float64",
    ),
    "permute": of(lambda: layers.Permute((3, 1, 2)), IMAGE),
    "repeat_vector": of(lambda: layers.RepeatVector(3), (4,)),
    "zero_padding_1d": of(lambda: layers.ZeroPadding1D((2, 0)), SEQUENCE),
    "zero_padding_2d": of(lambda: layers.ZeroPadding2D((1, 2)), IMAGE),
    "zero_padding_2d_first": of(lambda: layers.ZeroPadding2D(((1, 0), (0, 2)), **FIRST), IMAGE),
    "cropping_1d": of(lambda: layers.Cropping1D((1, 2)), SEQUENCE),
    "cropping_2d": of(lambda: layers.Cropping2D(((1, 0), (0, 2))), IMAGE),
    "cropping_2d_first": of(lambda: layers.Cropping2D((1, 0), **FIRST), IMAGE),
    "up_sampling_1d": of(lambda: layers.UpSampling1D(3), SEQUENCE),
    "up_sampling_2d": of(lambda: layers.UpSampling2D((2, 3)), IMAGE),
    "up_sampling_2d_first": of(lambda: layers.UpSampling2D(2, **FIRST), IMAGE),
    "bilinear": of(lambda: layers.UpSampling2D((2, 3), interpolation="bilinear"), IMAGE),
    "bilinear_first": of(
        lambda: layers.UpSampling2D((5, 1), interpolation="bilinear", **FIRST), IMAGE
    ),
    "layer_normalization": of(layers.LayerNormalization, SEQUENCE),
    "layer_normalization_axes": of(
        lambda: layers.LayerNormalization([1, 2], epsilon=1e-6), SEQUENCE
    ),
    "layer_normalization_middle": of(
        lambda: layers.LayerNormalization(1, epsilon=0.25, center=False), IMAGE
    ),
    "layer_normalization_plain": of(
        lambda: layers.LayerNormalization((-1, 1), scale=False, dtype="float64"),
        IMAGE,
        dtype="float64",
    ),
    "layer_normalization_reordered": of(lambda: layers.LayerNormalization([3, 1]), IMAGE),
    "normalization": of(layers.Normalization, (4,)),
    "normalization_axes": of(lambda: layers.Normalization((1, -1)), SEQUENCE),
    "normalization_none": of(lambda: layers.Normalization(None), SEQUENCE),
    "normalization_given": of(
        lambda: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=0.5), SEQUENCE
    ),
    "normalization_small_variance": of(
        lambda: layers.Normalization(mean=1.0, variance=1e-16), (4,)
    ),
    "normalization_inverted": of(
        lambda: layers.Normalization(mean=2.0, variance=3.0, invert=True), (4,)
    ),
    "add": of(layers.Add, (4, 1), (3,), (4, 3)),
    "subtract": of(layers.Subtract, SEQUENCE, (1, 3)),
    "multiply": of(layers.Multiply, (4, 1), (3,), (4, 3)),
    "average": of(layers.Average, SEQUENCE, (5, 1), (1, 3)),
    "maximum": of(layers.Maximum, SEQUENCE, (5, 1), SEQUENCE),
    "minimum": of(layers.Minimum, SEQUENCE, (3,), SEQUENCE),
    "concatenate": of(lambda: layers.Concatenate(1), (2, 3), (4, 3)),
    "dot_vectors": of(lambda: layers.Dot(1), (4,), (4,)),
    "dot_vector_matrix": of(lambda: layers.Dot((1, 2)), (4,), (3, 4)),
    "dot_matrix_vector": of(lambda: layers.Dot((1, -1)), (4, 3), (4,)),
    "dot_matrices": of(lambda: layers.Dot((2, 1)), (2, 4), (4, 3)),
    "dot_images": of(lambda: layers.Dot((2, 3)), (2, 4, 3), (3, 2, 4)),
    "dot_cosine": of(lambda: layers.Dot(-1, normalize=True), SEQUENCE, (2, 3)),
    "gaussian_noise": of(lambda: layers.GaussianNoise(0.5), SEQUENCE),
    "gaussian_dropout": of(lambda: layers.GaussianDropout(0.5), SEQUENCE),
    "alpha_dropout": of(lambda: layers.AlphaDropout(0.5), SEQUENCE),
    "spatial_dropout_1d": of(lambda: layers.SpatialDropout1D(0.5), SEQUENCE),
    "spatial_dropout_2d": of(lambda: layers.SpatialDropout2D(0.5), IMAGE),
    "rescaling": of(lambda: layers.Rescaling(0.25, -1.0), IMAGE),
    "rescaling_channels": of(lambda: layers.Rescaling([0.25, 3.0], [1.0, -1.0]), IMAGE),
    "masking": of(layers.Masking, SEQUENCE),
    "masking_value": of(lambda: layers.Masking(-2.0), SEQUENCE),
    "activity_regularization": of(lambda: layers.ActivityRegularization(0.25, 0.5), SEQUENCE),
    "embedding": of(lambda: layers.Embedding(7, 3), (5,), dtype="int32", indices=7),
    "embedding_images": of(
        lambda: layers.Embedding(7, 2, input_length=(2, None)), (2, 3), dtype="int64", indices=7
    ),
    "embedding_floats": of(
        lambda: layers.Embedding(4, 3, mask_zero=True), (6,), dtype="float32", indices=4
    ),
}


def drawn(case: Companion, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Two rows of inputs; among numbers some whole steps are 0 or -2, and some are equal."""
    if case.indices:
        found = rng.integers(0, case.indices, (2, *shape)).astype(case.dtype)
        return found + 0.75 if found.dtype.kind == "f" else found
    x = np.round(normal(rng, (2, *shape), case.dtype) * 4) / 4
    x[0, 0], x[1, -1] = 0, -2
    return x


def run(call: Callable, inputs: list[np.ndarray], weights: list[tf.Variable], rng) -> Arrays:
    """As `run_both_ways`, but indices have no gradient, and unused weights none either."""
    tensors = [tf.constant(x) for x in inputs]
    real = [t for t in tensors if t.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(real)
        outputs = tf.nest.flatten(call(tensors if len(tensors) > 1 else tensors[0]))
    dy = [normal(rng, tuple(y.shape), y.dtype.name) for y in outputs]
    upstream = [tf.constant(d) for d in dy]
    dx, dweights = tape.gradient(outputs, [real, weights], output_gradients=upstream)
    return {
        **numbered("x", inputs),
        **numbered("y", [y.numpy() for y in outputs]),
        **numbered("dy", dy),
        **numbered("dx", [d.numpy() for d in dx if d is not None]),
        **{f"dw{i}": tf.convert_to_tensor(d).numpy() for i, d in enumerate(dweights)},
    }


def companion_arrays(name: str) -> Arrays:
    case = COMPANIONS[name]
    rng = seeded(f"companion {name}")
    tf_keras.backend.clear_session()
    layer = case.make()
    inputs = [drawn(case, shape, rng) for shape in case.shapes]
    layer(inputs if len(inputs) > 1 else inputs[0])
    if layer.weights:
        layer.set_weights([companion_weight(weight, rng) for weight in layer.weights])
    if isinstance(layer, layers.Normalization):
        layer.finalize_state()
    config = json.dumps({"class_name": type(layer).__name__, "config": layer.get_config()})
    arrays = run(layer, inputs, layer.trainable_weights, rng)
    stored = {f"w{i}": weight for i, weight in enumerate(layer.get_weights())}
    losses = {"losses": np.array([loss.numpy() for loss in layer.losses])} if layer.losses else {}
    return {"config": np.array(config), **arrays, **stored, **losses}


def companion_weight(weight: tf.Variable, rng: np.random.Generator) -> np.ndarray:
    if weight.name.endswith("count:0"):
        return np.array(17)
    if weight.name.endswith("variance:0"):
        return rng.uniform(0.5, 2.0, tuple(weight.shape)).astype(weight.dtype.name)
    return random_weight(weight, rng)


def words_and_numbers() -> tf_keras.Model:
    """Integer and real inputs, a sequence, and every layer that merges."""
    words = tf_keras.Input((6,), dtype="int32", name="words")
    numbers = tf_keras.Input((4,), name="numbers")
    x = layers.Embedding(9, 4, input_length=6)(words)
    x = layers.SpatialDropout1D(0.2)(x)
    x = layers.GaussianNoise(0.1)(x)
    x = layers.ZeroPadding1D(1)(x)
    x = layers.LocallyConnected1D(4, 3, activation="relu")(x)
    x = layers.LayerNormalization()(x)
    steps = layers.RepeatVector(6)(layers.Normalization()(numbers))
    both = layers.Multiply()([x, layers.Average()([x, steps])])
    both = layers.Maximum()([both, layers.Subtract()([x, steps])])
    both = layers.Minimum()([both, layers.Add()([x, steps])])
    scores = layers.Dot((2, 2), normalize=True)([both, steps])
    both = layers.Concatenate()([both, layers.Permute((2, 1))(scores)])
    both = layers.Cropping1D((1, 0))(layers.UpSampling1D(2)(both))
    both = layers.ActivityRegularization(l2=0.01)(layers.Masking(1.5)(both))
    pooled = [layers.GlobalMaxPooling1D()(both), layers.GlobalAveragePooling1D()(x)]
    joined = layers.AlphaDropout(0.1)(layers.Concatenate()(pooled))
    return tf_keras.Model([words, numbers], layers.Dense(3, activation="softmax")(joined))


def pixels() -> tf_keras.Model:
    """Bytes of an image, and the layers of images."""
    image = tf_keras.Input((8, 7, 3), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.LayerNormalization([1, 2, 3])(x)
    x = layers.SpatialDropout2D(0.25)(x)
    x = layers.Cropping2D(((1, 0), (1, 0)))(x)
    x = layers.LocallyConnected2D(3, 2, activation="relu")(x)
    x = layers.UpSampling2D((2, 1))(x)
    x = layers.UpSampling2D((1, 2), interpolation="bilinear")(x)
    x = layers.GaussianDropout(0.3)(layers.Permute((3, 1, 2))(x))
    largest = layers.GlobalMaxPooling2D(data_format="channels_first", keepdims=True)(x)
    average = layers.GlobalAveragePooling2D(data_format="channels_first", keepdims=True)(x)
    x = layers.Flatten()(layers.Subtract()([largest, average]))
    return tf_keras.Model(image, layers.Dense(2)(x))


def companion_model_arrays(build: Callable[[], tf_keras.Model]) -> tuple[Arrays, tf_keras.Model]:
    rng = seeded(build.__name__)
    tf_keras.backend.clear_session()
    model = build()
    model.set_weights([companion_weight(weight, rng) for weight in model.weights])
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    inputs = []
    for tensor in model.inputs:
        shape, dtype = (3, *tensor.shape[1:]), tensor.dtype.name
        whole = {"words": 9, "pixels": 256}.get(tensor.name)
        drawn = rng.integers(0, whole, shape) if whole else normal(rng, shape, dtype)
        inputs.append(drawn.astype(dtype))
    arrays = run(lambda x: model(x, training=False), inputs, model.trainable_weights, rng)
    arrays["summary"] = np.array(summary_of(model))
    arrays["params"] = np.array(model.count_params())
    return arrays, model


def write_companions() -> None:
    cases = {
        f"{name}/{key}": array
        for name in COMPANIONS
        for key, array in companion_arrays(name).items()
    }
    write_arrays("companions", cases, f"{len(COMPANIONS)} cases")
    for build in (words_and_numbers, pixels):
        arrays, model = companion_model_arrays(build)
        write_arrays(f"companions_{build.__name__}", arrays, f"{len(arrays)} arrays")
        save_h5(model, f"companions_{build.__name__}.h5")
