"""The .npz reader: arrays in order, never unpickled, sizes checked before they are made."""

import csv
import io
import json
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import lcfast
from lcfast.errors import ModelFileError
from lcfast.io import npz, read_model, read_weights, zip_archive
from tests.support import goldens

MHCFLURRY = goldens.DIRECTORY / "container_weights_network-0.npz"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.npz"


def read_at_once(path):
    with npz.open_weights(path) as file:
        return dict(file.arrays)


def refusal(path, read=read_weights):
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def write_raw(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array, version=None, **header):
    """The bytes of an array, its header changed."""
    file = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(array) | header
    if version is None:
        np.lib.format.write_array_header_1_0(file, described)
    else:
        np.lib.format.write_array_header_2_0(file, described)
    return file.getvalue() + array.tobytes()


def test_a_network_of_mhcflurry_s_is_loaded_in_three_lines():
    with open(goldens.DIRECTORY / "container_manifest.csv", newline="") as file:
        network = json.loads(next(csv.DictReader(file))["config_json"])

    model = lcfast.model_from_json(network["network_json"])
    model.set_weights(list(lcfast.read_weights(MHCFLURRY).values()))
    y = model.predict(goldens.arrays("containers")["json_and_npz/x"])

    np.testing.assert_allclose(y, goldens.arrays("containers")["json_and_npz/y"], rtol=1e-5)


def test_numbered_arrays_come_in_the_order_of_their_numbers(path):
    np.savez(path, **{f"array_{i}": np.full(2, i) for i in reversed(range(12))})
    weights = read_weights(path)
    assert list(weights) == [f"array_{i}" for i in range(12)]
    assert [array[0] for array in weights.values()] == list(range(12))


def test_named_arrays_keep_the_order_of_the_file(path):
    np.savez(path, kernel=np.ones(2), bias=np.ones(3), a10=np.ones(1), a9=np.ones(1))
    assert list(read_weights(path)) == ["kernel", "bias", "a10", "a9"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">i2", "<u4", "<i8", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3), (1, 2, 3)])
def test_numbers_keep_their_type_in_the_byte_order_of_the_machine(path, save, dtype, shape):
    numbers = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)
    for given in (numbers, np.asfortranarray(numbers)):
        save(path, given)
        array = read_weights(path)["arr_0"]
        np.testing.assert_array_equal(array, numbers)
        assert array.shape == given.shape  # asfortranarray makes a list of a number
        assert array.dtype == np.dtype(dtype).newbyteorder("=")
        assert array.dtype.isnative
        assert array.flags.c_contiguous


def test_the_second_version_of_numpy_s_format_is_read(path):
    write_raw(path, a=npy(np.arange(3.0), version=2))
    assert read_weights(path)["a"].tolist() == [0, 1, 2]


def test_a_large_array_is_read_once(path):
    numbers = np.random.default_rng(0).standard_normal(3_000_000)
    np.savez(path, numbers)
    read_weights(MHCFLURRY)["array_0"]  # imports are no copies
    tracemalloc.start()
    try:
        array = read_weights(path)["arr_0"]
        assert tracemalloc.get_traced_memory()[1] < numbers.nbytes + 8e6
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(array, numbers)


# ---------------------------------------------------------------- what is refused


def test_weights_alone_are_no_model_and_the_message_says_what_to_do():
    assert refusal(MHCFLURRY, read_model) == (
        "holds weights only, as .npz files do; make the model with model_from_json(text), then "
        "give it the weights with model.set_weights(list(read_weights(path).values()))"
    )


class Explosive:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array([Explosive(), None], object), "values of type object"),
        (np.array(["a", "b"]), "values of type <U1"),
        (np.zeros(2, "c8"), "values of type complex64"),
        (np.zeros(2, np.longdouble), "values of type "),
        (np.zeros(2, [("x", "f4")]), "values of type [('x', '<f4')]"),
        (np.zeros(2, "M8[s]"), "values of type datetime64[s]"),
    ],
)
def test_only_floats_integers_and_booleans_are_numbers(path, array, found):
    np.savez(path, kernel=array)
    message = refusal(path)
    assert message.startswith(f"member 'kernel.npy' holds {found}")
    assert "not an array of floats, integers or booleans" in message


