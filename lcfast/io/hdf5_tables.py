"""Tables that the headers of HDF5 objects name: members, names, and the places of chunks.

HDF5 allocates what a table says it takes before it finds that the file is shorter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lcfast.io.hdf5_bytes import HDF5Bytes
from lcfast.io.reading import refusal

_SYMBOL = struct.Struct("<8xQ24x")  # the address of an object's header
_CHILD = struct.Struct("<Q8x")  # the address of a node; the name up to which it goes
_LARGEST = 2**16  # bytes; HDF5 makes no larger node or block, and lets nobody ask for one
# Of a newer heap: the bytes of a reference into it, and of how it is packed; the tree of what is
# too large for it; the blocks in a row, the bytes of the first and of the largest, the bits of a
# place, the rows to begin with; the rows.
_HEAP = struct.Struct("<5xHH13xQ80xHQQHH8xH")
# All but the tree, as HDF5 has it for members and for attributes, and the most rows of such a heap.
_HEAPS: dict[tuple[int, ...], int] = {
    (7, 0, 4, 512, 2**16, 32, 1): 22,
    (8, 0, 4, 1024, 2**16, 40, 1): 29,
}
# Of a tree: its kind, the bytes of a node and of a record, its levels, its root, the records there,
# and all records.
_NEWER_TREE = struct.Struct("<5xBIHH2xQHQ")
LARGE, LINKS, LINKS_IN_ORDER, ATTRIBUTES, ATTRIBUTES_IN_ORDER = 1, 5, 6, 8, 9
"""Kinds of trees, by what their records are of."""

_CHUNKS = (10, 11)

# Bytes of a record; that of a chunk has as many as the chunk has dimensions.
_RECORDS = {LARGE: 24, LINKS: 11, LINKS_IN_ORDER: 15, ATTRIBUTES: 17, ATTRIBUTES_IN_ORDER: 13}
_AROUND = 10  # bytes of a node that are no records: its mark, version, kind and checksum
_MOST_LEVELS = 16  # a hundred to the power of them would not fit a disk
_FIXED_LIST = struct.Struct("<6xBxQ")  # bytes of an entry; how many there are
_IN_CHUNKS = 2  # how a dataset is laid out
_LIST, _TREE = 3, 5  # where its chunks are listed
_SETTINGS = {_LIST: 1, _TREE: 6}  # bytes ahead of the address of that


def objects_of_group(file: HDF5Bytes, tree: int, place: str) -> Iterator[int]:
    """The addresses of the members of a group, from its tree of tables of symbols."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        mark, count = file.at(node, 4), file.number(node + 6, 2)
        if mark == b"TREE":
            children = file.at(node + 32, _CHILD.size * count)
            file.claim(24 + len(children), place)
            waiting += (child for (child,) in _CHILD.iter_unpack(_whole(children, _CHILD)))
        elif mark == b"SNOD":
            symbols = file.at(node + 8, _SYMBOL.size * count)
            file.claim(8 + len(symbols), place)
            yield from (found for (found,) in _SYMBOL.iter_unpack(_whole(symbols, _SYMBOL)))


def _whole(content: bytes, form: struct.Struct) -> bytes:
    return content[: len(content) - len(content) % form.size]


def check_names(file: HDF5Bytes, heap: int, place: str) -> None:
    """Refuse a heap of names that takes up more than the file."""
    if file.number(heap + 8, 8) > file.size:
        raise refusal(f"{place} has names that take up more than the file")


def check_newer_heap(file: HDF5Bytes, heap: int, place: str) -> None:
    """Refuse a heap of another shape than HDF5's own, over some of which it crashes."""
    if file.at(heap, 4) != b"FRHP":
        return  # HDF5 refuses it, if there is one
    reference, packing, tree, *shape, rows = file.numbers(_HEAP, heap)
    if rows > _HEAPS.get((reference, packing, *shape), -1):
        raise refusal(f"{place} has a heap of a shape that HDF5 never gives to one")
    check_newer_tree(file, tree, (LARGE,), place)
    if file.at(tree, 4) == b"BTHD":
        _check_large(file, tree, place)


