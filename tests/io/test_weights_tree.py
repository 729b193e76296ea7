"""The layout of .weights.h5: groups named after classes, matched with the layers of a config."""

import random

import h5py
import numpy as np
import pytest

from lcfast import ModelFileError
from lcfast.io import read_weights
from lcfast.io.weights_tree import by_layer
from tests.support import goldens

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


def entry(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, **config}}


def model(*entries):
    return {"class_name": "Sequential", "config": {"layers": list(entries)}}


def variables(*groups, count=1):
    return [f"{group}/vars/{i}" for group in groups for i in range(count)]


def write(path, *places):
    with h5py.File(path, "w") as file:
        for place in places:
            file[place] = KERNEL
    return path


def refusal(path):
    with pytest.raises(ModelFileError) as caught:
        dict(read_weights(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# ---------------------------------------------------------------- which group is whose


def test_layers_of_a_class_are_counted_in_the_order_of_the_config():
    config = model(
        entry("Dense", "last"), entry("LocallyConnected1D", "lc"), entry("Dense", "dense")
    )
    paths = variables("layers/dense", "layers/dense_1", "layers/locally_connected1d", count=2)
    assert by_layer(paths, config) == {
        "last": ("layers/dense/vars/0", "layers/dense/vars/1"),
        "lc": ("layers/locally_connected1d/vars/0", "layers/locally_connected1d/vars/1"),
        "dense": ("layers/dense_1/vars/0", "layers/dense_1/vars/1"),
    }


@pytest.mark.parametrize(
    ("class_name", "group"),
    [
        ("LocallyConnected2D", "locally_connected2d"),
        ("PReLU", "p_re_lu"),
        ("ReLU", "re_lu"),
        ("ELU", "elu"),
        ("LSTM", "lstm"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("DepthwiseConv2D", "depthwise_conv2d"),
        ("BatchNormalization", "batch_normalization"),
    ],
)
def test_the_group_of_a_class_is_its_name_in_keras_s_snake_case(class_name, group):
    config = model(entry(class_name, "it"))
    assert by_layer(variables(f"layers/{group}"), config)["it"] == (f"layers/{group}/vars/0",)


def test_a_group_that_is_missing_does_not_shift_the_others():
    config = model(*(entry("Dense", name) for name in "abc"))
    found = by_layer(variables("layers/dense", "layers/dense_2"), config)
    assert found == {"a": ("layers/dense/vars/0",), "b": (), "c": ("layers/dense_2/vars/0",)}


def test_a_group_of_no_layer_is_named_by_its_path():
    found = by_layer(variables("layers/dense", "layers/dense_1", "layers/odd"), model())
    assert list(found) == ["layers/dense", "layers/dense_1", "layers/odd"]
    assert by_layer(["vars/0"], model()) == {"vars": ("vars/0",)}


@pytest.mark.parametrize("numbers", [("", "_1", "_2"), ("", "_2", "_4"), ("", "_2", "_10")])
def test_the_first_version_s_container_is_read_however_it_counted(numbers):
    config = model(*(entry("Dense", name) for name in "abc"))
    groups = [f"_layer_checkpoint_dependencies/dense{number}" for number in numbers]
    found = by_layer(variables(*groups), config)
    assert found == {n: (f"{g}/vars/0",) for n, g in zip("abc", groups, strict=True)}


def test_the_weights_of_a_model_within_the_model_come_layer_by_layer():
    inner = entry(
        "Sequential", "inner", layers=[entry("LSTM", "l"), entry("Dense", "x"), entry("Dense", "y")]
    )
    groups = ["dense", "dense_1", "lstm/cell"]
    paths = variables(*(f"layers/sequential/layers/{group}" for group in groups))
    order = ["lstm/cell", "dense", "dense_1"]
    expected = tuple(variables(*(f"layers/sequential/layers/{group}" for group in order)))
    assert by_layer(paths, model(inner)) == {"inner": expected}
    wrapped = entry("TimeDistributed", "t", layer=inner)
    paths = [path.replace("sequential", "time_distributed/layer") for path in paths]
    expected = tuple(path.replace("sequential", "time_distributed/layer") for path in expected)
    assert by_layer(paths, model(wrapped)) == {"t": expected}


def test_both_directions_of_a_layer_come_forward_first(tmp_path):
    held = ["backward_layer/cell", "forward_layer/cell"]
    places = variables(*(f"layers/bidirectional/{name}" for name in held), count=3)
    found = by_layer(
        read_weights(write(tmp_path / "w.h5", *places)), model(entry("Bidirectional", "b"))
    )
    assert found["b"] == tuple(places[3:] + places[:3])


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"config": None},
        {"config": {"layers": {}}},
        {"config": [3, None, "x", {}, {"class_name": 3, "config": []}]},
        model({"class_name": ["Dense"], "config": {"name": ["dense"]}}),
        model({"class_name": "", "config": {"name": "x"}}),
    ],
)
def test_a_config_that_makes_no_sense_leaves_the_groups_to_themselves(config):
    assert by_layer(variables("layers/dense"), config)["layers/dense"] == ("layers/dense/vars/0",)


