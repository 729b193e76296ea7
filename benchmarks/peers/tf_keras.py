"""tf_keras: the layers themselves, implementations 1, 2 and 3, as tf.function and eagerly."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.answers import Weights
from benchmarks.cases import DENSE, FLOAT32, Case
from benchmarks.peers.contract import NotOffered, Way, Ways

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf
import tf_keras
from tf_keras.src.layers.locally_connected import locally_connected_utils

MOST_POSITIONS, MOST_EAGER_POSITIONS = 3100, 256
"""Implementation 1 puts three operations into the graph for each position."""
LARGEST_DENSE = 256e6
"""Bytes of implementation 2's tensor."""
MOST_CONNECTIONS = 4e6
"""Implementation 3's product runs at about one multiplication a nanosecond."""


def versions() -> dict[str, str]:
    return {"tensorflow": tf.__version__, "tf_keras": tf_keras.__version__}


def forward(case: Case, weights: Weights) -> Ways:
    if case.shared:
        return {"function": lambda: called(case, shared_layer(case, weights), function=True)}
    made: dict[int, Any] = {}

    def layer(implementation: int) -> Any:
        if implementation not in made:
            made[implementation] = local_layer(case, weights, implementation)
        return made[implementation]

    ways: Ways = {}
    for number in (1, 2, 3):
        ways[f"implementation {number}"] = lambda n=number: called(case, layer(n), function=True)  # type: ignore[misc]
    if case.positions <= MOST_EAGER_POSITIONS:
        ways["implementation 1, eager"] = lambda: called(case, layer(1), function=False)
    ways["implementation 2, eager"] = lambda: called(case, layer(2), function=False)
    ways["implementation 3, eager"] = lambda: called(case, layer(3), function=False)
    return ways


def gradients(case: Case, weights: Weights) -> Ways:
    if case.shared:
        return {"function": lambda: pulled(case, shared_layer(case, weights))}
    ways: Ways = {}
    for number in (1, 3):
        ways[f"implementation {number}"] = lambda n=number: pulled(  # type: ignore[misc]
            case, local_layer(case, weights, n)
        )
    return ways


def called(case: Case, layer: Any, function: bool) -> Way:
    run = traced(layer, rows_shape(case)) if function else layer
    return Way(lambda x: tf.constant(rows_of(case, x)), run, lambda y: positions_of(case, y),
               in_blocks=not case.shared)  # fmt: skip


def traced(function: Any, *row_shapes: tuple[int, ...]) -> Any:
    """A tf.function for any batch: tracing thousands of positions takes long enough once."""
    signature = [tf.TensorSpec((None, *shape), tf.float32) for shape in row_shapes]
    return tf.function(lambda *arrays: function(*arrays), input_signature=signature)


def rows_shape(case: Case) -> tuple[int, ...]:
    return (case.inputs,) if case.kind == DENSE else case.input_shape


def rows_of(case: Case, x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), *rows_shape(case))


def positions_of(case: Case, y: Any) -> np.ndarray:
    array: np.ndarray = y.numpy()
    return array.reshape(len(array), case.positions, case.filters)


def shared_layer(case: Case, weights: Weights) -> Any:
    if case.kind == DENSE:
        layer = tf_keras.layers.Dense(case.filters)
        layer.build((None, case.inputs))
    else:
        kinds = (tf_keras.layers.Conv1D, tf_keras.layers.Conv2D)
        layer = kinds[len(case.kernel_size) - 1](
            case.filters, case.kernel_size, strides=case.strides
        )
        layer.build((None, *case.input_shape))
    set_weights(layer, weights.kernel, weights.bias)
    return layer


def set_weights(layer: Any, *arrays: np.ndarray) -> None:
    shapes = [w.shape for w in layer.weights]
    layer.set_weights([a.reshape(s) for a, s in zip(arrays, shapes, strict=True)])


def local_layer(case: Case, weights: Weights, implementation: int) -> Any:
    if implementation == 1 and case.positions > MOST_POSITIONS:
        raise NotOffered(f"implementation 1 is tried up to {MOST_POSITIONS} positions")
    if implementation == 2 and FLOAT32 * case.inputs * case.outputs > LARGEST_DENSE:
        raise NotOffered(f"implementation 2 is tried up to {LARGEST_DENSE / 1e6:.0f} MB")
    if implementation == 3:
        return SparseLayer(case, weights)
    kinds = (tf_keras.layers.LocallyConnected1D, tf_keras.layers.LocallyConnected2D)
    layer = kinds[len(case.kernel_size) - 1](
        case.filters, case.kernel_size, strides=case.strides, implementation=implementation
    )
    layer.build((None, *case.input_shape))
    kernel = weights.kernel
    if implementation == 2:
        dense = np.zeros((case.inputs, case.positions, case.filters), np.float32)
        dense[case.taps(), np.arange(case.positions)[:, None]] = kernel
        kernel = dense
    set_weights(layer, kernel, weights.bias)
    return layer


class SparseLayer:
    """Implementation 3: Keras's own product; its indices are made by numpy, as Keras's Python
    loops take minutes for them.
    """

    def __init__(self, case: Case, weights: Weights) -> None:
        connections = case.outputs * case.patch
        if connections > MOST_CONNECTIONS:
            raise NotOffered(f"implementation 3 is tried up to {MOST_CONNECTIONS:.0e} connections")
        columns = np.repeat(case.taps()[:, None, :], case.filters, axis=1).reshape(-1)
        rows = np.repeat(np.arange(case.outputs), case.patch)
        self.indices = tf.constant(np.stack([rows, columns], axis=1))
        numbers = weights.kernel.swapaxes(1, 2).reshape(-1)
        self.weights = [tf.Variable(numbers), tf.Variable(weights.bias)]
        self.case = case

    def __call__(self, x: Any) -> Any:
        kernel, bias = self.weights
        case = self.case
        y = locally_connected_utils.local_conv_sparse_matmul(
            x, kernel, self.indices, (case.outputs, case.inputs),
            tf.TensorShape((None, case.positions, case.filters)),
        )  # fmt: skip
        return y + bias


def pulled(case: Case, layer: Any) -> Way:
    """Gradients of input and weights in one tf.function; unused parts of the forward fall away."""

    def pull(x: Any, dy: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, *layer.weights], tf.reshape(dy, tf.shape(y)))

    def prepare(x: np.ndarray, dy: np.ndarray) -> Any:
        return tf.constant(rows_of(case, x)), tf.constant(dy)

    def arrays(found: Any) -> list[np.ndarray]:
        dx, dkernel, dbias = (tf.convert_to_tensor(a).numpy() for a in found)
        if isinstance(layer, SparseLayer):
            shape = (case.positions, case.filters, case.patch)
            dkernel = dkernel.reshape(shape).swapaxes(1, 2)
        return [dx, dkernel, dbias]

    function = traced(pull, rows_shape(case), (case.positions, case.filters))
    return Way(prepare, lambda prepared: function(*prepared), arrays, in_blocks=not case.shared)
