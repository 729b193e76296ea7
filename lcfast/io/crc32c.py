"""CRC-32C, the checksum of TensorFlow's files, in numpy.

The CRC of a message, a polynomial over GF(2), is its remainder by P(x). A multiple of P may be
added without changing it, and one of four terms that are whole bytes apart clears a run of bytes
by xoring it into three later ones. Of what is left, a few thousand bytes, the remainders of x^k
are summed for the bits that are set. That runs at 2 to 4 GB/s, so no package is needed for it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # its terms below x^32, the highest in the lowest bit
_ONE = 1 << 31  # the polynomial 1 in that order
_ALL_ONES = 0xFFFFFFFF

# x^(8 * 5321) + x^(8 * 3574) + x^(8 * 2491) + 1 is a multiple of P. Squared again and again, its
# exponents double, and it still is one.
_DISTANCES = (5321 - 3574, 5321 - 2491, 5321)
_MOST_LEFT = _DISTANCES[-1] + 256
_CHUNK = 1 << 22  # bytes, of which a copy is worked on


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """Return the CRC-32C of `data`, or of earlier bytes with the CRC `before` followed by `data`.

    References
    ----------
    RFC 3720, appendix B.4: https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    >>> crc32c(b"6789", before=crc32c(b"12345")) == crc32c(b"123456789")
    True
    """
    numbers = np.frombuffer(data, np.uint8)
    remainder = before ^ _ALL_ONES
    for start in range(0, numbers.size, _CHUNK):
        remainder = _extended(remainder, numbers[start : start + _CHUNK])
    return remainder ^ _ALL_ONES


def unmasked(stored: int) -> int:
    """Return the CRC that TensorFlow and LevelDB store rotated and shifted by a constant."""
    rotated = (stored - 0xA282EAD8) & _ALL_ONES
    return (rotated >> 17 | rotated << 15) & _ALL_ONES


def _extended(remainder: int, numbers: np.ndarray) -> int:
    """The remainder of (remainder * x^(bits of numbers) + numbers) * x^32."""
    message = np.zeros(numbers.size + 4, np.uint8)
    message[: numbers.size] = numbers
    message[:4] ^= np.frombuffer(remainder.to_bytes(4, "little"), np.uint8)
    while message.size > _MOST_LEFT:
        message = _shortened(message)
    is_set = np.unpackbits(message, bitorder="little").view(bool)
    return int(np.bitwise_xor.reduce(_powers()[-is_set.size :][is_set]))


def _shortened(message: np.ndarray) -> np.ndarray:
    """Clear the first bytes of a message in place, and return the rest: it has the same CRC."""
    doublings = max(0, (message.size // (4 * _MOST_LEFT)).bit_length() - 1)
    near, middle, far = (distance << doublings for distance in _DISTANCES)
    step = min(near, message.size - far)
    first = message[:step]
    for distance in (near, middle, far):
        rest = message[distance : distance + step]
        np.bitwise_xor(rest, first, out=rest)
    return message[step:]


@cache
def _powers() -> np.ndarray:
    """The remainders of x^k for every bit of a message of _MOST_LEFT bytes, the highest k first."""
    powers = [_ONE]
    for _ in range(8 * _MOST_LEFT - 1):
        last = powers[-1]
        powers.append(last >> 1 ^ (_POLYNOMIAL if last & 1 else 0))
    return np.array(powers[::-1], np.uint32)