# ---------------------------------------------------------------- what is found in a file


def test_paths_come_in_the_order_of_their_numbers(tmp_path):
    groups = ["layers/dense", "layers/dense_2", "layers/dense_10"]
    places = [f"{group}/vars/{i}" for group in groups for i in range(11)]
    assert list(read_weights(write(tmp_path / "w.h5", *places[::-1]))) == places


@pytest.mark.parametrize(
    "place",
    [
        *("optimizer/vars/0", "_optimizer/vars/1", "metrics/mean/vars/0"),
        *("layers/dropout/seed_generator/vars/0", "seed_generator/vars/0"),
    ],
)
def test_what_training_leaves_is_left_out(tmp_path, place):
    path = write(tmp_path / "w.h5", "layers/dense/vars/0", place)
    assert list(read_weights(path)) == ["layers/dense/vars/0"]


def test_a_model_of_a_class_of_its_own_has_the_names_of_its_attributes(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.create_group("vars")
        file["encoder/first/vars/0"] = KERNEL
        file["head/vars/0"] = KERNEL
    assert list(read_weights(path)) == ["encoder/first/vars/0", "head/vars/0"]


def test_a_dataset_beside_the_variables_is_refused(tmp_path):
    path = write(tmp_path / "w.h5", "layers/dense/vars/0", "layers/dense/vocabulary")
    assert refusal(path).startswith(
        "dataset '/layers/dense/vocabulary' is not in a group 'vars', as weights are; "
    )


def test_a_group_within_itself_is_refused(tmp_path):
    path = write(tmp_path / "w.h5", "layers/dense/vars/0")
    with h5py.File(path, "r+") as file:
        file["layers/dense/again"] = file["layers"]
    assert "twice" in refusal(path)


def test_groups_that_nest_without_end_are_refused(tmp_path):
    path = write(tmp_path / "w.h5", "layers" + "/a" * 5000 + "/vars/0")
    assert "deeper than 64 groups" in refusal(path)


@pytest.mark.parametrize("link", [h5py.SoftLink("/layers"), h5py.ExternalLink("x.h5", "/layers")])
def test_no_link_is_followed(tmp_path, link):
    path = write(tmp_path / "w.h5", "layers/dense/vars/0")
    with h5py.File(path, "r+") as file:
        file["layers/dense_1"] = link
    assert "'dense_1' in group '/layers' is a soft or external link" in refusal(path)


def test_a_datatype_among_the_groups_is_refused(tmp_path):
    path = write(tmp_path / "w.h5", "layers/dense/vars/0")
    with h5py.File(path, "r+") as file:
        file["layers/dense/vars/1"] = np.dtype("f4")
    assert "'layers/dense/vars/1' is neither a group nor a dataset" in refusal(path)


def test_one_dataset_under_many_names_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros(10_000)
        for i in range(1, 4):
            file[f"layers/dense/vars/{i}"] = file["layers/dense/vars/0"]
    assert refusal(path).startswith("the root group declares 320000 bytes of weights, more than")


def test_a_size_that_is_not_stored_is_refused(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (2**40, 2**20), "f4")
    assert f"declares {2**62} bytes of numbers, but 0 are stored" in refusal(path)


@pytest.mark.thorough
def test_flipped_bytes_end_in_a_refusal_or_in_nothing(tmp_path):
    path = tmp_path / "w.h5"
    content = (goldens.DIRECTORY / "container_keras_3_sequential.weights.h5").read_bytes()
    used = [at for at in range(len(content)) if any(content[max(0, at - 8) : at + 8])]
    rng = random.Random(0)
    for round_number in range(300):
        damaged = bytearray(content)
        for _ in range([1, 1, 4, 16][round_number % 4]):
            at = rng.choice(used)
            damaged[at] = rng.choice(
                [0, 255, rng.randrange(256), damaged[at] ^ 1 << rng.randrange(8)]
            )
        path.write_bytes(
            damaged[: rng.randrange(len(damaged))] if round_number % 5 == 4 else damaged
        )
        message = outcome(path)
        assert message == "" or str(path) in message
        assert "\n" not in message


def outcome(path):
    """The message of an error that is allowed, or nothing; any other error goes through."""
    try:
        dict(read_weights(path))
    except (ModelFileError, OSError) as error:
        return str(error)
    return ""
