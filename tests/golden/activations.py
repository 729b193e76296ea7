"""Every activation that tf_keras knows by a function's name."""

import inspect
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import tf_keras
from support import Arrays, normal, run_both_ways, seeded, write_arrays
from tf_keras.src import activations as module

ACTIVATIONS = ("relu", "tanh", "sigmoid", "softmax", "elu", "selu")
MORE_ACTIVATIONS = (
    "exponential",
    "gelu",
    "hard_sigmoid",
    "leaky_relu",
    "log_softmax",
    "mish",
    "relu6",
    "silu",
    "softplus",
    "softsign",
    "swish",
)
NAMES = ("linear", *ACTIVATIONS, *MORE_ACTIVATIONS)
DTYPES = ("float32", "float64")
AWKWARD = [0.0, 1e-30, 1e-6, 0.5, 5.0, 20.0, 100.0]
BENDS = [2.5, 6.0, 13.0, 14.0, 31.0, 88.0]  # corners, and where a series may be cut short


def check_names() -> None:
    """`get` finds the functions of its own module; those it finds for us are NAMES."""
    functions = {name for name, value in vars(module).items() if inspect.isfunction(value)}
    assert functions - {"get", "serialize", "deserialize"} == set(NAMES)


def with_both_signs(values: list[float], dtype: str) -> np.ndarray:
    return np.array(values + [-value for value in values], dtype)


def awkward_numbers(rng: np.random.Generator, dtype: str) -> np.ndarray:
    x = 3 * normal(rng, (40, 17), dtype)
    awkward = with_both_signs(AWKWARD, dtype)
    x[0, : awkward.size] = awkward  # side by side, so that a softmax sees them in one row
    x[10:, 3].flat[: awkward.size] = awkward  # and each among ordinary numbers
    return x


def activation_arrays(name: str, dtype: str) -> Arrays:
    rng = seeded(f"{name} {dtype}")
    x = awkward_numbers(rng, dtype)
    return run_both_ways(tf_keras.activations.get(name), [x], [], rng)


def more_activation_arrays(name: str, function: Callable, dtype: str) -> Arrays:
    rng = seeded(f"{name} {dtype}")
    x = awkward_numbers(rng, dtype)
    bends = with_both_signs(BENDS, dtype)
    x[10:, 7].flat[: bends.size] = bends
    return run_both_ways(function, [x], [], rng)


def write_activations() -> None:
    pairs = list(product(("linear", *ACTIVATIONS), DTYPES))
    arrays = {
        f"{name}/{dtype}/{key}": array
        for name, dtype in pairs
        for key, array in activation_arrays(name, dtype).items()
    }
    write_arrays("activations", arrays, f"{len(pairs)} cases")


def write_more_activations() -> None:
    check_names()
    functions = {name: tf_keras.activations.get(name) for name in MORE_ACTIVATIONS}
    functions["gelu_approximate"] = partial(tf_keras.activations.gelu, approximate=True)
    pairs = list(product(functions, DTYPES))
    arrays = {
        f"{name}/{dtype}/{key}": array
        for name, dtype in pairs
        for key, array in more_activation_arrays(name, functions[name], dtype).items()
    }
    write_arrays("more_activations", arrays, f"{len(pairs)} cases")
