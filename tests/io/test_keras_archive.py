"""The .keras reader: what it reads, and that only a clear refusal comes of anything else."""

import json
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest

from lcfast.errors import ModelFileError
from lcfast.io import read_model, read_weights, zip_archive
from tests.support import goldens

NAMES = ("sequential", "functional", "keras_3_sequential", "keras_3_functional")
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def golden(name="sequential"):
    return goldens.DIRECTORY / f"container_{name}.keras"


def parts_of(name="sequential"):
    with zipfile.ZipFile(golden(name)) as archive:
        return {member: archive.read(member) for member in archive.namelist()}


def write(path, parts, packing=zipfile.ZIP_STORED):
    """An archive of (name or ZipInfo, content) pairs."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", packing) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of names that are there twice
        for name, content in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.keras"


def everything(path):
    return dict(read_weights(path))


def refusal(path, read=read_model):
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def assert_same(model, other):
    assert model.config == other.config
    assert model.layer_weights == other.layer_weights
    assert list(model.arrays) == list(other.arrays)
    for name, array in model.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], strict=True)


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_its_config_its_arrays_and_its_version(name):
    model = read_model(golden(name))
    parts = parts_of(name)
    assert model.path == str(golden(name))
    assert model.config == json.loads(parts[CONFIG])
    assert model.keras_version == json.loads(parts[METADATA])["keras_version"]
    named = [full_name for names in model.layer_weights.values() for full_name in names]
    assert sorted(named) == sorted(model.arrays)
    entries = model.config["config"]["layers"]
    assert set(model.layer_weights) == {entry["config"]["name"] for entry in entries}


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_model_and_no_optimizer_slots(name):
    weights, model = everything(golden(name)), read_model(golden(name))
    assert set(weights) == set(model.arrays)
    for full_name, array in model.arrays.items():
        np.testing.assert_array_equal(weights[full_name], array, strict=True)


@pytest.mark.parametrize("name", ["sequential", "keras_3_sequential"])
def test_a_weights_h5_file_has_the_same_weights(name):
    alone = everything(goldens.DIRECTORY / f"container_{name}.weights.h5")
    within = everything(golden(name))
    assert list(alone) == list(within)
    for full_name, array in alone.items():
        np.testing.assert_array_equal(within[full_name], array, strict=True)


def test_a_packed_archive_is_read_too(path):
    write(path, parts_of(), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < golden().stat().st_size / 2
    assert_same(read_model(path), read_model(golden()))
    assert everything(path).keys() == everything(golden()).keys()


def test_members_may_come_in_any_order_and_with_others_beside(path):
    parts = {"assets/": b"", "assets/words.txt": b"a b", **dict(reversed(parts_of().items()))}
    assert_same(read_model(write(path, parts)), read_model(golden()))


def test_an_archive_without_its_version_is_read(path):
    parts = parts_of()
    del parts[METADATA]
    model = read_model(write(path, parts))
    assert model.keras_version is None
    assert_same(model, read_model(golden()))


def test_a_config_may_hold_nan_as_python_writes_it(path):
    parts = {**parts_of(), CONFIG: b'{"class_name": "Model", "config": {"rate": NaN}}'}
    assert np.isnan(read_model(write(path, parts)).config["config"]["rate"])


def test_large_weights_are_read_in_place_and_once(path, tmp_path):
    import h5py

    kernel = np.random.default_rng(0).standard_normal((2000, 2000)).astype("f4")
    with h5py.File(tmp_path / WEIGHTS, "w") as file:
        file["layers/dense/vars/0"] = kernel
    dense = {"class_name": "Dense", "config": {"name": "dense"}}
    config = {"class_name": "Sequential", "config": {"layers": [dense]}}
    parts = {CONFIG: json.dumps(config), WEIGHTS: (tmp_path / WEIGHTS).read_bytes()}
    write(path, parts)
    read_model(golden())  # imports are no copies
    tracemalloc.start()
    try:
        model = read_model(path)
        assert tracemalloc.get_traced_memory()[1] < 1.1 * kernel.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(model.arrays["layers/dense/vars/0"], kernel)


# ---------------------------------------------------------------- what is missing or no config


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_member_that_is_missing_is_named(path, name):
    parts = parts_of()
    del parts[name]
    assert refusal(write(path, parts)).startswith(f"the archive lacks '{name}'; the file is")


def test_weights_without_a_config_can_be_read_by_themselves(path):
    parts = parts_of()
    del parts[CONFIG]
    assert everything(write(path, parts)).keys() == everything(golden()).keys()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "member 'config.json' "),
        (b"{", "member 'config.json' "),
        (b'{"a": ' * 100_000, "member 'config.json' "),
        (b"9" * 5000, "member 'config.json' is "),
        (b"[]", "member 'config.json' is '[]', not an object with a 'class_name' and a 'config'"),
        (b'{"class_name": "Model"}', "not an object with a 'class_name' and a 'config'"),
        (b"\xff\xfe", "member 'config.json' cannot be read (UnicodeDecodeError"),
    ],
)
def test_a_config_that_is_none_is_refused(path, content, found):
    assert found in refusal(write(path, {**parts_of(), CONFIG: content}))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"keras_version": 3}'])
def test_metadata_that_are_none_are_refused(path, content):
    assert "member 'metadata.json' is not" in refusal(
        write(path, {**parts_of(), METADATA: content})
    )


@pytest.mark.parametrize("content", [b"", b"PK", b"\x89HDF\r\n\x1a\n", bytes(5000)])
def test_weights_that_are_no_hdf5_are_refused(path, content):
    write(path, {**parts_of(), WEIGHTS: content})
    for read in (read_model, read_weights):
        assert refusal(path, read).startswith("model.weights.h5: the file cannot be read (")


# ---------------------------------------------------------------- members that nobody should trust


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../config.json", "assets/../../x", "..", "/", "a/.."),
        *("C:/x", "C:x", "//server/share/x", "..\\x", "a\\b"),
    ],
)
def test_a_name_that_leads_out_of_the_archive_is_refused(path, name):
    info = zipfile.ZipInfo("x")
    info.filename = name
    message = refusal(write(path, [*parts_of().items(), (info, b"x")]))
    assert message.startswith(f"member {name!r} has a name that leads out of the archive; ")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "assets/x"])
def test_a_name_that_is_there_twice_is_refused(path, name):
    message = refusal(write(path, [*parts_of().items(), (name, b"x"), (name, b"y")]))
    assert message.startswith(f"member '{name}' is there twice")


def test_a_symbolic_link_is_refused(path):
    info = zipfile.ZipInfo("assets/link")
    info.external_attr = 0o120777 << 16
    message = refusal(write(path, [*parts_of().items(), (info, b"/etc/passwd")]))
    assert message.startswith("member 'assets/link' is a symbolic link, which lcfast never follows")


def in_directory(content, name, offset, value):
    """Overwrite bytes of a member's entry in the archive's directory."""
    changed = bytearray(content)
    at = content.rindex(name.encode()) - 46 + offset
    changed[at : at + len(value)] = value
    return bytes(changed)


def in_header(content, name, offset, value):
    """Overwrite bytes of the header that stands before a member."""
    changed = bytearray(content)
    at = content.index(name.encode()) - 30 + offset
    changed[at : at + len(value)] = value
    return bytes(changed)


def test_an_encrypted_member_is_refused(path):
    path.write_bytes(in_directory(golden().read_bytes(), CONFIG, 8, b"\1\0"))
    assert refusal(path).startswith("member 'config.json' is encrypted; unpack it and pack it")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
def test_a_packing_that_is_unknown_is_refused(path, method):
    path.write_bytes(in_directory(golden().read_bytes(), WEIGHTS, 10, struct.pack("<H", method)))
    assert f"member 'model.weights.h5' is packed with method {method}; " in refusal(path)


@pytest.mark.parametrize("name", [CONFIG, METADATA, WEIGHTS])
def test_a_member_that_claims_more_than_is_stored_is_refused_before_it_is_read(path, name):
    for packing, content in [
        (zipfile.ZIP_STORED, golden().read_bytes()),
        (zipfile.ZIP_DEFLATED, write(path, parts_of(), zipfile.ZIP_DEFLATED).read_bytes()),
    ]:
        path.write_bytes(in_directory(content, name, 24, struct.pack("<I", 2**32 - 2)))
        tracemalloc.start()
        try:
            message = refusal(path)
            assert tracemalloc.get_traced_memory()[1] < 2e6, packing
        finally:
            tracemalloc.stop()
        assert message.startswith(f"member '{name}' declares 4294967294 bytes, but ")


def test_a_config_that_is_too_long_is_refused_before_it_is_read(path, monkeypatch):
    write(path, parts_of())
    monkeypatch.setattr(zip_archive, "_MOST_TEXT", 100)
    assert " bytes, too many for a config; " in refusal(path)


@pytest.mark.parametrize("declared", [10, 20_000_010, 40_000_000])
def test_a_packed_member_that_has_another_size_than_it_declares_is_refused(path, declared):
    zeros = bytes(20_000_000)
    write(path, {**parts_of(), WEIGHTS: zeros}, zipfile.ZIP_DEFLATED)
    path.write_bytes(in_directory(path.read_bytes(), WEIGHTS, 24, struct.pack("<I", declared)))
    tracemalloc.start()
    try:
        assert "member 'model.weights.h5' " in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_a_config_that_unpacks_to_far_more_than_a_config_is_refused(path):
    parts = parts_of()
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(bytes(2**28 + 1)) + packer.flush()
    content = write(path, {**parts, CONFIG: packed}).read_bytes()
    for place in (in_directory, in_header):
        shift = 2 if place is in_directory else 0
        content = place(content, CONFIG, 8 + shift, struct.pack("<H", zipfile.ZIP_DEFLATED))
        content = place(content, CONFIG, 22 + shift, struct.pack("<I", 2**28 + 1))
    path.write_bytes(content)
    assert "unpacks 260916 bytes to 268435457" in refusal(path)


def test_members_that_lie_over_each_other_are_refused(path):
    """Each of them fits the archive; all of them together are a bomb."""
    write(path, parts_of())
    with zipfile.ZipFile(path, "a") as archive:
        weights = archive.getinfo(WEIGHTS)
        archive.writestr("last", b"")  # or zipfile would not write its directory again
        for name in ("again", "and again"):
            info = zipfile.ZipInfo(name)
            for of_weights in ("header_offset", "CRC", "file_size", "compress_size"):
                setattr(info, of_weights, getattr(weights, of_weights))
            archive.filelist.append(info)
    assert refusal(path).startswith("the archive declares more bytes than it has; ")


@pytest.mark.parametrize("offset", [26, 28])
def test_a_member_whose_header_says_where_it_is_not_is_refused(path, offset):
    """The sizes of the name and of the extras say where the bytes begin."""
    path.write_bytes(in_header(golden().read_bytes(), WEIGHTS, offset, b"\xff\xff"))
    assert "member 'model.weights.h5' " in refusal(path)


def test_weights_that_are_not_the_ones_that_were_stored_are_refused(path):
    content = bytearray(golden().read_bytes())
    weights = parts_of()[WEIGHTS]
    content[content.index(weights) + len(weights) // 2] ^= 1
    path.write_bytes(content)
    for read in (read_model, read_weights):
        assert refusal(path, read).startswith("model.weights.h5: ")


# ---------------------------------------------------------------- damage


def outcome(read, path):
    """The message of an error that is allowed, or nothing; any other error goes through."""
    try:
        read(path)
    except (ModelFileError, OSError) as error:
        return str(error)
    return ""


def damaged(content, round_number, rng, used):
    if round_number % 5 == 4:
        return content[: rng.randrange(len(content))]
    changed = bytearray(content)
    for _ in range([1, 1, 4, 16][round_number % 4]):
        at = rng.choice(used)
        changed[at] = rng.choice([0, 255, rng.randrange(256), changed[at] ^ 1 << rng.randrange(8)])
    return bytes(changed)


@pytest.mark.thorough
def test_a_damaged_archive_ends_in_a_refusal_or_in_nothing(path):
    content = golden().read_bytes()
    weights = content.index(parts_of()[WEIGHTS])
    size = len(parts_of()[WEIGHTS])
    # The weights have a checksum: damage to them is always seen, so most of it goes elsewhere.
    used = [*range(weights), *range(weights + size, len(content)), *range(weights, weights + 200)]
    rng = random.Random(0)
    for round_number in range(300):
        path.write_bytes(damaged(content, round_number, rng, used))
        for read in (read_model, everything):
            message = outcome(read, path)
            assert message == "" or str(path) in message
            assert "\n" not in message


@pytest.mark.thorough
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_weights_in_a_sound_archive_end_in_a_refusal_or_in_nothing(path, packing):
    parts = parts_of("keras_3_sequential")
    content = parts[WEIGHTS]
    used = [at for at in range(len(content)) if any(content[max(0, at - 8) : at + 8])]
    rng = random.Random(packing)
    for round_number in range(150):
        write(path, {**parts, WEIGHTS: damaged(content, round_number, rng, used)}, packing)
        for read in (read_model, everything):
            message = outcome(read, path)
            assert message == "" or str(path) in message
            assert "\n" not in message
