"""Chunks of HDF5 datasets that are packed: how much they unpack to, before HDF5 unpacks them.

HDF5 unpacks all that is there, and compares with the size of a chunk only then; a megabyte can
become a gigabyte.
"""

from __future__ import annotations

import math
import zlib

import h5py

from lcfast.io.reading import refusal

DEFLATE, SZIP, LZF = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SZIP, h5py.h5z.FILTER_LZF
PACKERS = {DEFLATE, SZIP, LZF}
"""What HDF5 and h5py unpack by themselves."""

_MOST_LZF = 88  # deflate packs 1032 to 1, LZF 264 bytes into 3


def check_packing(dataset: h5py.Dataset) -> None:
    """Refuse a dataset one of whose chunks unpacks to more than a chunk."""
    layout = dataset.id.get_create_plist()
    filters = [layout.get_filter(i)[0] for i in range(layout.get_nfilters())]
    packers = [number for number in filters if number in PACKERS]
    if not packers:
        return
    if len(packers) > 1:
        raise refusal(f"dataset {dataset.name!r} is packed {len(packers)} times over")
    size = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    bit = 1 << filters.index(packers[0])

    def check(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.filter_mask & bit:
            return  # stored as it is
        _, stored = dataset.id.read_direct_chunk(chunk.chunk_offset)
        if _unpacked_size(packers[0], stored, size) > size:
            place = f"a chunk of dataset {dataset.name!r}"
            raise refusal(f"{place} unpacks to more than the {size} bytes of a chunk")

    dataset.id.chunk_iter(check)


def _unpacked_size(packer: int, stored: bytes, size: int) -> int:
    """How much a chunk unpacks to; no more than `size` + 1 is found out."""
    if packer == SZIP:
        return int.from_bytes(stored[:4], "little")
    if packer == LZF:
        return _lzf_size(stored, size)
    try:
        return len(zlib.decompressobj().decompress(stored, size + 1))
    except zlib.error as error:
        raise refusal(f"a chunk is not packed as it says ({error})") from None


def _lzf_size(stored: bytes, size: int) -> int:
    """Walk the runs and the copies of LZF, which say how long they are."""
    if len(stored) * _MOST_LZF <= size:
        return 0  # can be no more than a chunk
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
