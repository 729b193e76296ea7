"""Loading .keras archives and the dialects of tf_keras's and Keras 3's configs."""

import json
import random
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import lcfast
from lcfast import ModelFileError
from tests.support import goldens
from tests.support.cases import assert_same_bits
from tests.support.model_configs import LARGEST, accepts_only_a_model_or_a_refusal, damage

# The file, and the case of containers.npz that it belongs to.
FILES = {
    "container_sequential.keras": "sequential",
    "container_functional.keras": "functional",
    "container_keras_3_sequential.keras": "keras_3_sequential",
    "container_keras_3_sequential.h5": "keras_3_sequential",
    "container_keras_3_functional.keras": "keras_3_functional",
}
SEQUENTIAL, KERAS_3 = "container_sequential.keras", "container_keras_3_functional.keras"


def as_list(value):
    return value if isinstance(value, list) else [value]


def arrays_of(case, key):
    found = goldens.arrays("containers")
    names = sorted(name for name in found if name.startswith(f"{case}/{key}"))
    assert names
    return [found[name] for name in names]


def config_of(file):
    with zipfile.ZipFile(goldens.DIRECTORY / file) as archive:
        return json.loads(archive.read("config.json"))


def with_changes(path, file, config=None, change=lambda weights: None):
    """The archive `file` with another config, or with its weights changed."""
    with zipfile.ZipFile(goldens.DIRECTORY / file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = path.parent / "weights.h5"
    weights.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(file)
    parts["model.weights.h5"] = weights.read_bytes()
    if config is not None:
        parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def refusal(load, *arguments):
    with pytest.raises(ModelFileError) as caught:
        load(*arguments)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.keras"


# ---------------------------------------------------------------- what is loaded


@pytest.mark.parametrize("file", FILES)
def test_a_model_predicts_what_keras_does(file):
    model = lcfast.load_model(goldens.DIRECTORY / file)
    x = arrays_of(FILES[file], "x")
    got = as_list(model.predict(x if len(x) > 1 else x[0]))
    for y, expected in zip(got, arrays_of(FILES[file], "y"), strict=True):
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("file", FILES)
def test_a_row_has_the_same_bits_in_every_batch(file):
    model = lcfast.load_model(goldens.DIRECTORY / file)
    x = [np.tile(array, (6, *[1] * (array.ndim - 1)))[:17] for array in arrays_of(FILES[file], "x")]

    def predicted(rows):
        given = [array[rows] for array in x]
        return as_list(model.predict(given if len(given) > 1 else given[0]))

    whole = predicted(slice(17))
    for rows in (slice(1), slice(4, 7), slice(16, 17)):
        for part, y in zip(predicted(rows), whole, strict=True):
            assert_same_bits(part, y[rows])


@pytest.mark.parametrize("file", [file for file in FILES if "container_functional" not in file])
def test_weights_are_those_of_the_file(file):  # implementation 2 gives zeros where nothing connects
    model = lcfast.load_model(goldens.DIRECTORY / file)
    stored = {array.tobytes() for array in lcfast.read_weights(goldens.DIRECTORY / file).values()}
    assert {weight.tobytes() for weight in model.get_weights()} == stored


def test_archive_and_weights_alone_and_h5_give_the_same_numbers():
    prefix = goldens.DIRECTORY / "container_keras_3_sequential"
    model, old = (lcfast.load_model(f"{prefix}.{ending}") for ending in ("keras", "h5"))
    x = arrays_of("keras_3_sequential", "x")[0]
    assert_same_bits(model.predict(x), old.predict(x))


@pytest.mark.parametrize("name", ["model.h5", "model", "model.keras.bak"])
def test_the_name_of_the_file_does_not_matter(tmp_path, name):
    path = shutil.copy(goldens.DIRECTORY / SEQUENTIAL, tmp_path / name)
    assert lcfast.load_model(path).output_shape == (None, 3)


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".keras")])
def test_the_config_alone_makes_the_same_model_with_new_weights(file):
    config = config_of(file)
    model = lcfast.model_from_json(json.dumps(config))
    loaded = lcfast.load_model(goldens.DIRECTORY / file)
    assert (model.name, model.output_shape) == (loaded.name, loaded.output_shape)
    model.set_weights(loaded.get_weights())
    x = arrays_of(FILES[file], "x")
    given = x if len(x) > 1 else x[0]
    for y, expected in zip(
        as_list(model.predict(given)), as_list(loaded.predict(given)), strict=True
    ):
        assert_same_bits(y, expected)


