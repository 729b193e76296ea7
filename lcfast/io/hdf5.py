"""HDF5 files of Keras 1 and 2: whole models (.h5), and weights alone.

    /                        attributes model_config (JSON), keras_version
      model_weights          attribute  layer_names
        dense                attribute  weight_names
          dense/kernel:0     a dataset

A file of weights alone has the layers at the root. Nothing is trusted: no link leads out of the
file, no foreign code unpacks it, and no dataset is allocated that the file cannot hold.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from mmap import ACCESS_READ, mmap
from typing import Any

import h5py
import numpy as np

from lcfast.errors import ModelFileError
from lcfast.io.stored_model import StoredModel

# What HDF5 and h5py unpack by themselves; for any other filter HDF5 would load a plugin.
_PACKERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SZIP, h5py.h5z.FILTER_LZF}
_FILTERS = _PACKERS | {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_MOST_PACKING = 1100  # deflate packs at most 1032 to 1

_HEAP = b"GCOL\1"  # the mark and version of a heap of text
_OF_NO_LAYER = "top_level_model_weights"  # Keras's group for weights of the model itself


def read_model(path: str) -> StoredModel:
    """Read the config and every weight of a whole model."""
    with _opened(path) as file:
        config = _model_config(file)
        version = _text(file, "keras_version")
        layer_weights, arrays = _read_layers(_member(file, "model_weights", h5py.Group))
    return StoredModel(path, config, arrays, layer_weights, version)


def read_weights(path: str) -> dict[str, np.ndarray]:
    """Read every weight of a whole model, or of a file that holds weights alone."""
    with _opened(path) as file:
        if _parts(file, "layer_names"):
            root = file
        elif _has_member(file, "model_weights"):
            root = _member(file, "model_weights", h5py.Group)
        else:
            raise _no_keras_file(file)
        return _read_layers(root)[1]


def _model_config(file: h5py.File) -> dict[str, Any]:
    text = _text(file, "model_config")
    if text is None:
        if _parts(file, "layer_names"):
            raise _refusal(
                "holds weights only (the root group lacks an attribute 'model_config')",
                advice="build the model by hand and load the weights, which read_weights reads",
            )
        raise _no_keras_file(file)
    place = "attribute 'model_config' of the root group"
    try:
        config = json.loads(text)
    except RecursionError:
        raise _refusal(f"{place} nests its JSON too deeply") from None
    except ValueError as error:
        raise _refusal(f"{place} is not JSON ({error})") from error
    match config:
        case {"class_name": str(), "config": dict() | list()}:
            return dict(config)
    raise _refusal(f"{place} is {_quoted(text)}, not an object with a 'class_name' and a 'config'")


def _no_keras_file(file: h5py.File) -> ModelFileError:
    found = "has none of what Keras writes: model_config, model_weights, layer_names"
    if _has_member(file, "layers"):
        found = "has a group 'layers', as .weights.h5 files have, which are not read yet"
    advice = "save the model again with Keras 2 as model.save('model.h5', save_format='h5')"
    return _refusal(f"{_place(file)} {found}", advice)


def _read_layers(root: h5py.Group) -> tuple[dict[str, tuple[str, ...]], dict[str, np.ndarray]]:
    """Find all weights, check that the file can hold them together, and only then read them."""
    layer_weights: dict[str, tuple[str, ...]] = {}
    datasets: dict[str, h5py.Dataset] = {}
    for layer in _layer_names(root):
        if layer in layer_weights:
            raise _refusal(f"{_place(root)} names layer {_quoted(layer)} twice")
        group = _resolve(root, layer, h5py.Group)
        weights = _names(group, "weight_names")
        layer_weights[layer] = tuple(f"{layer}/{weight}" for weight in weights)
        for weight, full_name in zip(weights, layer_weights[layer], strict=True):
            if full_name in datasets:
                raise _refusal(f"{_place(group)} names weight {_quoted(weight)} twice")
            datasets[full_name] = _resolve(group, weight, h5py.Dataset)
    if (needed := sum(map(_least_bytes, datasets.values()))) > _file_size(root):
        raise _refusal(f"{_place(root)} declares {needed} bytes of weights, more than the file is")
    return layer_weights, {name: _read_array(dataset) for name, dataset in datasets.items()}


def _layer_names(root: h5py.Group) -> list[str]:
    names = _names(root, "layer_names")
    if _OF_NO_LAYER not in names and _has_member(root, _OF_NO_LAYER):
        group = _member(root, _OF_NO_LAYER, h5py.Group)
        if _names(group, "weight_names"):
            names.append(_OF_NO_LAYER)
    return names


def _resolve(group: h5py.Group, path: str, kind: type) -> Any:
    """Follow a name that Keras may have written with slashes, one step at a time."""
    *steps, last = path.split("/")
    if any(step in ("", ".", "..") or "\0" in step for step in (*steps, last)):
        raise _refusal(f"{_place(group)} is to hold {_quoted(path)}, which is no plain name")
    for step in steps:
        group = _member(group, step, h5py.Group)
    return _member(group, last, kind)


def _has_member(group: h5py.Group, name: str) -> bool:
    with _reading(_place(group)):
        return bool(group.id.links.exists(name.encode()))


def _member(group: h5py.Group, name: str, kind: type) -> Any:
    """Open a group or dataset, through a hard link only: the others may lead anywhere."""
    wanted = f"a {kind.__name__.lower()}"
    if not _has_member(group, name):
        raise _refusal(f"{_place(group)} lacks {wanted} {_quoted(name)}")
    place = f"{_quoted(name)} in {_place(group)}"
    with _reading(place):
        is_hard = group.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
    if not is_hard:
        found = "is a soft or external link, which lcfast never follows"
        raise _refusal(f"{place} {found}", advice=f"store {wanted} there")
    with _reading(place):
        member = group[name]
    if not isinstance(member, kind):
        raise _refusal(f"{place} is a {type(member).__name__.lower()}, not {wanted}")
    return member


def _has_attribute(group: h5py.Group, name: str) -> bool:
    with _reading(_place(group)):
        return name in group.attrs


def _text(group: h5py.Group, attribute: str) -> str | None:
    return _strings(group, attribute, 0)[0] if _has_attribute(group, attribute) else None


def _parts(group: h5py.Group, attribute: str) -> list[str]:
    """Name the attributes that Keras splits a list over: name0, name1, ... above 64 KB."""
    if _has_attribute(group, attribute):
        return [attribute]
    numbered = (f"{attribute}{i}" for i in count())
    return list(takewhile(lambda part: _has_attribute(group, part), numbered))


def _names(group: h5py.Group, attribute: str) -> list[str]:
    if not (parts := _parts(group, attribute)):
        raise _refusal(f"{_place(group)} lacks an attribute '{attribute}'")
    return [name for part in parts for name in _strings(group, part, dimensions=1)]


def _strings(group: h5py.Group, attribute: str, dimensions: int) -> list[str]:
    """Read an attribute that must be one string (of 0 dimensions) or a list of strings (of 1)."""
    place = f"attribute '{attribute}' of {_place(group)}"
    with _reading(place):
        header = group.attrs.get_id(attribute)
        shape, dtype, size = header.shape, header.dtype, header.get_type().get_size()
    if dimensions == 1 and shape == (0,):  # Keras stores an empty list as one of numbers
        return []
    found = str(dtype) if h5py.check_string_dtype(dtype) is None else "strings"
    if found != "strings" or shape is None or len(shape) != dimensions:
        wanted = "a list of strings" if dimensions else "one string"
        raise _refusal(f"{place} holds {found} of shape {shape}, not {wanted}")
    if math.prod(shape) * size > _file_size(group):
        raise _refusal(f"{place} declares more text than the file holds")
    with _reading(place):
        value = group.attrs[attribute]
        return [_decoded(text) for text in (value if dimensions else [value])]


def _decoded(text: bytes | str) -> str:
    if isinstance(text, bytes):
        return text.decode()
    text.encode()  # fails where h5py smuggled bytes that are not UTF-8 through as surrogates
    return text


def _least_bytes(dataset: h5py.Dataset) -> int:
    """Check what a dataset declares; return the fewest bytes it can take up in the file."""
    place = _place(dataset)
    # First of all: to ask a virtual dataset for its shape can already open other files.
    with _reading(place):
        layout = dataset.id.get_create_plist()
        is_elsewhere = layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count() > 0
        filters = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())}
    if is_elsewhere:
        found = "keeps its numbers in another file, which lcfast never opens"
        raise _refusal(f"{place} {found}", advice="store them here")
    if filters - _FILTERS:
        found = f"is packed with HDF5 filter {min(filters - _FILTERS)}"
        raise _refusal(f"{place} {found}", advice="store it plain, or with gzip, lzf or szip")
    with _reading(place):
        shape, chunk, dtype = dataset.shape, dataset.chunks or (), dataset.dtype
        item_size = dataset.id.get_type().get_size()
        stored = min(dataset.id.get_storage_size(), _file_size(dataset))
    if shape is None or dtype.kind not in "biuf" or dtype.itemsize > 8:
        found = "nothing" if shape is None else f"values of type {dtype}"
        raise _refusal(f"{place} holds {found}, not an array of floats, integers or booleans")
    # A whole chunk is unpacked even where the array fills only a part of it.
    declared = item_size * max(math.prod(shape), math.prod(chunk)) if math.prod(shape) else 0
    least = -(-declared // _MOST_PACKING) if filters & _PACKERS else declared
    if least > stored:
        raise _refusal(f"{place} declares {declared} bytes of numbers, but {stored} are stored")
    return least


def _read_array(dataset: h5py.Dataset) -> np.ndarray:
    with _reading(_place(dataset)):
        # By its name in this machine's byte order, a dtype also loses what h5py tags it with.
        native = np.dtype(dataset.dtype.newbyteorder("=").str)
        return np.asarray(dataset[()], dtype=native, order="C")


_ADVICE = "the file is damaged or not Keras's, so copy it again or save the model again"


def _refusal(found: str, advice: str = _ADVICE) -> ModelFileError:
    return ModelFileError(f"{found}; {advice}")


@contextmanager
def _opened(path: str) -> Iterator[h5py.File]:
    """Open the file, and put its path in front of every error."""
    try:
        with _reading("the file"), h5py.File(path, "r") as file:
            _check_text_heaps(path)
            yield file
    except ModelFileError as problem:
        raise ModelFileError(f"{path}: {problem}") from problem.__cause__
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error


def _check_text_heaps(path: str) -> None:
    """Walk the heaps that hold text of variable length as HDF5 would, before HDF5 does.

    Over a free object of no size it loops forever (https://github.com/HDFGroup/hdf5/issues/1707).
    """
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            end = start + int.from_bytes(data[start + 8 : start + 16], "little")
            offset = start + 16
            while offset + 16 <= end <= len(data):
                index, size = struct.unpack_from("<H6xQ", data, offset)
                offset += 16 + size + -size % 8 if index else size or len(data)
            if start + 16 < end < offset:
                raise _refusal(f"the heap of text at byte {start} is damaged")
            start = data.find(_HEAP, start + 1)


@contextmanager
def _reading(place: str) -> Iterator[None]:
    """Turn what h5py raises over a damaged file, nearly any built-in error, into one of ours."""
    try:
        yield
    except ModelFileError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own: no permission, the lock is held, a failing disk
        said = " ".join(str(error).split())
        raise _refusal(f"{place} cannot be read ({type(error).__name__}: {said})") from error


def _place(member: h5py.Group | h5py.Dataset) -> str:
    kind = type(member).__name__.lower()
    return "the root group" if member.name == "/" else f"{kind} {_quoted(str(member.name))}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _file_size(member: h5py.Group | h5py.Dataset) -> int:
    return int(member.file.id.get_filesize())
