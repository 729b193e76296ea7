"""Format-aware mutators: they damage structures and then correct the checksums.

Each takes the bytes of a file and a random generator, and returns changed bytes. If the bytes are
not a valid file of the format, single bytes are flipped.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lcfast.io import checkpoint
from lcfast.io.crc32c import crc32c
from lcfast.io.protobuf import read_varint
from tests.support import hdf5_checksums

LARGEST = 60_000  # bytes of a seed
Mutator = Callable[[bytes, random.Random], bytes]

WORDS = tuple(
    bytes(line[1:-1], "ascii").decode("unicode_escape")
    for line in (Path(__file__).parent / "keras.dict").read_text().splitlines()
    if line.startswith('"')
)
_NUMBERS = (0, 1, 2, 7, 8, 127, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_STRUCTURES = re.compile(
    rb"OHDR|OCHK|TREE|SNOD|HEAP|GCOL|FRHP|FHDB|BTHD|\x89HDF|\x01\x00.\x00", re.DOTALL
)
_NEAR = 96  # bytes after the signature of a structure
_SOUND = [
    path
    for path in sorted((Path(__file__).parents[1] / "tests" / "golden").glob("*.h5"))
    if path.stat().st_size <= LARGEST
]


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Set some bytes at random positions."""
    changed = bytearray(data or b"\0")
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _with_number(data: bytes, place: int, chance: random.Random) -> bytes:
    """Write a number of random width at a position."""
    width = chance.choice((1, 2, 4, 8))
    kinds = (*_NUMBERS, len(data), len(data) - 1, chance.randrange(len(data) + 1))
    number = chance.choice(kinds) % 256**width
    return data[:place] + number.to_bytes(width, "little") + data[place + width :]


# ---------------------------------------------------------------- HDF5


def hdf5(data: bytes, chance: random.Random) -> bytes:
    """Damage a structure, or replace attributes, datasets and links."""
    kind = chance.random()
    if kind < 0.25:
        return _rewritten(chance)
    if kind < 0.6:
        return hdf5_checksums.damaged(data, chance, _in_structure)
    marks = [found.start() for found in _STRUCTURES.finditer(data)]
    for _ in range(chance.randint(1, 3)):
        if not marks or not data:
            return flipped(data, chance)
        place = min(chance.choice(marks) + chance.randrange(_NEAR), len(data) - 1)
        data = _with_number(data, place, chance)
    return data


def _in_structure(data: bytes, chance: random.Random) -> bytes:
    if not data or chance.random() < 0.3:
        return flipped(data, chance)
    return _with_number(data, chance.randrange(len(data)), chance)


def _rewritten(chance: random.Random) -> bytes:
    """A golden of Keras, changed by HDF5; writing to a damaged file may crash HDF5."""
    data = chance.choice(_SOUND).read_bytes()
    buffer = io.BytesIO(in_newest_layout(data) if chance.random() < 0.4 else data)
    with h5py.File(buffer, "r+") as file:
        found: list[Any] = [file]
        file.visititems(lambda _, member: found.append(member))
        for member in chance.sample(found, min(len(found), chance.randint(1, 4))):
            with suppress(Exception):  # it was already replaced, or the name exists
                _rewrite(member, chance)
    return buffer.getvalue()


def _rewrite(member: Any, chance: random.Random) -> None:
    attributes = list(member.attrs)
    kind = chance.randrange(4)
    if kind == 0 and attributes:
        name = chance.choice(attributes)
        value = member.attrs[name]
        text = value if isinstance(value, bytes) else str(value).encode()
        member.attrs[name] = config(text, chance) if name == "model_config" else text[:-1]
    elif kind == 1:
        values = ([], "", np.arange(3), np.array([b"a", b"a"]), [chance.choice(WORDS)], 2.5)
        member.attrs[chance.choice([*attributes, *WORDS])] = chance.choice(values)
    elif isinstance(member, h5py.Dataset):
        parent, name, numbers = member.parent, member.name, member[()]
        del parent[name]
        options: dict[str, Any] = {"data": numbers}
        if numbers.size > 1 and numbers.ndim:
            options |= chance.choice(
                (
                    {"compression": "gzip", "shuffle": True},
                    {"compression": "lzf"},
                    {"chunks": True, "fletcher32": True},
                    {"dtype": chance.choice(("f2", "f8", ">f4", "i8", "?"))},
                )
            )
        parent.create_dataset(name, **options)
    else:
        target = f"/{chance.choice(WORDS)}"
        links = (h5py.SoftLink(target), h5py.ExternalLink("other.h5", target), member)
        member[chance.choice(WORDS).strip("/") or "x"] = chance.choice(links)


