"""Random models of lcfast, drawn as `tests/differential` draws those of tf_keras."""

import contextlib
import random
import sys
from pathlib import Path

import numpy as np

import lcfast

sys.path.append(str(Path(__file__).parents[1] / "differential"))  # scripts, not a package

from drawing import INTEGERS_BELOW, Tensor, first_nodes, next_node

MOST_NUMBERS = 3000
ATTEMPTS = 40
CANNOT = (ValueError, TypeError, NotImplementedError)


def _layer(node, dtype):
    arguments = dict(node["arguments"])
    for name, value in arguments.items():
        if isinstance(value, dict) and "layer" in value:
            arguments[name] = _layer(value, dtype)
    return getattr(lcfast, node["layer"])(dtype=dtype, **arguments)


class _Growing:
    """A model that grows by one call at a time."""

    def __init__(self, form, dtype):
        self.recipe = {"form": form, "dtype": dtype, "nodes": [], "outputs": []}
        self.layers, self.tensors = [], []

    def shapes(self):
        integers = [np.dtype(tensor.dtype).kind in "iu" for tensor in self.tensors]
        return [Tensor(tuple(t.shape[1:]), i) for t, i in zip(self.tensors, integers, strict=True)]

    def add(self, node):
        dtype = self.recipe["dtype"]
        if node.get("layer") == "Input":
            layer, tensor = None, lcfast.Input(**{"dtype": dtype, **node["arguments"]})
        else:
            if "repeats" in node:
                layer = self.layers[node["repeats"]]
            else:
                layer = node.get("model") or _layer(node, dtype)
            inputs = [self.tensors[i] for i in node["inputs"]]
            tensor = layer(inputs[0] if len(inputs) == 1 else inputs)
            if not all(tensor.shape[1:]) or np.prod(tensor.shape[1:]) > MOST_NUMBERS:
                raise ValueError("too large, or of unknown size")
        self.recipe["nodes"].append(node)
        self.layers.append(layer)
        self.tensors.append(tensor)

    def grow(self, rng, inputs, calls, depth):
        for node in inputs:
            self.add(node)
        for _ in range(ATTEMPTS):
            if len(self.layers) == len(inputs) + calls:
                break
            with contextlib.suppress(*CANNOT):
                node = next_node(rng, self.recipe, self.shapes(), depth)
                if "draw" in node:
                    inner = {"layer": "Input", "arguments": {"shape": node.pop("draw")}}
                    part = _Growing("Functional", self.recipe["dtype"])
                    node["model"] = part.grow(rng, [{**inner, "inputs": []}], 2, depth + 1)
                self.add(node)
        used = {i for node in self.recipe["nodes"] for i in node["inputs"]}
        ends = [self.tensors[i] for i in range(len(inputs), len(self.tensors)) if i not in used]
        if not ends:
            raise ValueError("no call was accepted")
        ends = ends[-1:] if depth > 1 else ends
        given = self.tensors[: len(inputs)]
        return lcfast.Model(
            given if len(given) > 1 else given[0], ends if len(ends) > 1 else ends[0]
        )


def random_model(seed):
    """A model of one to eight calls with random weights, and a function that draws its inputs."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    dtype = rng.choices(("float32", "float64"), (3, 1))[0]
    growing = _Growing("Functional", dtype)
    model = growing.grow(rng, first_nodes(rng, "Functional"), rng.randint(1, 8), 1)
    weights = [
        numbers.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else numbers.standard_normal(w.shape)
        for w in model.get_weights()
    ]
    model.set_weights(weights)

    def inputs(rows):
        drawn = [
            numbers.integers(0, INTEGERS_BELOW, (rows, *tensor.shape[1:])).astype(np.int32)
            if np.dtype(tensor.dtype).kind in "iu"
            else numbers.standard_normal((rows, *tensor.shape[1:])).astype(tensor.dtype)
            for tensor in model.inputs
        ]
        return drawn if len(drawn) > 1 else drawn[0]

    return model, inputs
