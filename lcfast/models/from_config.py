"""Models of the configs that `get_config` gives."""

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
    """Return a model, with new weights, of what `get_config` gave.

    Parameters
    ----------
    cls : type
        `lcfast.Model` or `lcfast.Sequential`.
    config : dict
        The config of a model of this class, of lcfast or of tf_keras.
    custom_objects : dict, optional
        What names in it stand for; see `lcfast.load_model`.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If it is no config of a model, or holds layers or arguments that lcfast cannot take; then
        every one of them is listed.
    TypeError
        If `cls` is a class of the user's.

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
            f"{cls.__name__} is a class of your own; define `from_config` in it, or call that of "
            "lcfast.Model or lcfast.Sequential."
        )
    text = as_json({"class_name": _CLASS_NAMES[cls], "config": config})
    return model_from_json(text, custom_objects)
