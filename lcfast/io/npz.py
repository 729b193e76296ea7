"""Archives of numpy arrays (.npz), such as the weights that MHCflurry stores beside its configs."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import numpy as np

from lcfast.io import zip_archive
from lcfast.io.reading import as_model_file_error, errors_name, in_natural_order, refusal
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import Layout, StoredWeights, WeightsFile

ENDING = ".npy"
_AT_ONCE = 2**20  # bytes
# The names of np.savez(path, **lcfast.read_weights("model.weights.h5")).
_OF_TREE = re.compile(r"(?:.*/)?vars/\d+")
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_model(path: str) -> StoredModel:
    """Refuse: the archive has no config."""
    raise refusal(
        f"{path}: holds weights only, as .npz files do",
        advice="make the model with model_from_json(text), then give it the weights with "
        "model.set_weights(list(read_weights(path).values()))",
    )


@contextmanager
def open_weights(path: str) -> Iterator[WeightsFile]:
    """List the arrays in the order of their numbers if all are numbered, else in the file's."""
    with zip_archive.opened(path) as archive:
        members = {_name(info): info for info in archive.infolist()}
        shapes = {}
        for name in _in_order(list(members)):
            with archive.open(members[name]) as file:
                shapes[name] = _header(file, members[name])[0]

        def read(name: str) -> np.ndarray:
            with errors_name(path):
                return _array(archive, members[name])

        is_tree = bool(members) and all(map(_OF_TREE.fullmatch, members))
        again = partial(_read_one, path) if len(members) <= zip_archive.MANY else None
        layout: Layout = "tree of groups" if is_tree else "npz"
        yield WeightsFile(path, layout, StoredWeights(shapes, read), "get_weights", again)


def _read_one(path: str, name: str) -> np.ndarray:
    with zip_archive.opened(path) as archive:
        return _array(archive, zip_archive.member(archive, name + ENDING))


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    location = zip_archive.location_of(info)
    with archive.open(info) as file:
        shape, in_fortran_order, dtype = _header(file, info)
        array = np.empty(shape[::-1] if in_fortran_order else shape, dtype)
        view = array.reshape(-1).view(np.uint8)
        with as_model_file_error(location):
            for start in range(0, len(view), _AT_ONCE):
                target = view[start : start + _AT_ONCE]
                part = file.read(len(target))
                if len(part) < len(target):
                    raise refusal(f"{location} ends too early")
                target[:] = np.frombuffer(part, np.uint8)
            file.read(1)  # zipfile compares the checksum at the end
    native = array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array.T if in_fortran_order else array, native).reshape(shape)


def _in_order(names: list[str]) -> list[str]:
    numbered = [re.fullmatch(r"(.*?)[0-9]+", name) for name in names]
    stems = {match and match[1] for match in numbered}
    is_a_list = len(stems) == 1 and None not in stems  # array_0, array_1, ..., array_10
    return sorted(names, key=in_natural_order) if is_a_list else names


def _name(info: zipfile.ZipInfo) -> str:
    if not info.filename.endswith(ENDING):
        raise refusal(
            f"{zip_archive.location_of(info)} is not an array: its name does not end in .npy"
        )
    return info.filename.removesuffix(ENDING)


def _header(file: IO[bytes], info: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the shape, order and dtype of an array, and check its size before it is allocated."""
    location = zip_archive.location_of(info)
    with as_model_file_error(location):
        version = np.lib.format.read_magic(file)
        if version not in _READ_HEADER:
            raise refusal(f"{location} is an array in version {version} of numpy's format")
        shape, in_fortran_order, dtype = _READ_HEADER[version](file)
        stored = info.file_size - file.tell()
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype.shape:
        found = f"holds values of type {dtype}"
        raise refusal(f"{location} {found}, not an array of floats, integers or booleans")
    if any(size < 0 for size in shape) or dtype.itemsize * math.prod(shape) != stored:
        raise refusal(
            f"{location} declares an array of shape {shape} and type {dtype}, but {stored} bytes "
            "are stored"
        )
    return shape, in_fortran_order, dtype
