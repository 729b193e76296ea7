"""Object headers of HDF5 files, checked in the file's own bytes before HDF5 opens the objects.

Both versions of a header are blocks of messages, and a message may refer to the next block or to a
table. HDF5 allocates the size that a block or a table declares before it notices that the file is
shorter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lcfast.io.hdf5_bytes import HDF5Bytes
from lcfast.io.hdf5_tables import (
    check_attributes,
    check_chunks,
    check_members,
    check_names,
    objects_of_group,
)
from lcfast.io.reading import refusal

UNPADDED = {2: 8, 3: 9}
"""Bytes before the name in the message of an attribute, by its version."""

# Kinds of messages.
_LINKS, _LINK, _FILES, _LAYOUT, _ATTRIBUTE, _SHARING = 2, 6, 7, 8, 12, 15
_CONTINUATION, _SYMBOL_TABLE, _ATTRIBUTES, _CACHE = 16, 17, 21, 24

_SHARED = 2  # a flag of a message that is stored elsewhere
_TWO_NUMBERS = struct.Struct("<QQ")
_OF_ATTRIBUTE = struct.Struct("<BBHHH")  # version, flags; bytes of its name, its type, its shape


class Headers:
    """The headers of one file, each checked once.

    Parameters
    ----------
    file : HDF5Bytes
        The bytes of the file.

    Attributes
    ----------
    attributes : dict of int to list of bytes
        The stored attributes of each object that was checked, by the object's address.
    """

    def __init__(self, file: HDF5Bytes) -> None:
        self.file = file
        self.attributes: dict[int, list[bytes]] = {}
        for root in file.roots:
            self.check(root, f"the object at byte {root}")

    def check(self, address: int, location: str) -> None:
        """Refuse an object that declares more bytes than the file has, or refers to one that does.

        The members of a group are followed. Members that newer files store in a heap are checked
        when they are opened.
        """
        waiting = [(address, location)]
        while waiting:
            address, location = waiting.pop()
            if address not in self.attributes:
                self.attributes[address] = []
                named = self._named(address, location)
                waiting += [(found, f"the object at byte {found}") for found in named]

    def _named(self, address: int, location: str) -> Iterator[int]:
        """Check what a header refers to, and yield the addresses of the objects among that."""
        for kind, is_elsewhere, content in _messages(self.file, address, location):
            self.file.claim(4 + len(content), location)
            if is_elsewhere:
                yield _holder(content)
            elif kind == _ATTRIBUTE:
                self.attributes[address].append(content)
                yield from _holders(content)
            elif kind == _LINK:
                yield from _linked(content)
            elif kind == _SYMBOL_TABLE and len(content) >= _TWO_NUMBERS.size:
                tree, heap = _TWO_NUMBERS.unpack_from(content)
                check_names(self.file, heap, location)
                yield from objects_of_group(self.file, tree, location)
            else:
                _check_tables(self.file, kind, content, location)


_current: ContextVar[Headers | None] = ContextVar("headers", default=None)


@contextmanager
def checking_members(headers: Headers | None) -> Iterator[None]:
    """Check members that are opened in this context with these headers; None checks nothing."""
    token = _current.set(headers)
    try:
        yield
    finally:
        _current.reset(token)


def check_member(address: int, location: str) -> None:
    """Check a member of a group before it is opened, unless the file was checked before."""
    if headers := _current.get():
        headers.check(address, location)


def attributes(address: int) -> list[bytes]:
    """The attributes that are stored with an object of the open file."""
    headers = _current.get()
    return headers.attributes.get(address, []) if headers else []


def _messages(file: HDF5Bytes, address: int, location: str) -> Iterator[tuple[int, bool, bytes]]:
    """The messages of a header: the kind, whether the content is stored elsewhere, the content."""
    prefix = file.at(address, 16)
    if len(prefix) < 16:
        return  # HDF5 raises
    is_newer = prefix.startswith(b"OHDR")
    if is_newer:
        flags = prefix[5]
        head = 6 if flags & 4 else 4
        size_at = address + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        blocks = [(size_at + width, file.number(size_at, width))]
    else:
        head = 8
        blocks = [(address + 16, int.from_bytes(prefix[8:12], "little"))]
    total = 0
    while blocks:
        at, size = blocks.pop()
        total += size
        if total > file.size:
            raise refusal(f"{location} has a header of {total} bytes, more than the file")
        block = file.at(at, size)
        at = 0
        while at + head <= len(block):
            size_at = at + (1 if is_newer else 2)
            kind = int.from_bytes(block[at:size_at], "little")
            size = int.from_bytes(block[size_at : size_at + 2], "little")
            content = block[at + head : at + head + size]
            yield kind, bool(block[size_at + 2] & _SHARED), content
            if kind == _CONTINUATION and len(content) >= _TWO_NUMBERS.size:
                offset, length = _TWO_NUMBERS.unpack_from(content)
                # The blocks of newer files begin with a signature and end with a checksum.
                mark = 4 if is_newer else 0
                blocks.append((offset + mark, max(0, length - 2 * mark)))
            at += head + size


def _check_tables(file: HDF5Bytes, kind: int, content: bytes, location: str) -> None:
    """Refuse the tables that a message refers to if they declare too much."""
    if kind in (_LINKS, _ATTRIBUTES) and len(content) >= 2:
        start = 2 + (8 if kind == _LINKS else 2) * (content[1] & 1)
        heap, *trees = (
            int.from_bytes(content[at : at + 8], "little") for at in range(start, start + 24, 8)
        )
        if kind == _ATTRIBUTES:
            check_attributes(heap, location)
        else:
            check_members(file, heap, trees[: 1 + (content[1] >> 1 & 1)], location)
    elif kind == _FILES:
        check_names(file, int.from_bytes(content[8:16], "little"), location)
    elif kind == _LAYOUT:
        check_chunks(content, location)
    elif kind in (_SHARING, _CACHE):
        raise refusal(f"{location} has a message of kind {kind}, which Keras never writes")


def _holder(content: bytes) -> int:
    """The address of the object that stores a shared message, from the message's content."""
    start = 16 if content.startswith(b"\1") else 2
    return int.from_bytes(content[start : start + 8], "little")


def _holders(attribute: bytes) -> Iterator[int]:
    """The addresses of the objects that store the type or the shape of an attribute."""
    if len(attribute) >= _OF_ATTRIBUTE.size:
        version, flags, name, kind, _ = _OF_ATTRIBUTE.unpack_from(attribute)
        if version in UNPADDED:
            start = UNPADDED[version] + name
            yield from [_holder(attribute[start:])] * (flags & 1)
            yield from [_holder(attribute[start + kind :])] * (flags >> 1 & 1)


def _linked(link: bytes) -> Iterator[int]:
    """The address of the target of a newer group's link, if it is a hard link."""
    flags = link[1] if len(link) > 1 else 0
    if flags & 8 and link[2:3] != b"\0":
        return
    start = 2 + (flags >> 3 & 1) + 8 * (flags >> 2 & 1) + (flags >> 4 & 1)
    end = start + (1 << (flags & 3))
    name = int.from_bytes(link[start:end], "little")
    yield int.from_bytes(link[end + name : end + name + 8], "little")
