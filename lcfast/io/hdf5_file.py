"""An HDF5 file that nobody trusts, opened and read.

No link leads out of the file, no foreign code unpacks it, and no dataset is allocated that the
file cannot hold.
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

# For any other filter HDF5 would load a plugin.
_FILTERS = PACKERS | {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_MOST_PACKING = 1100  # deflate packs at most 1032 to 1
_LONGEST_NAME = 1024  # characters; of a layer or a weight

_BLOCK = 2**17  # bytes that fit a cache


class Window(io.RawIOBase):
    """A part of a file, read in place as if it were a file of its own.

    Parameters
    ----------
    file : io.FileIO
        A file that is open, unbuffered.
    start, size : int
        Where the part begins, and how many bytes it has.
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
        """Go to a byte, counted from the start of the part, from here or from the end."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, which gets zeros beyond the end of the part; return what was there."""
        view = memoryview(buffer).cast("B")
        left = max(0, min(len(view), self.size - self._at))
        self.file.seek(self.start + self._at)
        done = 0
        while done < left and (got := self.file.readinto(view[done:left])):
            done += got
        view[done:] = bytes(len(view) - done)  # HDF5 must never see what memory held before
        self._at += done
        return done


@contextmanager
def opened(path: str, *, is_checked: bool = False) -> Iterator[h5py.File]:
    """Open an HDF5 file; `is_checked` where it has been opened before and is unchanged."""
    with errors_name(path), as_model_file_error("the file"):
        if is_checked:
            with checking_members(None), h5py.File(path, "r") as file:
                yield file
            return
        with open(path, "rb", buffering=0) as raw:
            whole = Window(raw, 0, raw.seek(0, io.SEEK_END))
            _look_through(whole)
            with _headers_checked(whole), h5py.File(path, "r") as file:
                yield file


@contextmanager
def opened_in(window: Window, place: str, *, is_checked: bool = False) -> Iterator[h5py.File]:
    """Open the HDF5 file that is a part of another one, called `place`."""
    with errors_name(place), as_model_file_error("the file"):
        if is_checked:
            with checking_members(None), h5py.File(window, "r") as file:
                yield file
            return
        _look_through(window)
        with _headers_checked(window), h5py.File(window, "r") as file:
            yield file