def test_inputs_and_outputs_in_a_dict_come_by_their_sorted_names():
    config = config_of("container_functional.keras")["config"]
    assert list(config["input_layers"]) == ["signal", "flags"]
    assert list(config["output_layers"]) == ["z", "y"]
    model = lcfast.load_model(goldens.DIRECTORY / "container_functional.keras")
    assert model.input_shape == [(None, 3), (None, 8, 2)]
    assert model.output_shape == [(None, 8), (None, 1)]


def test_a_sequential_model_may_know_its_input_from_its_build_config():
    config = config_of(SEQUENTIAL)
    config["config"]["layers"] = config["config"]["layers"][1:]
    del config["config"]["layers"][0]["config"]["batch_input_shape"]
    assert config["build_config"] == {"input_shape": [None, 7, 2]}
    assert lcfast.model_from_json(json.dumps(config)).input_shape == (None, 7, 2)


# ---------------------------------------------------------------- layers without a name


def of_user(kernel_size, **entry):
    """A layer of Keras 3 whose class was registered by a user, and leaves its name out."""
    return {
        "module": None,
        "class_name": "LocallyConnected1D",
        "config": {"filters": 2, "kernel_size": kernel_size},
        "registered_name": "custom>LocallyConnected1D",
        **entry,
    }


def reference(name):
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
    return [{"args": [tensor], "kwargs": {}}]


def unnamed_model(kind):
    named = {"batch_shape": [None, 8, 3], "name": "x"}
    start = {"module": "keras.layers", "class_name": "InputLayer", "config": named}
    taken = {"module": "keras.layers", "class_name": "Activation"}
    taken["config"] = {"name": "locally_connected1d_1", "activation": "linear"}
    if kind == "Sequential":
        layers = [start, of_user(3), taken, of_user(2)]
        return {"class_name": kind, "config": {"name": "model", "layers": layers}}
    layers = [
        {**start, "name": "x", "inbound_nodes": []},
        of_user(3, name="first", inbound_nodes=reference("x")),
        {**taken, "name": taken["config"]["name"], "inbound_nodes": reference("first")},
        of_user(2, name="second", inbound_nodes=reference("locally_connected1d_1")),
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["second", 0, 0]]}
    return {"class_name": kind, "config": {"name": "model", "layers": layers, **ends}}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Sequential", ["locally_connected1d", "locally_connected1d_2"]),
        ("Functional", ["first", "second"]),
    ],
)
def test_a_layer_of_a_user_whose_config_has_no_name_gets_keras_s(kind, names, path, tmp_path):
    shapes = [(6, 9, 2), (6, 2), (5, 4, 2), (5, 2)]
    weights = [np.random.default_rng(0).random(shape, np.float32) for shape in shapes]
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for i, array in enumerate(weights):
            group = "locally_connected1d_1" if i > 1 else "locally_connected1d"
            file[f"layers/{group}/vars/{i % 2}"] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.4.1"}')
        archive.writestr("config.json", json.dumps(unnamed_model(kind)))
        archive.write(tmp_path / "weights.h5", "model.weights.h5")
    model = lcfast.load_model(path)
    assert [layer.name for layer in model.layers if layer.get_weights()] == names
    for got, expected in zip(model.get_weights(), weights, strict=True):
        assert_same_bits(got, expected)


# ---------------------------------------------------------------- weights that do not fit


def test_every_weight_that_does_not_fit_is_listed_at_once(path):
    def change(weights):
        del weights["layers/batch_normalization/vars/3"]
        del weights["layers/locally_connected1d_1/vars/0"]
        weights["layers/locally_connected1d_1/vars/0"] = np.ones((4, 6, 3), "f4")
        weights["layers/dense/vars/2"] = np.ones(3, "f4")
        weights["layers/dense_2/vars/0"] = np.ones((2, 2), "f4")
        weights["vars/0"] = np.ones(2, "f4")
        del weights["layers/dense_1"]

    message = refusal(lcfast.load_model, with_changes(path, SEQUENTIAL, change=change))
    assert message.startswith(f"{path} cannot be loaded, 6 problems:")
    assert message.split("\n  - ")[1:] == [
        "layer 'batch_normalization' (BatchNormalization): needs weights of shapes (3,), (3,), "
        "(3,), (3,); the file holds (3,), (3,), (3,)",
        "layer 'locally_connected1d' (LocallyConnected1D): needs weights of shapes (4, 6, 2), "
        "(4, 2); the file holds (4, 6, 3), (4, 2)",
        "layer 'b' (Dense): needs weights of shapes (8, 3), (3,); the file holds (8, 3), "
        "(3,), (3,)",
        "layer 'a' (Dense): needs weights of shapes (3, 3), (3,); the file holds none",
        "the file holds weights of a layer 'layers/dense_2' that is not there",
        "the file holds weights of a layer 'vars' that is not there",
    ]


