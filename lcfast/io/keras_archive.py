"""The .keras archives of TensorFlow 2.12 and later, and of Keras 3.

metadata.json        keras_version
config.json          the model's config
model.weights.h5     an HDF5 file, its weights as weights_tree.py describes them
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import h5py
import numpy as np

from lcfast.io import weights_tree, zip_archive
from lcfast.io.hdf5_file import arrays_in, check_sizes, opened_in, read_array, resolve
from lcfast.io.reading import model_config, parsed_json, refusal
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import WeightsFile

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
_METADATA = "metadata.json"


def read_model(path: str) -> StoredModel:
    """Read the config and the weights of every layer."""
    with zip_archive.opened(path) as archive:
        config = model_config(zip_archive.text(archive, CONFIG), f"member '{CONFIG}'")
        version = _keras_version(archive)
        with _opened_weights(archive) as file:
            datasets = weights_tree.find(file)
            layer_weights = weights_tree.by_layer(datasets, config)
            of_layers = [name for names in layer_weights.values() for name in names]
            arrays = dict(arrays_in({name: datasets[name] for name in of_layers}))
    return StoredModel(path, config, arrays, layer_weights, version, order="by name")


@contextmanager
def open_weights(path: str) -> Iterator[WeightsFile]:
    """List the weights, whatever the config."""
    with zip_archive.opened(path) as archive, _opened_weights(archive) as file:
        arrays = arrays_in(weights_tree.find(file), path, WEIGHTS)
        is_packed = zip_archive.member(archive, WEIGHTS).compress_type != zip_archive.STORED
        is_slow = is_packed or len(archive.infolist()) > zip_archive.MANY
        again = None if is_slow else partial(_read_one, path)
        yield WeightsFile(path, "tree of groups", arrays, "by name", again)


def _read_one(path: str, name: str) -> np.ndarray:
    with (
        zip_archive.opened(path) as archive,
        _opened_weights(archive, is_checked=True) as file,
    ):
        dataset = resolve(file, name, h5py.Dataset)
        check_sizes(dataset, {name: dataset})
        return read_array(dataset)


@contextmanager
def _opened_weights(archive: zipfile.ZipFile, *, is_checked: bool = False) -> Iterator[h5py.File]:
    info = zip_archive.member(archive, WEIGHTS)
    with (
        zip_archive.byte_range(archive, info) as part,
        opened_in(part, WEIGHTS, is_checked=is_checked) as file,
    ):
        yield file


def _keras_version(archive: zipfile.ZipFile) -> str | None:
    if _METADATA not in archive.NameToInfo:
        return None
    match parsed_json(zip_archive.text(archive, _METADATA), f"member '{_METADATA}'"):
        case {"keras_version": str() as version}:
            return version
        case {**others} if "keras_version" not in others:
            return None
    raise refusal(f"member '{_METADATA}' is not an object with a text 'keras_version'")
