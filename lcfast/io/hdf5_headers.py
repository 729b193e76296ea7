"""Object headers of HDF5 files, read out of the file's own bytes.

HDF5 allocates what a header says it takes, up to 4 GiB, before it reads it. Both versions of a
header are blocks of messages, and a message may say where the next block lies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap

import h5py

from lcfast.io.reading import refusal

ATTRIBUTE = 12
"""The kind of message that an attribute is."""

_CONTINUATION, _SYMBOL_TABLE = 16, 17
_SHARED = 2  # a flag of a message that lies somewhere else
_PLACE_AND_SIZE = struct.Struct("<QQ")


@contextmanager
def mapped(group: h5py.Group) -> Iterator[tuple[mmap, int]]:
    """The bytes of the file that a group is in, and where its addresses count from."""
    file = group.file.id
    with mmap(file.get_vfd_handle(), 0, access=ACCESS_READ) as data:
        yield data, file.get_create_plist().get_userblock()


def check_header(group: h5py.Group, address: int, place: str) -> None:
    """Refuse the header at an address, before HDF5 opens it, where it is larger than the file."""
    if group.file.driver == "fileobj":
        return  # a file within an archive gives HDF5 no descriptor
    with mapped(group) as (data, base):
        for kind, content in messages(data, base, address, place):
            if kind == _SYMBOL_TABLE and len(content) >= _PLACE_AND_SIZE.size:
                heap = base + _PLACE_AND_SIZE.unpack_from(content)[1]
                if int.from_bytes(data[heap + 8 : heap + 16], "little") > len(data):
                    raise refusal(f"{place} has names that take up more than the file")


def messages(data: mmap, base: int, address: int, place: str) -> Iterator[tuple[int, bytes]]:
    """The messages in the header of an object: the kind and the content of each."""
    start = base + address
    is_newer = data[start : start + 4] == b"OHDR"
    if is_newer:
        flags = data[start + 5]
        head = 6 if flags & 4 else 4
        at = start + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        blocks = [(at + width, int.from_bytes(data[at : at + width], "little"))]
    else:
        head = 8
        blocks = [(start + 16, int.from_bytes(data[start + 8 : start + 12], "little"))]
    seen = set()
    while blocks:
        at, size = block = blocks.pop()
        if size > len(data):
            raise refusal(f"{place} has a header of {size} bytes, more than the file")
        if block in seen:
            continue
        seen.add(block)
        end = min(at + size, len(data))
        while at + head <= end:
            size_at = at + (1 if is_newer else 2)
            kind = int.from_bytes(data[at:size_at], "little")
            size = int.from_bytes(data[size_at : size_at + 2], "little")
            flags, content = data[size_at + 2], data[at + head : at + head + size]
            at += head + size
            if kind == _CONTINUATION and len(content) >= _PLACE_AND_SIZE.size:
                offset, length = _PLACE_AND_SIZE.unpack_from(content)
                # The blocks of newer files begin with a mark and end with a checksum.
                mark = 4 if is_newer else 0
                blocks.append((base + offset + mark, max(0, length - 2 * mark)))
            elif not flags & _SHARED:
                yield kind, content
