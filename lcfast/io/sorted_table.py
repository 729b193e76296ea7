"""Sorted tables, LevelDB's format: the index of a checkpoint of TensorFlow.

    data blocks, ..., index block, footer     a block: entries, restarts, kind (1 byte), CRC (4)

An entry stores the length of the prefix that its key shares with the previous key, the rest of the
key, and a value. The values of the index block are the offsets and sizes of the data blocks.
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Iterator

from lcfast.io.crc32c import crc32c, unmasked
from lcfast.io.protobuf import read_varint
from lcfast.io.reading import refusal

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48  # bytes
_TRAILER = 5  # bytes after a block
_UNPACKED = 0

# Keys are prefix-compressed for up to 16 entries in a row; a hostile table must not expand further.
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
        If the file is not a table, is damaged, or is compressed.
    """
    if len(data) < _FOOTER or data[-8:] != _MAGIC:
        raise refusal("is not a table: it does not end in the signature of one")
    footer = data[-_FOOTER:]
    _, at = _read_handle(footer, 0)  # of the filters, which are not needed
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
            f"has a block at byte {offset} that is compressed with method {trailer[0]}",
            advice="TensorFlow does not compress them, so save the checkpoint with it again",
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
