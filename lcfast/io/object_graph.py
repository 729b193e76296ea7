"""The objects of a checkpoint: layers, lists and variables, and the edges between them.

TensorFlow stores them as a TrackableObjectGraph under one key of the checkpoint. Object 0 is what
was saved; an edge has the name of the attribute, or the index in a list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from lcfast.errors import quoted
from lcfast.io.protobuf import Message
from lcfast.io.reading import refusal

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "VARIABLE_VALUE"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

# Edges to objects that are not weights: training state, Keras's lists of objects that are held
# elsewhere too (metrics among them), and the second copy of each variable that Keras 3 exports.
_NO_WEIGHTS = {"optimizer", "_optimizer", "save_counter", "keras_api", "_all_variables"}
_OF_OPTIMIZERS = {"iter", "_iterations"}


@dataclass(frozen=True)
class TrackedObject:
    """One object: its children by name, and for a variable its key and its name."""

    children: dict[str, int]
    #: The key of the checkpoint's entry; None if the object is not a variable.
    key: str | None
    #: The name that the variable had in TensorFlow, such as "dense/kernel".
    full_name: str
    has_slots: bool

    @property
    def is_optimizer(self) -> bool:
        """Whether it is an optimizer, by its content."""
        return self.has_slots or not _OF_OPTIMIZERS.isdisjoint(self.children)


def read_object_graph(data: memoryview) -> list[TrackedObject]:
    """Read every object, and check that each edge leads to one."""
    objects = [_object(message) for message in Message(data).messages(1)]
    if not objects:
        raise refusal("has an empty graph of objects")
    for tracked in objects:
        for name, child in tracked.children.items():
            if child >= len(objects):
                raise refusal(f"has an object whose {quoted(name)} is the missing object {child}")
    return objects


def weight_names(objects: list[TrackedObject]) -> dict[str, str]:
    """Name the weights: {key of the checkpoint: name}, those nearest to the root first.

    A weight is a variable that can be reached without passing through an optimizer. It is called
    by its name in TensorFlow if that is unique, otherwise by its key.
    """
    variables = [objects[number] for number in _walk(objects, 0, depth_first=False)]
    candidates = {
        variable.key: (variable.full_name, plain_key(variable.key), variable.key)
        for variable in variables
        if variable.key is not None
    }
    owners: dict[str, set[str]] = {}
    for key, names in candidates.items():
        for name in names:
            owners.setdefault(name, set()).add(key)
    return {
        key: next((name for name in names if name and owners[name] == {key}), key)
        for key, names in candidates.items()
    }


def plain_key(key: str) -> str:
    """Return a key without the suffix that all variables have."""
    return key.removesuffix(_SUFFIX)


def lists_variables(objects: list[TrackedObject], layer: int) -> bool:
    """Whether a Keras layer lists its variables in the order of get_weights()."""
    return "variables" in objects[layer].children


def keys_in_order(objects: list[TrackedObject], layer: int) -> list[str]:
    """Return the keys of a Keras layer's variables, in the order of get_weights().

    A SavedModel lists them. Without traces, and in other checkpoints, the order is the one in which
    the layer and its sublayers created them.
    """
    listed = objects[layer].children.get("variables")
    if listed is None:
        below = (objects[number] for number in _walk(objects, layer, depth_first=True))
        return [tracked.key for tracked in below if tracked.key is not None]
    numbered = objects[listed].children
    try:
        variables = [objects[numbered[str(i)]].key for i in range(len(numbered))]
    except KeyError as error:
        raise refusal(f"has a list of variables without number {error}") from None
    keys = [key for key in variables if key is not None]
    if len(keys) < len(variables):
        raise refusal("has a list of variables that holds something else")
    return keys


def _object(message: Message) -> TrackedObject:
    children: dict[str, int] = {}
    for reference in message.messages(1):
        children.setdefault(reference.text(2), reference.integer(1))
    values = [value for value in message.messages(2) if value.text(1) == _VALUE]
    return TrackedObject(
        children=children,
        key=values[0].text(3) if values else None,
        full_name=values[0].text(2) if values else "",
        has_slots=3 in message,
    )


def _walk(objects: list[TrackedObject], start: int, depth_first: bool) -> Iterator[int]:
    """Every object that is reachable without passing optimizers and the like, each once."""
    seen: set[int] = set()
    waiting = deque([start])
    while waiting:
        number = waiting.popleft()
        if number in seen:
            continue
        seen.add(number)
        yield number
        held = [
            child
            for name, child in objects[number].children.items()
            if name not in _NO_WEIGHTS and not objects[child].is_optimizer
        ]
        if depth_first:
            waiting.extendleft(reversed(held))
        else:
            waiting.extend(held)
