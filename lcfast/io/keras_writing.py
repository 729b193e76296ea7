"""Writing the .keras files of tf_keras (a zip), and the .weights.h5 files inside them.

metadata.json           the version, the date
config.json             the model's config
model.weights.h5
  vars                  weights of the model itself: none
  layers/dense/vars     0, 1, ...: the weights of a layer
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from shutil import copyfileobj
from typing import IO

import numpy as np

from lcfast.io.atomic_write import atomic_write
from lcfast.io.hdf5_writing import opened

#: The weights at each path of the tree, such as "layers/dense"; the model's own path is "".
WeightTree = Mapping[str, Sequence[np.ndarray]]


def write_model(
    path: str, config: str, tree: WeightTree, keras_version: str, overwrite: bool = True
) -> None:
    """Write a whole model as a .keras file.

    Parameters
    ----------
    path : str
        The file, such as "model.keras".
    config : str
        The model's config as JSON.
    tree : mapping of str to sequence of ndarray
        The weights at each path of the tree, such as "layers/dense".
    keras_version : str
        The version of Keras whose format this is.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OSError
        If the file cannot be written; an existing one is then unchanged.
    """
    saved = datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = json.dumps({"keras_version": keras_version, "date_saved": saved})
    with (
        atomic_write(path, overwrite) as file,
        zipfile.ZipFile(file, "w") as archive,
        # On disk, because a model may be larger than the free memory.
        tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))) as weights,
    ):
        archive.writestr("metadata.json", metadata)
        archive.writestr("config.json", config)
        _write_tree(weights, tree)
        weights.seek(0)
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            copyfileobj(weights, member, 1 << 20)


def write_weights(path: str, tree: WeightTree, overwrite: bool = True) -> None:
    """Write weights alone as a .weights.h5 file; the arguments are those of `write_model`."""
    with atomic_write(path, overwrite) as file:
        _write_tree(file, tree)


def _write_tree(file: IO[bytes], tree: WeightTree) -> None:
    with opened(file) as root:
        for path, arrays in tree.items():
            group = root.create_group(f"{path}/vars" if path else "vars")
            for i, array in enumerate(arrays):
                group.create_dataset(str(i), data=array)
