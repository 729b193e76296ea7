"""What HDF5 would allocate because a header or a table says so is refused before HDF5 sees it."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lcfast.errors import ModelFileError
from lcfast.io import hdf5_file, hdf5_headers, read_weights
from tests.support.hdf5_checksums import lookup3

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
GIGABYTES = 4 * 2**30
CONTINUATION = b"\x10\0\x10\0\0\0\0\0"  # in an older header: its kind, its size, no flags

Write = Callable[[bytes, Path], Path]


def written(members: int = 2, attributes: int = 8, **options: object) -> bytes:
    """Weights as Keras 3 lays them out; some members, and some attributes of each group."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        for number in range(members):
            file[f"layers/dense_{number}/vars/0"] = NUMBERS
        for group in (file, file["layers"]):
            for number in range(attributes):
                group.attrs[f"attribute_{number}"] = "x" * 20
    return buffer.getvalue()


def alone(data: bytes, directory: Path) -> Path:
    path = directory / "model.weights.h5"
    path.write_bytes(data)
    return path


def in_archive(data: bytes, directory: Path) -> Path:
    path = directory / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", data)
    return path


def behind_a_user_block(data: bytes, directory: Path) -> Path:
    """HDF5 counts addresses from its own first byte, wherever it was written."""
    return alone(b"mine".ljust(2048) + data, directory)


PLACES = [alone, in_archive, behind_a_user_block]


def changed(data: bytes, place: int, number: int, width: int = 8) -> bytes:
    return data[:place] + number.to_bytes(width, "little") + data[place + width :]


def summed(data: bytes, start: int, end: int) -> bytes:
    """The bytes with the checksum of a part made right, which is behind it."""
    return changed(data, end, lookup3(data[start:end]), 4)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        dict(read_weights(path))
    return str(caught.value)


@pytest.fixture
def never_opened(monkeypatch):
    """HDF5 opens no file."""

    class File:
        def __init__(self, *_: object, **__: object) -> None:
            raise AssertionError("HDF5 has opened the file")

    monkeypatch.setattr(hdf5_file.h5py, "File", File)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("length", [GIGABYTES, 2**62, 2**64 - 1])
@pytest.mark.parametrize("write", PLACES)
@pytest.mark.usefixtures("never_opened")
def test_a_header_that_goes_on_for_gigabytes_is_refused(tmp_path, write, length):
    data = DATA
    places = [at for at in range(len(data)) if data.startswith(CONTINUATION, at)]
    assert len(places) == 3  # of the root, where HDF5 opens the file, and of groups
    for place in places:
        message = refusal(write(changed(data, place + 16, length), tmp_path))
        assert "more than the file" in message


DATA = written()


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.usefixtures("never_opened")
def test_a_header_that_begins_with_gigabytes_is_refused(tmp_path, write):
    root = int.from_bytes(DATA[64:72], "little")
    message = refusal(write(changed(DATA, root + 8, GIGABYTES - 1, 4), tmp_path))
    assert f"the object at byte {root} has a header of {GIGABYTES - 1} bytes" in message


@pytest.mark.usefixtures("never_opened")
def test_a_header_that_goes_on_in_itself_is_refused(tmp_path):
    place = DATA.index(CONTINUATION)
    root = int.from_bytes(DATA[64:72], "little")
    endless = changed(changed(DATA, place + 8, root + 16), place + 16, 800)
    assert "more than the file" in refusal(alone(endless, tmp_path))


@pytest.mark.parametrize("write", PLACES)
def test_a_header_in_the_newest_layout_that_goes_on_for_gigabytes_is_refused(tmp_path, write):
    data = written(libver="latest")
    first, end = newer_header(data, data.index(b"OHDR"))
    place = data.index(data.index(b"OCHK").to_bytes(8, "little"), first) + 8
    damaged = summed(changed(data, place, GIGABYTES), data.index(b"OHDR"), end)
    assert "more than the file" in refusal(write(damaged, tmp_path))


def newer_header(data: bytes, start: int) -> tuple[int, int]:
    """Where the messages of a header begin and end."""
    flags = data[start + 5]
    assert flags & ~35 == 0  # it may have times, and its size has 1, 2, 4 or 8 bytes
    size = start + (22 if flags & 32 else 6)
    first = size + (1 << (flags & 3))
    return first, first + int.from_bytes(data[size:first], "little")


@pytest.mark.parametrize("write", PLACES)
def test_a_member_that_is_linked_from_a_heap_is_checked_before_it_is_opened(tmp_path, write):
    """Newer groups of more than eight members keep them in a heap."""
    data = written(members=12, libver="latest")
    start = data.rindex(b"OHDR")
    first, end = newer_header(data, start)
    endless = b"\x10\x10\0\0" + struct.pack("<QQ", 8, GIGABYTES)
    rest = end - first - len(endless)
    endless += (b"\0" + (rest - 4).to_bytes(2, "little")).ljust(rest, b"\0")  # means nothing
    damaged = summed(data[:first] + endless + data[end:], start, end)
    assert "more than the file" in refusal(write(damaged, tmp_path))


