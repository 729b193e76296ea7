"""Conv and its kin: dilated, grouped, depthwise, separable and transposed, layers and models."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import tensorflow as tf
import tf_keras
from locally_connected import described
from support import Arrays, normal, run_both_ways, seeded, write_arrays
from tf_keras import layers
from whole_models import write_model

FIRST = {"data_format": "channels_first"}


@dataclass(frozen=True)
class Case:
    class_name: str
    size: tuple[int, ...]  # of the input, without its channels
    channels: int
    options: dict = field(default_factory=dict)
    rows: int = 2
    dtype: str = "float32"

    @property
    def name(self) -> str:
        parts = [self.class_name, "n" + "x".join(map(str, self.size)), f"c{self.channels}"]
        for key, value in self.options.items():
            plain = "x".join(map(str, value)) if isinstance(value, tuple) else value
            parts.append(f"{key}_{plain}")
        return "-".join([*parts, self.dtype] if self.dtype != "float32" else parts)


def sized(filters: int | None, kernel: int | tuple, **options) -> dict:
    """The options of a layer; a depthwise one has no `filters`."""
    return {**({} if filters is None else {"filters": filters}), "kernel_size": kernel, **options}


def convolution_cases() -> Iterator[Case]:
    same = {"padding": "same"}
    yield Case("Conv1D", (9,), 3, sized(4, 3, dilation_rate=2))
    yield Case("Conv1D", (10,), 2, sized(5, 4, dilation_rate=3, **same, activation="relu"))
    yield Case("Conv1D", (8,), 3, sized(4, 3, padding="causal"))
    yield Case("Conv1D", (9,), 3, sized(2, 4, padding="causal", strides=2, activation="elu"))
    yield Case("Conv1D", (11,), 2, sized(3, 2, padding="causal", dilation_rate=4, use_bias=False))
    yield Case("Conv1D", (7,), 3, sized(4, 3, padding="causal", dilation_rate=2, **FIRST))
    yield Case("Conv1D", (9,), 6, sized(4, 3, groups=2, strides=2, **same, activation="softmax"))
    yield Case("Conv1D", (7,), 4, sized(4, 2, groups=4, dilation_rate=2, **FIRST))
    yield Case("Conv2D", (6, 7), 2, sized(3, (2, 3), dilation_rate=(3, 1)))
    yield Case(
        "Conv2D", (7, 6), 2, sized(3, (3, 2), dilation_rate=(2, 3), **same, activation="tanh")
    )
    yield Case("Conv2D", (6, 5), 3, sized(2, 3, dilation_rate=2, **same, **FIRST))
    yield Case("Conv2D", (5, 7), 6, sized(6, (3, 2), groups=3, strides=(2, 1), activation="relu"))
    yield Case("Conv2D", (5, 6), 32, sized(34, (2, 1), groups=2, use_bias=False), rows=1)
    yield Case("Conv2D", (6, 5), 4, sized(2, 2, groups=2, dilation_rate=2, **same, **FIRST))
    yield Case("Conv2D", (6, 5), 4, sized(6, 3, groups=2, dilation_rate=(1, 2)), dtype="float64")

    yield Case("DepthwiseConv1D", (9,), 4, sized(None, 3))
    yield Case("DepthwiseConv1D", (9,), 3, sized(None, 4, strides=2, **same, depth_multiplier=2))
    yield Case("DepthwiseConv1D", (8,), 3, sized(None, 3, dilation_rate=2, **same, **FIRST))
    yield Case("DepthwiseConv2D", (6, 5), 17, sized(None, 3, activation="softmax"), rows=1)
    yield Case("DepthwiseConv2D", (7, 6), 3, sized(None, (3, 2), strides=2, **same))
    yield Case("DepthwiseConv2D", (6, 7), 3, sized(None, 2, depth_multiplier=3, activation="elu"))
    yield Case("DepthwiseConv2D", (7, 6), 2, sized(None, 3, dilation_rate=(1, 2), **same))
    yield Case("DepthwiseConv2D", (5, 6), 3, sized(None, 3, depth_multiplier=2, **same, **FIRST))
    yield Case("DepthwiseConv2D", (5, 4), 2, sized(None, 2, use_bias=False), dtype="float64")

    yield Case("SeparableConv1D", (9,), 3, sized(4, 3, strides=2, **same))
    yield Case("SeparableConv1D", (8,), 3, sized(2, 3, padding="causal", dilation_rate=2))
    yield Case("SeparableConv1D", (8,), 2, sized(3, 2, depth_multiplier=2, **FIRST))
    yield Case("SeparableConv2D", (6, 7), 3, sized(4, (2, 3), activation="relu"))
    yield Case("SeparableConv2D", (7, 6), 2, sized(3, 3, strides=2, **same, depth_multiplier=3))
    yield Case("SeparableConv2D", (6, 6), 2, sized(3, 3, dilation_rate=2, **same, use_bias=False))
    yield Case("SeparableConv2D", (5, 6), 2, sized(3, 2, **same, activation="tanh", **FIRST))

    yield Case("Conv1DTranspose", (5,), 3, sized(4, 3))
    yield Case("Conv1DTranspose", (4,), 2, sized(3, 4, strides=3, activation="softmax"))
    yield Case("Conv1DTranspose", (5,), 2, sized(3, 2, strides=3, **same, output_padding=2))
    yield Case("Conv1DTranspose", (6,), 2, sized(3, 3, dilation_rate=2, **same))
    yield Case("Conv1DTranspose", (5,), 3, sized(2, 3, strides=2, **same, **FIRST))
    yield Case("Conv2DTranspose", (4, 5), 2, sized(3, 3, activation="relu"))
    yield Case("Conv2DTranspose", (3, 4), 3, sized(2, (3, 4), strides=2, **same))
    yield Case("Conv2DTranspose", (4, 3), 2, sized(3, (2, 1), strides=(3, 2), use_bias=False))
    yield Case("Conv2DTranspose", (3, 4), 2, sized(3, 3, strides=2, output_padding=(1, 0)))
    yield Case("Conv2DTranspose", (3, 4), 2, sized(3, 3, strides=2, **same, output_padding=1))
    yield Case("Conv2DTranspose", (4, 5), 2, sized(3, 2, dilation_rate=2))
    yield Case("Conv2DTranspose", (5, 4), 3, sized(2, 3, dilation_rate=2, **same))
    yield Case("Conv2DTranspose", (3, 4), 2, sized(3, 3, strides=(2, 1), output_padding=0, **FIRST))
    yield Case("Conv2DTranspose", (3, 3), 2, sized(3, 2, strides=2, **same), dtype="float64")


def made(case: Case, **changes) -> layers.Layer:
    return getattr(layers, case.class_name)(
        **{**case.options, **changes}, dtype=case.dtype, name="layer"
    )


def convolution_arrays(case: Case) -> Arrays:
    """What the layer computes; TensorFlow has no channels_first on a CPU, so that is transposed."""
    rng = seeded(case.name)
    first = case.options.get("data_format") == "channels_first"
    layer = made(case, data_format="channels_last")
    layer.build((None, *case.size, case.channels))
    layer.set_weights([normal(rng, w.shape, case.dtype) / 2 for w in layer.get_weights()])
    to_last = [0, *range(2, 2 + len(case.size)), 1]
    to_first = [0, len(case.size) + 1, *range(1, 1 + len(case.size))]

    def call(x: tf.Tensor) -> tf.Tensor:
        return tf.transpose(layer(tf.transpose(x, to_last)), to_first) if first else layer(x)

    shape = (case.channels, *case.size) if first else (*case.size, case.channels)
    x = normal(rng, (case.rows, *shape), case.dtype)
    arrays = {**described(layer), **run_both_ways(call, [x], layer.trainable_weights, rng)}
    arrays["config"] = described(made(case))["config"]
    return arrays


def convolutions_1d() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Conv1D(
                4, 3, padding="causal", dilation_rate=2, activation="relu", input_shape=(14, 3)
            ),
            layers.Conv1D(6, 3, groups=2, strides=2, kernel_regularizer="l2"),
            layers.DepthwiseConv1D(2, depth_multiplier=2, padding="same", activation="elu"),
            layers.SeparableConv1D(
                3,
                2,
                padding="causal",
                pointwise_regularizer="l1",
                depthwise_constraint="non_neg",
                pointwise_initializer="he_normal",
            ),
            layers.Conv1DTranspose(2, 4, strides=2, padding="same", activation="tanh"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def functional_convolutions() -> tf_keras.Model:
    image = tf_keras.Input((8, 9, 2))
    dilated = layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="relu")(image)
    depthwise = layers.DepthwiseConv2D(
        3, strides=2, padding="same", use_bias=False, depthwise_regularizer="l2"
    )(dilated)
    depthwise = layers.BatchNormalization()(depthwise)
    grouped = layers.Conv2D(4, (2, 1), groups=2, padding="same", activation="selu")(depthwise)
    larger = layers.Conv2DTranspose(4, 3, strides=2, output_padding=(1, 0), padding="same")(grouped)
    separable = layers.SeparableConv2D(3, (2, 3), activation="tanh")(larger)
    pooled = layers.AveragePooling2D(3)(separable)
    return tf_keras.Model(image, layers.Dense(2)(layers.Flatten()(pooled)))


def write_convolutions() -> None:
    cases = list(convolution_cases())
    arrays = {
        f"{case.name}/{key}": array
        for case in cases
        for key, array in convolution_arrays(case).items()
    }
    assert len({case.name for case in cases}) == len(cases), "two cases share a name"
    write_arrays("convolutions", arrays, f"{len(cases)} cases")
    for build in (convolutions_1d, functional_convolutions):
        write_model(build)
