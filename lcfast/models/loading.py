"""Config and arrays become a model; every problem is listed, then it stops."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from lcfast import io
from lcfast.errors import ModelFileError
from lcfast.models.deserializing import BAD_VALUE, Problems, model_of, sentence
from lcfast.models.inbound_nodes import short
from lcfast.models.model import Model


def load_model(path: str | os.PathLike[str]) -> Model:
    """Load a whole model from a file that Keras wrote, without TensorFlow.

    Parameters
    ----------
    path : str or os.PathLike
        An HDF5 file (`model.save("model.h5")`) or a .keras archive (`model.save("model.keras")`),
        whatever its name ends in.

    Returns
    -------
    Model
        A `Sequential` where the file holds one. Inputs and outputs that Keras names in a dict are
        a list, in the order of their sorted names.

    Raises
    ------
    ModelFileError
        If the file is damaged, or holds layers, arguments or weights that lcfast cannot take;
        then every one of them is listed.
    OSError
        If the system cannot give the file.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/saving/load_model

    Examples
    --------
    >>> import lcfast
    >>> model = lcfast.load_model("examples/digits.h5")
    >>> model.output_shape
    (None, 10)
    """
    stored = io.read_model(path)
    problems = Problems()
    model = model_of(stored.config, stored.path, problems, stored.keras_version)
    arrays = {
        layer: [stored.arrays[name] for name in names]
        for layer, names in stored.layer_weights.items()
    }
    _fill(model, arrays, problems)
    problems.stop_if_any(stored.path)
    return model


def model_from_json(text: str) -> Model:
    """Make a model, with new weights, from the JSON that Keras's `model.to_json()` gives.

    Parameters
    ----------
    text : str
        The JSON.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        If it is no model, or holds layers or arguments that lcfast cannot take; then every one
        of them is listed.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/models/model_from_json

    Examples
    --------
    >>> import lcfast
    >>> dense = {"class_name": "Dense", "config": {"units": 2, "batch_input_shape": [None, 3]}}
    >>> text = json.dumps({"class_name": "Sequential", "config": {"layers": [dense]}})
    >>> lcfast.model_from_json(text).output_shape
    (None, 2)
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"The text is not JSON: {error}.") from None
    problems = Problems()
    version = config.get("keras_version") if isinstance(config, dict) else None
    version = version if isinstance(version, str) else None
    model = model_of(config, "The JSON", problems, version)
    for layer in model.layers:
        try:
            layer.initialize_weights()
        except BAD_VALUE as error:
            problems.append(f"layer {short(layer.name)}: {sentence(error)}")
    problems.stop_if_any("The JSON")
    return model


def _fill(model: Model, arrays: dict[str, list[Any]], problems: Problems) -> None:
    """Give each layer its arrays; every missing, surplus or misshapen one is a problem."""
    for layer in model.layers:
        shapes = layer.weight_shapes()
        given = arrays.get(layer.name, [])
        if [array.shape for array in given] != shapes:
            problems.append(
                f"layer {short(layer.name)} ({type(layer).__name__}) needs weights of shapes "
                f"{_shapes(shapes)}; the file holds {_shapes([array.shape for array in given])}"
            )
            continue
        try:
            layer.swap_record(layer.checked_record(given, copy=False))
        except BAD_VALUE as error:
            problems.append(f"layer {short(layer.name)}: {sentence(error)}")
    unknown = set(arrays) - {layer.name for layer in model.layers}
    for name in sorted(unknown):
        if arrays[name]:
            problems.append(f"the file holds weights of a layer {short(name)} that is not there")


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) if shapes else "none"
