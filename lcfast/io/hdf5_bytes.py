"""The bytes of an HDF5 file, read by address so that headers are checked before HDF5 uses them."""

from __future__ import annotations

import struct
from mmap import mmap

from lcfast import file_signatures
from lcfast.io.reading import refusal

# By the version of the superblock: the offsets of the widths and of three addresses: the base
# address, the end of the file, the root group; in newer files also the superblock's extension.
_LAYOUTS = {
    0: (13, 24, 40, 64),
    1: (13, 28, 44, 68),
    2: (9, 12, 28, 36, 20),
    3: (9, 12, 28, 36, 20),
}
_WIDTHS = b"\x08\x08"  # bytes of an address and of a size, in every file of h5py


class HDF5Bytes:
    """The bytes of one HDF5 file.

    Parameters
    ----------
    data : mmap
        The bytes that contain the file.
    first, size : int
        The offset of the file in `data`, and its size in bytes.

    Attributes
    ----------
    base : int
        The offset in `data` of address 0.
    roots : list of int
        The addresses of the objects that HDF5 opens when it opens the file.
    """

    def __init__(self, data: mmap, first: int, size: int) -> None:
        self.data, self.base, self.size, self._end = data, first, size, first + size
        self._unclaimed = size
        self.roots = self._find_roots()

    def _find_roots(self) -> list[int]:
        block = 0  # bytes of the user block ahead of the file
        while self.at(block, len(file_signatures.HDF5)) != file_signatures.HDF5:
            block = max(512, 2 * block)
            if block >= self.size:
                return []  # HDF5 raises
        self.base += block
        version = self.number(8, 1)
        if version not in _LAYOUTS:
            raise refusal(f"the file has a superblock of version {version}, not 0 to 3")
        widths, origin, end, *roots = _LAYOUTS[version]
        if self.at(widths, 2) not in (_WIDTHS, b""):
            raise refusal("the file has addresses or sizes of an unusual width")
        if (self.number(end, 8) + block - self.number(origin, 8)) % 2**64 > self.size:
            return []  # HDF5, which also wraps at 64 bits, raises that the file is truncated
        return [self.number(root, 8) for root in roots]

    def at(self, address: int, size: int) -> bytes:
        """The bytes at an address; fewer at the end of the file."""
        start = self.base + address
        return self.data[start : max(start, min(start + size, self._end))]

    def number(self, address: int, width: int) -> int:
        """The number at an address; bytes beyond the end of the file are left out."""
        return int.from_bytes(self.at(address, width), "little")

    def numbers(self, form: struct.Struct, address: int) -> tuple[int, ...]:
        """The numbers at an address; all 0 where they go beyond the end of the file."""
        found = self.at(address, form.size)
        return form.unpack(found if len(found) == form.size else bytes(form.size))

    def claim(self, size: int, location: str) -> None:
        """Subtract `size` from the bytes that are left, and refuse if the file has fewer.

        Objects in a file do not overlap, so this also bounds the work of reading it.
        """
        self._unclaimed -= size
        if self._unclaimed < 0:
            raise refusal(f"{location} takes up {size} bytes, more than the file has left for it")
