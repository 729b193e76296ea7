"""Draw the next call of a random model from the existing tensors' shapes; imports no Keras."""

from random import Random
from typing import Any, NamedTuple

from layer_arguments import KINDS, Arguments, Draw
from recipes import Recipe

Node = dict[str, Any]


class Tensor(NamedTuple):
    """The result of a call: the shape of a row, and whether it holds integers."""

    shape: tuple[int, ...]
    integers: bool = False


INTEGERS_BELOW = 9


def first_nodes(rng: Random, form: str) -> list[Node]:
    """The inputs of a model."""
    count = 1 if form == "Sequential" else rng.choice((1, 1, 2, 3))
    return [_input(rng) for _ in range(count)]


def _input(rng: Random) -> Node:
    kind = rng.choices(("sequence", "image", "vector", "words"), (6, 6, 3, 2))[0]
    if kind == "words":
        return _node("Input", {"shape": [rng.randint(2, 7)], "dtype": "int32"})
    shape = {
        "sequence": [rng.randint(4, 14), rng.randint(1, 5)],
        "image": [rng.randint(4, 9), rng.randint(4, 9), rng.randint(1, 4)],
        "vector": [rng.randint(1, 9)],
    }[kind]
    return _node("Input", {"shape": shape})


def _node(layer: str, arguments: Arguments, inputs: tuple[int, ...] = ()) -> Node:
    return {"layer": layer, "arguments": arguments, "inputs": list(inputs)}


def next_node(rng: Random, recipe: Recipe, tensors: list[Tensor], depth: int) -> Node:
    """One more call: of a new layer, an existing one, a merging layer or a nested model."""
    last = len(tensors) - 1
    if recipe["form"] == "Sequential":
        return _layer_on(rng, recipe["dtype"], tensors, last)
    kind = rng.choices(("layer", "merge", "repeat", "model"), (10, 5, 2, 2 if depth < 2 else 0))[0]
    merged = _merging(rng, tensors) if kind == "merge" else None
    if merged is not None:
        return merged
    repeated = _repeating(rng, recipe, tensors) if kind == "repeat" else None
    if repeated is not None:
        return repeated
    number = rng.choice((last, last, rng.randint(0, last)))
    if kind == "model" and not tensors[number].integers:
        return {**_node("Model", {}, (number,)), "draw": list(tensors[number].shape)}
    return _layer_on(rng, recipe["dtype"], tensors, number)


def _merging(rng: Random, tensors: list[Tensor]) -> Node | None:
    numbers = [i for i, tensor in enumerate(tensors) if not tensor.integers]
    pairs = [(i, j) for i in numbers for j in numbers if i < j]
    equal = [(i, j) for i, j in pairs if tensors[i].shape == tensors[j].shape]
    if equal and rng.random() < 0.6:
        chosen = rng.choice(equal)
        kind = rng.choice(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Dot"))
        if kind == "Dot":
            axis = rng.randint(1, len(tensors[chosen[0]].shape))
            return _node("Dot", {"axes": axis, "normalize": rng.random() < 0.3}, chosen)
        same = [i for i in numbers if tensors[i].shape == tensors[chosen[0]].shape]
        if kind != "Subtract" and len(same) > 2 and rng.random() < 0.5:
            chosen = tuple(rng.sample(same, 3))
        return _node(kind, {}, chosen)
    rng.shuffle(pairs)
    for i, j in pairs:
        a, b = tensors[i].shape, tensors[j].shape
        if len(a) == len(b):
            axes = [n for n in range(len(a)) if a[:n] + a[n + 1 :] == b[:n] + b[n + 1 :]]
            if axes:
                return _node("Concatenate", {"axis": rng.choice(axes) + 1}, (i, j))
    return None


def _repeating(rng: Random, recipe: Recipe, tensors: list[Tensor]) -> Node | None:
    found = [
        (number, other)
        for number, node in enumerate(recipe["nodes"])
        if len(node["inputs"]) == 1 and "repeats" not in node
        for other, tensor in enumerate(tensors)
        if tensor == tensors[node["inputs"][0]]
    ]
    if not found:
        return None
    number, other = rng.choice(found)
    return {"repeats": number, "inputs": [other]}


def _layer_on(rng: Random, dtype: str, tensors: list[Tensor], number: int) -> Node:
    tensor = tensors[number]
    if tensor.integers:
        arguments: Arguments = {"input_dim": INTEGERS_BELOW, "output_dim": rng.randint(1, 5)}
        return _node("Embedding", arguments, (number,))
    draw = Draw(rng, dtype, tensor.shape)
    kinds = KINDS[min(len(tensor.shape), 4)]
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    arguments = getattr(draw, kind.lower())() if hasattr(draw, kind.lower()) else draw.nothing(kind)
    if rng.random() < 0.06:
        arguments["trainable"] = False
    return _node(kind, arguments, (number,))