# ---------------------------------------------------------------- tables that headers name


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.usefixtures("never_opened")
def test_names_of_gigabytes_are_refused(tmp_path, write):
    for heap in [at for at in range(len(DATA)) if DATA.startswith(b"HEAP\0\0\0\0", at)]:
        message = refusal(write(changed(DATA, heap + 8, GIGABYTES), tmp_path))
        assert "has names that take up more than the file" in message


def test_names_of_other_files_that_take_up_gigabytes_are_refused(tmp_path):
    with h5py.File(alone(DATA, tmp_path), "r+") as file:
        file.create_dataset("layers/x/vars/0", (2,), "f4", external=[("other", 0, 8)])
    data = (tmp_path / "model.weights.h5").read_bytes()
    heap = data.rindex(b"HEAP\0\0\0\0")
    message = refusal(alone(changed(data, heap + 8, GIGABYTES), tmp_path))
    assert "has names that take up more than the file" in message


# In the newest layout: the mark of a table, the bytes ahead of its checksum, where a number is in
# it and its width, and what is said of gigabytes there.
TABLES = [
    (b"BTHD", 34, 6, 4, "has a tree with nodes of 2147483648 bytes"),
    (b"FRHP", 142, 112, 8, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 110, 2, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 120, 8, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 128, 2, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 130, 2, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 140, 2, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 5, 2, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 7, 2, "has a heap of a shape that HDF5 never gives to one"),
    (b"FRHP", 142, 24, 8, "has a heap of a shape that HDF5 never gives to one"),
]


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.parametrize(("mark", "size", "place", "width", "found"), TABLES)
def test_a_table_of_the_newest_layout_that_claims_gigabytes_is_refused(
    tmp_path, write, mark, size, place, width, found
):
    data = written(members=12, libver="latest")
    places = [at for at in range(len(data)) if data.startswith(mark, at)]
    assert places
    for start in places:
        damaged = changed(data, start + place, 2**31 % 256**width or 2**15 - 1, width)
        assert found in refusal(write(summed(damaged, start, start + size), tmp_path))


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.parametrize("members", [12, 100])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_tree_of_other_records_than_it_says_is_refused(tmp_path, write, members, more):
    """HDF5 makes a table of as many as it says, and sorts what it never wrote."""
    data = written(members, libver="latest")
    start = data.index(b"BTHD")
    damaged = summed(changed(data, start + 26, members + more), start, start + 34)
    found = f"has a tree of {members} records that says {members + more}"
    assert found in refusal(write(damaged, tmp_path))


@pytest.mark.parametrize("kind", [0, 1, 6, 8, 11, 255])
def test_a_tree_of_another_kind_than_its_place_has_is_refused(tmp_path, kind):
    """Over a kind that HDF5 only tests itself with, it crashes."""
    data = written(members=12, libver="latest")
    start = data.index(b"BTHD")
    assert data[start + 5] == 5
    damaged = summed(changed(data, start + 5, kind, 1), start, start + 34)
    found = f"has a tree of kind {kind}, with records of 11 bytes"
    assert found in refusal(alone(damaged, tmp_path))


def test_a_node_of_a_tree_holds_no_more_than_fits(tmp_path):
    data = written(members=12, libver="latest")
    start = data.index(b"BTHD")
    damaged = changed(changed(data, start + 24, 4000, 2), start + 26, 4000)
    damaged = summed(damaged, start, start + 34)
    assert "has a tree with 4000 records in a node" in refusal(alone(damaged, tmp_path))


def with_chunks(*most: int | None) -> bytes:
    buffer = io.BytesIO(written(libver="latest"))
    with h5py.File(buffer, "r+", libver="latest") as file:
        file.create_dataset("layers/x/vars/0", data=np.eye(4), chunks=(1, 1), maxshape=most)
    return buffer.getvalue()


NEVER_WRITTEN_BY_KERAS = [
    (written(attributes=12, libver="latest"), "attributes"),
    (with_chunks(4, 4), "chunks"),
    (with_chunks(None, 4), "chunks"),
    (with_chunks(None, None), "chunks"),
]


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.parametrize(("data", "what"), NEVER_WRITTEN_BY_KERAS)
@pytest.mark.usefixtures("never_opened")
def test_other_tables_of_the_newest_layout_are_refused_with_a_way_out(tmp_path, write, data, what):
    message = refusal(write(data, tmp_path))
    assert f"keeps its {what} in a table of HDF5's newest layout" in message
    assert "without libver='latest'" in message


