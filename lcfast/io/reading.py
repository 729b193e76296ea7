"""Errors of model files, and the parts that several readers share: JSON, configs, names."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from typing import Any

from lcfast.errors import ModelFileError, quoted

_ADVICE = "the file is damaged or not Keras's, so copy it again or save the model again"

_MOST_LEVELS = 250  # of a JSON; fifty nested models need 150


def refusal(found: str, advice: str = _ADVICE) -> ModelFileError:
    """Return the error that says what was found, and what to do about it."""
    return ModelFileError(f"{found}; {advice}")


@contextmanager
def errors_name(path: str) -> Iterator[None]:
    """Prefix errors with the path."""
    try:
        yield
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from problem.__cause__
    except MemoryError as error:
        message = "it does not fit into the free memory; give this process more"
        raise ModelFileError(f"{path}: {message}") from error
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error


@contextmanager
def as_model_file_error(location: str) -> Iterator[None]:
    """Turn any error that a library raises over a corrupt file into a ModelFileError.

    Errors of the operating system (no permission, a held lock, a failing disk) pass unchanged.
    """
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())
        raise refusal(f"{location} cannot be read ({type(error).__name__}: {said})") from error


def size_of(path: str) -> int:
    """Return the size of a regular file; others, such as pipes, are refused and never read."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: is not a regular file; copy the model into one")
    return status.st_size


def read_bytes(path: str) -> memoryview:
    """Return the content of a regular file."""
    size_of(path)
    with errors_name(path), open(path, "rb") as file:
        return memoryview(file.read())


def parsed_json(
    text: str | bytes,
    location: str,
    advice: str = _ADVICE,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Return the value of a JSON text of limited depth; NaN and Infinity are allowed.

    Examples
    --------
    >>> parsed_json('{"layers": [NaN]}', "member 'config.json'")
    {'layers': [nan]}
    """
    try:
        value = json.loads(text, object_hook=object_hook)
    except RecursionError:
        raise refusal(f"{location} nests its JSON too deeply", advice) from None
    except ValueError as error:
        raise refusal(f"{location} is not valid JSON ({error})", advice) from error
    if _is_too_deep(value):
        raise refusal(f"{location} nests its JSON too deeply", advice)
    return value


def _is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested in more levels than Python's stack should take."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        holders = [found for found in level if isinstance(found, dict | list)]
        if not holders:
            return False
        level = [
            inner
            for holder in holders
            for inner in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return True


def model_config(text: str, location: str) -> dict[str, Any]:
    """Return the config of a model, an object with a class_name and a config."""
    match parsed_json(text, location):
        case {"class_name": str(), "config": dict() | list() as inner} as config:
            _name_layers(inner.get("layers") if isinstance(inner, dict) else inner)
            return dict(config)
    raise refusal(f"{location} is {quoted(text)}, not an object with a 'class_name' and a 'config'")


def layer_name(entry: Mapping[str, Any]) -> Any:
    """Return the name of a layer in a config: that of its own config, else that beside it."""
    config = entry.get("config")
    inner = config.get("name") if isinstance(config, dict) else None
    return entry.get("name") if inner is None else inner


def _name_layers(layers: Any) -> None:
    """Give layers without a name the one that Keras chooses: by their class, numbered.

    Keras 3 writes none where the `get_config` of a user's class leaves it out.
    """
    entries = [entry for entry in layers if isinstance(entry, dict)] if layers else []
    names = [layer_name(entry) for entry in entries]
    taken = {name for name in names if isinstance(name, str)}
    automatic: dict[str, Iterator[str]] = {}
    for entry, name in zip(entries, names, strict=True):
        if name is None:
            stem = snake_case(str(entry.get("class_name")).rpartition(">")[2])
            numbered = automatic.setdefault(
                stem, chain([stem], (f"{stem}_{number}" for number in count(1)))
            )
            entry["name"] = next(name for name in numbered if name not in taken)


def snake_case(class_name: str) -> str:
    """Return a class's name as Keras names the group of its weights.

    Examples
    --------
    >>> snake_case("LocallyConnected1D"), snake_case("Conv2DTranspose"), snake_case("RGB2Gray")
    ('locally_connected1d', 'conv2d_transpose', 'rgb2_gray')
    """
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def in_natural_order(name: str) -> list[Any]:
    """Return a sort key in which dense_2 comes before dense_10.

    Examples
    --------
    >>> sorted(["dense_10", "dense_2", "dense"], key=in_natural_order)
    ['dense', 'dense_2', 'dense_10']
    """
    parts = re.split(r"([0-9]+)", name)  # text and digits alternate
    digits = [(len(part.lstrip("0")), part.lstrip("0")) for part in parts[1::2]]
    return [item for pair in zip(parts[::2], [*digits, (0, "")], strict=True) for item in pair]
