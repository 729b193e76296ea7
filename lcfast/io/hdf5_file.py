"""Reading untrusted HDF5 files.

Links out of the file are refused, filters never load plugins, and no dataset is allocated that is
larger than the file can hold.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count, takewhile
from mmap import ACCESS_READ, mmap
from typing import Any

import h5py
import numpy as np

from lcfast.errors import quoted
from lcfast.io.hdf5_bytes import HDF5Bytes
from lcfast.io.hdf5_headers import Headers, check_member, checking_members
from lcfast.io.hdf5_packing import PACKERS, check_packing
from lcfast.io.hdf5_text import HEAP, check_heaps, check_lengths
from lcfast.io.reading import as_model_file_error, errors_name, refusal
from lcfast.io.stored_weights import StoredWeights

# HDF5 would load a plugin for any other filter.
_FILTERS = PACKERS | {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_MOST_PACKING = 1100  # the highest ratio of deflate is 1032
_LONGEST_NAME = 1024  # characters; of a layer or a weight

_BLOCK = 2**17  # bytes; fits into the L2 cache


class ByteRange(io.RawIOBase):
    """A range of bytes of a file, read as if it were a file of its own.

    Parameters
    ----------
    file : io.FileIO
        An open, unbuffered file.
    start, size : int
        The offset of the range in the file, and its size in bytes.
    checksum : int, optional
        The CRC-32 that its bytes should have.
    """

    def __init__(self, file: io.FileIO, start: int, size: int, checksum: int | None = None) -> None:
        super().__init__()
        self.file, self.start, self.size, self.checksum = file, start, size, checksum
        self._at = 0

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether `seek` works: always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, counted from the start, the current position or the end."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, with zeros beyond the end of the range; return the bytes read."""
        view = memoryview(buffer).cast("B")
        left = max(0, min(len(view), self.size - self._at))
        self.file.seek(self.start + self._at)
        done = 0
        while done < left and (got := self.file.readinto(view[done:left])):
            done += got
        view[done:] = bytes(len(view) - done)  # HDF5 must never see uninitialised memory
        self._at += done
        return done