@pytest.mark.parametrize(
    "shape", [(4,), (2,), (10**12, 10**12), (-3,), (-1, -3), (2**62, 4), (10**30,)]
)
def test_a_shape_that_is_not_what_is_stored_is_refused_before_it_is_made(path, shape):
    write_raw(path, a=npy(np.zeros(3), shape=shape))
    tracemalloc.start()
    try:
        message = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
    assert message.startswith(f"member 'a.npy' declares an array of shape {shape} and type float64")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x93NUMPY", b"\x93NUMPY\1\0", b"\x93NUMPY\3\0\0\0\0\0", b"PK", bytes(1000)),
        b"\x93NUMPY\1\0\xff\xff{",
        b"\x93NUMPY\2\0\xff\xff\xff\xff{",
        npy(np.zeros(3)).replace(b"'descr'", b"'other'"),
        npy(np.zeros(3)).replace(b"(3,)", b"None"),
        npy(np.zeros(3)).replace(b"'<f8'", b"'<f9'"),
        npy(np.zeros(3)).replace(b"(3,)", b"((("),
        npy(np.zeros(3)).replace(b"False", b"  {} "),
        npy(np.zeros(3)).replace(b"{'descr'", b"[" * 8),
    ],
    ids=lambda content: repr(content[:24]),
)
def test_an_array_without_a_right_header_is_refused(path, content):
    assert refusal(write_raw(path, a=content)).startswith("member 'a.npy' ")


def test_an_array_whose_bytes_changed_is_refused(path):
    np.savez(path, np.arange(1000.0))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in refusal(path, lambda path: dict(read_weights(path)))


def test_an_array_that_is_packed_in_part_is_refused(path):
    content = npy(np.zeros(1000), shape=(2000,))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    size = struct.pack("<I", len(content))
    assert path.read_bytes().count(size) == 2  # in the member's header, and in the directory
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", len(content) + 8000)))
    message = refusal(path, lambda path: dict(read_weights(path)))
    assert message.startswith("member 'a.npy' ends too early")


def test_among_many_arrays_too_a_member_that_is_none_is_named(path):
    arrays = {f"a{i}.npy": npy(np.zeros(1)) for i in range(zip_archive.MANY)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**arrays, "x": npy(np.zeros(1))}.items():
            archive.writestr(name, content)
    assert ".npy" in refusal(path, read_at_once)


def test_a_zip_of_anything_else_is_called_that(path):
    for members in ({}, {"x.txt": b""}, {"a.npy": npy(np.zeros(3)), "x.txt": b""}):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        assert refusal(path).startswith("is a zip archive, but neither a .keras nor a .npz file; ")


def outcome(path):
    """The message of an error that is allowed, or nothing; any other error goes through."""
    try:
        dict(read_weights(path))
    except (ModelFileError, OSError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_ends_in_a_refusal_or_in_nothing(path, save):
    save(path, **{f"array_{i}": np.arange(i * 3.0) for i in range(5)})
    content = path.read_bytes()
    rng = random.Random(save.__name__)
    for round_number in range(300):
        damaged = bytearray(content)
        for _ in range([1, 1, 4, 16][round_number % 4]):
            at = rng.randrange(len(content))
            damaged[at] = rng.choice(
                [0, 255, rng.randrange(256), damaged[at] ^ 1 << rng.randrange(8)]
            )
        path.write_bytes(
            damaged[: rng.randrange(len(damaged))] if round_number % 5 == 4 else damaged
        )
        message = outcome(path)
        assert message == "" or str(path) in message
        assert "\n" not in message
