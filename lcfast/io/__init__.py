"""The front door to model files: a file is recognised by its content, never by its name.

Each kind of container has a module here, imported when the first such file is read. They know
files, never layers: file -> (config, {name: array}).
"""

from __future__ import annotations

import os
import stat

import numpy as np

from lcfast.errors import ModelFileError
from lcfast.io.stored_model import StoredModel

__all__ = ["StoredModel", "read_model", "read_weights"]

_HDF5 = b"\x89HDF\r\n\x1a\n"

# What lies in the place of a model surprisingly often, by its first bytes.
_LOOKS_LIKE = {
    b"": "is empty",
    b"PK\x03\x04": "is a zip archive, as .keras and .npz files are",
    b"{": "looks like JSON, a model's config without its weights",
    b"\x1f\x8b": "is compressed with gzip, so unpack it first",
    b"\x80": "looks like a Python pickle, which lcfast never opens",
    b"version https://git-lfs": "is a Git LFS pointer, so fetch the file itself with git lfs pull",
    b"<": "looks like a web page or XML, often what a failed download leaves",
}


def read_model(path: str | os.PathLike[str]) -> StoredModel:
    """Read a whole model, config and weights, from a file that Keras 1 or 2 wrote (HDF5).

    Parameters
    ----------
    path : str or os.PathLike
        The file, such as ``model.h5``.

    Returns
    -------
    StoredModel
        The model's config and arrays, with no layer made of them yet.

    Raises
    ------
    ModelFileError
        If the file is damaged, holds no whole model or is of a kind not supported.
    OSError
        If the system cannot give the file.
    """
    name = os.fspath(path)
    _check_is_hdf5(name)
    from lcfast.io import hdf5

    return hdf5.read_model(name)


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the weights of a Keras model, without the model.

    Takes a whole model (``model.save("model.h5")``) and weights alone
    (``model.save_weights("weights.h5")``) alike. Optimizer slots are left out.

    Parameters
    ----------
    path : str or os.PathLike
        An HDF5 file that Keras 1 or 2 wrote.

    Returns
    -------
    dict of str to numpy.ndarray
        Each weight by its name in the file, ``<layer>/<weight>``, in the file's order.

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
    name = os.fspath(path)
    _check_is_hdf5(name)
    from lcfast.io import hdf5

    return hdf5.read_weights(name)


def _check_is_hdf5(path: str) -> None:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError(
            f"{path}: is a directory; SavedModel directories are not read yet, so save the model "
            "as one HDF5 file with model.save('model.h5', save_format='h5')"
        )
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: is not a regular file; copy the model into one")
    with open(path, "rb") as file:
        start = file.read(32)
        # HDF5 allows a block of the user's own, 512 bytes or a doubling of it, ahead of its mark.
        offset = 512
        mark = start[: len(_HDF5)]
        while mark != _HDF5 and offset < status.st_size:
            file.seek(offset)
            mark = file.read(len(_HDF5))
            offset *= 2
    if mark != _HDF5:
        raise ModelFileError(
            f"{path}: {_look(start)}; only HDF5 files of Keras 1 and 2 are read, which "
            "model.save('model.h5', save_format='h5') writes"
        )


def _look(start: bytes) -> str:
    for prefix, description in _LOOKS_LIKE.items():
        if start.lstrip().startswith(prefix) and (prefix or not start):
            return description
    return f"begins with {start[:8]!r}, which is not the mark of an HDF5 file"
