"""The input tensors of layers in a config of Keras 2 or 3."""

from __future__ import annotations

from typing import Any

from lcfast.errors import quoted
from lcfast.models.structure import as_list

Source = tuple[str, int, int]  # name of a layer, index of its call, index of the output


def sources_of(node: Any) -> list[Source]:
    """Return the inputs of one call of a layer.

    Parameters
    ----------
    node : list or dict
        In Keras 2, [[name, call, output, arguments], ...]; in Keras 3, {"args": [tensors],
        "kwargs": {...}}.

    Raises
    ------
    ValueError
        If it has another form, or the layer is called with further arguments.

    Examples
    --------
    >>> sources_of([["dense", 0, 0, {}], ["dense", 1, 0]])
    [('dense', 0, 0), ('dense', 1, 0)]
    >>> tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0]}}
    >>> sources_of({"args": [[tensor, tensor]], "kwargs": {"training": None}})
    [('dense', 0, 0), ('dense', 0, 0)]
    """
    match node:
        case {"args": [inputs], "kwargs": dict(arguments)}:
            sources = [_of_tensor(tensor) for tensor in as_list(inputs)]
            _check_arguments(sources[0][0] if sources else "", arguments)
            return sources
        case list():
            return [_of_reference(reference) for reference in node]
    raise ValueError(f"an inbound node is not in Keras's form: {quoted(node)}")


def references(value: Any) -> list[Source]:
    """Return the inputs or outputs of a model.

    Parameters
    ----------
    value : list or dict
        One [name, call, output], a list of them, or a dict of them, in the order of its sorted
        names as in Keras.

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> references(["table", 0, 0])
    [('table', 0, 0)]
    >>> references({"b": ["flags", 0, 0], "a": ["table", 0, 0]})
    [('table', 0, 0), ('flags', 0, 0)]
    """
    match value:
        case [str(), *_]:
            return [_of_reference(value)]
        case [_, *_]:
            return [_of_reference(reference) for reference in value]
        case dict() if value:
            return [_of_reference(value[name]) for name in sorted(value)]
    raise ValueError("the config names no inputs or no outputs")


def _of_tensor(tensor: Any) -> Source:
    match tensor:
        case {"class_name": "__keras_tensor__", "config": {"keras_history": history}}:
            return _of_reference(history)
    raise ValueError(f"an inbound node is not in Keras's form: {quoted(tensor)}")


def _of_reference(reference: Any) -> Source:
    match reference:
        case [str() as name, int() as call, int() as output]:
            return name, call, output
        case [str() as name, int() as call, int() as output, dict(arguments)]:
            _check_arguments(name, arguments)
            return name, call, output
    raise ValueError(f"an inbound node is not in Keras's form: {quoted(reference)}")


def _check_arguments(name: str, arguments: dict[str, Any]) -> None:
    if any(arguments.values()):
        raise ValueError(
            f"a layer is called on {name} with further arguments, {quoted(arguments)}, "
            "which lcfast does not take"
        )
