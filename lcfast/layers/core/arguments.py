"""Checks of constructor arguments, which return plain values, and the default data format."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcfast.errors import quoted
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST

LARGEST_SIZE = 2**31 - 1  # Keras and TensorFlow count sizes in 32 bits

_image_data_format: str | None = None  # set by set_image_data_format; None: read keras.json


def image_data_format() -> str:
    """Return the default data format of layers.

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
    try:
        folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        config = folder / "keras.json"
        value = json.loads(config.read_text(encoding="utf-8"))["image_data_format"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return CHANNELS_LAST  # as Keras does for an unusable config file
    return value if value in (CHANNELS_LAST, CHANNELS_FIRST) else CHANNELS_LAST


def set_image_data_format(data_format: str | None) -> None:
    """Set the default data format of layers.

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
    """Return the data format in lower case; None means the default."""
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


def checked_dtype(dtype: Any) -> np.dtype:
    """Return the dtype, float32 or float64, of a name, a dtype or a Keras policy; None: float32."""
    checked = _native_dtype(dtype)
    if checked is not None and checked in ops.REAL_DTYPES:
        return checked
    raise ValueError(f"The `dtype` argument must be float32 or float64. Received: {dtype!r}.")


def checked_input_dtype(dtype: Any) -> np.dtype:
    """Return the dtype of an input, which may be integers, bool and float16 too; None: float32."""
    checked = _native_dtype(dtype)
    if checked is not None and checked.kind in "fiub" and checked.itemsize <= 8:
        return checked
    raise ValueError(
        "The `dtype` argument of an input must be float16, float32, float64, bool or an integer "
        f"type. Received: {dtype!r}."
    )


def _native_dtype(dtype: Any) -> np.dtype | None:
    """The native dtype of a name, a numpy dtype or a Keras dtype policy; None if it has none."""
    named = dtype
    if isinstance(dtype, dict):  # {"class_name": "Policy", "config": {"name": "float32"}}
        config = dtype.get("config")
        named = config.get("name") if isinstance(config, dict) else dtype
    if named is None:
        return np.dtype(np.float32)
    if isinstance(named, str | type | np.dtype):
        with contextlib.suppress(TypeError, ValueError, SyntaxError):
            found = np.dtype(named)
            return found if found.isnative else None
    return None


def positive_int(value: Any, name: str, most: float = LARGEST_SIZE) -> int:
    """Return `value` as an int of at least 1; numpy's integers are accepted, bool is not."""
    number = as_integer(value)
    if number is None or number < 1:
        raise ValueError(f"The `{name}` argument must be a positive integer. Received: {value!r}.")
    if number > most:
        raise ValueError(f"The `{name}` argument is {number}, more than any layer can hold.")
    return number


def positive_ints(value: Any, count: int, name: str) -> tuple[int, ...]:
    """Return an int, or a sequence of `count` ints, as a tuple of `count` positive ints."""
    if as_integer(value) is not None:
        return (positive_int(value, name),) * count
    wanted = "one integer" if count == 1 else f"one integer or {count} integers"
    problem = f"The `{name}` argument must be {wanted}, each at least 1. Received: {value!r}."
    if isinstance(value, str | bytes):
        raise ValueError(problem)
    try:
        items = [as_integer(item) for item in value]
    except TypeError:
        raise ValueError(problem) from None
    if len(items) != count or any(item is None or item < 1 for item in items):
        raise ValueError(problem)
    return tuple(positive_int(item, name) for item in items)


def integer(value: Any, name: str) -> int:
    """Return `value` as an int of either sign; numpy's integers are accepted, bool is not."""
    number = as_integer(value)
    if number is None:
        raise ValueError(f"The `{name}` argument must be an integer. Received: {value!r}.")
    return number


def number(value: Any, name: str, least: float = -math.inf) -> float:
    """Return `value` as a float of at least `least`."""
    if isinstance(value, dict) and isinstance(value.get("value"), int | float):
        value = value["value"]  # Keras writes numpy's numbers as {"class_name": ..., "value": ...}
    try:
        real = isinstance(value, int | float | np.integer | np.floating)
        converted = float(value) if real and not isinstance(value, bool) else math.nan
    except OverflowError:  # an int larger than any float
        converted = math.nan
    if not converted >= least:
        wanted = "a number" if least == -math.inf else f"a number of {least:g} or more"
        raise ValueError(f"The `{name}` argument must be {wanted}. Received: {quoted(value)}.")
    return converted


def checked_flag(value: Any, name: str) -> bool:
    """Return `value`, True, False, 0 or 1, as a bool; floats such as 1.0 are refused."""
    if isinstance(value, bool | np.bool_) or as_integer(value) in (0, 1):
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
        size = None if item is None else as_integer(item)
        if item is not None and (size is None or not 0 <= size <= LARGEST_SIZE):
            raise ValueError(
                f"The `{name}` argument must be a tuple of integers and None. Received: {shape!r}."
            )
        sizes.append(size)
    return tuple(sizes)


def with_defaults(**defaults: Any) -> Callable[[Any], Any]:
    """Decorate a class: its constructor is the inherited one with other defaults."""

    def decorate(cls: Any) -> Any:
        inherited = cls.__init__
        signature = inspect.signature(inherited)
        parameters = [
            parameter.replace(default=defaults.get(name, parameter.default))
            for name, parameter in signature.parameters.items()
        ]
        signature = signature.replace(parameters=parameters)

        @functools.wraps(inherited)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            inherited(*bound.args, **bound.kwargs)

        __init__.__signature__ = signature  # type: ignore[attr-defined]
        cls.__init__ = __init__
        return cls

    return decorate


def as_integer(value: Any) -> int | None:
    """`value` as an int, or None if it is no integer or a bool."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
