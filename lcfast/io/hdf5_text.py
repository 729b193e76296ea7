"""Text of variable length in HDF5 files: checked where it lies, because HDF5 trusts it too much.

A string of variable length is a length, and a place in a heap ("GCOL") that several may share. HDF5
allocates the length before it looks into the heap, up to 4 GiB for each string, and over a
damaged heap it may loop forever. So both are read here first, out of the file's own bytes.
"""

from __future__ import annotations

import struct
from mmap import mmap

import h5py

from lcfast.io.hdf5_headers import UNPADDED, attributes
from lcfast.io.reading import refusal

HEAP = b"GCOL\1"
"""The mark and the version of a heap of text."""

_SIZES = struct.Struct("<4xI4xI")  # in a type of text: the bytes of a string, and of a character
_STRING = struct.Struct("<I8x4x")  # its length; the address of its heap; its number there


def check_heaps(data: mmap, first: int, size: int, heaps: list[int]) -> None:
    """Walk the heaps of a file as HDF5 would, before HDF5 does.

    Over a free object of no size it loops forever (https://github.com/HDFGroup/hdf5/issues/1707).

    Parameters
    ----------
    data : mmap
        What holds the file.
    first, size : int
        Where the file begins in it, and how many bytes it has.
    heaps : list of int
        Where something in the file has the mark of a heap.
    """
    declared = 0
    for place in heaps:
        start = first + place
        end = start + int.from_bytes(data[start + 8 : start + 16], "little")
        if end > first + size:
            continue  # no heap, but numbers that look like one
        declared += end - start
        offset = start + 16
        while offset + 16 <= end:
            index, length = struct.unpack_from("<H6xQ", data, offset)
            offset += 16 + length + -length % 8 if index else length or end
        if start + 16 < end < offset or declared > size:
            raise refusal(f"the heap of text at byte {place} is damaged")


def check_lengths(group: h5py.Group, attribute: str, count: int, place: str) -> None:
    """Refuse an attribute of `count` strings whose lengths are more than the file can hold."""
    stored = attributes(h5py.h5o.get_info(group.id).addr)
    size = group.file.id.get_filesize()
    every = (_of_attribute(content, attribute.encode()) for content in stored)
    found = [text for text in every if text is not None]
    if not found:
        raise refusal(
            f"{place} is not stored with its group, so the lengths of its text cannot be checked",
            advice="save the model again with Keras 2 as model.save('model.h5', save_format='h5')",
        )
    for kind, text in found:
        string, character = _SIZES.unpack_from(kind.ljust(_SIZES.size, b"\0"))
        if (string, character) != (_STRING.size, 1):  # HDF5 multiplies by them
            found_there = f"stores a string in {string} bytes and a character in {character}"
            raise refusal(f"{place} {found_there}, not in {_STRING.size} and 1")
        strings = text[: count * _STRING.size]
        if len(strings) < count * _STRING.size:
            raise refusal(f"{place} ends before its text")
        if sum(length for (length,) in _STRING.iter_unpack(strings)) > size:
            raise refusal(f"{place} declares more text than the file holds")


def _of_attribute(message: bytes, name: bytes) -> tuple[bytes, bytes] | None:
    """The type and the values of an attribute, where it has this name."""
    if len(message) < 9:
        return None
    version, sizes = message[0], struct.unpack_from("<HHH", message, 2)
    start = UNPADDED.get(version, 8)
    if version not in UNPADDED:
        sizes = tuple(size + -size % 8 for size in sizes)
    if message[start : start + sizes[0]].partition(b"\0")[0] != name:
        return None
    return message[start + sizes[0] :], message[start + sum(sizes) :]
