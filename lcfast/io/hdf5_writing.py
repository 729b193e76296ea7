"""Writing HDF5 files as Keras 2 does: whole models (.h5), and weights alone; see `lcfast.io.hdf5`.

The layers' groups are created in the order of their names, so that "block" exists before
"block/dense"; the attribute `layer_names` has the order of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from typing import IO

import h5py
import numpy as np

from lcfast.io.atomic_write import atomic_write

Arrays = Sequence[tuple[str, np.ndarray]]
#: The (name, array) of each weight of each layer, by the name of the layer, in the model's order.
LayerWeights = Mapping[str, Arrays]

LARGEST_ATTRIBUTE = 64512  # bytes: what is longer is split over name0, name1, ...
_OF_NO_LAYER = "top_level_model_weights"  # Keras's group for weights of the model itself


def write_model(
    path: str,
    config: str,
    weights: LayerWeights,
    keras_version: str,
    overwrite: bool = True,
) -> None:
    """Write a whole model.

    Parameters
    ----------
    path : str
        The file, such as "model.h5".
    config : str
        The model's config as JSON.
    weights : mapping of str to sequence of (str, ndarray)
        Each layer's weights, named as in Keras: "dense/kernel:0".
    keras_version : str
        The version of Keras whose format this is.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OSError
        If the file cannot be written; an existing one is then unchanged.
    """
    with atomic_write(path, overwrite) as file, opened(file) as root:
        root.attrs["model_config"] = config.encode()
        _write_origin(root, keras_version)
        _write_layers(root.create_group("model_weights"), weights, keras_version)


def write_weights(
    path: str, weights: LayerWeights, keras_version: str, overwrite: bool = True
) -> None:
    """Write weights alone; the arguments are those of `write_model`."""
    with atomic_write(path, overwrite) as file, opened(file) as root:
        _write_layers(root, weights, keras_version)


@contextmanager
def opened(file: IO[bytes]) -> Iterator[h5py.File]:
    """Write an HDF5 file into an open file."""
    try:
        with h5py.File(file, "w") as root:
            yield root
    except RuntimeError as error:  # how h5py raises some errors of the operating system
        cause = error.__cause__ or error.__context__
        raise cause if isinstance(cause, OSError) else error from None


def _write_origin(group: h5py.Group, keras_version: str) -> None:
    group.attrs["keras_version"] = keras_version.encode()
    group.attrs["backend"] = b"tensorflow"


def _write_layers(group: h5py.Group, weights: LayerWeights, keras_version: str) -> None:
    write_names(group, "layer_names", list(weights))
    _write_origin(group, keras_version)
    for layer in sorted(weights):
        _write_arrays(group.create_group(layer), weights[layer])
    if _OF_NO_LAYER not in weights:
        _write_arrays(group.create_group(_OF_NO_LAYER), ())


def _write_arrays(group: h5py.Group, arrays: Arrays) -> None:
    names = unique_names([name for name, _ in arrays])
    write_names(group, "weight_names", names)
    for name, (_, array) in zip(names, arrays, strict=True):
        group.create_dataset(name, data=array)


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, with a number where one is repeated: "dense/kernel:0", "dense/kernel_1:0".

    Examples
    --------
    >>> unique_names(["dense/kernel:0", "dense/kernel:0"])
    ['dense/kernel:0', 'dense/kernel_1:0']
    """
    unique: dict[str, None] = {}
    for name in names:
        stem = name.removesuffix(":0")
        numbered = (f"{stem}_{number}{name[len(stem) :]}" for number in count(1))
        unique[next(each for each in chain([name], numbered) if each not in unique)] = None
    return list(unique)


def write_names(group: h5py.Group, attribute: str, names: Sequence[str]) -> None:
    """Write a list of names as one attribute, or as several if it is too long for one.

    Raises
    ------
    ValueError
        If a name alone is too long.
    """
    encoded = np.asarray([name.encode() for name in names])
    width = encoded.dtype.itemsize  # also of an empty list, which Keras stores as one of numbers
    if width > LARGEST_ATTRIBUTE:
        raise ValueError(
            f"The name {max(names, key=len)[:40]!r}... is too long for an HDF5 file, which takes "
            f"{LARGEST_ATTRIBUTE} bytes."
        )
    parts = 1
    while -(-len(encoded) // parts) * width > LARGEST_ATTRIBUTE:
        parts += 1
    if parts == 1:
        group.attrs[attribute] = encoded
        return
    for i, part in enumerate(np.array_split(encoded, parts)):
        group.attrs[f"{attribute}{i}"] = part