def test_weights_of_the_first_version_are_found(path):
    def change(weights):
        weights.move("layers", "_layer_checkpoint_dependencies")
        layers = weights["_layer_checkpoint_dependencies"]
        layers.move("dense_1", "dense_2")
        layers.move("locally_connected1d_1", "locally_connected1d_2")

    model = lcfast.load_model(with_changes(path, SEQUENTIAL, change=change))
    x = arrays_of("sequential", "x")[0]
    assert_same_bits(model.predict(x), lcfast.load_model(goldens.DIRECTORY / SEQUENTIAL).predict(x))


# ---------------------------------------------------------------- configs that are refused


def changed(file, name, **values):
    config = config_of(file)
    entry = next(e for e in config["config"]["layers"] if e["config"]["name"] == name)
    entry["config"].update(values)
    return config


def policy(name, kind="DTypePolicy"):
    return {"module": "keras", "class_name": kind, "config": {"name": name}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mixed_float16", "DTypePolicy"),
        ("mixed_bfloat16", "Policy"),
        ("float16", "DTypePolicy"),
        ("int8_from_float32", "QuantizedDTypePolicy"),
    ],
)
def test_a_policy_of_other_numbers_is_refused_by_its_name(path, name, kind):
    config = changed(KERAS_3, "shared", dtype=policy(name, kind))
    message = refusal(lcfast.load_model, with_changes(path, KERAS_3, config))
    assert message.startswith(f"{path} cannot be loaded, 1 problem:\n  - layer 'shared' (Dense): ")
    assert f"{name} ({kind})" in message


def test_hard_sigmoid_of_keras_3_is_refused_because_it_is_another_function(path):
    config = changed(KERAS_3, "shared", activation="hard_sigmoid")
    message = refusal(lcfast.load_model, with_changes(path, KERAS_3, config))
    assert (
        "layer 'shared' (Dense): The `activation` is hard_sigmoid, which is clip(x / 6" in message
    )
    assert "hard_sigmoid" in refusal(lcfast.model_from_json, json.dumps(config))
    config = changed(SEQUENTIAL, "a", activation="hard_sigmoid")
    assert lcfast.load_model(with_changes(path, SEQUENTIAL, config)).built


def test_a_model_of_a_class_of_its_own_says_what_to_do(path):
    config = {"module": "mine", "class_name": "MyModel", "config": {"units": 3}}
    message = refusal(lcfast.load_model, with_changes(path, SEQUENTIAL, config))
    assert "a model of class 'MyModel' cannot be made from its config alone; make it in" in message
    assert "lcfast.read_weights" in message


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"quantization_config": {"mode": "int8"}}, "quantization_config"),
        ({"lora_rank": 4}, "lora_rank"),
        ({"batch_shape": [None, 3]}, "batch_shape"),
    ],
)
def test_what_keras_3_added_is_refused_where_it_means_something(values, found):
    config = changed(KERAS_3, "shared", **values)
    assert found in refusal(lcfast.model_from_json, json.dumps(config))


def tensor(name, call=0, index=0):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, index]}}


