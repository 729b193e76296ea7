"""Sorted tables, LevelDB's format: the index of a checkpoint of TensorFlow.

    data blocks, ..., index block, footer     a block: entries, restarts, kind (1 byte), CRC (4)

An entry holds how much of its key it shares with the one before it, then the rest and a value. The
values of the index block say where the data blocks lie.
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Iterator

from lcfast.io.crc32c import crc32c, unmasked
from lcfast.io.protobuf import read_varint
from lcfast.io.reading import refusal

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48  # bytes
_TRAILER = 5  # bytes behind a block
_UNPACKED = 0

# A table shortens keys for up to 16 entries in a row; a hostile one must not grow without end.
_MOST_GROWTH = 64


def read_table(data: memoryview) -> dict[bytes, memoryview]:
    """Return the values of a table by their keys, in its order.

    Parameters
    ----------
    data : memoryview
        The whole file.

    Returns
    -------
    dict of bytes to memoryview

    Raises
    ------
    ModelFileError
        If the file is no table, is damaged, or is packed.
    """
    if len(data) < _FOOTER or data[-8:] != _MAGIC:
        raise refusal("is no table: it does not end in the mark of one")
    footer = data[-_FOOTER:]
    _, at = _read_handle(footer, 0)  # of filters, which only speed up a search
    index, _ = _read_handle(footer, at)
    table: dict[bytes, memoryview] = {}
    last, size = None, 0
    for _, handle in _entries(_block(data, *index)):
        for key, value in _entries(_block(data, *_read_handle(handle, 0)[0])):
            if last is not None and key <= last:
                raise refusal("is a table whose keys are not in order")
            size += len(key)
            if size > _MOST_GROWTH * len(data):
                raise refusal("is a table whose keys are far longer than the file")
            table[key] = value
            last = key
    return table


def _read_handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """The offset and the size of a block."""
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (offset, size), at


def _block(data: memoryview, offset: int, size: int) -> memoryview:
    if offset + size + _TRAILER > len(data) - _FOOTER:
        raise refusal(f"has a block of {size} bytes at byte {offset}, beyond its end")
    content, trailer = data[offset : offset + size], data[offset + size :][:_TRAILER]
    stored = unmasked(int.from_bytes(trailer[1:], "little"))
    if crc32c(data[offset : offset + size + 1]) != stored:
        raise refusal(f"has a block at byte {offset} whose checksum is wrong")
    if trailer[0] != _UNPACKED:
        raise refusal(
            f"has a block at byte {offset} that is packed, in a way numbered {trailer[0]}",
            advice="TensorFlow writes plain ones, so save the checkpoint with it again",
        )
    return content


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise refusal("has a block without its list of restarts")
    key, at = b"", 0
    while at < end:
        shared, at = read_varint(block, at)
        added, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or added + size > end - at:
            raise refusal("has a block with an entry that is longer than the block")
        key = key[:shared] + bytes(block[at : at + added])
        yield key, block[at + added : at + added + size]
        at += added + size