def in_newest_layout(data: bytes) -> bytes:
    """The same HDF5 file in the newest file format, with chunks and more members of its root."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as file, h5py.File(buffer, "w", libver="latest") as new:
        _copy(file, new)
        for number in range(9):  # more than eight are stored in heaps
            new.attrs[f"attribute_{number}"] = number
            new.create_group(f"group_{number}")
        for number, most in enumerate([(2, 2), (None, 2), (None, None)]):
            name = f"group_{number}/vars/0"
            new.create_dataset(name, data=np.eye(2), chunks=(1, 1), maxshape=most)
    return buffer.getvalue()


def _copy(group: h5py.Group, new: h5py.Group) -> None:
    new.attrs.update(group.attrs)
    for name, member in group.items():
        if isinstance(member, h5py.Group):
            _copy(member, new.create_group(name))
        else:
            new[name] = member[()]


# ---------------------------------------------------------------- zip


def members(data: bytes) -> dict[str, bytes]:
    """The members of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The archive with the same members, compressed."""
    return _archived(members(data), kind)


def with_newest_layout(data: bytes) -> bytes:
    """The archive with its HDF5 files in the newest file format."""
    inner = members(data)
    for name in inner:
        if name.endswith(".h5"):
            inner[name] = in_newest_layout(inner[name])
    return _archived(inner, zipfile.ZIP_STORED)


def archive(data: bytes, chance: random.Random) -> bytes:
    """Damage a header of a member or the directory, or a member with its checksum corrected."""
    if chance.random() < 0.5:
        heads = [found.start() for found in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06)", data)]
        if heads:
            place = min(chance.choice(heads) + chance.randrange(4, 46), len(data) - 1)
            return _with_number(data, place, chance)
    try:
        inner = members(data)
    except Exception:
        return flipped(data, chance)
    if not inner:
        return flipped(data, chance)
    name = chance.choice(list(inner))
    inner[name] = _of_member(name)(inner[name], chance)
    return _archived(inner, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _archived(inner: dict[str, bytes], kind: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as written:
        for name, content in inner.items():
            written.writestr(zipfile.ZipInfo(name), content, compress_type=kind)
    return buffer.getvalue()


def _of_member(name: str) -> Mutator:
    if name.endswith(".h5"):
        return hdf5
    return config if name.endswith(".json") else _array


def _array(data: bytes, chance: random.Random) -> bytes:
    """Change the header of a .npy file, and correct its length."""
    if len(data) < 12 or chance.random() < 0.3:
        return flipped(data, chance)
    size = struct.unpack_from("<H", data, 8)[0]
    header, numbers = data[10 : 10 + size], data[10 + size :]
    values = (b"0", b"-1", b"9999999999", b"'|O'", b"'<f8'", b"('f4', 9)", b"(" * 150, b"[1]")
    pieces = list(re.finditer(rb"\d+|'[^']*'", header))
    if pieces:
        piece = chance.choice(pieces)
        header = header[: piece.start()] + chance.choice(values) + header[piece.end() :]
    return data[:8] + struct.pack("<H", len(header) % 65536) + header + numbers


# ---------------------------------------------------------------- checkpoints and SavedModels


def table(data: bytes, chance: random.Random) -> bytes:
    """Damage a block of a sorted table, and correct its checksum."""
    try:
        index, blocks = _handles(data)
    except Exception:
        return flipped(data, chance)
    offset, size = chance.choice([index, *blocks])
    changed = flipped(data[offset : offset + size], chance)
    if chance.random() < 0.4:
        changed = _with_number(changed, chance.randrange(len(changed)), chance)[:size]
    kind = data[offset + size : offset + size + 1]
    crc = crc32c(changed + kind)
    stored = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    end = kind + stored.to_bytes(4, "little")
    return data[:offset] + changed + end + data[offset + size + 5 :]


def _handles(data: bytes) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """The position of a table's index block, and those of the other blocks."""
    view = memoryview(data)
    footer, at = view[-48:], 0
    numbers = []
    for _ in range(4):
        number, at = read_varint(footer, at)
        numbers.append(number)
    index = (numbers[2], numbers[3])
    blocks, at = [], index[0]
    end = index[0] + index[1]
    end -= 4 + 4 * int.from_bytes(data[end - 4 : end], "little")
    while at < end:
        _, at = read_varint(view, at)
        added, at = read_varint(view, at)
        size, at = read_varint(view, at)
        offset, next_at = read_varint(view, at + added)
        blocks.append((offset, read_varint(view, next_at)[0]))
        at += added + size
    return index, blocks


