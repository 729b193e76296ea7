"""The recipe of a random model, as JSON that both sides read and that is easy to reduce.

    {"form": "Sequential" or "Functional", "dtype": ..., "nodes": [...], "outputs": [node, ...]}

A node is one call: {"layer": class, "arguments": {...}, "inputs": [node, ...]}. A node that calls
the layer of an earlier node again has "repeats": node instead. "Input" has no inputs; "Model" has
its own "recipe". An argument that is a dict with "layer" is a layer, for wrappers.
"""

import copy
from collections.abc import Iterator
from typing import Any

Recipe = dict[str, Any]


def smaller(recipe: Recipe) -> Iterator[Recipe]:
    """Recipes with one output, node or argument fewer; not all of them are valid models."""
    if len(recipe["outputs"]) > 1:
        for i in range(len(recipe["outputs"])):
            less = copy.deepcopy(recipe)
            del less["outputs"][i]
            yield without_unused(less)
    for number, node in enumerate(recipe["nodes"]):
        if node["inputs"]:
            yield without_unused(_bypassed(recipe, number))
    for number, node in enumerate(recipe["nodes"]):
        if "recipe" in node:
            for inner in smaller(node["recipe"]):
                less = copy.deepcopy(recipe)
                less["nodes"][number]["recipe"] = inner
                yield less
        for name in node.get("arguments", {}):
            if name not in REQUIRED:
                less = copy.deepcopy(recipe)
                del less["nodes"][number]["arguments"][name]
                yield less


REQUIRED = frozenset(
    {
        *("shape", "units", "filters", "kernel_size", "activation", "layer", "dims", "n"),
        *("target_shape", "input_dim", "output_dim", "axes", "rate", "scale", "stddev"),
    }
)
"""Arguments that a layer requires, or that later shapes depend on."""


def without_unused(recipe: Recipe) -> Recipe:
    """The nodes that the outputs need, and those whose layer is called again."""
    nodes, needed = recipe["nodes"], set()
    waiting = list(recipe["outputs"])
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting += nodes[number]["inputs"]
            waiting += [nodes[number]["repeats"]] if "repeats" in nodes[number] else []
    kept = sorted(needed)
    place = {number: i for i, number in enumerate(kept)}
    made = []
    for number in kept:
        node = {**nodes[number], "inputs": [place[i] for i in nodes[number]["inputs"]]}
        if "repeats" in node:
            node["repeats"] = place[node["repeats"]]
        made.append(node)
    return {**recipe, "nodes": made, "outputs": [place[i] for i in recipe["outputs"]]}


def _bypassed(recipe: Recipe, number: int) -> Recipe:
    """The recipe without a node; its users take its first input instead."""
    less = copy.deepcopy(recipe)
    nodes = less["nodes"]
    source = nodes[number]["inputs"][0]
    for other in nodes:
        if other.get("repeats") == number:  # the next call of the layer creates it
            del other["repeats"]
            other.update({k: v for k, v in nodes[number].items() if k != "inputs"})
        other["inputs"] = [source if i == number else i for i in other["inputs"]]
    less["outputs"] = list(dict.fromkeys(source if i == number else i for i in less["outputs"]))
    return less


def as_text(recipe: Recipe, indent: str = "") -> str:
    """The recipe as text, one line per call."""
    lines = []
    for number, node in enumerate(recipe["nodes"]):
        said = node.get("layer") or f"layer of {node['repeats']}"
        arguments = ", ".join(f"{k}={v}" for k, v in node.get("arguments", {}).items())
        lines.append(f"{indent}{number}: {said}({arguments}) on {node['inputs']}")
        if "recipe" in node:
            lines.append(as_text(node["recipe"], indent + "    "))
    outputs = f"{indent}{recipe['form']}, {recipe['dtype']}, outputs {recipe['outputs']}"
    return "\n".join([*lines, outputs])
