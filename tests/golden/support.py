"""What every golden needs: its own random numbers, both gradients, and the writing of files."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

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


def report(file_name: str, content: str) -> None:
    size = (HERE / file_name).stat().st_size
    print(f"{file_name:48} {content:12} {size / 1000:8.1f} kB")


def write_arrays(name: str, arrays: Arrays, content: str) -> None:
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    report(f"{name}.npz", content)


def save_h5(model: tf_keras.Model, file_name: str) -> None:
    model.save(HERE / file_name, include_optimizer=False, save_format="h5")
    report(file_name, f"{len(model.layers)} layers")