def graph_of_checkpoint(prefix: Path) -> bytes:
    """The object graph of a checkpoint."""
    found = checkpoint.read_checkpoint(str(prefix))
    return bytes(checkpoint._read_string(found.entries[checkpoint.object_graph.KEY]))


def message(data: bytes, chance: random.Random) -> bytes:
    """Change a field of a message at any depth, and correct all lengths."""
    fields = list(_fields(data))
    if not fields or chance.random() < 0.1:
        return flipped(data, chance)
    at = chance.randrange(len(fields))
    number, value = fields[at]
    if isinstance(value, int):
        value = chance.choice((*_NUMBERS, chance.randrange(40)))
    elif value[:1] == b"{":
        value = config(value, chance)
    elif value and chance.random() < 0.8 and list(_fields(value)):
        value = message(value, chance)
    else:
        value = chance.choice((flipped(value, chance), chance.choice(WORDS).encode(), b""))
    kind = chance.random()
    fields[at : at + 1] = [] if kind < 0.1 else [(number, value)] * (2 if kind < 0.2 else 1)
    return b"".join(_field(*field) for field in fields)


def tagged_message(data: bytes, chance: random.Random) -> bytes:
    """The same after a byte that says which file it is."""
    return data[:1] + message(data[1:], chance)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message; none if the bytes are not a message."""
    found: list[tuple[int, int | bytes]] = []
    view, at = memoryview(data), 0
    try:
        while at < len(data):
            tag, at = read_varint(view, at)
            value, at = read_varint(view, at)
            if tag & 7 == 0:
                found.append((tag >> 3, value))
            elif tag & 7 == 2 and at + value <= len(data):
                found.append((tag >> 3, data[at : at + value]))
                at += value
            else:
                return
    except ValueError:
        return
    yield from found


def _field(number: int, value: int | bytes) -> bytes:
    kind, body = (0, b"") if isinstance(value, int) else (2, value)
    size = value if isinstance(value, int) else len(value)
    return _varint(number << 3 | kind) + _varint(size) + body


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


# ---------------------------------------------------------------- configs


def config(data: bytes, chance: random.Random) -> bytes:
    """Change random values, keys and entries of a JSON text."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return flipped(data, chance)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(root))
        if not places:
            return flipped(data, chance)
        holder, key = chance.choice(places)
        _change(holder, key, [holder_[key_] for holder_, key_ in places], chance)
    return json.dumps(root).encode()


def _places(root: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key or index) below a value."""
    waiting = [root] if isinstance(root, dict | list) else []
    while waiting:
        holder = waiting.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def _change(holder: Any, key: Any, others: list[Any], chance: random.Random) -> None:
    kind = chance.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    elif kind == 2 and isinstance(holder, dict):
        holder[chance.choice(WORDS)] = holder.pop(key)
    elif kind == 3:
        holder[key] = json.loads(json.dumps(chance.choice(others)))
    elif kind == 4:
        holder[key] = chance.choice(WORDS)
    elif kind == 5:
        holder[key] = chance.choice(([holder[key]], {"class_name": "Lambda", "config": {}}, [], {}))
    else:
        numbers = (*_NUMBERS, -1, -(2**63), 10**30, 1e308, 0.5, True, None, float("nan"))
        holder[key] = chance.choice(numbers)
