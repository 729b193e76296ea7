"""Damage structures of HDF5's newest file format, and correct their checksums."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

# Bytes before the checksum of structures of fixed size; the superblock is one.
_SIZES = {b"\x89HDF": 44, b"BTHD": 34, b"FRHP": 142, b"FAHD": 24, b"EAHD": 68}
_MARKS = re.compile(b"|".join([*map(re.escape, _SIZES), b"OHDR"]))
_CONTINUATION = 16

Part = tuple[int, int, int]
"""Where a structure starts and ends, and where its checksum is."""


def damaged(
    data: bytes, chance: random.Random, damage: Callable[[bytes, random.Random], bytes]
) -> bytes:
    """Damage one structure that has a checksum, and correct the checksum."""
    found = list(_parts(data))
    if not found:
        return damage(data, chance)
    start, end, place = chance.choice(found)
    inside = bytearray(damage(data[start:end], chance)[: end - start].ljust(end - start, b"\0"))
    if place < end:  # inside the summed bytes, where it counts as zeros
        inside[place - start : place - start + 4] = bytes(4)
    checksum = lookup3(inside).to_bytes(4, "little")
    changed = data[:start] + bytes(inside) + data[end:]
    return changed[:place] + checksum + changed[place + 4 :]


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 checksum, as HDF5 computes it."""
    a = b = c = 0xDEADBEEF + len(data) & 0xFFFFFFFF
    padded = data + bytes(-len(data) % 12)
    for at in range(0, len(padded), 12):
        a, b, c = (
            number + int.from_bytes(padded[place : place + 4], "little") & 0xFFFFFFFF
            for number, place in ((a, at), (b, at + 4), (c, at + 8))
        )
        a, b, c = _mixed(a, b, c) if at + 12 < len(padded) else _final(a, b, c)
    return c


def _rotated(number: int, bits: int) -> int:
    return (number << bits | number >> 32 - bits) & 0xFFFFFFFF


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & 0xFFFFFFFF) ^ _rotated(c, bits)
        a, b, c = b, c + b & 0xFFFFFFFF, a
    return a, b, c


def _final(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotated(b, bits) & 0xFFFFFFFF
        a, b, c = b, c, a
    return c, a, b


def _parts(data: bytes) -> Iterator[Part]:
    for found in _MARKS.finditer(data):
        start, mark = found.start(), found[0]
        if mark == b"OHDR":
            yield from _blocks(data, start)
            continue
        end = start + _SIZES[mark]
        if end + 4 <= len(data):
            yield start, end, end
            if mark == b"BTHD":
                yield from _records(data, start)
            if mark == b"FRHP":
                yield from _of_heap(data, start)


def _number(data: bytes, start: int, width: int) -> int:
    return int.from_bytes(data[start : start + width], "little")


def _whole(data: bytes, start: int, size: int, mark: bytes) -> Iterator[Part]:
    if data.startswith(mark, start) and start + size + 4 <= len(data):
        yield start, start + size, start + size


def _blocks(data: bytes, start: int) -> Iterator[Part]:
    """The blocks of an object header, each with its messages."""
    flags = _number(data, start + 5, 1)
    size_at = start + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    first = size_at + width
    waiting = [(start, first + _number(data, size_at, width) - start, first)]
    for block, size, at in waiting:
        if len(waiting) > 99 or block + size > len(data):
            return
        yield from _whole(data, block, size, b"OHDR" if block == start else b"OCHK")
        while at + 4 <= block + size:
            content = at + (6 if flags & 4 else 4)
            if data[at] == _CONTINUATION:
                offset, length = _number(data, content, 8), _number(data, content + 8, 8)
                waiting.append((offset, length - 4, offset + 4))
            at = content + _number(data, at + 1, 2)


def _records(data: bytes, tree: int) -> Iterator[Part]:
    """The single node of a tree that has no other."""
    size = _number(data, tree + 10, 2) * _number(data, tree + 24, 2)
    yield from _whole(data, _number(data, tree + 16, 8), 6 + size, b"BTLF")


def _of_heap(data: bytes, heap: int) -> Iterator[Part]:
    """The single block of a heap that has no other; its checksum is inside the block."""
    start, size = _number(data, heap + 132, 8), _number(data, heap + 112, 8)
    place = start + 13 + (_number(data, heap + 128, 2) + 7) // 8
    if data.startswith(b"FHDB", start) and place + 4 <= start + size <= len(data):
        yield start, start + size, place
