"""Checkpoints of TensorFlow: the weights of `model.save_weights("prefix")`, and of SavedModels.

    prefix.index                    a sorted table: "" -> header, key -> type, shape, offset
    prefix.data-00000-of-00002      the arrays, and prefix.data-00001-of-00002 the rest

Nothing is trusted: an offset is checked against the size of its file before anything is allocated,
file names are built from numbers alone, and the CRC of every array is checked when it is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from typing import Literal

import numpy as np

from lcfast.errors import quoted
from lcfast.io import object_graph
from lcfast.io.crc32c import crc32c, unmasked
from lcfast.io.object_graph import TrackedObject
from lcfast.io.protobuf import Message, read_varint
from lcfast.io.reading import errors_name, read_bytes, refusal, size_of
from lcfast.io.sorted_table import read_table
from lcfast.io.stored_model import StoredModel
from lcfast.io.stored_weights import LayerWeights, StoredWeights, WeightOrder, WeightsFile

# TensorFlow's DataType; numpy has no bfloat16, whose numbers are the upper halves of float32's.
_BFLOAT16 = 14
_FLOATS = {1: "f4", 2: "f8", _BFLOAT16: "u2", 19: "f2"}
_INTEGERS = {3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 17: "u2", 22: "u4", 23: "u8"}
_DTYPES = {**_FLOATS, **_INTEGERS, 8: "c8", 10: "?", 18: "c16"}
_STRING = 7
_NO_NUMBERS = {_STRING, 20, 21}  # and resources, variants

_BYTE_ORDERS: dict[int, Literal["<", ">"]] = {0: "<", 1: ">"}
_LIST_OF_CHECKPOINTS = b"model_checkpoint_path"  # the first bytes of TensorFlow's file `checkpoint`
_MOST_SHARDS = 99_999  # five digits in the name of a file
_MOST_DIMENSIONS = 32

# What the optimizers of TensorFlow 1 store beside their slots.
_OF_TRAINING = {"beta1_power", "beta2_power", "global_step", "save_counter"}
_AVERAGE = "ExponentialMovingAverage"  # used for inference, so it is not a slot


@dataclass(frozen=True)
class Entry:
    """The location of an array, checked to be inside its file."""

    path: str
    offset: int
    size: int
    crc: int
    type_number: int
    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """The content of an index: every entry by its key, and the graph of objects if there is one."""

    prefix: str
    entries: dict[str, Entry]
    objects: list[TrackedObject]

    def weight_names(self) -> dict[str, str]:
        """Name the weights, {key: name}, without optimizers and non-numeric entries."""
        if not self.objects:
            return {key: key for key in self.entries if not self._is_of_training(key)}
        names = object_graph.weight_names(self.objects)
        return {key: names[key] for key in names if self.entry(key).dtype.kind != "S"}

    def entry(self, key: str) -> Entry:
        """Return the entry of a key that the graph of objects names."""
        if key not in self.entries:
            raise refusal(f"lacks the entry {quoted(key)} of one of its variables")
        return self.entries[key]

    def _is_of_training(self, key: str) -> bool:
        """Whether an entry of a name-based checkpoint is not a weight.

        A slot is named below its variable and has its shape: dense/kernel/Adam_1.
        """
        entry = self.entries[key]
        above, _, name = key.rpartition("/")
        variable = self.entries.get(above)
        is_slot = variable is not None and variable.shape == entry.shape and name != _AVERAGE
        return is_slot or name in _OF_TRAINING or entry.dtype.kind == "S"


def stored_weights(checkpoint: Checkpoint) -> StoredWeights:
    """List the weights by name; each is read, and its CRC checked, when it is asked for."""
    entries = {name: checkpoint.entries[key] for key, name in checkpoint.weight_names().items()}
    shapes = {name: entry.shape for name, entry in entries.items()}
    return StoredWeights(shapes, partial(_read_one, entries))


def _read_one(entries: dict[str, Entry], name: str) -> np.ndarray:
    with errors_name(entries[name].path):
        return read_array(entries[name], name)


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the prefix of a checkpoint: path.index exists, path is not a file.

    TensorFlow lists the checkpoints of a folder in a file named `checkpoint`, which is not a model:
    a prefix may have that name.

    Examples
    --------
    >>> is_checkpoint("examples/digits.h5")
    False
    """
    if not os.path.isfile(f"{os.fspath(path)}.index"):
        return False
    if not os.path.isfile(path):
        return True
    with open(path, "rb") as file:
        return file.read(len(_LIST_OF_CHECKPOINTS)) == _LIST_OF_CHECKPOINTS