@contextmanager
def _headers_checked(window: Window) -> Iterator[None]:
    with (
        mmap(window.file.fileno(), 0, access=ACCESS_READ) as data,
        checking_members(Headers(HDF5Bytes(data, window.start, window.size))),
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
    """Refuse datasets that the file cannot hold, each or together, before one is read."""
    if (needed := sum(map(_least_bytes, datasets.values()))) > _file_size(root):
        raise refusal(f"{place_of(root)} declares {needed} bytes of weights, more than the file is")


def resolve(group: h5py.Group, path: str, kind: type) -> Any:
    """Follow a name that Keras may have written with slashes, one step at a time."""
    *steps, last = path.split("/")
    if any(step in ("", ".", "..") or "\0" in step for step in (*steps, last)):
        raise refusal(f"{place_of(group)} is to hold {quoted(path)}, which is no plain name")
    for step in steps:
        group = member(group, step, h5py.Group)
    return member(group, last, kind)


def has_member(group: h5py.Group, name: str) -> bool:
    """Whether a group has a member of this name, whatever it is."""
    with as_model_file_error(place_of(group)):
        return bool(group.id.links.exists(name.encode()))


def member(group: h5py.Group, name: str, kind: type) -> Any:
    """Open a group or dataset, through a hard link only: the others may lead anywhere."""
    wanted = f"a {kind.__name__.lower()}"
    if not has_member(group, name):
        raise refusal(f"{place_of(group)} lacks {wanted} {quoted(name)}")
    found = _linked_hard(group, name, wanted)
    if not isinstance(found, kind):
        place = f"{quoted(name)} in {place_of(group)}"
        raise refusal(f"{place} is a {type(found).__name__.lower()}, not {wanted}")
    return found


def members(group: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
    """Open every member of a group, through hard links only."""
    with as_model_file_error(place_of(group)):
        every = [str(name) for name in group]
    return {name: _linked_hard(group, name, "a group or dataset") for name in every}


def _linked_hard(group: h5py.Group, name: str, wanted: str) -> Any:
    place = f"{quoted(name)} in {place_of(group)}"
    with as_model_file_error(place):
        link = group.id.links.get_info(name.encode())
    if link.type != h5py.h5l.TYPE_HARD:
        found = "is a soft or external link, which lcfast never follows"
        raise refusal(f"{place} {found}", advice=f"store {wanted} there")
    with as_model_file_error(place):
        check_member(link.u, place)
        return group[name]


def _has_attribute(group: h5py.Group, name: str) -> bool:
    with as_model_file_error(place_of(group)):
        return name in group.attrs


def text(group: h5py.Group, attribute: str) -> str | None:
    """Read an attribute that is one string; None where there is none of that name."""
    return _strings(group, attribute, 0)[0] if _has_attribute(group, attribute) else None


def parts(group: h5py.Group, attribute: str) -> list[str]:
    """Name the attributes that Keras splits a list over: name0, name1, ... above 64 KB."""
    if _has_attribute(group, attribute):
        return [attribute]
    numbered = (f"{attribute}{i}" for i in count())
    return list(takewhile(lambda part: _has_attribute(group, part), numbered))


def names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names that Keras may have split over several attributes."""
    if not (every := parts(group, attribute)):
        raise refusal(f"{place_of(group)} lacks an attribute '{attribute}'")
    found = [name for part in every for name in _strings(group, part, dimensions=1)]
    if (longest := max(map(len, found), default=0)) > _LONGEST_NAME:
        place = f"attribute '{attribute}' of {place_of(group)}"
        raise refusal(f"{place} holds a name of {longest} characters")
    return found


def _strings(group: h5py.Group, attribute: str, dimensions: int) -> list[str]:
    """Read an attribute that must be one string (of 0 dimensions) or a list of strings (of 1)."""
    place = f"attribute '{attribute}' of {place_of(group)}"
    with as_model_file_error(place):
        header = group.attrs.get_id(attribute)
        shape, dtype, size = header.shape, header.dtype, header.get_type().get_size()
    if dimensions == 1 and shape == (0,):  # Keras stores an empty list as one of numbers
        return []
    found = str(dtype) if h5py.check_string_dtype(dtype) is None else "strings"
    if found != "strings" or shape is None or len(shape) != dimensions:
        wanted = "a list of strings" if dimensions else "one string"
        raise refusal(f"{place} holds {found} of shape {shape}, not {wanted}")
    if math.prod(shape) * size > _file_size(group):
        raise refusal(f"{place} declares more text than the file holds")
    if h5py.check_string_dtype(dtype).length is None:
        with as_model_file_error(place):
            check_lengths(group, attribute, math.prod(shape), place)
    with as_model_file_error(place):
        value = group.attrs[attribute]
        return [_decoded(string) for string in (value if dimensions else [value])]


def _decoded(string: bytes | str) -> str:
    if isinstance(string, bytes):
        return string.decode()
    string.encode()  # fails where h5py smuggled bytes that are not UTF-8 through as surrogates
    return string


def _least_bytes(dataset: h5py.Dataset) -> int:
    """Check what a dataset declares; return the fewest bytes it can take up in the file."""
    place = place_of(dataset)
    # First of all: to ask a virtual dataset for its shape can already open other files.
    with as_model_file_error(place):
        layout = dataset.id.get_create_plist()
        is_elsewhere = layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count() > 0
        filters = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())}
    if is_elsewhere:
        found = "keeps its numbers in another file, which lcfast never opens"
        raise refusal(f"{place} {found}", advice="store them here")
    if filters - _FILTERS:
        found = f"is packed with HDF5 filter {min(filters - _FILTERS)}"
        raise refusal(f"{place} {found}", advice="store it plain, or with gzip, lzf or szip")
    with as_model_file_error(place):
        shape, chunk, dtype = dataset.shape, dataset.chunks or (), dataset.dtype
        item_size = dataset.id.get_type().get_size()
        stored, there = dataset.id.get_storage_size(), _file_size(dataset)
    if shape is None or dtype.kind not in "biuf" or dtype.itemsize > 8:
        found = "nothing" if shape is None else f"values of type {dtype}"
        raise refusal(f"{place} holds {found}, not an array of floats, integers or booleans")
    # A whole chunk is unpacked even where the array fills only a part of it.
    declared = item_size * max(math.prod(shape), math.prod(chunk)) if math.prod(shape) else 0
    least = -(-declared // _MOST_PACKING) if filters & PACKERS else declared
    if least > min(stored, there):
        found = f"declares {declared} bytes of numbers, but {min(stored, there)} are stored"
        raise refusal(f"{place} {found}")
    if stored > there:  # HDF5 allocates what a chunk says it takes
        raise refusal(f"{place} takes up {stored} bytes of a file that has {there}")
    return least


def read_array(dataset: h5py.Dataset) -> np.ndarray:
    """Read a dataset whose size has been checked, in this machine's byte order."""
    with as_model_file_error(place_of(dataset)):
        # By its name in this machine's byte order, a dtype also loses what h5py tags it with.
        native = np.dtype(dataset.dtype.newbyteorder("=").str)
        if dataset.chunks:
            check_packing(dataset)
        return np.asarray(dataset[()], dtype=native, order="C")


def _look_through(window: Window) -> None:
    """Read every byte once: sum them, and find the heaps of text, which HDF5 trusts too much."""
    checksum = 0
    heaps: list[int] = []
    block = np.empty(_BLOCK + 8, np.uint8)
    views = [block[shift : shift + _BLOCK].view("<u4") for shift in range(4)]
    first = np.frombuffer(HEAP, "<u4", 1)[0]
    for start in range(0, window.size, _BLOCK):
        window.seek(start)
        window.readinto(block)
        if window.checksum is not None:
            checksum = zlib.crc32(block[: min(_BLOCK, window.size - start)].data, checksum)
        for shift, view in enumerate(views):  # mmap.find takes longer than reading the file
            if (found := view == first).any():
                places = np.flatnonzero(found) * 4 + shift
                heaps += [start + int(at) for at in places if block[at + 4] == HEAP[4]]
    if window.checksum not in (None, checksum):
        raise refusal("the file has other bytes than its checksum says")
    if heaps:
        with mmap(window.file.fileno(), 0, access=ACCESS_READ) as data:
            check_heaps(data, window.start, window.size, sorted(heaps))


def place_of(member: h5py.Group | h5py.Dataset) -> str:
    """Return what a message calls a group or dataset."""
    kind = type(member).__name__.lower()
    return "the root group" if member.name == "/" else f"{kind} {quoted(str(member.name))}"


def _file_size(member: h5py.Group | h5py.Dataset) -> int:
    return int(member.file.id.get_filesize())