@contextmanager
def opened(path: str, *, is_checked: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file; `is_checked` if it was opened before and is unchanged."""
    with errors_name(path), as_model_file_error("the file"):
        if is_checked:
            with checking_members(None), h5py.File(path, "r") as file:
                yield file
            return
        with open(path, "rb", buffering=0) as raw:
            whole = ByteRange(raw, 0, raw.seek(0, io.SEEK_END))
            _look_through(whole)
            with _headers_checked(whole), h5py.File(path, "r") as file:
                yield file


@contextmanager
def opened_in(byte_range: ByteRange, name: str, *, is_checked: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file that is a range of another file; errors call it `name`."""
    with errors_name(name), as_model_file_error("the file"):
        if is_checked:
            with checking_members(None), h5py.File(byte_range, "r") as file:
                yield file
            return
        _look_through(byte_range)
        with _headers_checked(byte_range), h5py.File(byte_range, "r") as file:
            yield file


@contextmanager
def _headers_checked(byte_range: ByteRange) -> Iterator[None]:
    with (
        mmap(byte_range.file.fileno(), 0, access=ACCESS_READ) as data,
        checking_members(Headers(HDF5Bytes(data, byte_range.start, byte_range.size))),
    ):
        yield


def arrays_in(datasets: Mapping[str, h5py.Dataset], *files: str) -> StoredWeights:
    """The arrays of datasets, each read when it is asked for; errors name the `files`."""
    shapes = {name: dataset.shape for name, dataset in datasets.items()}

    def read(name: str) -> np.ndarray:
        with ExitStack() as stack:
            for file in files:
                stack.enter_context(errors_name(file))
            return read_array(datasets[name])

    return StoredWeights(shapes, read)


def check_sizes(root: h5py.Group, datasets: Mapping[str, h5py.Dataset]) -> None:
    """Refuse datasets that the file cannot hold, each or all together, before one is read."""
    if (needed := sum(map(_least_bytes, datasets.values()))) > _file_size(root):
        raise refusal(
            f"{location_of(root)} declares {needed} bytes of weights, more than the file has"
        )


def resolve(group: h5py.Group, path: str, kind: type) -> Any:
    """Open a group or dataset by a path, one step at a time."""
    *steps, last = path.split("/")
    if any(step in ("", ".", "..") or "\0" in step for step in (*steps, last)):
        raise refusal(f"{location_of(group)} refers to {quoted(path)}, which is not a plain path")
    for step in steps:
        group = member(group, step, h5py.Group)
    return member(group, last, kind)


def has_member(group: h5py.Group, name: str) -> bool:
    """Whether a group has a member of this name, of any kind."""
    with as_model_file_error(location_of(group)):
        return bool(group.id.links.exists(name.encode()))


def member(group: h5py.Group, name: str, kind: type) -> Any:
    """Open a group or dataset, through a hard link only: others may lead out of the file."""
    wanted = f"a {kind.__name__.lower()}"
    if not has_member(group, name):
        raise refusal(f"{location_of(group)} lacks {wanted} {quoted(name)}")
    found = _linked_hard(group, name, wanted)
    if not isinstance(found, kind):
        location = f"{quoted(name)} in {location_of(group)}"
        raise refusal(f"{location} is a {type(found).__name__.lower()}, not {wanted}")
    return found


def members(group: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
    """Open every member of a group, through hard links only."""
    with as_model_file_error(location_of(group)):
        every = [str(name) for name in group]
    return {name: _linked_hard(group, name, "a group or dataset") for name in every}


def _linked_hard(group: h5py.Group, name: str, wanted: str) -> Any:
    location = f"{quoted(name)} in {location_of(group)}"
    with as_model_file_error(location):
        link = group.id.links.get_info(name.encode())
    if link.type != h5py.h5l.TYPE_HARD:
        found = "is a soft or external link, which lcfast never follows"
        raise refusal(f"{location} {found}", advice=f"store {wanted} there")
    with as_model_file_error(location):
        check_member(link.u, location)
        return group[name]


def _has_attribute(group: h5py.Group, name: str) -> bool:
    with as_model_file_error(location_of(group)):
        return name in group.attrs


def text(group: h5py.Group, attribute: str) -> str | None:
    """Read an attribute that is one string; None if it does not exist."""
    return _strings(group, attribute, 0)[0] if _has_attribute(group, attribute) else None


def parts(group: h5py.Group, attribute: str) -> list[str]:
    """The attributes over which Keras splits a list above 64 KB: name0, name1, ..."""
    if _has_attribute(group, attribute):
        return [attribute]
    numbered = (f"{attribute}{i}" for i in count())
    return list(takewhile(lambda part: _has_attribute(group, part), numbered))


def names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names that Keras may have split over several attributes."""
    if not (every := parts(group, attribute)):
        raise refusal(f"{location_of(group)} lacks an attribute '{attribute}'")
    found = [name for part in every for name in _strings(group, part, dimensions=1)]
    if (longest := max(map(len, found), default=0)) > _LONGEST_NAME:
        location = f"attribute '{attribute}' of {location_of(group)}"
        raise refusal(f"{location} holds a name of {longest} characters")
    return found


def _strings(group: h5py.Group, attribute: str, dimensions: int) -> list[str]:
    """Read an attribute that must be one string (of 0 dimensions) or a list of strings (of 1)."""
    location = f"attribute '{attribute}' of {location_of(group)}"
    with as_model_file_error(location):
        header = group.attrs.get_id(attribute)
        shape, dtype, size = header.shape, header.dtype, header.get_type().get_size()
    if dimensions == 1 and shape == (0,):  # Keras stores an empty list as one of numbers
        return []
    found = str(dtype) if h5py.check_string_dtype(dtype) is None else "strings"
    if found != "strings" or shape is None or len(shape) != dimensions:
        wanted = "a list of strings" if dimensions else "one string"
        raise refusal(f"{location} holds {found} of shape {shape}, not {wanted}")
    if math.prod(shape) * size > _file_size(group):
        raise refusal(f"{location} declares more text than the file holds")
    if h5py.check_string_dtype(dtype).length is None:
        with as_model_file_error(location):
            check_lengths(group, attribute, math.prod(shape), location)
    with as_model_file_error(location):
        value = group.attrs[attribute]
        return [_decoded(string) for string in (value if dimensions else [value])]


def _decoded(string: bytes | str) -> str:
    if isinstance(string, bytes):
        return string.decode()
    string.encode()  # fails where h5py decoded invalid UTF-8 to surrogates
    return string


def _least_bytes(dataset: h5py.Dataset) -> int:
    """Check what a dataset declares; return the fewest bytes that it can take in the file."""
    location = location_of(dataset)
    # First of all: asking a virtual dataset for its shape can open other files.
    with as_model_file_error(location):
        layout = dataset.id.get_create_plist()
        is_elsewhere = layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count() > 0
        filters = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())}
    if is_elsewhere:
        found = "stores its numbers in another file, which lcfast never opens"
        raise refusal(f"{location} {found}", advice="store them here")
    if filters - _FILTERS:
        found = f"is packed with HDF5 filter {min(filters - _FILTERS)}"
        raise refusal(f"{location} {found}", advice="store it plain, or with gzip, lzf or szip")
    with as_model_file_error(location):
        shape, chunk, dtype = dataset.shape, dataset.chunks or (), dataset.dtype
        item_size = dataset.id.get_type().get_size()
        stored, there = dataset.id.get_storage_size(), _file_size(dataset)
    if shape is None or dtype.kind not in "biuf" or dtype.itemsize > 8:
        found = "nothing" if shape is None else f"values of type {dtype}"
        raise refusal(f"{location} holds {found}, not an array of floats, integers or booleans")
    # A whole chunk is decompressed even if the array fills only a part of it.
    declared = item_size * max(math.prod(shape), math.prod(chunk)) if math.prod(shape) else 0
    least = -(-declared // _MOST_PACKING) if filters & PACKERS else declared
    if least > min(stored, there):
        found = f"declares {declared} bytes of numbers, but {min(stored, there)} are stored"
        raise refusal(f"{location} {found}")
    if stored > there:  # HDF5 allocates the declared size of a chunk
        raise refusal(f"{location} takes up {stored} bytes of a file that has {there}")
    return least


def read_array(dataset: h5py.Dataset) -> np.ndarray:
    """Read a dataset whose size has been checked, in this machine's byte order."""
    with as_model_file_error(location_of(dataset)):
        # Built from its string, the dtype also loses the metadata that h5py attaches.
        native = np.dtype(dataset.dtype.newbyteorder("=").str)
        if dataset.chunks:
            check_packing(dataset)
        return np.asarray(dataset[()], dtype=native, order="C")


def _look_through(byte_range: ByteRange) -> None:
    """Read every byte once: check the checksum, and find and check the heaps of strings."""
    checksum = 0
    heaps: list[int] = []
    block = np.empty(_BLOCK + 8, np.uint8)
    views = [block[shift : shift + _BLOCK].view("<u4") for shift in range(4)]
    first = np.frombuffer(HEAP, "<u4", 1)[0]
    for start in range(0, byte_range.size, _BLOCK):
        byte_range.seek(start)
        byte_range.readinto(block)
        if byte_range.checksum is not None:
            checksum = zlib.crc32(block[: min(_BLOCK, byte_range.size - start)].data, checksum)
        for shift, view in enumerate(views):  # faster than mmap.find
            if (found := view == first).any():
                offsets = np.flatnonzero(found) * 4 + shift
                heaps += [start + int(at) for at in offsets if block[at + 4] == HEAP[4]]
    if byte_range.checksum not in (None, checksum):
        raise refusal("the bytes of the file do not match its checksum")
    if heaps:
        with mmap(byte_range.file.fileno(), 0, access=ACCESS_READ) as data:
            check_heaps(data, byte_range.start, byte_range.size, sorted(heaps))


def location_of(member: h5py.Group | h5py.Dataset) -> str:
    """Return the name of a group or dataset for error messages."""
    kind = type(member).__name__.lower()
    return "the root group" if member.name == "/" else f"{kind} {quoted(str(member.name))}"


def _file_size(member: h5py.Group | h5py.Dataset) -> int:
    return int(member.file.id.get_filesize())
