"""tf_keras's side: make random models, save them in every container, load lcfast's files.

`run.py` starts it with the Python of LCFAST_KERAS_PYTHON and sends it lines of JSON:

    {"draw": seed, "folder": ...}       makes a random model
    {"make": recipe, "folder": ...}     makes the model of a recipe
    {"read": folder}                    loads lcfast's files; returns the differences

FOLDER then holds recipe.json, model.json, model.h5, model.keras, saved_model/, trained.*,
weights.h5, tree.weights.h5 and answers.npz, which holds x, y, dy, dx, w and dw, numbered, and as
wide_y, wide_dx and wide_dw the float64 results.
"""

import contextlib
import json
import os
import random
import re
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from drawing import INTEGERS_BELOW, Tensor, first_nodes, next_node
from recipes import Recipe

ROWS = 3
MOST_LAYERS = 8
MOST_NUMBERS = 3000
"""The most numbers in a row of a tensor; larger models would only take longer."""
MOST_WEIGHTS = 300_000
ATTEMPTS = 60
CANNOT = (ValueError, TypeError, NotImplementedError, tf.errors.OpError)
"""The errors with which Keras and TensorFlow refuse a drawn model."""


# ---------------------------------------------------------------- models


def made_layer(node: dict[str, Any], dtype: str) -> tf_keras.layers.Layer:
    """The layer of a node, with the layers that it wraps."""
    arguments = dict(node["arguments"])
    for name, value in arguments.items():
        if isinstance(value, dict) and "layer" in value:
            arguments[name] = made_layer(value, dtype)
    return getattr(tf_keras.layers, node["layer"])(dtype=dtype, **arguments)


class Growing:
    """A model that grows by one call at a time."""

    def __init__(self, form: str, dtype: str) -> None:
        self.recipe: Recipe = {"form": form, "dtype": dtype, "nodes": [], "outputs": []}
        self.layers: list[Any] = []
        self.tensors: list[Any] = []

    def shapes(self) -> list[Tensor]:
        return [Tensor(tuple(t.shape[1:]), t.dtype.is_integer) for t in self.tensors]

    def add(self, node: dict[str, Any]) -> None:
        """Add a call; raise ValueError if Keras refuses it or the result is too large."""
        dtype = self.recipe["dtype"]
        if node.get("layer") == "Input":
            arguments = {"dtype": dtype, **node["arguments"]}
            tensor = tf_keras.Input(**arguments)
            layer = None
        else:
            if "repeats" in node:
                layer = self.layers[node["repeats"]]
            elif node["layer"] == "Model":
                layer = made_model(node["recipe"])
            else:
                layer = made_layer(node, dtype)
            inputs = [self.tensors[i] for i in node["inputs"]]
            tensor = layer(inputs[0] if len(inputs) == 1 else inputs)
            if None in tensor.shape[1:] or 0 in tensor.shape[1:]:
                raise ValueError(f"a shape of {tensor.shape}")
            if np.prod(tensor.shape[1:]) > MOST_NUMBERS or len(tensor.shape) > 5:
                raise ValueError("too large")
        self.recipe["nodes"].append(node)
        self.layers.append(layer)
        self.tensors.append(tensor)

    def model(self) -> tf_keras.Model:
        recipe, nodes = self.recipe, self.recipe["nodes"]
        if recipe["form"] == "Sequential" and len(nodes) > 1:
            first = tf_keras.layers.InputLayer(
                nodes[0]["arguments"]["shape"],
                dtype=nodes[0]["arguments"].get("dtype", recipe["dtype"]),
            )
            return tf_keras.Sequential([first, *self.layers[1:]])
        inputs = [
            tensor
            for tensor, node in zip(self.tensors, nodes, strict=True)
            if node.get("layer") == "Input"
        ]
        outputs = [self.tensors[i] for i in recipe["outputs"]]
        return tf_keras.Model(
            inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0]
        )


def made_model(recipe: Recipe) -> tf_keras.Model:
    """The model of a recipe."""
    growing = Growing(recipe["form"], recipe["dtype"])
    for node in recipe["nodes"]:
        growing.add(node)
    growing.recipe["outputs"] = recipe["outputs"]
    return growing.model()


