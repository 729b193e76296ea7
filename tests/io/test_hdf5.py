"""The HDF5 reader: what it reads, and what Keras never wrote."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lcfast.io import StoredModel, read_model, read_weights
from tests.support.hdf5_files import (
    BIAS,
    CONFIG,
    DENSE,
    KERNEL,
    fixed,
    refusal,
    replace_attribute,
    replace_kernel,
    write_model,
    write_weights,
    write_weights_file,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


# ---------------------------------------------------------------- what is read


def assert_is_right(model: StoredModel) -> None:
    assert model.config == CONFIG
    assert list(model.arrays) == ["dense/dense/kernel:0", "dense/dense/bias:0"]
    np.testing.assert_array_equal(model.arrays["dense/dense/kernel:0"], KERNEL)
    np.testing.assert_array_equal(model.arrays["dense/dense/bias:0"], BIAS)
    assert model.layer_weights == {"dense": tuple(model.arrays), "flatten": ()}


def test_a_whole_model_is_its_config_its_arrays_and_its_version(path):
    model = read_model(write_model(path))
    assert_is_right(model)
    assert (model.path, model.keras_version) == (str(path), "2.15.0")


def test_a_path_may_be_a_str(path):
    assert_is_right(read_model(str(write_model(path))))


@pytest.mark.parametrize("text", [json.dumps(CONFIG), json.dumps(CONFIG).encode()])
def test_text_may_be_of_variable_length(path, text):
    def damage(file: h5py.File) -> None:
        file.attrs["model_config"] = text
        weights = file["model_weights"]
        weights.attrs.create("layer_names", ["dense", "flatten"], dtype=h5py.string_dtype())
        weights["dense"].attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]

    assert_is_right(read_model(write_model(path, damage)))


def test_a_file_in_the_newest_layout_of_hdf5_is_read(path):
    with (
        h5py.File(write_model(path)) as file,
        h5py.File(f"{path}.new", "w", libver="latest") as new,
    ):
        new.attrs.update(file.attrs)
        file.copy("model_weights", new)
    assert_is_right(read_model(Path(f"{path}.new")))


def test_a_file_behind_a_user_block_is_read(path):
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.attrs["model_config"] = json.dumps(CONFIG)
        write_weights(file.create_group("model_weights"))
    assert_is_right(read_model(path))


def test_lists_that_keras_split_over_several_attributes_are_joined(path):
    def damage(file: h5py.File) -> None:
        for place, name in [("model_weights", "layer_names"), (DENSE, "weight_names")]:
            attributes = file[place].attrs
            first, second = attributes.pop(name)
            attributes[f"{name}0"] = np.array([first])
            attributes[f"{name}1"] = np.array([second])

    assert_is_right(read_model(write_model(path, damage)))


def test_the_order_is_that_of_the_lists_and_not_of_the_groups(path):
    def damage(file: h5py.File) -> None:
        file["model_weights"].attrs["layer_names"] = fixed(["flatten", "dense"])
        file[DENSE].attrs["weight_names"] = fixed(["dense/kernel:0", "dense/bias:0"][::-1])

    model = read_model(write_model(path, damage))
    assert list(model.layer_weights) == ["flatten", "dense"]
    assert list(model.arrays) == ["dense/dense/bias:0", "dense/dense/kernel:0"]


def test_a_layer_may_have_slashes_in_its_name(path):
    def damage(file: h5py.File) -> None:
        weights = file["model_weights"]
        weights.attrs["layer_names"] = fixed(["block/dense"])
        weights.move("dense", "block/dense")

    model = read_model(write_model(path, damage))
    assert list(model.arrays) == ["block/dense/dense/kernel:0", "block/dense/dense/bias:0"]


def test_weights_of_the_model_itself_come_last_and_only_where_there_are_some(path):
    def damage(file: h5py.File) -> None:
        group = file.create_group("model_weights/top_level_model_weights")
        group.attrs["weight_names"] = fixed(["scale:0"])
        group["scale:0"] = np.float32(3)

    def damage_to_none(file: h5py.File) -> None:
        file.create_group("model_weights/top_level_model_weights").attrs["weight_names"] = []

    model = read_model(write_model(path, damage))
    name = "top_level_model_weights/scale:0"
    assert model.layer_weights["top_level_model_weights"] == (name,)
    assert list(model.arrays)[-1] == name
    assert model.arrays[name].shape == ()
    assert_is_right(read_model(write_model(path, damage_to_none)))


def test_a_config_may_be_a_list_and_hold_nan_as_python_writes_it(path):
    config = {"class_name": "Sequential", "config": [{"rate": float("nan")}]}
    damage = replace_attribute("/", "model_config", json.dumps(config))
    assert np.isnan(read_model(write_model(path, damage)).config["config"][0]["rate"])


def test_a_model_without_a_version_is_read(path):
    model = read_model(write_model(path, lambda file: file.attrs.__delitem__("keras_version")))
    assert model.keras_version is None


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">i2", "<u4", "<i8", "?"])
def test_numbers_keep_their_type_in_the_byte_order_of_the_machine(path, dtype):
    numbers = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    array = read_model(write_model(path, replace_kernel(data=numbers))).arrays[
        "dense/dense/kernel:0"
    ]
    np.testing.assert_array_equal(array, numbers)
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert array.dtype.isnative
    assert array.dtype.metadata is None
    assert array.flags.c_contiguous


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
def test_scalars_and_empty_arrays_keep_their_shape(path, shape):
    numbers = np.ones(shape, np.float32)
    model = read_model(write_model(path, replace_kernel(data=numbers)))
    np.testing.assert_array_equal(model.arrays["dense/dense/kernel:0"], numbers, strict=True)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf"},
        {"chunks": (7, 30)},
    ],
)
def test_chunked_and_packed_numbers_are_read(path, options):
    numbers = np.zeros((1000, 100))
    numbers[3] = 1
    model = read_model(write_model(path, replace_kernel(data=numbers, **options)))
    np.testing.assert_array_equal(model.arrays["dense/dense/kernel:0"], numbers)


def test_a_million_zeros_packed_as_tightly_as_gzip_can_are_read(path):
    options = {"compression": "gzip", "compression_opts": 9, "chunks": (1_000_000,)}
    model = read_model(write_model(path, replace_kernel(data=np.zeros(1_000_000), **options)))
    assert not model.arrays["dense/dense/kernel:0"].any()


def test_weights_are_read_alike_from_a_model_and_from_a_file_of_weights_alone(path, tmp_path):
    whole = read_weights(write_model(path))
    alone = read_weights(write_weights_file(tmp_path / "weights.h5"))
    assert list(whole) == list(alone) == ["dense/dense/kernel:0", "dense/dense/bias:0"]
    for name in whole:
        np.testing.assert_array_equal(whole[name], alone[name])


def test_a_stored_model_cannot_be_changed(path):
    model = read_model(write_model(path))
    with pytest.raises(AttributeError, match="cannot assign to field 'config'"):
        model.config = {}


def test_h5py_is_imported_only_when_a_file_is_read():
    script = "import sys, lcfast.io; sys.exit('h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# ---------------------------------------------------------------- what is no HDF5 file


def test_the_errors_of_the_system_are_its_own_and_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file.*nothing\.h5"):
        read_model(tmp_path / "nothing.h5")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_permission_error(path):
    write_model(path).chmod(0)
    with pytest.raises(PermissionError, match=r"model\.h5"):
        read_model(path)


def test_an_empty_directory_is_no_model(tmp_path):
    assert "is a directory without a saved_model.pb" in refusal(tmp_path)


def test_a_socket_is_refused_before_anything_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("model.h5")
        assert "is not a regular file" in refusal(Path("model.h5"))


@pytest.mark.parametrize(
    ("content", "look"),
    [
        (b"", "is empty;"),
        (b'\n {"class_name": "Sequential"}', "looks like JSON, a model's config without"),
        (b"\x1f\x8b\x08", "is compressed with gzip"),
        (b"\x80\x04\x95", "looks like a Python pickle, which lcfast never opens"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "looks like a web page"),
        (b"hello", "begins with b'hello'"),
        (b" ", "begins with b' '"),
        (b"\x89HDF\r\n", "begins with b'\\x89HDF\\r\\n'"),
        (bytes(5000), r"begins with b'\x00\x00"),
    ],
)
def test_what_is_not_hdf5_is_called_what_it_looks_like(path, content, look):
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(look)
    assert "save_format='h5'" in message
    assert refusal(path, read_weights) == message


# ---------------------------------------------------------------- what is not Keras's


def test_weights_alone_are_no_model_and_the_message_says_what_to_do(path):
    message = refusal(write_weights_file(path))
    assert message == (
        "holds weights only (the root group lacks an attribute 'model_config'); build the model "
        "by hand and load the weights, which read_weights reads"
    )


@pytest.mark.parametrize("read", [read_model, read_weights])
def test_an_hdf5_file_of_something_else_is_called_that(path, read):
    with h5py.File(path, "w") as file:
        file["temperatures"] = KERNEL
    assert refusal(path, read).startswith("the root group has none of what Keras writes")


def test_a_weights_h5_file_is_no_model_either(path):
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = KERNEL
    assert refusal(path).startswith("holds weights only (the root group lacks an attribute")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("{", "JSON (Expecting"),
        ("", "JSON (Expecting"),
        ('{"a": ' * 100_000, "JSON"),
        ("[" * 100_000, "JSON"),
        ("9" * 5000, "is "),
        ("[]", "is '[]', not an object with a 'class_name' and a 'config'"),
        ('{"class_name": "Model"}', "not an object with a 'class_name' and a 'config'"),
        ('{"class_name": 1, "config": {}}', "not an object with a 'class_name' and a 'config'"),
        ('{"class_name": "Model", "config": "x"}', "not an object with a 'class_name'"),
        (np.bytes_(b'{"\xff": 1}'), "cannot be read (UnicodeDecodeError: 'utf-8' codec"),
        (3, "holds int64 of shape (), not one string"),
        ([b"{}", b"{}"], "holds strings of shape (2,), not one string"),
        (h5py.Empty("S10"), "holds strings of shape None, not one string"),
    ],
)
def test_a_config_that_is_none_is_refused(path, value, found):
    message = refusal(write_model(path, replace_attribute("/", "model_config", value)))
    assert message.startswith("attribute 'model_config' of the root group ")
    assert found in message
    assert len(message) < 400


def test_a_version_that_is_no_text_is_refused(path):
    message = refusal(write_model(path, replace_attribute("/", "keras_version", 2.15)))
    assert "'keras_version' of the root group holds float64 of shape (), not one string" in message


@pytest.mark.parametrize(
    ("place", "name", "where"),
    [
        ("model_weights", "layer_names", "group '/model_weights'"),
        ("model_weights/flatten", "weight_names", "group '/model_weights/flatten'"),
    ],
)
def test_a_list_of_names_must_be_there_and_be_one(path, place, name, where):
    message = refusal(write_model(path, lambda file: file[place].attrs.__delitem__(name)))
    assert message.startswith(f"{where} lacks an attribute '{name}'; the file is damaged")
    for value, found in [
        (b"dense", "strings of shape ()"),
        ([1.0, 2.0], "float64 of shape (2,)"),
        (np.array([[b"a"]]), "strings of shape (1, 1)"),
    ]:
        message = refusal(write_model(path, replace_attribute(place, name, value)))
        wanted = f"attribute '{name}' of {where} holds {found}, not a list of strings;"
        assert message.startswith(wanted)


def test_a_model_without_its_weights_is_refused(path):
    message = refusal(write_model(path, lambda file: file.__delitem__("model_weights")))
    assert message.startswith("the root group lacks a group 'model_weights'; the file is damaged")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["dense", "other"], "group '/model_weights' lacks a group 'other'"),
        (["dense/dense/bias:0"], "'bias:0' in group '/model_weights/dense/dense' is a dataset, "),
        (["dense", "dense"], "group '/model_weights' names layer 'dense' twice"),
        (["a" * 1000], "lacks a group 'aaaa"),
        (["a" * 5000], "holds a name of 5000 characters"),
    ],
)
def test_a_layer_that_is_named_must_be_there_once(path, names, found):
    damage = replace_attribute("model_weights", "layer_names", fixed(names))
    message = refusal(write_model(path, damage))
    assert found in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["kernel:0"], f"group '/{DENSE}' lacks a dataset 'kernel:0'"),
        (["dense"], f"'dense' in group '/{DENSE}' is a group, not a dataset"),
        (["dense/bias:0/x"], f"'bias:0' in group '/{DENSE}/dense' is a dataset, not a group"),
        (["dense/bias:0", "dense/bias:0"], f"group '/{DENSE}' names weight 'dense/bias:0' twice"),
    ],
)
def test_a_weight_that_is_named_must_be_there_once(path, names, found):
    damage = replace_attribute(DENSE, "weight_names", fixed(names))
    assert refusal(write_model(path, damage)).startswith(f"{found}; the file is damaged")


def test_two_layers_must_not_share_the_full_name_of_a_weight(path):
    def damage(file: h5py.File) -> None:
        file["model_weights"].attrs["layer_names"] = fixed(["dense", "dense/dense"])
        file[f"{DENSE}/dense"].attrs["weight_names"] = fixed(["bias:0"])

    assert "names weight 'bias:0' twice" in refusal(write_model(path, damage))


@pytest.mark.parametrize(
    "name", ["/dense/bias:0", "../dense/bias:0", "./dense", "dense//bias:0", "", "x/", "a\0b"]
)
def test_a_name_that_walks_anywhere_but_down_is_refused(path, name):
    names = np.array([name.encode(), b"a longer name, or zeros at the end are cut"], "S")
    for place, attribute in [("model_weights", "layer_names"), (DENSE, "weight_names")]:
        message = refusal(write_model(path, replace_attribute(place, attribute, names)))
        assert message.startswith(f"group '/{place}' refers to {name!r}")


def test_a_name_that_is_not_utf_8_is_refused(path):
    damage = replace_attribute(DENSE, "weight_names", np.array([b"\xff"], "S"))
    assert "cannot be read (UnicodeDecodeError" in refusal(write_model(path, damage))

    def damage_variable_length(file: h5py.File) -> None:
        kind = h5py.string_dtype()
        file[DENSE].attrs.create("weight_names", np.array([b"\xff"], object), dtype=kind)

    message = refusal(write_model(path, damage_variable_length))
    assert "cannot be read (UnicodeEncodeError" in message
