"""SavedModel directories: what is read of Keras's own, and what is refused."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lcfast
from lcfast.errors import ModelFileError
from lcfast.io.saved_model import open_weights, read_model
from tests.support.checkpoint_files import message, tracked_object, write_arrays
from tests.support.goldens import DIRECTORY, arrays

NUMBERS = np.arange(6, dtype=np.float32).reshape(3, 2)
CONFIG = {"name": "small", "layers": []}
DENSE = {"class_name": "Dense", "name": "dense", "config": {"units": 2}, "shared_object_id": 3}
MODEL = {"class_name": "Sequential", "config": CONFIG, "keras_version": "2.9.0"}
MODELS = ("sequential", "functional", "older", "subclassed", "keras_3")


def read_weights(path):
    with open_weights(path) as file:
        return file.arrays


def golden_path(name: str) -> Path:
    path = DIRECTORY / f"saved_model_{name}"
    assert path.is_dir()
    return path


def golden_arrays(name: str) -> dict[str, np.ndarray]:
    start = f"{'sequential' if name == 'older' else name}/"
    found = {
        key.removeprefix(start): array
        for key, array in arrays("checkpoints").items()
        if key.startswith(start)
    }
    assert found
    return found


def golden_weights(name: str) -> dict[str, np.ndarray]:
    found = golden_arrays(name)
    return {key.removeprefix("weight/"): found[key] for key in found if key.startswith("weight/")}


def refusal(path: Path, read: Callable = read_model) -> str:
    """The one sentence that reading ends in, without the file it begins with."""
    with pytest.raises(ModelFileError) as caught:
        dict(read(str(path))) if read is read_weights else read(str(path))
    place, _, sentence = str(caught.value).partition(": ")
    assert place.startswith(str(path))
    assert "\n" not in sentence
    return sentence


# ---------------------------------------------------------------- what Keras wrote


@pytest.mark.parametrize("name", ["sequential", "older", "functional"])
def test_a_model_of_keras_predicts_the_same(name):
    model, golden = lcfast.load_model(golden_path(name)), golden_arrays(name)
    if name == "functional":
        computed = model.predict([golden["x0"], golden["x1"]])
        expected = [golden["y0"], golden["y1"]]
    else:
        computed, expected = [model.predict(golden["x"])], [golden["y"]]
    for y, right in zip(computed, expected, strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-5, atol=1e-6)


def test_layers_have_their_weights_in_the_order_of_get_weights():
    for name in ("sequential", "older"):
        stored = read_model(str(golden_path(name)))
        normalization = ("gamma", "beta", "moving_mean", "moving_variance")
        assert stored.layer_weights == {
            "locally_connected1d": ("locally_connected1d/kernel", "locally_connected1d/bias"),
            "batch_normalization": tuple(f"batch_normalization/{key}" for key in normalization),
            "flatten": (),
            "dense": ("dense/kernel", "dense/bias"),
        }
        assert stored.keras_version == "2.21.0"
        assert stored.path == str(golden_path(name))


def test_a_model_that_was_saved_without_traces_has_the_same_order():
    stored = read_model(str(golden_path("functional")))
    assert stored.layer_weights["shared"] == ("shared/kernel", "shared/bias")
    assert stored.layer_weights["local"] == ("local/kernel", "local/bias")
    assert stored.layer_weights["image"] == ()
    assert stored.config["class_name"] == "Functional"


@pytest.mark.parametrize("name", ["sequential", "functional", "older"])
def test_the_config_is_the_one_that_hdf5_files_hold(name):
    text = json.dumps(read_model(str(golden_path(name))).config)
    for foreign in ("__tuple__", "TensorShape", "shared_object_id"):
        assert foreign not in text


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_read_by_the_names_they_had_whatever_the_class_of_the_model(name):
    weights, expected = read_weights(str(golden_path(name))), golden_weights(name)
    assert set(weights) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(weights[key], array, strict=True)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "subclassed",
            "holds a model of class 'Branches', ",
        ),
        ("keras_3", "holds no model of Keras; build it by hand and set the weights, which"),
    ],
)
def test_a_model_without_a_config_is_refused_with_advice(name, found):
    message = refusal(golden_path(name))
    assert message.startswith(found)
    assert "lcfast.read_weights" in message


# ---------------------------------------------------------------- written by hand


def write_model(
    path: Path,
    described: dict[str, object] | None = None,
    objects: list[bytes] | None = None,
    older: bool = False,
) -> Path:
    """A right SavedModel of one Dense layer, or one with other JSON or other objects.

    Keys of `described` are "root" and the names by which the model holds its layers.
    """
    described = {"root": MODEL, "layer-0": DENSE} if described is None else described
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in described.items()}
    objects = objects or [
        tracked_object({"layer-0": 1, "keras_api": 0}),
        tracked_object({"variables": 2}),
        tracked_object({"0": 3}),
        tracked_object(key="variables/0", name="dense/kernel"),
    ]
    (path / "variables").mkdir(parents=True, exist_ok=True)
    write_arrays(path / "variables" / "variables", {"variables/0": NUMBERS}, objects)
    nodes = []
    if older:
        texts = {"root": texts.pop("root", ""), **texts}
        held = [(1, message((1, n), (2, name))) for n, name in enumerate(texts) if n]
        for holder, text in texts.items():
            children = held if holder == "root" else []
            nodes.append((1, message(*children, (4, message((1, "_tf_keras_layer"), (3, text))))))
        content = message((1, 1), (2, message((2, b"graph"), (7, message(*nodes)))))
        (path / "saved_model.pb").write_bytes(content)
        return path
    for number, (holder, text) in enumerate(texts.items()):
        place = holder if holder == "root" else f"root.{holder}"
        nodes.append((1, message((2, number), (3, place), (4, "_tf_keras_layer"), (5, text))))
    (path / "keras_metadata.pb").write_bytes(message(*nodes))
    (path / "saved_model.pb").write_bytes(message((1, 1)))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model"


@pytest.mark.parametrize("older", [False, True])
def test_a_model_is_its_config_its_arrays_and_its_version(path, older):
    stored = read_model(str(write_model(path, older=older)))
    assert stored.config == {"class_name": "Sequential", "config": CONFIG}
    assert stored.layer_weights == {"dense": ("dense/kernel",)}
    assert list(stored.arrays) == ["dense/kernel"]
    np.testing.assert_array_equal(stored.arrays["dense/kernel"], NUMBERS)
    assert stored.keras_version == "2.9.0"


def test_metrics_and_what_layers_hold_are_no_layers_of_the_model(path):
    described = {"root": MODEL, "layer-0": DENSE, "layer-0.cell": "no JSON", "keras_api.m.0": "no"}
    assert list(read_model(str(write_model(path, described))).layer_weights) == ["dense"]
    metric = message((3, "root.loss"), (4, "_tf_keras_metric"), (5, "no JSON"))
    with open(path / "keras_metadata.pb", "ab") as file:
        file.write(message((1, metric)))
    assert list(read_model(str(path)).layer_weights) == ["dense"]


def test_tuples_shapes_and_ids_are_written_as_hdf5_files_have_them(path):
    tuples = {"class_name": "__tuple__", "items": [{"class_name": "TensorShape", "items": [1]}]}
    config = {"layers": [{"class_name": "X", "config": {"size": tuples}, "shared_object_id": 7}]}
    stored = read_model(str(write_model(path, {"root": {**MODEL, "config": config}})))
    assert stored.config["config"] == {"layers": [{"class_name": "X", "config": {"size": [[1]]}}]}


def test_the_config_of_the_whole_model_comes_first(path):
    described = {**MODEL, "model_config": {"class_name": "Model", "config": CONFIG}}
    assert read_model(str(write_model(path, {"root": described}))).config["class_name"] == "Model"


# ---------------------------------------------------------------- what is no such directory


@pytest.mark.parametrize("read", [read_model, read_weights])
def test_the_errors_of_the_system_are_its_own(path, read):
    with pytest.raises(FileNotFoundError, match="model"):
        read(str(path))
    path.touch()
    with pytest.raises(NotADirectoryError, match="model"):
        read(str(path))
    path.unlink()
    shutil.rmtree(write_model(path) / "variables")
    with pytest.raises(FileNotFoundError, match="variables"):
        read(str(path))


@pytest.mark.parametrize("read", [read_model, read_weights])
def test_another_directory_is_called_that(path, read):
    path.mkdir()
    message = refusal(path, read)
    assert "saved_model.pb" in message


@pytest.mark.parametrize("read", [read_model, read_weights])
@pytest.mark.parametrize(
    "name",
    [
        *("saved_model.pb", "keras_metadata.pb", "variables", "variables/variables.index"),
        "variables/variables.data-00000-of-00001",
    ],
)
def test_a_link_out_of_the_directory_is_refused(path, tmp_path, read, name):
    write_model(path)
    shutil.move(path / name, tmp_path / "elsewhere")
    (path / name).symlink_to(tmp_path / "elsewhere")
    assert refusal(path, read) == (
        "is a link out of the directory of the model, which lcfast never follows; put the file "
        "itself there"
    )


def test_a_link_inside_of_the_directory_is_followed_and_so_is_one_to_the_directory(path, tmp_path):
    write_model(path)
    shutil.move(path / "keras_metadata.pb", path / "metadata")
    (path / "keras_metadata.pb").symlink_to("metadata")
    (tmp_path / "link").symlink_to(path)
    assert list(read_model(str(tmp_path / "link")).layer_weights) == ["dense"]


@pytest.mark.parametrize("name", ["saved_model.pb", "keras_metadata.pb"])
def test_a_pipe_is_refused_before_anything_waits_for_it(path, name):
    write_model(path, older=name == "saved_model.pb")
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    assert refusal(path) == "is not a regular file; copy the model into one"


# ---------------------------------------------------------------- what is no model


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "the JSON of 'root'"),
        ('{"a": ' * 100_000, "the JSON of 'root'"),
        ("9" * 5000, "the JSON of 'root' is "),
        ("[]", "the JSON of 'root' is '[]', not an object"),
        ("[" * 900 + "]" * 900, "the JSON of 'root' "),
        ("{}", "holds a model, "),
        ('{"class_name": "Mine", "config": {"layers": []}}', "holds a model of class 'Mine'"),
        ('{"class_name": "Model", "config": {"layers": 3}}', "holds a model of class 'Model'"),
        ('{"class_name": ["__tuple__"], "items": []}', "holds a model, whose config"),
    ],
)
def test_a_config_that_is_none_is_refused(path, text, found, older):
    message = refusal(write_model(path, {"root": text}, older=older))
    assert message.startswith(found)
    assert len(message) < 400


@pytest.mark.parametrize(
    ("described", "found"),
    [
        ({"layer-0": DENSE}, "holds no model of Keras"),
        ({"root": MODEL, "layer-0": "{"}, "the JSON of 'layer-0' "),
        ({"root": MODEL, "layer-0": {"name": 3}}, "the JSON of 'layer-0' has no name"),
        ({"root": MODEL, "layer-1": DENSE}, "lacks 'layer-1', the layer 'dense' of the model"),
        ({"root": MODEL, "layer-0": DENSE, "keras_api": DENSE}, "has two layers 'dense'"),
    ],
)
def test_a_layer_that_is_described_must_be_there_once(path, described, found):
    assert refusal(write_model(path, described)).startswith(found)


def test_metadata_that_is_no_message_is_refused(path):
    write_model(path)
    (path / "keras_metadata.pb").write_bytes(b"\xff")
    assert "does not end, or is too large" in refusal(path)
    (path / "keras_metadata.pb").write_bytes(message((1, message((3, b"\xff")))))
    assert refusal(path).startswith("field 3 of a message is not UTF-8")


def test_an_object_that_is_not_there_is_refused_in_the_older_form_too(path):
    write_model(path, older=True)
    root = message((1, message((1, 9), (2, "layer-0"))), (4, message((3, json.dumps(MODEL)))))
    content = message((2, message((7, message((1, root))))))
    (path / "saved_model.pb").write_bytes(content)
    assert refusal(path).startswith("has a model whose 'layer-0' is the missing object 9;")
    (path / "saved_model.pb").write_bytes(b"")
    assert refusal(path).startswith("holds no model of Keras;")


def test_weights_without_a_graph_of_objects_belong_to_no_layer(path):
    write_arrays(write_model(path) / "variables" / "variables", {"dense/kernel": NUMBERS})
    assert refusal(path).startswith("has no graph of objects")
    np.testing.assert_array_equal(read_weights(str(path))["dense/kernel"], NUMBERS)


def test_a_variable_of_a_layer_that_is_no_weight_is_refused(path):
    objects = [
        tracked_object({"optimizer": 1}),
        tracked_object({"variables": 2}),
        tracked_object({"0": 3}),
        tracked_object(key="variables/0", name="iteration"),
    ]
    described = {"root": MODEL, "optimizer": DENSE}
    message = refusal(write_model(path, described, objects))
    assert message.startswith("has a layer whose variable 'variables/0' ")


# ---------------------------------------------------------------- damage


def outcome(path: Path) -> str:
    """The messages of errors that are allowed, or nothing; any other error goes through."""
    said = []
    for read in (read_model, read_weights):
        try:
            read(str(path))
        except (ModelFileError, OSError) as error:
            said.append(str(error))
    assert all(each.startswith(str(path)) for each in said)
    return "".join(said)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *(("sequential", "keras_metadata.pb"), ("functional", "keras_metadata.pb")),
        *(("older", "saved_model.pb"), ("sequential", "variables/variables.index")),
    ],
)
def test_flipped_and_cut_files_end_in_a_refusal_or_in_nothing(path, name, place):
    shutil.copytree(golden_path(name), path)
    content, rng, refused = (path / place).read_bytes(), random.Random(name + place), 0
    for round_number in range(80):
        damaged = bytearray(content)
        for _ in range([1, 2, 8, 64][round_number % 4]):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        if round_number % 5 == 0:
            damaged = damaged[: rng.randrange(len(content))]
        (path / place).write_bytes(damaged)
        said = outcome(path)
        assert "\n" not in said
        refused += said != ""
    assert refused > 25


# ---------------------------------------------------------------- ADAPT


@pytest.mark.skipif("LCFAST_ADAPT" not in os.environ, reason="LCFAST_ADAPT names no folder")
@pytest.mark.parametrize("name", ["classify", "regress"])
def test_the_models_of_adapt_say_what_tensorflow_says(name, monkeypatch):
    """LCFAST_ADAPT is the folder where the wheel of adapt-diagnostics 1.6.0 is unpacked."""
    monkeypatch.syspath_prepend(str(DIRECTORY.parents[1] / "examples"))
    import adapt

    place, build = {
        "classify": (adapt.CLASSIFY, adapt.classifier),
        "regress": (adapt.REGRESS, adapt.regressor),
    }[name]
    directory = os.path.join(os.environ["LCFAST_ADAPT"], place)
    assert "holds a model of class 'CasCNNWithParallelFilters'" in refusal(Path(directory))
    golden = arrays("adapt")
    computed = build(read_weights(directory)).predict(golden["x"])
    np.testing.assert_allclose(computed, golden[name], rtol=0, atol=1e-5)