def drawn_recipe(rng: random.Random) -> Recipe:
    """The recipe of a random model."""
    form = rng.choices(("Sequential", "Functional"), (2, 3))[0]
    dtype = rng.choices(("float32", "float64"), (3, 1))[0]
    return grown(rng, Growing(form, dtype), first_nodes(rng, form), rng.randint(1, MOST_LAYERS), 1)


def grown(
    rng: random.Random, growing: Growing, inputs: list[dict[str, Any]], calls: int, depth: int
) -> Recipe:
    """Draw calls until Keras has accepted enough of them."""
    for node in inputs:
        growing.add(node)
    recipe = growing.recipe
    for _ in range(ATTEMPTS):
        if len(recipe["nodes"]) == len(inputs) + calls:
            break
        node = next_node(rng, recipe, growing.shapes(), depth)
        if "draw" in node:
            form = rng.choice(("Sequential", "Functional"))
            inner = {"layer": "Input", "arguments": {"shape": node.pop("draw")}, "inputs": []}
            part = Growing(form, recipe["dtype"])
            node["recipe"] = grown(rng, part, [inner], rng.randint(1, 3), depth + 1)
            if len(node["recipe"]["outputs"]) > 1:
                node["recipe"]["outputs"] = node["recipe"]["outputs"][-1:]
        with contextlib.suppress(*CANNOT):
            growing.add(node)
    used = {i for node in recipe["nodes"] for i in node["inputs"]}
    calls_made = range(len(inputs), len(recipe["nodes"]))
    recipe["outputs"] = [i for i in calls_made if i not in used]
    if recipe["form"] == "Functional" and depth == 1:
        rng.shuffle(recipe["outputs"])
        taken = [i for i in calls_made if i in used]
        if taken and rng.random() < 0.2:
            recipe["outputs"].append(rng.choice(taken))
    return recipe


# ---------------------------------------------------------------- weights and answers


def random_weight(weight: tf.Variable, rng: np.random.Generator) -> np.ndarray:
    """Numbers that neither saturate nor vanish."""
    shape, dtype = tuple(weight.shape), weight.dtype.name
    if weight.name.endswith("moving_variance:0"):
        return rng.uniform(0.5, 2.0, shape).astype(dtype)
    if weight.name.endswith("gamma:0"):
        return (1 + rng.standard_normal(shape) / 4).astype(dtype)
    values = rng.standard_normal(shape)
    return (values / (np.sqrt(shape[-2]) if len(shape) > 1 else 2)).astype(dtype)


def random_input(tensor: Any, rows: int, rng: np.random.Generator) -> np.ndarray:
    shape = (rows, *tensor.shape[1:])
    if tensor.dtype.is_integer:
        return rng.integers(0, INTEGERS_BELOW, shape).astype(np.int32)
    return rng.standard_normal(shape).astype(tensor.dtype.name)


