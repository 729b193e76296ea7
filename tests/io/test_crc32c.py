"""The checksum: its published values, and the same as bit by bit at every size."""

import numpy as np
import pytest

from lcfast.io import crc32c as module
from lcfast.io.crc32c import crc32c, unmasked


def bit_by_bit(data: bytes, crc: int = 0) -> int:
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_the_values_of_rfc_3720_come_out(data, crc):
    assert crc32c(data) == crc


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 31, 1000, 5570, 5573, 5574, 5577, 7000, 30_001])
def test_every_size_gives_what_bit_by_bit_gives(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == bit_by_bit(data)
    assert crc32c(data, before=0xDEADBEEF) == bit_by_bit(data, 0xDEADBEEF)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 100, 6000])
def test_chunks_are_joined(monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    data = np.random.default_rng(chunk).bytes(10 * chunk + 1)
    assert crc32c(data) == bit_by_bit(data)


def test_a_large_message_is_that_of_its_parts():
    data = memoryview(np.random.default_rng(0).bytes(9_000_001))
    whole = crc32c(data)
    for middle in (1, 1 << 20, 4_194_305):
        assert crc32c(data[middle:], before=crc32c(data[:middle])) == whole


@pytest.mark.parametrize("bit", [0, 7, 100_003, 79_999_999])
def test_one_bit_changes_it(bit):
    data = np.zeros(10_000_000, np.uint8)
    before = crc32c(data.data)
    data[bit // 8] ^= 1 << bit % 8
    assert crc32c(data.data) != before


def test_a_masked_checksum_is_unmasked():
    assert unmasked(((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF) == 0xE3069283
    assert unmasked(0xA282EAD8) == 0
