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
WIDTHS = (8, 8)
"""Bytes of an address and of a size, in every file of h5py."""

_MARK = b"\x89HDF\r\n\x1a\n"
# By the version of the first block: where it has the root's address, and the two widths.
_ROOT = {0: (64, 13), 1: (68, 13), 2: (36, 9), 3: (36, 9)}
_SYMBOL = struct.Struct("<8xQ24x")  # the address of an object's header
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
        _members(data, base, address, place)


def check_headers(data: mmap, first: int, size: int) -> None:
    """Refuse a file any of whose headers is larger than it, before HDF5 opens the file.

    Groups are followed as h5py writes them by default, in tables of symbols; what newer files
    keep in other tables is left to `check_header`.

    Parameters
    ----------
    data : mmap
        What holds the file.
    first, size : int
        Where the file begins in it, and how many bytes it has.
    """
    block = 0  # of the user's own, ahead of the file
    while data[first + block : first + block + 8] != _MARK:
        block = max(512, 2 * block)
        if block >= size:
            return
    base = first + block
    version = data[base + 8]
    if version not in _ROOT:
        return  # HDF5 refuses it
    root, widths = _ROOT[version]
    if tuple(data[base + widths : base + widths + 2]) != WIDTHS:
        raise refusal("the file has addresses of an unusual width")
    waiting = [int.from_bytes(data[base + root : base + root + 8], "little")]
    seen = set()
    while waiting:
        address = waiting.pop()
        if address not in seen and base + address + 16 <= len(data):
            seen.add(address)
            waiting += _members(data, base, address, f"the object at byte {address}")


def _members(data: mmap, base: int, address: int, place: str) -> list[int]:
    """The addresses of the members of a group; none of a dataset."""
    found: list[int] = []
    for kind, content in messages(data, base, address, place):
        if kind == _SYMBOL_TABLE and len(content) >= _PLACE_AND_SIZE.size:
            tree, heap = _PLACE_AND_SIZE.unpack_from(content)
            if int.from_bytes(data[base + heap + 8 : base + heap + 16], "little") > len(data):
                raise refusal(f"{place} has names that take up more than the file")
            found += _in_tree(data, base, tree)
    return found


def _in_tree(data: mmap, base: int, tree: int) -> list[int]:
    """The addresses of the objects in a tree of symbols."""
    found: list[int] = []
    waiting, seen = [tree], set()
    while waiting:
        node = base + waiting.pop()
        if node in seen or node + 24 > len(data):
            continue
        seen.add(node)
        count = int.from_bytes(data[node + 6 : node + 8], "little")
        if data[node : node + 4] == b"TREE":
            children = data[node + 32 : node + 24 + 16 * count]
            waiting += (int.from_bytes(children[i : i + 8], "little") for i in _every_16(children))
        elif data[node : node + 4] == b"SNOD":
            symbols = data[node + 8 : node + 8 + _SYMBOL.size * count]
            whole = len(symbols) - len(symbols) % _SYMBOL.size
            found += (address for (address,) in _SYMBOL.iter_unpack(symbols[:whole]))
    return found


def _every_16(children: bytes) -> range:
    return range(0, len(children), 16)


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