def read_model(path: str) -> StoredModel:
    """Refuse: a checkpoint has no config."""
    found = f"{path}: is a checkpoint, which holds weights only"
    raise refusal(found, "build the model by hand and set the weights, which read_weights reads")


@contextmanager
def open_weights(prefix: str) -> Iterator[WeightsFile]:
    """List the weights of a checkpoint: `prefix` is `weights` for `weights.index`.

    Each has its name in TensorFlow, `dense/kernel`, if that is known and unique; otherwise its key,
    such as `variables/2`. Optimizer state is left out; bfloat16 is returned as float32.
    """
    checkpoint = read_checkpoint(prefix)
    index_path = f"{prefix}.index"
    with errors_name(index_path):
        arrays = stored_weights(checkpoint)
    order: WeightOrder = "get_weights" if _lists_variables(checkpoint) else "layer by layer"
    yield WeightsFile(
        index_path, "checkpoint", arrays, order, arrays.__getitem__, partial(_layers, checkpoint)
    )


def _lists_variables(checkpoint: Checkpoint) -> bool:
    """Whether each Keras layer lists its variables in the order of get_weights()."""
    objects = checkpoint.objects
    return all(
        object_graph.lists_variables(objects, layer) for layer in _holders(checkpoint).values()
    )


def _holders(checkpoint: Checkpoint) -> dict[str, int]:
    """The objects of the model's layers with weights, in the model's order."""
    held = checkpoint.objects[0].children if checkpoint.objects else {}
    names = (f"layer_with_weights-{number}" for number in count())
    return {name: held[name] for name in takewhile(held.__contains__, names)}


def _layers(checkpoint: Checkpoint) -> LayerWeights:
    """The names of each layer's weights."""
    with errors_name(f"{checkpoint.prefix}.index"):
        names = checkpoint.weight_names()
        keys = {
            holder: object_graph.keys_in_order(checkpoint.objects, layer)
            for holder, layer in _holders(checkpoint).items()
        }
        return {
            holder: tuple(names[key] for key in of_layer if key in names)
            for holder, of_layer in keys.items()
        }


def read_checkpoint(prefix: str) -> Checkpoint:
    """Read the index of a checkpoint, and check every entry against the files that hold it."""
    index_path = f"{prefix}.index"
    data = read_bytes(index_path)
    with errors_name(index_path):
        table = read_table(data)
        if b"" not in table:
            raise refusal("is a table without the header of a checkpoint")
        entries = _entries(prefix, Message(table.pop(b"")), table)
    sizes = {path: size_of(path) for path in sorted({entry.path for entry in entries.values()})}
    with errors_name(index_path):
        _check_offsets(entries, sizes)
    graph = entries.get(object_graph.KEY)
    if graph is None:
        return Checkpoint(prefix, entries, [])
    with errors_name(graph.path):
        objects = object_graph.read_object_graph(_read_string(graph))
    return Checkpoint(prefix, entries, objects)


def read_array(entry: Entry, name: str) -> np.ndarray:
    """Read the array of one entry, and check its CRC."""
    array = np.empty(entry.shape, entry.dtype)
    numbers = array.reshape(-1).view(np.uint8).data
    _read_into(numbers, entry, name)
    if crc32c(numbers) != entry.crc:
        raise refusal(f"the numbers of {quoted(name)} do not have the checksum of the index")
    if entry.type_number == _BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(entry.dtype.newbyteorder("="), copy=False)


