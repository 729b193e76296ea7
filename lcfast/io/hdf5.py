"""HDF5 files of Keras: whole models (.h5), and weights alone (.h5, .weights.h5).

    /                        attributes model_config (JSON), keras_version
      model_weights          the weights as layer_groups.py describes them

A file of weights alone has the groups of layer_groups.py, or those of weights_tree.py, at its root.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import h5py
import numpy as np

from lcfast.errors import ModelFileError
from lcfast.io import layer_groups, weights_tree
from lcfast.io.hdf5_file import (
    arrays_in,
    check_sizes,
    has_member,
    location_of,
    member,
    opened,
    parts,
    read_array,
    resolve,
    text,
)
from lcfast.io.reading import model_config, refusal
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import LayerWeights, WeightsFile


def read_model(path: str) -> StoredModel:
    """Read the config and every weight of a whole model."""
    with opened(path) as file:
        config_text = text(file, "model_config")
        if config_text is None:
            raise _holds_no_config(file)
        config = model_config(config_text, "attribute 'model_config' of the root group")
        version = text(file, "keras_version")
        layer_weights, datasets = layer_groups.find(member(file, "model_weights", h5py.Group))
        arrays = dict(arrays_in(datasets))
        return StoredModel(path, config, arrays, layer_weights, version, order="trainable first")


@contextmanager
def open_weights(path: str) -> Iterator[WeightsFile]:
    """List every weight of a whole model, or of a file that holds weights alone."""
    with opened(path) as file:
        layers, datasets = _find(file)
        arrays = arrays_in(datasets, path)
        locations = {name: str(dataset.name) for name, dataset in datasets.items()}
        again = partial(_read_one, path, locations)
        if layers is None:
            yield WeightsFile(path, "tree of groups", arrays, "by name", again)
        else:
            yield WeightsFile(path, "layer groups", arrays, "trainable first", again, layers.copy)


def _find(file: h5py.File) -> tuple[LayerWeights | None, dict[str, h5py.Dataset]]:
    """The weights of each layer, where the file has groups of layers, and all datasets."""
    if parts(file, "layer_names"):
        return layer_groups.find(file)
    if has_member(file, "model_weights"):
        return layer_groups.find(member(file, "model_weights", h5py.Group))
    if weights_tree.is_root(file):
        return None, weights_tree.find(file)
    raise _no_keras_file(file)


def _read_one(path: str, locations: dict[str, str], name: str) -> np.ndarray:
    with opened(path, is_checked=True) as file:
        dataset = resolve(file, locations[name].removeprefix("/"), h5py.Dataset)
        check_sizes(dataset, {name: dataset})
        return read_array(dataset)


def _holds_no_config(file: h5py.File) -> ModelFileError:
    if not parts(file, "layer_names") and not weights_tree.is_root(file):
        return _no_keras_file(file)
    return refusal(
        f"holds weights only ({location_of(file)} lacks an attribute 'model_config')",
        advice="build the model by hand and load the weights, which read_weights reads",
    )


def _no_keras_file(file: h5py.File) -> ModelFileError:
    return refusal(
        f"{location_of(file)} has none of what Keras writes: model_config, model_weights, "
        "layer_names, layers, vars",
        advice="save the model again with Keras 2 as model.save('model.h5', save_format='h5')",
    )
