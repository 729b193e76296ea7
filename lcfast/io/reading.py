"""One sentence for whatever goes wrong over a file: the path, the place in it, what was found."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lcfast.errors import ModelFileError

_ADVICE = "the file is damaged or not Keras's, so copy it again or save the model again"

_MOST_LEVELS = 250  # of a JSON; fifty models inside of each other have 150


def refusal(found: str, advice: str = _ADVICE) -> ModelFileError:
    """Return the error of what was found, and what to do about it."""
    return ModelFileError(f"{found}; {advice}")


def quoted(text: str) -> str:
    """Return `text` as a message shows it, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the path in front of every error."""
    try:
        yield
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from problem.__cause__
    except MemoryError as error:
        message = "it does not fit the memory that is free; give this process more"
        raise ModelFileError(f"{path}: {message}") from error
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Turn what a library raises over a damaged file, nearly any built-in error, into one of ours.

    The system's own errors (no permission, the lock is held, a failing disk) go through.
    """
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())
        raise refusal(f"{place} cannot be read ({type(error).__name__}: {said})") from error


def size_of(path: str) -> int:
    """Return the size of a regular file; others, such as pipes, are refused and never read."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: is not a regular file; copy the model into one")
    return status.st_size


def read_bytes(path: str) -> memoryview:
    """Return the content of a regular file."""
    size_of(path)
    with naming(path), open(path, "rb") as file:
        return memoryview(file.read())


def parsed_json(text: str | bytes, place: str) -> Any:
    """Return the value of a JSON text; NaN and Infinity are values, as Python writes them."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise refusal(f"{place} nests its JSON too deeply") from None
    except ValueError as error:
        raise refusal(f"{place} is not JSON ({error})") from error
    if is_too_deep(value):
        raise refusal(f"{place} nests its JSON too deeply")
    return value


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects lie within each other on more levels than Python's stack is for.

    Examples
    --------
    >>> is_too_deep([[], {"layers": [[1]]}])
    False
    """
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


def model_config(text: str, place: str) -> dict[str, Any]:
    """Return the config of a model, an object with a class_name and a config."""
    match parsed_json(text, place):
        case {"class_name": str(), "config": dict() | list()} as config:
            return dict(config)
    raise refusal(f"{place} is {quoted(text)}, not an object with a 'class_name' and a 'config'")


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
    parts = re.split(r"([0-9]+)", name)  # text and digits by turns
    digits = [(len(part.lstrip("0")), part.lstrip("0")) for part in parts[1::2]]
    return [item for pair in zip(parts[::2], [*digits, (0, "")], strict=True) for item in pair]
