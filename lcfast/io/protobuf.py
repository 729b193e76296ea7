"""Protocol buffers, decoded without a schema: fields by their numbers.

https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

from lcfast.io.reading import refusal

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes, 7 bits each, for 64 bits


class Message:
    r"""One message, split into its fields; nested messages are split when they are asked for.

    Parameters
    ----------
    data : memoryview
        The bytes of the message.

    Raises
    ------
    ModelFileError
        If they are not a valid message.

    Examples
    --------
    The varint 150 in field 1, and a text in field 2:

    >>> message = Message(memoryview(b"\x08\x96\x01" + b"\x12\x02hi"))
    >>> message.integer(1), message.text(2), message.integer(3)
    (150, 'hi', 0)
    """

    def __init__(self, data: memoryview) -> None:
        self._fields: dict[int, list[int | memoryview]] = {}
        for number, value in _fields(data):
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def integer(self, number: int) -> int:
        """Return the last number in a field, 0 if there is none."""
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            raise refusal(f"field {number} of a message holds bytes, not a number")
        return value

    def contents(self, number: int) -> list[memoryview]:
        """Return the bytes of every occurrence of a field."""
        values = self._fields.get(number, [])
        contents = [value for value in values if isinstance(value, memoryview)]
        if len(contents) < len(values):
            raise refusal(f"field {number} of a message holds a number, not bytes")
        return contents

    def text(self, number: int) -> str:
        """Return the last text in a field, "" if there is none."""
        contents = self.contents(number)
        try:
            return str(contents[-1], "utf-8") if contents else ""
        except UnicodeDecodeError as error:
            raise refusal(f"field {number} of a message is not UTF-8") from error

    def messages(self, number: int) -> Iterator[Message]:
        """Yield every message in a field."""
        return map(Message, self.contents(number))

    def message(self, number: int) -> Message:
        """Return the last message in a field, an empty one if there is none."""
        contents = self.contents(number)
        return Message(contents[-1] if contents else memoryview(b""))


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the 64-bit integer that begins at a byte, and the offset after it."""
    value = 0
    for i, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + i + 1
    raise refusal(f"the number at byte {at} of a message or table does not end, or is too large")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(data):
        start = at
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = read_varint(data, at)
        elif kind in (_FIXED_32, _FIXED_64):
            size = 4 if kind == _FIXED_32 else 8
        else:
            raise refusal(f"the field at byte {start} of a message is of an unknown kind, {kind}")
        if size > len(data) - at:
            raise refusal(f"the field at byte {start} of a message is longer than the message")
        content, at = data[at : at + size], at + size
        yield number, content if kind == _BYTES else int.from_bytes(content, "little")
