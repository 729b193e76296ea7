"""Long files: the time to read them grows linearly with their size, not quadratically."""

import time
import zipfile

import numpy as np
import pytest

import lcfast
from lcfast.errors import ModelFileError
from lcfast.io import weights_tree
from tests.support import hostile_files
from tests.support.hostile_configs import functional, layer, sequential

LONGEST = 5  # seconds


@pytest.fixture
def clock():
    started = time.process_time()
    yield
    assert time.process_time() - started < LONGEST


def test_a_graph_may_be_listed_backwards(clock):
    names = ["start", *(f"layer_{i}" for i in range(1500))]
    config = functional(*((layer("Activation", activation="relu"), [name]) for name in names[:-1]))
    config["config"]["layers"].reverse()
    config["config"]["output_layers"] = [[names[-1], 0, 0]]
    assert len(lcfast.model_from_json(hostile_files.text_of(config)).layers) == len(names)


def test_layers_of_many_classes_find_their_groups(clock):
    layers = [{"class_name": f"Kind{i}", "config": {"name": f"n{i}"}} for i in range(20_000)]
    container = "_layer_checkpoint_dependencies"
    paths = [f"{container}/kind{i}/vars/0" for i in range(20_000)]
    found = weights_tree.by_layer(paths, {"config": {"layers": layers}})
    assert found["n7"] == (f"{container}/kind7/vars/0",)


def test_an_archive_of_many_arrays_is_read_once(clock, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, *(np.full(2, i) for i in range(1000)))
    read = dict(lcfast.read_weights(path))
    assert list(read) == [f"arr_{i}" for i in range(1000)]
    np.testing.assert_array_equal(read["arr_999"], [999, 999])


def test_members_beside_the_weights_do_not_make_reading_them_long(clock, tmp_path):
    _, path = hostile_files.write_archive(tmp_path, hostile_files.parts())
    wanted = dict(lcfast.read_weights(path))
    with zipfile.ZipFile(path, "a") as archive:
        for i in range(2000):
            archive.writestr(f"assets/{i}", b"")
    read = dict(lcfast.read_weights(path))
    assert read.keys() == wanted.keys()
    assert all(np.array_equal(read[name], wanted[name]) for name in wanted)


def test_a_name_that_is_there_a_thousand_times_is_named_once(clock):
    config = sequential(*[layer("Activation", activation="relu")] * 1000)
    config["class_name"] = "Functional"
    with pytest.raises(ModelFileError, match="two layers have the same name: attack"):
        lcfast.model_from_json(hostile_files.text_of(config))