ODD_NODES = {
    "unknown": {"args": [tensor("nowhere")], "kwargs": {}},
    "a cycle": {"args": [tensor("score")], "kwargs": {}},
    "a call that is not there": {"args": [tensor("flatten", 3)], "kwargs": {}},
    "a second tensor": {"args": [tensor("flatten", 0, 1)], "kwargs": {}},
    "no arguments": {"args": [], "kwargs": {}},
    "two arguments": {"args": [tensor("flatten"), tensor("flatten")], "kwargs": {}},
    "further arguments": {"args": [tensor("flatten")], "kwargs": {"training": True}},
    "a mask": {"args": [tensor("flatten")], "kwargs": {"mask": tensor("flatten")}},
    "a number": {"args": [3], "kwargs": {}},
    "a dict": {"args": [{"a": tensor("flatten")}], "kwargs": {}},
    "another class": {"args": [{"class_name": "x", "config": {}}], "kwargs": {}},
    "kwargs as a list": {"args": [tensor("flatten")], "kwargs": []},
    "only kwargs": {"args": [], "kwargs": {"inputs": tensor("flatten")}},
    "history as text": {
        "args": [{"class_name": "__keras_tensor__", "config": {"keras_history": "flatten"}}],
        "kwargs": {},
    },
}


@pytest.mark.parametrize("case", ODD_NODES)
def test_a_call_that_makes_no_sense_is_refused(path, case):
    config = config_of(KERAS_3)
    entry = next(e for e in config["config"]["layers"] if e["config"]["name"] == "score")
    entry["inbound_nodes"] = [ODD_NODES[case]]
    message = refusal(lcfast.load_model, with_changes(path, KERAS_3, config))
    assert message.startswith(f"{path} cannot be loaded, 1 problem:\n  - ")


@pytest.mark.parametrize("value", [{}, None, 3, "x", {"a": 3}, {"a": {"b": ["score", 0, 0]}}, [[]]])
@pytest.mark.parametrize("key", ["input_layers", "output_layers"])
def test_inputs_and_outputs_that_make_no_sense_are_refused(path, key, value):
    config = config_of(KERAS_3)
    config["config"][key] = value
    message = refusal(lcfast.load_model, with_changes(path, KERAS_3, config))
    assert message.startswith(f"{path} cannot be loaded, 1 problem:\n  - ")


@pytest.mark.thorough
@pytest.mark.parametrize("file", [KERAS_3, "container_functional.keras"])
def test_a_damaged_config_is_refused_or_makes_a_model_that_works(file, path):
    text = json.dumps(config_of(file))
    loaded = 0
    for seed in range(60):
        config = damage(json.loads(text), random.Random(f"{file} {seed}"))
        with_changes(path, file, config)
        loaded += accepts_only_a_model_or_a_refusal(lcfast.load_model, path)
        if str(LARGEST) not in json.dumps(config):  # a JSON alone gets its weights made
            accepts_only_a_model_or_a_refusal(lcfast.model_from_json, json.dumps(config))
    assert 0 < loaded < 55


def test_loading_an_archive_imports_nothing_of_tensorflow():
    code = (
        "import sys, lcfast; lcfast.load_model(sys.argv[1]); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'tensorflow', 'keras', 'tf_keras'}))"
    )
    command = [sys.executable, "-c", code, str(goldens.DIRECTORY / KERAS_3)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# ---------------------------------------------------------------- load_weights


@pytest.mark.parametrize("place", ["checkpoint_sequential/weights", "saved_model_sequential"])
def test_weights_of_a_checkpoint_go_to_their_layers(place):
    model = lcfast.load_model(goldens.DIRECTORY / "saved_model_sequential")
    other = lcfast.model_from_json(model.to_json())
    other.load_weights(goldens.DIRECTORY / place)
    for got, expected in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_checkpoint_by_names_alone_is_refused_by_load_weights():
    model = lcfast.load_model(goldens.DIRECTORY / "saved_model_sequential")
    with pytest.raises(ModelFileError, match="checkpoint_by_names"):
        model.load_weights(goldens.DIRECTORY / "checkpoint_by_names" / "model")


def test_a_nested_model_keeps_its_weights_in_every_file_that_is_written(tmp_path):
    for name in goldens.NESTED_MODELS:
        model = lcfast.load_model(goldens.DIRECTORY / f"model_{name}.h5")
        for ending in (".h5", ".keras"):
            model.save(tmp_path / f"{name}{ending}")
            again = lcfast.load_model(tmp_path / f"{name}{ending}")
            assert [w.shape for w in again.get_weights()] == [w.shape for w in model.get_weights()]
            for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
                np.testing.assert_array_equal(got, expected)
        twin = lcfast.model_from_json(model.to_json())
        model.save_weights(tmp_path / f"{name}.weights.h5")
        twin.load_weights(tmp_path / f"{name}.weights.h5")
        for got, expected in zip(twin.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected)
