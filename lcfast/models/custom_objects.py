"""Custom objects: the caller's classes and functions for names in a model file.

Names are looked up in the caller's dict and in lcfast's tables only; nothing that a file names is
imported or run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lcfast.errors import quoted
from lcfast.layers.core.layer import Layer
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential

CustomObjects = Mapping[str, Any]

# Suffixes of the keys of a layer's config whose values name a function or a callable object.
_NAMING = ("activation", "_initializer", "_regularizer", "_constraint")
# Arguments of every layer.
_OF_ANY_LAYER = ("name", "trainable", "dtype", "batch_input_shape")


def checked_objects(custom_objects: Any) -> CustomObjects:
    """The caller's dict, or an empty one for None.

    Raises
    ------
    TypeError
        If it is not a dict whose keys are strings.
    """
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, Mapping) or not all(
        isinstance(name, str) for name in custom_objects
    ):
        raise TypeError(
            "The `custom_objects` argument must be a dict {name in the file: class or function}. "
            f"Received: {quoted(custom_objects)}."
        )
    return custom_objects


def names_of(entry: Mapping[str, Any]) -> list[str]:
    """The names of an entry's class: the registered one, "Package>Name", and the plain one.

    Examples
    --------
    >>> names_of({"class_name": "Package>Crop", "registered_name": "Package>Crop"})
    ['Package>Crop', 'Crop']
    """
    given = [entry.get("registered_name"), entry.get("class_name")]
    texts = [name for name in given if isinstance(name, str)]
    return list(dict.fromkeys([*texts, *(name.rpartition(">")[2] for name in texts)]))


def custom_layer(names: list[str], custom_objects: CustomObjects) -> type[Layer] | None:
    """The caller's class of a layer, by the first of its names in the dict; or None.

    Raises
    ------
    TypeError
        If it is not a subclass of `lcfast.Layer`.
    """
    name = next((name for name in names if name in custom_objects), None)
    if name is None:
        return None
    found = custom_objects[name]
    if not isinstance(found, type) or not issubclass(found, Layer):
        raise TypeError(
            f"custom_objects[{name!r}] must be a subclass of lcfast.Layer. "
            f"Received: {quoted(found)}"
        )
    return found


def custom_kind_of_model(config: Mapping[str, Any], custom_objects: CustomObjects) -> Any:
    """The class name of a model: lcfast's where it is a custom object, else that of the file."""
    found = next(
        (custom_objects[name] for name in names_of(config) if name in custom_objects), None
    )
    if found is Sequential:
        return "Sequential"
    return "Functional" if found is Model else config.get("class_name")


def arguments_of_any_layer(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of every layer in a config, for the layer that replaces a Lambda."""
    return {name: config[name] for name in _OF_ANY_LAYER if name in config}


def with_custom_objects(config: Mapping[str, Any], custom_objects: CustomObjects) -> dict[str, Any]:
    """A layer's config in which the caller's functions replace their names.

    Examples
    --------
    >>> config = {"units": 2, "activation": "double"}
    >>> with_custom_objects(config, {"double": abs})
    {'units': 2, 'activation': <built-in function abs>}
    """
    return {
        key: _object(value, custom_objects) if key.endswith(_NAMING) else value
        for key, value in config.items()
    }


def _object(value: Any, custom_objects: CustomObjects) -> Any:
    """The custom object that a name, or a dict with a class and a config, refers to."""
    names, config = [value], None
    if isinstance(value, Mapping):
        config = value.get("config")
        # Keras 3 writes {"class_name": "function", "config": name} for a function.
        names = [config] if value.get("class_name") == "function" else names_of(value)
    name = next((n for n in names if isinstance(n, str) and n in custom_objects), None)
    if name is None:
        return value
    found = custom_objects[name]
    if not isinstance(found, type):
        return found
    arguments = config if isinstance(config, Mapping) else {}
    return found.from_config(arguments) if hasattr(found, "from_config") else found(**arguments)