def run_both_ways(
    model: tf_keras.Model, inputs: list[np.ndarray], dy: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """The outputs of the model, and its gradients for dy; 0 where Keras returns None."""
    tensors = [tf.constant(x) for x in inputs]
    real = [t for t in tensors if not t.dtype.is_integer]
    with tf.GradientTape() as tape:
        tape.watch(real)
        outputs = tf.nest.flatten(model(tensors[0] if len(tensors) == 1 else tensors))
    sources = [*real, *model.trainable_weights]
    gradients = tape.gradient(
        outputs,
        sources,
        output_gradients=[tf.constant(d) for d in dy],
        unconnected_gradients="zero",
    )
    gradients = [np.array(tf.convert_to_tensor(gradient)) for gradient in gradients]
    dx = iter(gradients[: len(real)])
    found = {f"x{i}": x for i, x in enumerate(inputs)}
    found |= {f"y{i}": y.numpy() for i, y in enumerate(outputs)}
    found |= {f"dy{i}": d for i, d in enumerate(dy)}
    found |= {f"dx{i}": next(dx) for i, x in enumerate(inputs) if x.dtype.kind == "f"}
    found |= {f"dw{i}": d for i, d in enumerate(gradients[len(real) :])}
    found |= {f"w{i}": w for i, w in enumerate(model.get_weights())}
    return found


def run_in_float64(
    model: tf_keras.Model, inputs: list[np.ndarray], dy: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """The results y, dx and dw of the same model in float64, as a reference."""
    twin = tf_keras.models.model_from_json(model.to_json().replace('"float32"', '"float64"'))
    twin.set_weights(model.get_weights())
    wide = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
    found = run_both_ways(twin, wide, [d.astype(np.float64) for d in dy])
    return {
        f"wide_{key}": a for key, a in found.items() if key[0] == "y" or key[:2] in ("dx", "dw")
    }


def save_everywhere(model: tf_keras.Model, folder: Path) -> None:
    """Every container that Keras 2 has."""
    (folder / "model.json").write_text(model.to_json())
    model.save(folder / "model.h5", include_optimizer=False, save_format="h5")
    model.save(folder / "model.keras", save_format="keras")
    model.save(folder / "saved_model", include_optimizer=False, save_format="tf")
    model.save_weights(folder / "trained", save_format="tf")
    model.save_weights(folder / "weights.h5", save_format="h5")
    model.save_weights(folder / "tree.weights.h5")


def write(recipe: Recipe, seed: int, folder: Path) -> None:
    """Make the model of a recipe, and write its files and results to a folder."""
    tf_keras.backend.clear_session()
    rng = np.random.default_rng(seed)
    model = made_model(recipe)
    if model.count_params() > MOST_WEIGHTS:
        raise ValueError("too many weights")
    model.set_weights([random_weight(weight, rng) for weight in model.weights])
    inputs = [random_input(tensor, ROWS, rng) for tensor in model.inputs]
    dy = [rng.standard_normal((ROWS, *y.shape[1:])).astype(y.dtype.name) for y in model.outputs]
    found = run_both_ways(model, inputs, dy)
    if not all(np.isfinite(array).all() and np.abs(array).max(initial=0) < 1e6
               for array in found.values()):  # fmt: skip
        raise ValueError("it overflows")
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    save_everywhere(model, folder)
    if recipe["dtype"] == "float32":
        found |= run_in_float64(model, inputs, dy)
    np.savez(folder / "answers.npz", **found)


def draw(seed: int, folder: Path) -> dict[str, Any]:
    """The first model of a seed that Keras can compute and save, and why others were rejected."""
    refusals = []
    for attempt in range(ATTEMPTS):
        tf_keras.backend.clear_session()
        rng = random.Random(seed * 1000 + attempt)
        here = folder / str(attempt)
        try:
            write(drawn_recipe(rng), seed, here)
        except CANNOT as error:
            refusals.append(f"{type(error).__name__}: {str(error)[:200]}")
            continue
        return {"folder": str(here), "refusals": refusals}
    raise RuntimeError(f"seed {seed} makes no model: {refusals}")


# ---------------------------------------------------------------- the way back


def read_back(folder: Path) -> dict[str, Any]:
    """Load what lcfast wrote; return every difference, to the bit, from the original model."""
    tf_keras.backend.clear_session()
    with np.load(folder / "answers.npz") as file:
        expected = {key: file[key] for key in file.files}
    differences = []
    for name in ("written.h5", "written.keras"):
        try:
            model = tf_keras.models.load_model(folder / name, compile=False)
            inputs = [expected[f"x{i}"] for i in range(len(model.inputs))]
            tensors = [tf.constant(x) for x in inputs]
            outputs = tf.nest.flatten(model(tensors[0] if len(tensors) == 1 else tensors))
            got = {f"y{i}": y.numpy() for i, y in enumerate(outputs)}
            got |= {f"w{i}": w for i, w in enumerate(model.get_weights())}
        except Exception as error:
            differences.append(f"{name} in Keras: {type(error).__name__}: {str(error)[:300]}")
            continue
        for key in {key for key in expected if re.fullmatch(r"[yw]\d+", key)} | set(got):
            if key not in got or key not in expected or not same_bits(got[key], expected[key]):
                differences.append(f"{name} in Keras: {key} differs")
    return {"differences": differences}


def same_bits(got: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two sets of weights are equal, except for values that implementation 2 never uses."""
    if got.shape == expected.shape and got.ndim in (4, 6):
        expected = np.where(got == 0, got, expected)
    return np.array_equal(got, expected)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if "draw" in asked:
        return draw(asked["draw"], Path(asked["folder"]))
    if "make" in asked:
        write(asked["make"], asked["seed"], Path(asked["folder"]))
        return {"folder": asked["folder"]}
    return read_back(Path(asked["read"]))


def main() -> None:
    # Output of Keras and TensorFlow must not mix with the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}", "where": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
