"""Compressed chunks of HDF5 datasets: their size is checked before HDF5 decompresses them.

HDF5 decompresses a chunk completely before it compares the size; a megabyte can become a gigabyte.
"""

from __future__ import annotations

import math
import zlib

import h5py

from lcfast.io.reading import refusal

DEFLATE, SZIP, LZF = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SZIP, h5py.h5z.FILTER_LZF
PACKERS = {DEFLATE, SZIP, LZF}
"""The compression filters that HDF5 and h5py include."""

_MOST_LZF = 88  # times; LZF compresses 264 bytes to 3


def check_packing(dataset: h5py.Dataset) -> None:
    """Refuse a dataset if a chunk decompresses to more than the size of a chunk."""
    layout = dataset.id.get_create_plist()
    filters = [layout.get_filter(i)[0] for i in range(layout.get_nfilters())]
    packers = [number for number in filters if number in PACKERS]
    if not packers:
        return
    if len(packers) > 1:
        raise refusal(f"dataset {dataset.name!r} is compressed {len(packers)} times")
    size = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    bit = 1 << filters.index(packers[0])

    def check(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.filter_mask & bit:
            return  # stored without compression
        _, stored = dataset.id.read_direct_chunk(chunk.chunk_offset)
        if _unpacked_size(packers[0], stored, size) > size:
            location = f"a chunk of dataset {dataset.name!r}"
            raise refusal(f"{location} decompresses to more than the {size} bytes of a chunk")

    dataset.id.chunk_iter(check)


def _unpacked_size(packer: int, stored: bytes, size: int) -> int:
    """The decompressed size of a chunk; it is not determined beyond `size` + 1."""
    if packer == SZIP:
        return int.from_bytes(stored[:4], "little")
    if packer == LZF:
        return _lzf_size(stored, size)
    try:
        return len(zlib.decompressobj().decompress(stored, size + 1))
    except zlib.error as error:
        raise refusal(f"a chunk is not valid deflate data ({error})") from None


def _lzf_size(stored: bytes, size: int) -> int:
    """The decompressed size from the lengths that LZF stores."""
    if len(stored) * _MOST_LZF <= size:
        return 0  # cannot exceed a chunk
    unpacked, at = 0, 0
    while at < len(stored) and unpacked <= size:
        control = stored[at]
        if control < 32:
            unpacked, at = unpacked + control + 1, at + control + 2
        else:
            is_long = control >> 5 == 7
            length = (control >> 5) + (stored[at + 1] if is_long and at + 1 < len(stored) else 0)
            unpacked, at = unpacked + length + 2, at + (3 if is_long else 2)
    return unpacked
