"""Loading whole models: every problem of a file is listed in one error."""

from __future__ import annotations

import os

from lcfast import io
from lcfast.errors import quoted
from lcfast.io.reading import parsed_json
from lcfast.io.stored_model import StoredModel
from lcfast.models.custom_objects import CustomObjects, checked_objects
from lcfast.models.deserializing import BAD_VALUE, Problems, model_of, sentence
from lcfast.models.folding import folded
from lcfast.models.model import Model
from lcfast.models.weight_mapping import arrays_of_layer


def load_model(
    path: str | os.PathLike[str],
    custom_objects: CustomObjects | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    *,
    fold: bool = False,
) -> Model:
    """Load a whole model from a file that Keras wrote, without TensorFlow.

    Parameters
    ----------
    path : str or os.PathLike
        An HDF5 file (`model.save("model.h5")`), a .keras archive (`model.save("model.keras")`) or
        a SavedModel directory, whatever its name ends in.
    custom_objects : dict, optional
        What names in the file stand for: subclasses of `lcfast.Layer` by the names of their
        classes, or of a Lambda by the name of the layer; functions or classes by the names of
        activations, initializers, regularizers and constraints; `lcfast.Model` or
        `lcfast.Sequential` by the name of a model's class.
    compile, safe_mode : bool
        As in Keras; there is no training here, and code in a file is never run, so they change
        nothing.
    fold : bool
        Whether `predict` and calls compute with BatchNormalization folded into the layers before
        it, which is faster and changes last bits; `get_weights` and `save` give the originals.

    Returns
    -------
    Model
        A `Sequential` where the file holds one; a `FoldedModel`, its view, with `fold`. Inputs and
        outputs that Keras names in a dict are a list, in the order of their sorted names.

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

    A layer of one's own, such as one that does what a Lambda in the file did:

    >>> class Double(lcfast.Layer):
    ...     def call(self, inputs):
    ...         return 2 * inputs
    >>> model = lcfast.load_model("examples/digits.h5", custom_objects={"lambda": Double})
    """
    custom_objects = checked_objects(custom_objects)
    stored = io.read_model(path)
    problems = Problems()
    model = model_of(stored.config, stored.path, problems, stored.keras_version, custom_objects)
    _fill(model, stored, problems)
    problems.stop_if_any(stored.path)
    return folded(model) if fold else model


def model_from_json(text: str, custom_objects: CustomObjects | None = None) -> Model:
    """Make a model, with new weights, from the JSON that Keras's `model.to_json()` gives.

    Parameters
    ----------
    text : str
        The JSON.
    custom_objects : dict, optional
        What names in it stand for; see `load_model`.

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
    >>> import json, lcfast
    >>> dense = {"class_name": "Dense", "config": {"units": 2, "batch_input_shape": [None, 3]}}
    >>> text = json.dumps({"class_name": "Sequential", "config": {"layers": [dense]}})
    >>> lcfast.model_from_json(text).output_shape
    (None, 2)
    """
    custom_objects = checked_objects(custom_objects)
    config = parsed_json(text, "The text", advice="give what model.to_json() returned")
    problems = Problems()
    version = config.get("keras_version") if isinstance(config, dict) else None
    version = version if isinstance(version, str) else None
    model = model_of(config, "The JSON", problems, version, custom_objects)
    for layer in model.layers:
        try:
            layer.initialize_weights()
        except BAD_VALUE as error:
            problems.append(f"layer {quoted(layer.name)}: {sentence(error)}")
    problems.stop_if_any("The JSON")
    return model


def _fill(model: Model, stored: StoredModel, problems: Problems) -> None:
    """Give each layer its arrays; every missing, surplus or misshapen one is a problem."""
    for layer in model.layers:
        try:
            arrays = arrays_of_layer(layer, stored)
            layer.swap_record(layer.checked_record(arrays, copy=False))
        except BAD_VALUE as error:
            problems.append(
                f"layer {quoted(layer.name)} ({type(layer).__name__}): {sentence(error)}"
            )
    unknown = set(stored.layer_weights) - {layer.name for layer in model.layers}
    for name in sorted(unknown):
        if stored.layer_weights[name]:
            problems.append(f"the file holds weights of a layer {quoted(name)} that is not there")
