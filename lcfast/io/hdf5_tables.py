"""Checks of the tables that HDF5 object headers refer to: members, names and chunk indexes.

HDF5 allocates the size that a table declares before it notices that the file is shorter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from lcfast.errors import ModelFileError
from lcfast.io.hdf5_bytes import HDF5Bytes
from lcfast.io.reading import refusal

_SYMBOL = struct.Struct("<8xQ24x")  # the address of an object's header
_CHILD = struct.Struct("<Q8x")  # the address of a node; the name up to which it goes
_LARGEST = 2**16  # bytes; HDF5 never writes a larger node or block
_UNDEFINED = 2**64 - 1  # HDF5's undefined address
# Of a heap of members: the bytes of a heap id and of filter information; the tree of huge objects;
# the blocks in a row, the bytes of the first and of the largest, the bits of an offset, the initial
# rows; the current rows.
_HEAP = struct.Struct("<5xHH13xQ80xHQQHH8xH")
_SHAPE = (
    7,
    0,
    _UNDEFINED,
    4,
    512,
    2**16,
    32,
    1,
)  # all but the current rows, always
_MOST_ROWS = 22
# Of a tree: its kind, the bytes of a node and of a record, its levels, its root, the records there,
# and all records.
_NEWER_TREE = struct.Struct("<5xBIHH2xQHQ")
_RECORDS = {5: 11, 6: 15}  # bytes of one, by the kind of a tree: of members by name, in order
_AROUND = 10  # bytes of a node that are no records: its mark, version, kind and checksum
_MOST_LEVELS = 16  # far more than a disk could hold
_IN_CHUNKS = 2  # the chunked layout of a dataset
_WITHOUT_TABLE = (1, 2)  # chunk indexes: a single chunk, or chunks side by side


def objects_of_group(file: HDF5Bytes, tree: int, location: str) -> Iterator[int]:
    """The addresses of the members of a group, from its tree of tables of symbols."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        mark, count = file.at(node, 4), file.number(node + 6, 2)
        if mark == b"TREE":
            children = file.at(node + 32, _CHILD.size * count)
            file.claim(24 + len(children), location)
            waiting += (child for (child,) in _CHILD.iter_unpack(_whole(children, _CHILD)))
        elif mark == b"SNOD":
            symbols = file.at(node + 8, _SYMBOL.size * count)
            file.claim(8 + len(symbols), location)
            yield from (found for (found,) in _SYMBOL.iter_unpack(_whole(symbols, _SYMBOL)))


def _whole(content: bytes, form: struct.Struct) -> bytes:
    return content[: len(content) - len(content) % form.size]


def check_names(file: HDF5Bytes, heap: int, location: str) -> None:
    """Refuse a heap of names that declares more bytes than the file has."""
    if file.number(heap + 8, 8) > file.size:
        raise refusal(f"{location} has names that take up more than the file")


def check_members(file: HDF5Bytes, heap: int, trees: Sequence[int], location: str) -> None:
    """Refuse a heap or tree of members in a shape that HDF5 never writes, as HDF5 may crash on it.

    Groups of more than eight members have both where a name is not ASCII.
    """
    if heap == _UNDEFINED:
        return
    *shape, rows = file.numbers(_HEAP, heap)
    if file.at(heap, 4) != b"FRHP" or tuple(shape) != _SHAPE or rows > _MOST_ROWS:
        raise refusal(f"{location} has a heap of a shape that HDF5 never gives to one")
    for tree, kind in zip(trees, _RECORDS, strict=False):
        if tree != _UNDEFINED:
            _check_tree(file, tree, kind, location)


def _check_tree(file: HDF5Bytes, tree: int, wanted: int, location: str) -> None:
    """Refuse a tree with larger nodes than HDF5 writes, because HDF5 allocates a whole node.

    Refuse a wrong number of records, because HDF5 allocates a table of the declared number, and
    then writes beyond its end or sorts uninitialised entries.
    """
    kind, node, record, levels, root, count, total = file.numbers(_NEWER_TREE, tree)
    if file.at(tree, 4) != b"BTHD" or kind != wanted or record != _RECORDS[kind]:
        raise refusal(f"{location} has a tree of kind {kind}, with records of {record} bytes")
    if node > _LARGEST:
        raise refusal(f"{location} has a tree with nodes of {node} bytes")
    if levels > _MOST_LEVELS:
        raise refusal(f"{location} has a tree of {levels} levels")
    most = _most_records(node, record, levels)
    found, waiting = 0, [(root, count, levels)]
    while waiting:
        at, count, level = waiting.pop()
        found += count
        if count > most[level][0]:
            raise refusal(f"{location} has a tree with {count} records in a node")
        if level:
            file.claim(node, location)
            of_count, of_total = _width(most[0][0]), _width(most[level - 1][1]) if level > 1 else 0
            first, size = at + 6 + record * count, 8 + of_count + of_total
            for child in range(first, first + size * (count + 1), size):
                waiting.append((file.number(child, 8), file.number(child + 8, of_count), level - 1))
    if found != total:
        raise refusal(f"{location} has a tree of {found} records that says {total}")


def _most_records(node: int, record: int, levels: int) -> list[tuple[int, int]]:
    """For each level from the leaves up: the most records in a node, and in its whole subtree."""
    records = max(0, node - _AROUND) // record
    most = [(records, records)]
    for level in range(levels):
        below = most[-1][1]
        child = 8 + _width(most[0][0]) + (_width(below) if level else 0)
        records = max(0, node - _AROUND - child) // (record + child)
        most.append((records, (records + 1) * below + records))
    return most


def _width(most: int) -> int:
    """The bytes in which HDF5 stores a number up to `most`."""
    return max(0, most.bit_length() - 1) // 8 + 1


def check_chunks(layout: bytes, location: str) -> None:
    """Refuse chunks that are listed in a table of the newest layout."""
    if len(layout) >= 5 and layout[0] >= 4 and layout[1] == _IN_CHUNKS:
        kind_at = 5 + layout[3] * layout[4]
        if int.from_bytes(layout[kind_at : kind_at + 1], "little") not in _WITHOUT_TABLE:
            raise _newest("chunks", location)


def check_attributes(heap: int, location: str) -> None:
    """Refuse attributes that are stored in a heap."""
    if heap != _UNDEFINED:
        raise _newest("attributes", location)


def _newest(what: str, location: str) -> ModelFileError:
    # HDF5 crashes on corrupt ones; only the tables of members are worth checking.
    return refusal(
        f"{location} keeps its {what} in a table of HDF5's newest layout, which Keras never writes",
        advice="write the file again without libver='latest'",
    )
