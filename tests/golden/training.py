"""Five steps of tf_keras's own SGD on one layer, plain and with everything that shapes weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import tensorflow as tf
import tf_keras
from local_grid import GridCase
from locally_connected import built_layer, described
from support import FORMATS, Arrays, normal, seeded, write_arrays
from tf_keras import layers

STEPS = 5
BATCH = 4
GEOMETRIES = {
    (1, "valid"): ((8,), (3,), (1,)),
    (1, "same"): ((8,), (4,), (2,)),
    (2, "valid"): ((5, 4), (3, 2), (1, 1)),
    (2, "same"): ((4, 5), (2, 3), (2, 1)),
}
ACTIVATIONS = {"channels_last": "tanh", "channels_first": "relu"}
REGULARIZED = {
    "kernel_regularizer": tf_keras.regularizers.l2(0.01),
    "bias_regularizer": tf_keras.regularizers.l1(0.003),
    "activity_regularizer": tf_keras.regularizers.l2(0.005),
    "kernel_constraint": tf_keras.constraints.max_norm(0.9),
    "bias_constraint": tf_keras.constraints.non_neg(),
}


@dataclass(frozen=True)
class TrainingCase(GridCase):
    regularized: bool = False

    @property
    def name(self) -> str:
        return super().name + ("-regularized" if self.regularized else "")


def training_cases() -> Iterator[TrainingCase]:
    for dimensions, implementation, data_format, regularized in product(
        (1, 2), (1, 2, 3), FORMATS, (False, True)
    ):
        padding = "same" if regularized and implementation != 1 else "valid"
        yield TrainingCase(
            data_format,
            *GEOMETRIES[dimensions, padding],
            channels=2,
            filters=3,
            activation=ACTIVATIONS[data_format],
            implementation=implementation,
            padding=padding,
            regularized=regularized,
        )


def values(tensors: list[tf.Tensor]) -> np.ndarray:
    return np.array([tensor.numpy() for tensor in tensors], np.float32)


def connected(layer: layers.Layer, kernel: np.ndarray) -> np.ndarray:
    """The kernel with zeros outside the mask of implementation 2."""
    return kernel * layer.kernel_mask if layer.implementation == 2 else kernel


def training_arrays(case: TrainingCase) -> Arrays:
    rng = seeded(case.name)
    layer = built_layer(case, **(REGULARIZED if case.regularized else {}))
    kernel, bias = (normal(rng, w.shape, case.dtype) / np.float32(1.5) for w in layer.get_weights())
    layer.set_weights([connected(layer, kernel), bias])
    x = normal(rng, (BATCH, *case.input_shape), case.dtype)
    before = {**described(layer), "losses_built": values(layer.losses)}
    target = normal(rng, tuple(layer(x).shape), case.dtype)
    before["losses_called"] = values(layer.losses)

    mean_squared_error = tf_keras.losses.MeanSquaredError()
    optimizer = tf_keras.optimizers.SGD(learning_rate=0.05, momentum=0.0, jit_compile=False)
    totals = []
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            total = tf.add_n([mean_squared_error(target, layer(x)), *layer.losses])
        gradients = tape.gradient(total, layer.trainable_weights)
        # This applies the constraints too, once every weight has moved.
        optimizer.apply_gradients(zip(gradients, layer.trainable_weights, strict=True))
        totals.append(total)

    kernel, bias = layer.get_weights()
    assert np.array_equal(kernel, connected(layer, kernel)), "a value outside the mask has moved"
    after = {"loss": values(totals), "w0_after": kernel, "w1_after": bias}
    return {"x": x, "target": target, **before, **after}


def write_training() -> None:
    cases = list(training_cases())
    arrays = {
        f"{case.name}/{key}": array
        for case in cases
        for key, array in training_arrays(case).items()
    }
    write_arrays("training", arrays, f"{len(cases)} cases")
