"""Sorted tables: what is read of them, and what is refused."""

import pytest

from lcfast.errors import ModelFileError
from lcfast.io.sorted_table import read_table
from tests.support.checkpoint_files import block, table, table_of_blocks, varint

ENTRIES = {b"": b"header", b"dense/bias": b"1", b"dense/kernel": b"", b"w": b"\0\xff"}


def read(data: bytes) -> dict[bytes, bytes]:
    return {key: bytes(value) for key, value in read_table(memoryview(data)).items()}


def refusal(data: bytes) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(data)
    return str(caught.value)


def test_values_are_found_by_their_keys_in_order():
    assert read(table(ENTRIES)) == ENTRIES
    assert list(read(table(ENTRIES))) == sorted(ENTRIES)
    assert read(table({})) == {}


def test_keys_go_on_from_block_to_block():
    items = sorted(ENTRIES.items())
    assert read(table_of_blocks([block(items[:2]), block(items[2:])])) == ENTRIES


def test_keys_may_be_stored_whole():
    assert read(table_of_blocks([block(sorted(ENTRIES.items()), shares=False)])) == ENTRIES


@pytest.mark.parametrize("data", [b"", b"x" * 47, b"x" * 48, table(ENTRIES)[:-1]])
def test_what_lacks_the_mark_is_no_table(data):
    assert refusal(data).startswith("is not a table")


def test_every_flipped_byte_of_a_block_is_seen_by_its_checksum():
    right = table(ENTRIES)
    for at in range(len(right) - 48):
        damaged = bytearray(right)
        damaged[at] ^= 1
        assert "whose checksum is wrong" in refusal(bytes(damaged))


@pytest.mark.parametrize("kind", [1, 2, 255])
def test_a_packed_block_is_refused(kind):
    found = f"has a block at byte 0 that is compressed with method {kind};"
    assert refusal(table_of_blocks([block([])], kind)).startswith(found)


@pytest.mark.parametrize("offset", [0, 1, 2**40, 2**64 - 1])
@pytest.mark.parametrize("size", [2**20, 2**64 - 1])
def test_a_block_beyond_the_end_is_refused(offset, size):
    footer = (varint(0) * 2 + varint(offset) + varint(size)).ljust(40, b"\0")
    data = table(ENTRIES)
    found = f"has a block of {size} bytes at byte {offset}, beyond its end"
    assert found in refusal(data[:-48] + footer + data[-8:])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "without its list of restarts"),
        (b"\1\0\0", "without its list of restarts"),
        (b"\xff\xff\xff\xff", "without its list of restarts"),
        (varint(1) + varint(0) + varint(0) + bytes(4), "longer than the block"),
        (varint(0) + varint(9) + varint(0) + bytes(4), "longer than the block"),
        (varint(0) + varint(0) + varint(2**63) + bytes(4), "longer than the block"),
        (b"\x80" + bytes(4), "longer than the block"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(content, found):
    message = refusal(table_of_blocks([content]))
    assert found in message or "does not end" in message


def test_keys_out_of_order_are_refused():
    for keys in ([b"b", b"a"], [b"a", b"a"]):
        data = table_of_blocks([block([(key, b"") for key in keys])])
        assert refusal(data).startswith("is a table whose keys are not in order;")
        data = table_of_blocks([block([(key, b"")]) for key in keys])
        assert refusal(data).startswith("is a table whose keys are not in order;")


def test_keys_that_grow_without_end_are_refused():
    keys = [b"a" * length for length in range(1, 1000)]
    data = table_of_blocks([block([(key, b"") for key in keys])])
    assert len(data) < 7000
    assert refusal(data).startswith("is a table whose keys are far longer than the file;")
