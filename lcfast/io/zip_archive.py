"""Reading untrusted zip archives.

Nothing is ever extracted to a path from the archive. A stored member is read in place, a compressed
one through an anonymous temporary file, after its declared size was checked.
"""

from __future__ import annotations

import io
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from typing import cast

from lcfast.errors import quoted
from lcfast.io.hdf5_file import ByteRange
from lcfast.io.reading import as_model_file_error, errors_name, refusal

STORED = zipfile.ZIP_STORED
MANY = 256
"""The most members for which it is fast enough to open the archive again for each array."""

_MOST_PACKING = 1032  # the highest ratio of deflate
_MOST_UNPACKED = 2**26  # bytes of a decompressed member, unless the ratio is at most _USUAL_PACKING
_USUAL_PACKING = 100
_MOST_TEXT = 2**28  # bytes; a config is a few thousand
_ENCRYPTED = 1  # a bit of a member's flags
_HEADER = struct.Struct("<4s22xHH")  # of a member: its mark, the sizes of its name and extras


@contextmanager
def opened(path: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and check all its members."""
    with (
        errors_name(path),
        as_model_file_error("the archive"),
        open(path, "rb", buffering=0) as file,
        zipfile.ZipFile(file) as archive,
    ):
        size = file.seek(0, io.SEEK_END)
        names = set()
        for info in archive.infolist():
            _check(info, size)
            if info.filename in names:
                raise refusal(f"{location_of(info)} is there twice")
            names.add(info.filename)
        if sum(info.compress_size for info in archive.infolist()) > size:
            raise refusal("the archive declares more bytes than it has")
        yield archive


def member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the entry of a member that must exist."""
    found = archive.NameToInfo.get(name)
    if found is None:
        raise refusal(f"the archive lacks {quoted(name)}")
    return found


def text(archive: zipfile.ZipFile, name: str) -> str:
    """Read a small member that is text."""
    info = member(archive, name)
    if info.file_size > _MOST_TEXT:
        raise refusal(f"{location_of(info)} declares {info.file_size} bytes, too many for a config")
    with as_model_file_error(location_of(info)):
        return archive.read(info).decode()


@contextmanager
def byte_range(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[ByteRange]:
    """Open a member as a file: in place if it is stored, else through a temporary file."""
    if info.compress_type == STORED:
        yield _in_place(archive, info)
        return
    with tempfile.TemporaryFile(buffering=0) as file:
        with as_model_file_error(location_of(info)), archive.open(info) as packed:
            shutil.copyfileobj(packed, file, 2**20)
        if (unpacked := file.tell()) != info.file_size:
            raise refusal(
                f"{location_of(info)} declares {info.file_size} bytes, but {unpacked} are packed"
            )
        yield ByteRange(file, 0, info.file_size)


def location_of(info: zipfile.ZipInfo) -> str:
    """Return the name of a member for error messages."""
    return f"member {quoted(info.filename)}"


def _check(info: zipfile.ZipInfo, archive_size: int) -> None:
    location = location_of(info)
    name = info.orig_filename
    windows = PureWindowsPath(name)
    if (
        windows.drive
        or windows.root
        or ".." in windows.parts
        or "\\" in name
        or "\0" in name
        or not PurePosixPath(name).parts
    ):
        raise refusal(f"member {quoted(name)} has a name that leads out of the archive")
    if not name.isprintable():
        raise refusal(f"member {quoted(name)} has a name that holds a control character")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise refusal(f"{location} is a symbolic link, which lcfast never follows")
    if info.flag_bits & _ENCRYPTED:
        raise refusal(f"{location} is encrypted", advice="unpack it and pack it without a password")
    if info.compress_type not in (STORED, zipfile.ZIP_DEFLATED):
        advice = "pack the archive again, stored or with deflate"
        raise refusal(f"{location} is packed with method {info.compress_type}", advice)
    most = info.compress_size * (1 if info.compress_type == STORED else _MOST_PACKING)
    if info.file_size > most or info.header_offset + info.compress_size > archive_size:
        raise refusal(
            f"{location} declares {info.file_size} bytes, but {info.compress_size} are stored"
        )
    if info.file_size > max(_MOST_UNPACKED, _USUAL_PACKING * info.compress_size):
        raise refusal(
            f"{location} unpacks {info.compress_size} bytes to {info.file_size}",
            advice="if it is really that large, store it in the archive without packing",
        )


def _in_place(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ByteRange:
    file = cast(io.FileIO, archive.fp)
    with as_model_file_error(location_of(info)), archive.open(info):  # compares both headers
        file.seek(info.header_offset)
        mark, name_size, extra_size = _HEADER.unpack(file.read(_HEADER.size))
        start = info.header_offset + _HEADER.size + name_size + extra_size
    if mark != b"PK\3\4" or start + info.file_size > file.seek(0, io.SEEK_END):
        raise refusal(f"{location_of(info)} declares more bytes than follow it")
    return ByteRange(file, start, info.file_size, info.CRC)
