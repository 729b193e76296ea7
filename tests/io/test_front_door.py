"""Which reader a path goes to: by what lies there, never by its name."""

import shutil
import zipfile

import numpy as np
import pytest

from lcfast.errors import ModelFileError
from lcfast.io import read_model, read_weights
from tests.support import goldens

FILES = (
    "model_sequential_1d.h5",
    "container_sequential.keras",
    "container_sequential.weights.h5",
    "container_weights_network-0.npz",
)


def refusal(path, read=read_model):
    with pytest.raises(ModelFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "weights.npz", "model", "a.txt"])
@pytest.mark.parametrize("file", FILES)
def test_the_name_of_a_file_does_not_matter(tmp_path, file, name):
    copied = shutil.copy(goldens.DIRECTORY / file, tmp_path / name)
    weights, expected = read_weights(copied), read_weights(goldens.DIRECTORY / file)
    assert list(weights) == list(expected)
    for key in weights:
        np.testing.assert_array_equal(weights[key], expected[key], strict=True)


@pytest.mark.parametrize("read", [read_model, read_weights])
def test_a_zip_that_is_none_is_refused(tmp_path, read):
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\3\4rest")
    assert refusal(path, read).startswith("the archive cannot be read (BadZipFile: ")


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", b"<x/>")
    assert refusal(path).startswith("is a zip archive, but neither a .keras nor a .npz file; ")


def test_a_directory_with_a_saved_model_goes_to_its_reader(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "variables").mkdir()
    with pytest.raises(ModelFileError, match=r"saved_model\.pb: "):
        read_model(tmp_path)


@pytest.mark.parametrize("read", [read_model, read_weights])
def test_the_prefix_of_a_checkpoint_goes_to_its_reader(tmp_path, read):
    (tmp_path / "weights.index").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"weights\.index: |is a checkpoint"):
        read(tmp_path / "weights")


def test_a_file_is_itself_even_where_an_index_lies_beside_it(tmp_path):
    path = shutil.copy(goldens.DIRECTORY / FILES[1], tmp_path / "model")
    (tmp_path / "model.index").write_bytes(b"")
    assert read_model(path).arrays