def _check_large(file: HDF5Bytes, tree: int, place: str) -> None:
    """Refuse what is too large for a heap where it is also too large for the file."""
    _, _, record, levels, root, count, _ = file.numbers(_NEWER_TREE, tree)
    if levels:
        raise refusal(f"{place} has more attributes of unusual size than a file of Keras has")
    file.claim(16 * count, place)
    for number in range(count):
        size = file.number(root + 6 + record * number + 8, 8)
        if size > file.size:
            raise refusal(f"{place} has an attribute of {size} bytes, more than the file")


def check_newer_tree(file: HDF5Bytes, tree: int, kinds: tuple[int, ...], place: str) -> None:
    """Refuse a tree of another kind than HDF5 makes in its place: over some it crashes.

    Refuse larger nodes than trees ever have, because HDF5 fills one with zeros; and more or fewer
    records than the tree says, because HDF5 makes a table of as many as that, and writes behind
    its end or sorts what it never wrote.
    """
    if file.at(tree, 4) != b"BTHD":
        return  # HDF5 refuses it, if there is one
    kind, node, record, levels, root, count, total = file.numbers(_NEWER_TREE, tree)
    if kind not in kinds or record != _RECORDS.get(kind, record):
        raise refusal(f"{place} has a tree of kind {kind}, with records of {record} bytes")
    if node > _LARGEST:
        raise refusal(f"{place} has a tree with nodes of {node} bytes")
    if levels > _MOST_LEVELS or not record:
        raise refusal(f"{place} has a tree of {levels} levels, with records of {record} bytes")
    most = _most_records(node, record, levels)
    found, waiting = 0, [(root, count, levels)]
    while waiting:
        at, count, level = waiting.pop()
        found += count
        if count > most[level][0]:
            raise refusal(f"{place} has a tree with {count} records in a node")
        if level:
            file.claim(node, place)
            of_count, of_total = _width(most[0][0]), _width(most[level - 1][1]) if level > 1 else 0
            first, size = at + 6 + record * count, 8 + of_count + of_total
            for child in range(first, first + size * (count + 1), size):
                waiting.append((file.number(child, 8), file.number(child + 8, of_count), level - 1))
    if found != total:
        raise refusal(f"{place} has a tree of {found} records that says {total}")


def _most_records(node: int, record: int, levels: int) -> list[tuple[int, int]]:
    """Of each level from the leaves on: the most records in a node, and in all from there down."""
    records = max(0, node - _AROUND) // record
    most = [(records, records)]
    for level in range(levels):
        below = most[-1][1]
        child = 8 + _width(most[0][0]) + (_width(below) if level else 0)
        records = max(0, node - _AROUND - child) // (record + child)
        most.append((records, (records + 1) * below + records))
    return most


def _width(most: int) -> int:
    """The bytes that HDF5 has for a number that is never more."""
    return max(0, most.bit_length() - 1) // 8 + 1


def check_chunks(file: HDF5Bytes, layout: bytes, place: str) -> None:
    """Refuse a list of a dataset's chunks that takes up more than the file."""
    if len(layout) < 5 or layout[0] < 4 or layout[1] != _IN_CHUNKS:
        return  # older files have trees of another kind, with nodes that are small
    kind_at = 5 + layout[3] * layout[4]
    kind = int.from_bytes(layout[kind_at : kind_at + 1], "little")
    start = kind_at + 1 + _SETTINGS.get(kind, 0)
    address = int.from_bytes(layout[start : start + 8], "little")
    if kind == _TREE:
        check_newer_tree(file, address, _CHUNKS, place)
    elif kind == _LIST and file.at(address, 4) == b"FAHD":
        size, count = file.numbers(_FIXED_LIST, address)
        if size * count > file.size:
            raise refusal(f"{place} has a list of chunks that takes up more than the file")