def _entries(prefix: str, header: Message, table: dict[bytes, memoryview]) -> dict[str, Entry]:
    shards, order = header.integer(1), header.integer(2)
    if not 1 <= shards <= _MOST_SHARDS or order not in _BYTE_ORDERS:
        raise refusal(f"has a header of {shards} files in byte order {order}")
    paths = [f"{prefix}.data-{shard:05d}-of-{shards:05d}" for shard in range(shards)]
    entries: dict[str, Entry] = {}
    for key, value in table.items():
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise refusal(f"has a key {quoted(repr(key))}, which is not UTF-8") from error
        entries[name] = _entry(name, Message(value), paths, _BYTE_ORDERS[order])
    return entries


def _check_offsets(entries: dict[str, Entry], sizes: dict[str, int]) -> None:
    """Check that every file is large enough for each entry, and for all of them."""
    for name, entry in entries.items():
        end, size = entry.offset + entry.size, sizes[entry.path]
        if end > size:
            file_name = os.path.basename(entry.path)
            raise refusal(
                f"places {quoted(name)} at bytes {entry.offset} to {end} of {file_name}, which "
                f"has {size}"
            )
    needed, there = sum(entry.size for entry in entries.values()), sum(sizes.values())
    if needed > there:
        raise refusal(f"declares {needed} bytes, but its data files have {there}")


def _entry(name: str, message: Message, paths: list[str], order: Literal["<", ">"]) -> Entry:
    type_number, shard = message.integer(1), message.integer(3)
    if 7 in message:
        raise refusal(
            f"has {quoted(name)} in slices, which are not read",
            advice="save it again without a partitioner",
        )
    if shard >= len(paths):
        raise refusal(f"places {quoted(name)} in data file {shard} of {len(paths)}")
    if type_number not in _DTYPES and type_number not in _NO_NUMBERS:
        raise refusal(
            f"has {quoted(name)} of TensorFlow's type {type_number}, which numpy lacks",
            advice="save it again with float32 weights",
        )
    dtype = np.dtype("S1")
    if type_number in _DTYPES:
        dtype = np.dtype(_DTYPES[type_number]).newbyteorder(order)
    shape = tuple(dimension.integer(1) for dimension in message.message(2).messages(2))
    size = message.integer(5)
    if dtype.kind != "S" and not _is_size(size, shape, dtype.itemsize):
        found = f"has {quoted(name)} with {size} bytes for shape {shape[:_MOST_DIMENSIONS]}"
        raise refusal(f"{found} of type {dtype}")
    crc = unmasked(message.integer(6) & 0xFFFFFFFF)
    return Entry(paths[shard], message.integer(4), size, crc, type_number, dtype, shape)


def _is_size(size: int, shape: tuple[int, ...], item_size: int) -> bool:
    # numpy bounds the other lengths of an empty array too.
    return (
        len(shape) <= _MOST_DIMENSIONS
        and math.prod(shape) * item_size == size
        and math.prod(length or 1 for length in shape) * item_size < 2**63
    )


def _read_string(entry: Entry) -> memoryview:
    """Read an entry that is one string: its length, the CRC of the length, the string."""
    if entry.type_number != _STRING or entry.shape:
        raise refusal(f"its entry {object_graph.KEY} is not one string")
    data = memoryview(bytearray(entry.size))
    _read_into(data, entry, object_graph.KEY)
    length, at = read_varint(data, 0)
    if length != entry.size - at - 4:
        raise refusal(f"its entry {object_graph.KEY} has a wrong length")
    # The CRC covers the length as a native integer, not as the varint that is stored.
    width = 4 if length <= 0xFFFFFFFF else 8
    if crc32c(data[at:], crc32c(length.to_bytes(width, "little"))) != entry.crc:
        raise refusal(f"its entry {object_graph.KEY} does not have the checksum of the index")
    return data[at + 4 :]


def _read_into(data: memoryview, entry: Entry, name: str) -> None:
    with open(entry.path, "rb", buffering=0) as file:
        file.seek(entry.offset)
        while data:
            count = file.readinto(data)
            if not count:
                raise refusal(f"ends before the numbers of {quoted(name)}")
            data = data[count:]
