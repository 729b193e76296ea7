"""Handmade checkpoints, including ones that TensorFlow would never write."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lcfast.io.crc32c import crc32c

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FLOAT32, STRING = 1, 7
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """A field of a protobuf message: a number or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def fixed_32(number: int, value: int) -> bytes:
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


def message(*fields: tuple[int, int | bytes | str]) -> bytes:
    return b"".join(field(number, value) for number, value in fields)


# ---------------------------------------------------------------- tables


def block(entries: Iterable[tuple[bytes, bytes]], shares: bool = True) -> bytes:
    content, last = b"", b""
    for key, value in entries:
        same = 0
        while shares and same < min(len(last), len(key)) and last[same] == key[same]:
            same += 1
        content += varint(same) + varint(len(key) - same) + varint(len(value)) + key[same:] + value
        last = key
    return content + bytes(4) + (1).to_bytes(4, "little")


def with_trailer(content: bytes, kind: int = 0) -> bytes:
    packed = content + bytes([kind])
    return packed + masked(crc32c(packed)).to_bytes(4, "little")


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def table_of_blocks(blocks: Sequence[bytes], kind: int = 0) -> bytes:
    """A table of the blocks that `block` returns, valid or not."""
    content, handles = b"", []
    for number, data in enumerate(blocks):
        handles.append((bytes([number + 1]), handle(len(content), len(data))))
        content += with_trailer(data, kind)
    index = block(handles)
    footer = (handle(0, 0) + handle(len(content), len(index))).ljust(40, b"\0")
    return content + with_trailer(index) + footer + MAGIC


def table(entries: dict[bytes, bytes]) -> bytes:
    return table_of_blocks([block(sorted(entries.items()))])


# ---------------------------------------------------------------- checkpoints


def header(shards: int = 1, order: int = 0) -> bytes:
    return message((1, shards), (2, order))


def shape_of(lengths: Sequence[int]) -> bytes:
    return b"".join(field(2, field(1, length)) for length in lengths)


def entry(
    data: bytes,
    shape: Sequence[int],
    offset: int = 0,
    type_number: int = FLOAT32,
    shard: int = 0,
    size: int | None = None,
    crc: int | None = None,
) -> bytes:
    """A checkpoint entry for these bytes, valid unless other fields are given."""
    stored = masked(crc32c(data) if crc is None else crc)
    places = (3, shard), (4, offset), (5, len(data) if size is None else size)
    return message((1, type_number), (2, shape_of(shape)), *places) + fixed_32(6, stored)


def string(text: bytes) -> tuple[bytes, int]:
    """A string as it is stored, and its checksum."""
    length = len(text).to_bytes(4, "little")
    check = masked(crc32c(length)).to_bytes(4, "little")
    return varint(len(text)) + check + text, crc32c(length + check + text)


def write_checkpoint(prefix: Path, entries: dict[str, bytes], data: bytes) -> str:
    """Write an index with these entries, and one data file."""
    named = {key.encode(): value for key, value in entries.items()}
    Path(f"{prefix}.index").write_bytes(table({b"": header(), **named}))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return str(prefix)


def write_arrays(prefix: Path, arrays: dict[str, np.ndarray], objects: Sequence[bytes] = ()) -> str:
    """Write float32 arrays, and the object graph if there is one."""
    entries, data = {}, b""
    for key, array in arrays.items():
        numbers = array.astype("<f4").tobytes()
        entries[key] = entry(numbers, array.shape, offset=len(data))
        data += numbers
    if objects:
        stored, crc = string(b"".join(field(1, tracked) for tracked in objects))
        entries[GRAPH] = entry(stored, (), offset=len(data), type_number=STRING, crc=crc)
        data += stored
    return write_checkpoint(prefix, entries, data)


def tracked_object(children: dict[str, int] | None = None, key: str = "", name: str = "") -> bytes:
    """An object of the graph: its children, and for a variable its key and name."""
    held = [(1, message((1, child), (2, edge))) for edge, child in (children or {}).items()]
    value = message((1, "VARIABLE_VALUE"), (2, name), (3, key))
    return message(*held, *([(2, value)] if key else []))
