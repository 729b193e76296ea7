"""Writing: a file appears only when it is whole, and says what Keras would say."""

import os
import resource
import stat
import zipfile
from contextlib import contextmanager

import h5py
import numpy as np
import pytest

from lcfast import io
from lcfast.io import hdf5_writing, keras_writing
from lcfast.io.atomic_write import atomic_write
from tests.support.cases import assert_same_bits

VERSION = "2.21.0"
ONES = np.ones((200, 300), np.float32)
BIG = {"dense": [("dense/kernel:0", ONES), ("dense/bias:0", ONES)]}

WRITERS = {
    "model.h5": lambda path, **more: hdf5_writing.write_model(path, "{}", BIG, VERSION, **more),
    "weights.h5": lambda path, **more: hdf5_writing.write_weights(path, BIG, VERSION, **more),
    "model.keras": lambda path, **more: keras_writing.write_model(
        path, "{}", {"": [], "layers/dense": [ONES, ONES]}, VERSION, **more
    ),
    "tree.weights.h5": lambda path, **more: keras_writing.write_weights(
        path, {"": [], "layers/dense": [ONES, ONES]}, **more
    ),
}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file")


@contextmanager
def full_disk(size=100_000):
    """No file may be larger, which fails as a full disk does; pytest's own log may, afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(kind, path):
    with open(path, "wb") as file:
        file.write(b"before")
    with pytest.raises(OSError, match="too large"), full_disk():
        WRITERS[kind](path)
    assert os.listdir(os.path.dirname(path)) == ["file"]
    with open(path, "rb") as file:
        assert file.read() == b"before"


@pytest.mark.parametrize("limit", range(1000, 9000, 250))
def test_it_does_not_matter_where_the_disk_ends(limit, path):
    small = {f"layer_{i}": [(f"layer_{i}/kernel:0", ONES[0, :9])] for i in range(4)}
    with pytest.raises(OSError, match="too large"), full_disk(limit):
        hdf5_writing.write_model(path, "{}", small, VERSION)
    assert not os.listdir(os.path.dirname(path))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_there_is_replaced_only_where_it_may_be(kind, path):
    with open(path, "wb") as file:
        file.write(b"before")
    with pytest.raises(FileExistsError, match="give overwrite=True") as caught:
        WRITERS[kind](path, overwrite=False)
    assert caught.value.filename == path
    WRITERS[kind](path)
    assert os.path.getsize(path) > 100_000


def test_a_folder_that_is_not_there_is_an_error_of_the_system(path):
    with pytest.raises(FileNotFoundError) as caught:
        WRITERS["model.h5"](f"{path}/model.h5")
    assert caught.value.filename == f"{path}/model.h5"


def test_a_folder_is_not_overwritten(tmp_path):
    with pytest.raises(IsADirectoryError):
        WRITERS["model.h5"](str(tmp_path))


def test_the_file_is_as_open_as_any_new_one(path):
    mask = os.umask(0o022)
    try:
        WRITERS["model.h5"](path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


def test_what_a_link_points_at_is_replaced_not_the_link(path, tmp_path):
    os.symlink(tmp_path / "target", path)
    WRITERS["weights.h5"](path)
    assert os.path.islink(path)
    assert h5py.is_hdf5(tmp_path / "target")


def test_an_error_of_the_caller_leaves_nothing(path):
    def fail():
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not os.listdir(os.path.dirname(path))


@pytest.mark.parametrize("count", [0, 1, 1200])
def test_names_come_back_however_many_they_are(count, path):
    layers = {
        f"a_layer_with_a_name_as_long_as_those_that_people_give_{i:04}_ä": [
            ("kernel:0", np.full(1, i))
        ]
        for i in range(count)
    }
    hdf5_writing.write_weights(path, layers, VERSION)
    assert list(io.read_weights(path)) == [f"{layer}/kernel:0" for layer in layers]
    with io.open_weights(path) as found:
        assert [int(array[0]) for array in found.arrays.values()] == list(range(count))
    with h5py.File(path) as file:
        is_split = "layer_names0" in file.attrs
        sizes = [np.asarray(file.attrs[key]).nbytes for key in file.attrs]
    assert is_split == (count > 1000)
    assert max(sizes) <= hdf5_writing.LARGEST_ATTRIBUTE


def test_a_name_that_is_too_long_is_refused(path):
    with pytest.raises(ValueError, match="is too long for an HDF5 file"):
        hdf5_writing.write_weights(path, {"x" * 70_000: []}, VERSION)
    assert not os.listdir(os.path.dirname(path))


def test_weights_of_one_name_are_numbered(path):
    twice = [("dense/kernel:0", np.zeros(2)), ("dense/kernel:0", np.ones(2)), ("w", np.ones(1))]
    hdf5_writing.write_weights(path, {"mine": [*twice, ("w", np.zeros(1))]}, VERSION)
    found = io.read_weights(path)
    names = ["dense/kernel:0", "dense/kernel_1:0", "w", "w_1"]
    assert list(found) == [f"mine/{name}" for name in names]
    assert_same_bits(found["mine/dense/kernel_1:0"], np.ones(2))


def test_a_layer_may_lie_in_the_group_of_another(path):
    layers = {"block/dense": [("kernel:0", np.ones(1))], "block": [("kernel:0", np.zeros(1))]}
    hdf5_writing.write_weights(path, layers, VERSION)
    assert list(io.read_weights(path)) == ["block/dense/kernel:0", "block/kernel:0"]


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
def test_arrays_keep_their_numbers_and_their_dtype(dtype, path):
    array = np.arange(6, dtype=dtype).reshape(2, 3)[:, ::-1]
    hdf5_writing.write_weights(path, {"dense": [("kernel:0", array)]}, VERSION)
    (found,) = io.read_weights(path).values()
    assert_same_bits(found, array.astype(array.dtype.newbyteorder("=")))


def test_the_zip_is_sound_and_so_are_the_weights_in_it(path):
    WRITERS["model.keras"](path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        with archive.open("model.weights.h5") as member, h5py.File(member) as file:
            assert_same_bits(file["layers/dense/vars/1"][()], ONES)
            assert list(file["vars"]) == []
