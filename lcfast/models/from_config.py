"""`Model.from_config`: a model from a config that `get_config` returned."""

from __future__ import annotations

from typing import Any

from lcfast.models.configs import as_json
from lcfast.models.custom_objects import CustomObjects
from lcfast.models.loading import model_from_json
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential

_CLASS_NAMES = {Model: "Functional", Sequential: "Sequential"}


def from_config(
    cls: type[Model], config: dict[str, Any], custom_objects: CustomObjects | None = None
) -> Model:
    """Return a model with new weights from a config that `get_config` returned.

    Parameters
    ----------
    cls : type
        `lcfast.Model` or `lcfast.Sequential`.
    config : dict
        The config of a model of this class, of lcfast or of tf_keras.
    custom_objects : dict, optional
        Classes and functions for names in the config; see `lcfast.load_model`.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If it is not the config of a model, or has layers or arguments that lcfast does not
        support; the message lists all of them.
    TypeError
        If `cls` is a user's subclass.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#from_config

    Examples
    --------
    >>> import lcfast
    >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
    >>> lcfast.Sequential.from_config(model.get_config()).output_shape
    (None, 2)
    """
    if cls not in _CLASS_NAMES:
        raise TypeError(
            f"{cls.__name__} is a class of your own; define `from_config` in it, or call "
            "lcfast.Model.from_config or lcfast.Sequential.from_config."
        )
    text = as_json({"class_name": _CLASS_NAMES[cls], "config": config})
    return model_from_json(text, custom_objects)
