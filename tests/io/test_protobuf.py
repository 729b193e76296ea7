"""Protocol buffers without a schema: what is split, and what is no message."""

import random

import pytest

from lcfast.errors import ModelFileError
from lcfast.io.protobuf import Message, read_varint
from tests.support.checkpoint_files import field, fixed_32, message, varint


def parsed(data: bytes) -> Message:
    return Message(memoryview(data))


def test_fields_of_every_kind_are_found_by_their_numbers():
    double = varint(9 << 3 | 1) + (2**63).to_bytes(8, "little")
    read = parsed(message((1, 300), (2, "text"), (3, b"\xff")) + fixed_32(4, 7) + double)
    assert (read.integer(1), read.text(2), read.integer(4), read.integer(9)) == (
        300,
        "text",
        7,
        2**63,
    )
    assert bytes(read.contents(3)[0]) == b"\xff"
    assert 3 in read
    assert 5 not in read


def test_what_is_not_there_is_nothing():
    read = parsed(b"")
    assert (read.integer(1), read.text(1), read.contents(1), list(read.messages(1))) == (
        0,
        "",
        [],
        [],
    )
    assert read.message(1).integer(1) == 0


def test_the_last_of_several_counts_and_all_messages_are_given():
    inner = [message((1, value)) for value in (5, 6)]
    read = parsed(message((1, 1), (1, 2), (2, inner[0]), (2, inner[1])))
    assert read.integer(1) == 2
    assert [each.integer(1) for each in read.messages(2)] == [5, 6]
    assert read.message(2).integer(1) == 6


@pytest.mark.parametrize("value", [0, 1, 127, 128, 2**32, 2**63, 2**64 - 1])
def test_a_number_of_64_bits_is_read(value):
    data = b"x" + varint(value) + b"y"
    assert read_varint(memoryview(data), 1) == (value, len(data) - 1)


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 11, varint(2**64), b"\x80" * 10]
)
def test_a_number_that_does_not_end_or_is_too_large_is_refused(data):
    with pytest.raises(ModelFileError, match="does not end, or is too large"):
        read_varint(memoryview(data), 0)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (varint(1 << 3 | 2) + b"\x05abcd", "the field at byte 0 of a message is longer than"),
        (field(1, 1) + varint(1 << 3 | 2) + varint(2**63), "the field at byte 2 .* is longer"),
        (varint(1 << 3 | 5) + b"abc", "is longer than the message"),
        (varint(1 << 3 | 1) + b"abc", "is longer than the message"),
        (varint(1 << 3 | 3), "of an unknown kind, 3"),
        (varint(1 << 3 | 7), "of an unknown kind, 7"),
        (varint(1 << 3), "does not end"),
    ],
)
def test_what_is_no_message_is_refused(data, found):
    with pytest.raises(ModelFileError, match=found):
        parsed(data)


def test_a_field_of_another_kind_than_asked_for_is_refused():
    read = parsed(message((1, 1), (2, b"\xff")))
    with pytest.raises(ModelFileError, match="field 1 of a message holds a number, not bytes"):
        read.text(1)
    with pytest.raises(ModelFileError, match="field 2 of a message holds bytes, not a number"):
        read.integer(2)
    with pytest.raises(ModelFileError, match="field 2 of a message is not UTF-8"):
        read.text(2)


def test_any_bytes_are_a_message_or_refused():
    rng, refused = random.Random(0), 0
    for _ in range(2000):
        try:
            parsed(rng.randbytes(rng.randrange(20)))
        except ModelFileError:
            refused += 1
    assert 500 < refused < 2000
