"""Which tensors a layer is called on, as a config of Keras 2 or 3 names them."""

from __future__ import annotations

from typing import Any

from lcfast.errors import quoted

Source = tuple[str, int, int]  # the name of a layer, the number of its call, which output


def sources_of(node: Any) -> list[Source]:
    """Return what one call of a layer takes.

    Parameters
    ----------
    node : list or dict
        Of Keras 2, [[name, call, tensor, arguments], ...]; of Keras 3, {"args": [tensors],
        "kwargs": {...}}.

    Raises
    ------
    ValueError
        If it is neither, or the layer is called with further arguments.

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
            sources = [_of_tensor(tensor) for tensor in _as_list(inputs)]
            _check_arguments(sources[0][0] if sources else "", arguments)
            return sources
        case list():
            return [_of_reference(reference) for reference in node]
    raise ValueError(f"an inbound node is not in Keras's form: {quoted(node)}")


def references(value: Any) -> list[Source]:
    """Return the tensors that are the model's inputs or outputs.

    Parameters
    ----------
    value : list or dict
        One [name, call, tensor], a list of them, or a dict, whose names are sorted, as Keras does
        where it makes a list of a dict.

    Raises
    ------
    ValueError
        If it names none.

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


def _as_list(inputs: Any) -> list[Any]:
    return inputs if isinstance(inputs, list) else [inputs]


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