@pytest.mark.parametrize("write", PLACES)
def test_names_that_are_not_ascii_are_read_though_hdf5_keeps_them_in_a_heap(tmp_path, write):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        layers = file.create_group("layers")
        for number in range(12):
            layers.create_group(f"schicht_ä_{number:02}")["vars/0"] = NUMBERS
    assert b"FRHP" in buffer.getvalue()
    weights = dict(read_weights(write(buffer.getvalue(), tmp_path)))
    assert list(weights) == [f"layers/schicht_ä_{number:02}/vars/0" for number in range(12)]


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.usefixtures("never_opened")
def test_members_whose_tables_lie_over_each_other_are_refused(tmp_path, write):
    tree = DATA.index(b"TREE\0\0\1\0")
    table = int.from_bytes(DATA[tree + 32 : tree + 40], "little")
    assert DATA.startswith(b"SNOD", table)
    endless = changed(DATA, tree + 32, tree)
    crowded = changed(DATA, table + 6, 65535, 2)
    for damaged in (endless, crowded):
        assert "more than the file" in refusal(write(damaged, tmp_path))


@pytest.mark.usefixtures("never_opened")
def test_the_work_of_a_hostile_file_grows_with_its_size_alone(tmp_path):
    """A table of members begins at every eighth byte, and each lists all that is behind it."""
    old, new = DATA.index(b"TREE\0\0\1\0"), len(DATA)
    first = new + 24 + 16 * 2000
    nodes = b"".join(bytes(8) + (first + 8 * i).to_bytes(8, "little") for i in range(2000))
    tree = b"TREE\0\0" + (2000).to_bytes(2, "little") + bytes(16) + nodes
    data = DATA.replace(old.to_bytes(8, "little"), new.to_bytes(8, "little"))
    data += tree + b"SNOD\1\0\xff\xff" * 20_000
    damaged = changed(data, 40, len(data))
    assert "more than the file has left for it" in refusal(alone(damaged, tmp_path))


def test_objects_that_messages_refer_to_are_checked_too(tmp_path):
    """The type of an attribute or of a dataset may be kept by an object that no group names."""
    path = alone(DATA, tmp_path)
    with h5py.File(path, "r+") as file:
        file["kind"] = np.dtype("f4")
        kind = h5py.h5o.get_info(file["kind"].id).addr
        file["layers/dense_0"].attrs.create("x", 1, dtype=file["kind"])
        file["layers/dense_1"].create_dataset("x", data=1, dtype=file["kind"])
        del file["kind"]
    data = path.read_bytes()
    assert f"the object at byte {kind} has a header of" in refusal(
        alone(changed(data, kind + 8, GIGABYTES - 1, 4), tmp_path)
    )


# ---------------------------------------------------------------- the file itself


@pytest.mark.usefixtures("never_opened")
def test_addresses_of_another_width_cannot_be_checked(tmp_path):
    layout = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    layout.set_sizes(4, 4)
    path = tmp_path / "model.weights.h5"
    h5py.h5f.create(str(path).encode(), fcpl=layout).close()
    assert "the file has addresses or sizes of an unusual width" in refusal(path)


def test_a_truncated_file_is_called_that_even_where_its_headers_are_hostile(tmp_path):
    hostile = changed(DATA, DATA.index(CONTINUATION) + 16, GIGABYTES)
    for length in (96, 512, 2000, len(DATA) - 1):
        assert "truncated file" in refusal(alone(hostile[:length], tmp_path))


@pytest.mark.usefixtures("never_opened")
def test_an_end_that_64_bits_do_not_hold_hides_nothing(tmp_path):
    hostile = changed(DATA, DATA.index(CONTINUATION) + 16, GIGABYTES)
    wrapped = changed(hostile, 40, 2**64 - 1001)
    assert "more than the file" in refusal(behind_a_user_block(wrapped, tmp_path))


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.parametrize(
    "options", [{}, {"libver": "latest"}, {"libver": "latest", "track_order": True}]
)
@pytest.mark.parametrize("members", [2, 40])
def test_every_layout_of_hdf5_is_read(tmp_path, write, options, members):
    path = write(written(members, attributes=min(members, 8), **options), tmp_path)
    weights = dict(read_weights(path))
    assert list(weights) == [f"layers/dense_{number}/vars/0" for number in range(members)]
    for numbers in weights.values():
        np.testing.assert_array_equal(numbers, NUMBERS)


@pytest.mark.parametrize("members", [40, 100, 1200])  # in a tree of one level, of two, of three
def test_a_group_of_many_members_is_opened(tmp_path, members):
    path = tmp_path / "many.h5"
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for number in range(members):
            file.create_group(f"group_{number}")
    start = path.read_bytes().index(b"BTHD")
    assert path.read_bytes()[start + 12] == (members > 40) + (members > 1000)
    with hdf5_file.opened(str(path)) as file:
        assert len(file) == members


def test_a_file_that_was_checked_before_is_not_held_against_one_that_is_open(tmp_path):
    one, other = alone(DATA, tmp_path), tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["a"] = NUMBERS
        file.create_dataset("b", data=np.zeros(len(DATA)))
        file.create_group("last")  # its header lies where the first file has none
    with hdf5_file.opened(str(one)), hdf5_file.opened(str(other), is_checked=True) as file:
        assert list(hdf5_file.members(file)) == ["a", "b", "last"]
        assert hdf5_headers.attributes(96) == []
