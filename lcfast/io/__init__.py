"""Reading model files: a file's format is recognised by its content, never by its name.

Each format has a module here, imported when the first such file is read. They do not depend
on layers: file -> (config, {name: array}).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np

from lcfast import file_signatures
from lcfast.errors import ModelFileError
from lcfast.io.reading import size_of
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import StoredWeights, WeightsFile

__all__ = [
    "StoredModel",
    "StoredWeights",
    "WeightsFile",
    "open_weights",
    "read_model",
    "read_weights",
]

# What is often found where a model file should be, by its first bytes.
_LOOKS_LIKE = {
    b"": "is empty",
    b"{": "looks like JSON, a model's config without its weights",
    b"\x1f\x8b": "is compressed with gzip, so unpack it first",
    b"\x80": "looks like a Python pickle, which lcfast never opens",
    b"version https://git-lfs": "is a Git LFS pointer, so fetch the file itself with git lfs pull",
    b"<": "looks like a web page or XML, often what a failed download leaves",
}


class Reader(Protocol):
    """What the module of each format provides."""

    def read_model(self, path: str) -> StoredModel:
        """Read a whole model, config and weights."""

    def open_weights(self, path: str) -> AbstractContextManager[WeightsFile]:
        """List the weights, to be read while the file is open."""


def read_model(path: str | os.PathLike[str]) -> StoredModel:
    """Read a whole model, config and weights, from a file that Keras wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The file, such as ``model.h5`` or ``model.keras``.

    Returns
    -------
    StoredModel
        The model's config and arrays, before any layer is created.

    Raises
    ------
    ModelFileError
        If the file is damaged, holds no whole model or is of a kind not supported.
    OSError
        If the system cannot give the file.
    """
    name = os.fspath(path)
    return _reader_of(name).read_model(name)


def read_weights(path: str | os.PathLike[str]) -> Mapping[str, np.ndarray]:
    """Read the weights of a Keras model, without the model.

    Takes a whole model (``model.save("model.h5")``, ``model.save("model.keras")``), weights alone
    (``model.save_weights("weights.h5")``, ``"model.weights.h5"``) and numpy's archives
    (``weights.npz``) alike. What training leaves beside them, such as optimizer slots, is left out.

    Parameters
    ----------
    path : str or os.PathLike
        The file, whatever its name ends in.

    Returns
    -------
    Mapping of str to numpy.ndarray
        Each weight by its name in the file, in the file's order: ``<layer>/<weight>`` or, where
        the file stores no names, ``layers/dense/vars/0``. Numbered arrays of a .npz come in the
        order of their numbers, so ``model.set_weights(list(weights.values()))`` takes them. An
        array is read from the file when it is asked for; ``dict(weights)`` reads all, and
        ``weights.shapes``, where there is one, says the shapes without reading.

    Raises
    ------
    ModelFileError
        If the file is damaged, holds no weights or is of a kind not supported.
    OSError
        If the system cannot give the file.

    References
    ----------
    Keras 2 API documentation, "Weights-only saving & loading", save_weights:
    https://keras.io/2/api/models/model_saving_apis/weights_saving_and_loading

    Examples
    --------
    What ``model.save_weights("weights.h5")`` leaves of a model with one small Dense layer:

    >>> import os, tempfile
    >>> import h5py, numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.h5")
    >>> with h5py.File(path, "w") as file:
    ...     file.attrs["layer_names"] = [b"dense"]
    ...     layer = file.create_group("dense")
    ...     layer.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
    ...     layer["dense/kernel:0"] = np.ones((3, 2), np.float32)
    ...     layer["dense/bias:0"] = np.zeros(2, np.float32)

    >>> for name, array in read_weights(path).items():
    ...     print(name, array.shape, array.dtype)
    dense/dense/kernel:0 (3, 2) float32
    dense/dense/bias:0 (2,) float32
    """
    with open_weights(path) as file:
        if file.read_again is None:
            return dict(file.arrays)
        return StoredWeights(file.arrays.shapes, file.read_again, file.path)


@contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[WeightsFile]:
    """Open a file of weights, check it once, and list what it holds.

    Parameters
    ----------
    path : str or os.PathLike
        As for `read_weights`.

    Yields
    ------
    WeightsFile
        Its arrays can be read within the context.

    Raises
    ------
    ModelFileError
        If the file is damaged, holds no weights or is of an unsupported kind.
    OSError
        If the file cannot be opened.
    """
    name = os.fspath(path)
    context = _reader_of(name).open_weights(name)
    file = context.__enter__()
    try:
        yield file
    finally:
        context.__exit__(None, None, None)  # an error of the caller is not one of the file


def _reader_of(path: str) -> Reader:
    is_directory = os.path.isdir(path)
    if is_directory and os.path.exists(os.path.join(path, "saved_model.pb")):
        from lcfast.io import saved_model

        return saved_model
    if os.path.exists(f"{path}.index"):
        from lcfast.io import checkpoint

        if checkpoint.is_checkpoint(path):
            return checkpoint
    if is_directory:
        raise _no_model(path, "is a directory without a saved_model.pb")
    return _reader_of_file(path)


def _reader_of_file(path: str) -> Reader:
    size = size_of(path)
    with open(path, "rb") as file:
        start = file.read(32)
        # HDF5 allows a block of the user's own, 512 bytes or a doubling of it, ahead of its mark.
        offset = 512
        mark = start[: len(file_signatures.HDF5)]
        is_zip = start.startswith(file_signatures.ZIP)
        while mark != file_signatures.HDF5 and not is_zip and offset < size:
            file.seek(offset)
            mark = file.read(len(file_signatures.HDF5))
            offset *= 2
    if mark == file_signatures.HDF5:
        from lcfast.io import hdf5

        return hdf5
    if is_zip:
        return _reader_of_archive(path)
    raise _no_model(path, _look(start))


def _reader_of_archive(path: str) -> Reader:
    from lcfast.io import keras_archive, npz, zip_archive

    with zip_archive.opened(path) as archive:
        names = archive.namelist()
    if keras_archive.CONFIG in names or keras_archive.WEIGHTS in names:
        return keras_archive
    if names and all(name.endswith(npz.ENDING) for name in names):
        return npz
    raise _no_model(path, "is a zip archive, but neither a .keras nor a .npz file")


def _no_model(path: str, found: str) -> ModelFileError:
    return ModelFileError(
        f"{path}: {found}; lcfast reads HDF5 files of Keras, .keras and .npz archives, SavedModel "
        "directories and checkpoints; model.save('model.h5', save_format='h5') makes the first"
    )


def _look(start: bytes) -> str:
    for prefix, description in _LOOKS_LIKE.items():
        if start.lstrip().startswith(prefix) and (prefix or not start):
            return description
    return f"begins with {start[:8]!r}, which is not the signature of an HDF5 file or a zip archive"
