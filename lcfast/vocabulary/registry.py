"""Create activations, initializers, ... from Keras's names or the dicts of model files.

Each module (initializers, regularizers, constraints, activations) has one `Registry`, a closed
table of names. Nothing outside of that table is imported or called, whatever a file contains.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np

from lcfast.errors import quoted

T = TypeVar("T")
Self = TypeVar("Self", bound="Configured")  # typing.Self needs Python 3.11


def number(name: str, value: object, *, finite: bool = True) -> int | float:
    """Return `value` as a Python number; anything else raises ValueError.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
        A Python or numpy number, not a bool.
    finite : bool
        Whether to refuse infinity. NaN is always refused.

    Examples
    --------
    >>> number("rate", np.float64(0.5))
    0.5
    >>> number("rate", "fast")
    Traceback (most recent call last):
    ValueError: rate needs a number, not 'fast'.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} needs a number, not {quoted(value)}.")
    try:
        representable = math.isfinite(value) or (not finite and math.isinf(value))
    except OverflowError:  # an int larger than the largest float
        representable = False
    if not representable:
        needed = "a finite number" if finite else "a number"
        raise ValueError(f"{name} needs {needed}, not {quoted(value)}.")
    return value


@dataclass(frozen=True)
class Configured:
    """Base class of initializers, ...: the fields of the dataclass are the config."""

    # Arguments in old files: their new name, or None to ignore them.
    old_arguments: ClassVar[Mapping[str, str | None]] = MappingProxyType({})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, ready for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """Create an object from a config of `get_config`."""
        return cls(**arguments_for(cls, cls.__name__, config))

    def _set(self, **values: object) -> None:
        """Set checked values; only for __post_init__, the object is frozen afterwards."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def arguments_for(
    factory: Callable[..., object], name: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Check the arguments from a file for `factory`, and translate old ones.

    Parameters
    ----------
    factory : callable
        A class or a function. Its `old_arguments`, if any, are renamed or dropped.
    name : str
        Name in error messages.
    config : mapping of str to object
        The arguments. Unknown or missing ones raise ValueError.
    """
    old: Mapping[str, str | None] = getattr(factory, "old_arguments", {})
    renamed = {old.get(key, key): value for key, value in config.items()}
    given = {key: value for key, value in renamed.items() if key is not None}
    known = inspect.signature(factory).parameters
    takes = f"{name} takes {', '.join(known) or 'no arguments'}"
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"{takes}, not {', '.join(map(str, unknown))}.")
    required = [key for key, parameter in known.items() if parameter.default is parameter.empty]
    if missing := [key for key in required if key not in given]:
        raise ValueError(f"{takes}, but {', '.join(missing)} is missing from its config.")
    return given


@dataclass(frozen=True)
class Registry(Generic[T]):
    """A closed table of names and their factories.

    Parameters
    ----------
    noun : str
        The kind of object, such as "initializer", for error messages.
    classes : mapping of str to callable
        Factories by Keras class name. Errors list these names.
    aliases : mapping of str to callable
        Factories by Keras's other names: snake case, older versions.

    Examples
    --------
    >>> from fractions import Fraction
    >>> numbers = Registry("number", {"Fraction": Fraction}, {"ratio": Fraction})
    >>> numbers.get({"class_name": "ratio", "config": {"numerator": 1, "denominator": 2}})
    Fraction(1, 2)
    >>> numbers.get("half")
    Traceback (most recent call last):
    ValueError: 'half' is not a known number: give Fraction, or one of Keras's aliases.
    """

    noun: str
    classes: Mapping[str, Callable[..., T]]
    aliases: Mapping[str, Callable[..., T]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies behind a read-only proxy: the caller's dicts cannot change the table.
        object.__setattr__(self, "classes", MappingProxyType(dict(self.classes)))
        object.__setattr__(self, "aliases", MappingProxyType(dict(self.aliases)))

    def get(self, identifier: object) -> T | None:
        """Return the object that `identifier` denotes.

        Parameters
        ----------
        identifier : object
            None returns None. A name creates a new object with default arguments. A dict is read in
            the formats of Keras 1 (``{"name": ..., **arguments}``), Keras 2 (``{"class_name":
            ..., "config": ...}``) and Keras 3 (the same with "module"). A class makes an instance
            of itself; an instance, or any other callable, comes back as it is.

        Raises
        ------
        ValueError
            For an unknown name, dict or argument.
        TypeError
            For anything else.
        """
        if isinstance(identifier, type):
            return self._make(identifier, identifier.__name__, {})
        if callable(identifier):
            return cast(T, identifier)
        return self.deserialize(identifier)

    def deserialize(self, config: object) -> T | None:
        """Return the object that a dict or a name denotes, as `get` does; None returns None."""
        if config is None:
            return None
        if isinstance(config, str):
            return self._make(self._factory(config), config, {})
        if isinstance(config, Mapping):
            return self._from_dict(config)
        raise TypeError(
            f"{quoted(config)} is not a {self.noun}: "
            f"give None, a name such as {next(iter(self.classes), '...')!r}, a dict or a callable."
        )

    def serialize(self, instance: object) -> dict[str, Any] | None:
        """Return the Keras 2 dict from which `get` creates an equal object; None returns None.

        Raises
        ------
        ValueError
            For a plain function, which has no config.
        """
        if instance is None:
            return None
        get_config = getattr(instance, "get_config", None)
        if isinstance(instance, type) or not callable(get_config):
            raise ValueError(
                f"{getattr(instance, '__name__', quoted(instance))} cannot be serialized: "
                f"a {self.noun} needs a get_config method that returns its arguments."
            )
        return {"class_name": type(instance).__name__, "config": get_config()}

    def _factory(self, name: str) -> Callable[..., T]:
        factory = self.aliases.get(name) or self.classes.get(name)
        if factory is None:
            raise ValueError(
                f"{quoted(name)} is not a known {self.noun}: "
                f"give {', '.join(sorted(self.classes))}, or one of Keras's aliases."
            )
        return factory

    def _from_dict(self, given: Mapping[Any, Any]) -> T:
        name, config = given.get("class_name"), given.get("config")
        if name is None and "name" in given:  # Keras 1 stores the arguments next to the name
            name, config = given["name"], {k: v for k, v in given.items() if k != "name"}
        if name == "function":  # Keras 3 writes a plain function this way, with its name in config
            name, config = config, {}
        config = {} if config is None else config
        if not isinstance(name, str) or not isinstance(config, Mapping):
            raise ValueError(
                f"{quoted(given)} does not describe a known {self.noun}: "
                'give {"class_name": a name, "config": a dict of its arguments}.'
            )
        return self._make(self._factory(name), name, config)

    def _make(self, factory: Callable[..., T], name: str, config: Mapping[str, Any]) -> T:
        checked = arguments_for(factory, name, config)
        try:
            return factory(**checked)
        except TypeError as error:  # a value of a type that the constructor does not expect
            raise ValueError(
                f"{name} cannot be created from {quoted(checked)}: {error}."
            ) from error
