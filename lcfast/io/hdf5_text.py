"""Variable-length strings in HDF5 files: lengths and heaps are checked before HDF5 reads them.

A variable-length string is a length and a reference into a heap ("GCOL") that several may share.
HDF5 allocates the length, up to 4 GiB, before it reads the heap, and may loop forever over a
corrupt heap. Both are therefore checked here in the file's own bytes.
"""

from __future__ import annotations

import struct
from mmap import mmap

import h5py

from lcfast.io.hdf5_headers import UNPADDED, attributes
from lcfast.io.reading import refusal

HEAP = b"GCOL\1"
"""The signature and the version of a heap of strings."""

_SIZES = struct.Struct("<4xI4xI")  # in a string type: the bytes of a string, and of a character
_STRING = struct.Struct("<I8x4x")  # its length; the address of its heap; its number there


def check_heaps(data: mmap, first: int, size: int, heaps: list[int]) -> None:
    """Check the heaps of a file before HDF5 reads them.

    HDF5 loops forever over a free object of size 0 (https://github.com/HDFGroup/hdf5/issues/1707).

    Parameters
    ----------
    data : mmap
        The bytes that contain the file.
    first, size : int
        The offset of the file in `data`, and its size in bytes.
    heaps : list of int
        The offsets in the file where the signature of a heap was found.
    """
    declared = 0
    for heap in heaps:
        start = first + heap
        end = start + int.from_bytes(data[start + 8 : start + 16], "little")
        if end > first + size:
            continue  # not a heap, but numbers that look like one
        declared += end - start
        offset = start + 16
        while offset + 16 <= end:
            index, length = struct.unpack_from("<H6xQ", data, offset)
            offset += 16 + length + -length % 8 if index else length or end
        if start + 16 < end < offset or declared > size:
            raise refusal(f"the heap of text at byte {heap} is damaged")


def check_lengths(group: h5py.Group, attribute: str, count: int, location: str) -> None:
    """Refuse an attribute of `count` strings whose total length exceeds the file."""
    stored = attributes(h5py.h5o.get_info(group.id).addr)
    size = group.file.id.get_filesize()
    every = (_of_attribute(content, attribute.encode()) for content in stored)
    found = [text for text in every if text is not None]
    if not found:
        lacks = "is not stored with its group, so the lengths of its strings cannot be checked"
        raise refusal(
            f"{location} {lacks}",
            advice="save the model again with Keras 2 as model.save('model.h5', save_format='h5')",
        )
    for kind, text in found:
        string, character = _SIZES.unpack_from(kind.ljust(_SIZES.size, b"\0"))
        if (string, character) != (_STRING.size, 1):  # HDF5 multiplies by them
            found_there = f"stores a string in {string} bytes and a character in {character}"
            raise refusal(f"{location} {found_there}, not in {_STRING.size} and 1")
        strings = text[: count * _STRING.size]
        if len(strings) < count * _STRING.size:
            raise refusal(f"{location} ends before its text")
        if sum(length for (length,) in _STRING.iter_unpack(strings)) > size:
            raise refusal(f"{location} declares more text than the file holds")


def _of_attribute(message: bytes, name: bytes) -> tuple[bytes, bytes] | None:
    """The type and the values of an attribute, if it has this name."""
    if len(message) < 9:
        return None
    version, sizes = message[0], struct.unpack_from("<HHH", message, 2)
    start = UNPADDED.get(version, 8)
    if version not in UNPADDED:
        sizes = tuple(size + -size % 8 for size in sizes)
    if message[start : start + sizes[0]].partition(b"\0")[0] != name:
        return None
    return message[start + sizes[0] :], message[start + sum(sizes) :]
