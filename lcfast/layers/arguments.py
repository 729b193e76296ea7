"""Constructor arguments as Keras accepts them: checked once, turned into plain Python values."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST

LARGEST_SIZE = 2**31 - 1  # Keras and TensorFlow count sizes in 32 bits

_image_data_format: str | None = None  # set by set_image_data_format; None: keras.json decides


def image_data_format() -> str:
    """Return the data format that layers take where none is given.

    What `set_image_data_format` was given, else `image_data_format` of the Keras config file
    (`~/.keras/keras.json`, or `keras.json` in the folder that KERAS_HOME names), else
    "channels_last".

    Returns
    -------
    str
        "channels_last" or "channels_first".

    References
    ----------
    https://www.tensorflow.org/api_docs/python/tf/keras/backend/image_data_format

    Examples
    --------
    >>> import lcfast
    >>> lcfast.set_image_data_format("channels_first")
    >>> lcfast.image_data_format()
    'channels_first'
    >>> lcfast.set_image_data_format(None)
    """
    if _image_data_format is not None:
        return _image_data_format
    home = os.environ.get("KERAS_HOME")
    config = (Path(home) if home else Path("~/.keras").expanduser()) / "keras.json"
    try:
        value = json.loads(config.read_text(encoding="utf-8"))["image_data_format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return CHANNELS_LAST  # as Keras does with a config file that it cannot use
    return value if value in (CHANNELS_LAST, CHANNELS_FIRST) else CHANNELS_LAST


def set_image_data_format(data_format: str | None) -> None:
    """Set the data format that layers take where none is given.

    Parameters
    ----------
    data_format : str or None
        "channels_last", "channels_first", or None to go back to the Keras config file.

    Raises
    ------
    ValueError
        If it is anything else.

    References
    ----------
    https://www.tensorflow.org/api_docs/python/tf/keras/backend/set_image_data_format

    Examples
    --------
    >>> import lcfast
    >>> lcfast.set_image_data_format("channels_last")
    >>> lcfast.set_image_data_format(None)
    """
    global _image_data_format
    _image_data_format = None if data_format is None else checked_data_format(data_format)


def checked_data_format(data_format: Any) -> str:
    """Return "channels_last" or "channels_first", whatever the case; None means the default."""
    if data_format is None:
        return image_data_format()
    if isinstance(data_format, str) and data_format.lower() in (CHANNELS_LAST, CHANNELS_FIRST):
        return data_format.lower()
    raise ValueError(
        "The `data_format` argument must be one of 'channels_first', 'channels_last'. "
        f"Received: {data_format!r}."
    )


def checked_padding(padding: Any, allowed: Sequence[str] = ("valid", "same")) -> str:
    """Return the padding in lower case."""
    if isinstance(padding, str) and padding.lower() in allowed:
        return padding.lower()
    names = ", ".join(repr(name) for name in allowed)
    raise ValueError(f"The `padding` argument must be one of {names}. Received: {padding!r}.")


def positive_int(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1; numpy's integers are fine, bool is not."""
    number = _integer(value)
    if number is None or number < 1:
        raise ValueError(f"The `{name}` argument must be a positive integer. Received: {value!r}.")
    if number > LARGEST_SIZE:
        raise ValueError(f"The `{name}` argument is {number}, more than any layer can hold.")
    return number


def positive_ints(value: Any, count: int, name: str) -> tuple[int, ...]:
    """Return an int, or a sequence of `count` ints, as a tuple of `count` positive ints."""
    if _integer(value) is not None:
        return (positive_int(value, name),) * count
    wanted = "one integer" if count == 1 else f"one integer or {count} integers"
    problem = f"The `{name}` argument must be {wanted}, each at least 1. Received: {value!r}."
    if isinstance(value, str | bytes):
        raise ValueError(problem)
    try:
        items = [_integer(item) for item in value]
    except TypeError:
        raise ValueError(problem) from None
    if len(items) != count or any(item is None or item < 1 for item in items):
        raise ValueError(problem)
    return tuple(positive_int(item, name) for item in items)


def checked_flag(value: Any, name: str) -> bool:
    """Return `value` as a bool; only what is truly a flag passes."""
    if value in (True, False, 0, 1):
        return bool(value)
    raise ValueError(f"The `{name}` argument must be True or False. Received: {value!r}.")


def checked_shape(shape: Any, name: str) -> tuple[int | None, ...]:
    """Return a shape as a tuple of positive ints and None."""
    try:
        items = tuple(shape)
    except TypeError:
        raise ValueError(
            f"The `{name}` argument must be a tuple of integers and None. Received: {shape!r}."
        ) from None
    sizes = []
    for item in items:
        size = None if item is None else _integer(item)
        if item is not None and (size is None or not 0 <= size <= LARGEST_SIZE):
            raise ValueError(
                f"The `{name}` argument must be a tuple of integers and None. Received: {shape!r}."
            )
        sizes.append(size)
    return tuple(sizes)


def _integer(value: Any) -> int | None:
    """`value` as an int, or None where it is no integer; bool is none."""
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
