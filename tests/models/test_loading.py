"""Loading: every dialect of Keras 2, every problem listed at once, nothing but ModelFileError."""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits
from tests.support.model_configs import (
    FUNCTIONAL,
    config_of,
    copied,
    entry,
    refusal,
    refused_json,
    sequential,
    with_config,
)

# ---------------------------------------------------------------- what is loaded


@pytest.mark.parametrize("file", ["model_sequential_1d_keras_2_3.h5", "model_list_config.h5"])
def test_older_dialects_give_the_same_model(file):
    old = lcfast.load_model(goldens.DIRECTORY / file)
    case = goldens.model_case("sequential_1d")
    new = lcfast.load_model(case.path)
    assert isinstance(old, lcfast.Sequential)
    assert old.count_params() == case.params
    assert_same_bits(old.predict(case.x[0]), new.predict(case.x[0]))
    (dx, dweights), (new_dx, new_dweights) = (
        model.vjp(case.x[0])[1](case.dy[0]) for model in (old, new)
    )
    for got, expected in zip([dx, *dweights], [new_dx, *new_dweights], strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("name", goldens.MODELS)
def test_a_model_is_what_the_file_says_it_is(name):
    model = lcfast.load_model(goldens.model_path(name))
    functional = "functional" in name
    assert type(model) is (lcfast.Model if functional else lcfast.Sequential)
    config = config_of(name)
    assert model.name == config["config"]["name"]
    entries = config["config"]["layers"]
    if not functional:
        entries = [e for e in entries if e["class_name"] != "InputLayer"]
    assert {layer.name: type(layer).__name__ for layer in model.layers} == {
        e["config"]["name"]: e["class_name"] for e in entries
    }


@pytest.mark.parametrize("name", goldens.MODELS)
def test_weights_are_those_of_the_file(name):
    path = goldens.model_path(name)
    model, stored = lcfast.load_model(path), lcfast.read_weights(path)
    weights = {weight.name: weight.value for weight in model.weights}
    assert len(weights) == len(stored) > 0
    for full_name, array in stored.items():
        assert_same_bits(weights[full_name.split("/", 1)[1]], array)


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_path_may_be_text_or_a_path(kind):
    path = kind(goldens.model_path("sequential_1d"))
    assert lcfast.load_model(path).output_shape == (None, 3)


def test_the_name_of_the_file_does_not_matter(tmp_path):
    path = shutil.copy(goldens.model_path("sequential_1d"), tmp_path / "model.keras")
    assert lcfast.load_model(path).output_shape == (None, 3)


def test_a_loaded_model_does_not_need_its_file(tmp_path):
    case = goldens.model_case("sequential_1d")
    path = copied("sequential_1d", tmp_path)
    model = lcfast.load_model(path)
    (tmp_path / "model.h5").write_bytes(b"gone")
    assert_same_bits(model.predict(case.x[0]), lcfast.load_model(case.path).predict(case.x[0]))


def test_loaded_weights_are_immutable_until_they_are_set():
    model = lcfast.load_model(goldens.model_path("sequential_1d"))
    for weight in model.weights:
        with pytest.raises(ValueError, match="read-only"):
            weight.value[...] = 0
    model.set_weights([weight * 0 for weight in model.get_weights()])
    assert not any(weight.any() for weight in model.get_weights())


def test_weights_of_another_dtype_are_cast(tmp_path):
    case = goldens.model_case("sequential_1d")
    path = copied("sequential_1d", tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights/dense/dense"]
        kernel = group["kernel:0"][()]
        del group["kernel:0"]
        group["kernel:0"] = kernel.astype("float64")
    assert_same_bits(
        lcfast.load_model(path).predict(case.x[0]), lcfast.load_model(case.path).predict(case.x[0])
    )


# ---------------------------------------------------------------- model_from_json


@pytest.mark.parametrize("name", goldens.MODELS)
def test_a_model_made_from_json_has_the_shapes_of_keras_and_new_weights(name):
    case = goldens.model_case(name)
    text = json.dumps(config_of(name))
    first, second = lcfast.model_from_json(text), lcfast.model_from_json(text)
    loaded = lcfast.load_model(case.path)
    assert type(first) is type(loaded)
    assert (first.name, first.output_shape) == (loaded.name, loaded.output_shape)
    assert [w.name for w in first.weights] == [w.name for w in loaded.weights]
    assert [w.shape for w in first.get_weights()] == [w.shape for w in loaded.get_weights()]
    drawn = [w.name for w in first.weights if w.name.endswith("kernel:0")]
    assert drawn
    for name in drawn:
        models = (first, second, loaded)
        kernels = {w.numpy().tobytes() for m in models for w in m.weights if w.name == name}
        assert len(kernels) == 3
    second.set_weights(loaded.get_weights())
    x = case.x if len(case.x) > 1 else case.x[0]
    for got, expected in zip(second.predict(x), loaded.predict(x), strict=True):
        assert_same_bits(got, expected)


def test_what_keras_s_to_json_adds_is_read_over():
    config = config_of("sequential_1d") | {"keras_version": "2.15.0", "backend": "tensorflow"}
    assert lcfast.model_from_json(json.dumps(config)).output_shape == (None, 3)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "3", '"Sequential"', "[]", "{}", "[" * 100_000, '{"a":' * 100_000),
        '{"class_name": "Sequential"}',
        '{"class_name": "Sequential", "config": null}',
        '{"class_name": "Sequential", "config": {}}',
        '{"class_name": "Sequential", "config": {"layers": {}}}',
        '{"class_name": "Sequential", "config": []}',
        '{"class_name": "Sequential", "config": {"layers": []}}',
        '{"class_name": "Model", "config": {"layers": []}}',
        '{"class_name": "Functional", "config": {"layers": [], "input_layers": []}}',
        '{"class_name": ["Sequential"], "config": {"layers": []}}',
        "9" * 5000,
        "\ud800",
        b"\xff\xfe",
    ],
    ids=lambda text: repr(text[:60]),
)
def test_text_that_holds_no_model_is_refused(text):
    assert refusal(lcfast.model_from_json, text)


@pytest.mark.parametrize("initializer", ["Identity", "Orthogonal"])
def test_an_initializer_that_cannot_make_the_weight_is_a_problem_of_the_json(initializer):
    layer = entry("LocallyConnected1D", filters=2, kernel_size=2, batch_input_shape=[None, 5, 1])
    layer["config"]["bias_initializer" if initializer == "Orthogonal" else "kernel_initializer"] = {
        "class_name": initializer,
        "config": {},
    }
    layer["config"]["name"] = "local"
    if initializer == "Identity":
        assert "local" in refused_json(sequential(layer))
    else:
        assert lcfast.model_from_json(json.dumps(sequential(layer))).built


def test_no_initializer_is_that_of_keras():
    layer = entry("Dense", units=3, batch_input_shape=[None, 4], kernel_initializer=None)
    model = lcfast.model_from_json(json.dumps(sequential(layer)))
    assert len(np.unique(model.get_weights()[0])) > 1


# ---------------------------------------------------------------- layers that are refused


def test_all_that_is_not_supported_is_listed_at_once():
    path = goldens.DIRECTORY / "unsupported.h5"
    message = refusal(lcfast.load_model, path)
    assert message.startswith(f"{path} cannot be loaded, 3 problems:\n  - ")
    problems = message.split("\n  - ")[1:]
    assert len(problems) == 3
    expected = [
        ("normalised", "GroupNormalization"),
        ("recurrent", "RNN"),
        ("python", "Lambda", "Python code"),
    ]
    for problem, words in zip(problems, expected, strict=True):
        for word in words:
            assert word in problem
    assert "classes" not in message


LAMBDA = entry(
    "Lambda", name="python", function=["4wAAAA==", None, None], function_type="lambda", arguments={}
)
BY_REFERENCE = {
    "module": "this",
    "class_name": "Dense",
    "registered_name": "antigravity>Dense",
    "config": {
        "name": "dense",
        "units": 3,
        "batch_input_shape": [None, 3],
        "activation": {
            "module": "this",
            "class_name": "function",
            "config": "antigravity",
            "registered_name": "antigravity",
        },
    },
}
FOREIGN = [
    LAMBDA,
    entry("TFOpLambda", name="python", function="os.system"),
    entry("SlicingOpLambda", name="python", function="__operators__.getitem"),
    BY_REFERENCE,
    {"module": "antigravity", "class_name": "Spam", "config": {"name": "python"}},
    entry("antigravity.Spam", name="python"),
    entry("Activation", name="python", activation="os.system"),
    entry("Activation", name="python", activation=LAMBDA),
    entry("Dense", name="python", units=2, kernel_initializer={"class_name": "os.system"}),
    entry(
        "Dense",
        name="python",
        units=2,
        kernel_regularizer={
            "module": "this",
            "class_name": "Popen",
            "config": {"args": "true"},
            "registered_name": "this>Popen",
        },
    ),
    entry("Layer", name="python"),
    entry("Weight", name="python"),
    entry("__builtins__", name="python"),
]


@pytest.mark.parametrize("layer", FOREIGN, ids=lambda e: f"{e['class_name']}-{e['config']['name']}")
def test_what_a_file_names_is_neither_imported_nor_run(layer, tmp_path, monkeypatch):
    lcfast.load_model(goldens.model_path("sequential_1d"))  # imports what loading needs
    calls = []
    for module, function in [("os", "system"), ("subprocess", "Popen"), ("builtins", "eval")]:
        monkeypatch.setattr(f"{module}.{function}", lambda *given, **_: calls.append(given))
    before = set(sys.modules)
    path = copied("sequential_1d", tmp_path)
    config = sequential(entry("InputLayer", batch_input_shape=[None, 3]), layer)
    message = refusal(lcfast.load_model, with_config(config, path))
    assert f"'{layer['config']['name']}'" in message
    refused_json(config)
    assert set(sys.modules) == before
    assert calls == []
    assert not {"this", "antigravity"} & before


def test_a_lambda_says_what_to_do():
    message = refused_json(sequential(LAMBDA))
    assert "layer 'python': Lambda holds Python code, which lcfast never runs" in message
    assert "custom_objects={'python': YourLayer}" in message


def test_a_model_of_a_class_of_its_own_is_refused():
    config = sequential(entry("Dense", units=2, batch_input_shape=[None, 3]))
    message = refused_json({**config, "class_name": "MyModel"})
    assert "a model of class 'MyModel' cannot be made from its config alone" in message


def test_an_unknown_argument_is_refused_by_the_name_of_its_layer():
    message = refused_json(
        sequential(entry("Dense", name="d", units=2, colour="red", batch_input_shape=[None, 3]))
    )
    assert "layer 'd' (Dense): Dense does not take these arguments: 'colour'" in message


def test_a_model_that_never_knew_its_input_says_so():
    message = refused_json(sequential(entry("Dense", name="d", units=2)))
    assert "the model was saved before the shape of its input" in message
    config = sequential(entry("Dense", name="d", units=2))
    config["config"]["build_input_shape"] = [None, 3]
    assert lcfast.model_from_json(json.dumps(config)).output_shape == (None, 2)


# ---------------------------------------------------------------- weights that do not fit


def damaged(path):
    """One weight missing, one of another shape, one too many, one of a layer that is not there."""
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        first = weights["locally_connected1d"]
        first.attrs["weight_names"] = first.attrs["weight_names"][:1]
        second = weights["locally_connected1d_1/locally_connected1d_1"]
        del second["kernel:0"]
        second["kernel:0"] = np.ones((6, 25, 4), "f4")
        dense = weights["dense"]
        dense.attrs["weight_names"] = [*dense.attrs["weight_names"], "dense/more:0"]
        dense["dense/more:0"] = np.ones(3, "f4")
        spare = weights.create_group("spare")
        spare.attrs["weight_names"] = ["spare/kernel:0"]
        spare["spare/kernel:0"] = np.ones((2, 2), "f4")
        weights.attrs["layer_names"] = [*weights.attrs["layer_names"], "spare"]
    return path


def test_every_weight_that_does_not_fit_is_listed_at_once(tmp_path):
    path = damaged(copied("sequential_1d", tmp_path))
    message = refusal(lcfast.load_model, path)
    assert message.startswith(f"{path} cannot be loaded, 4 problems:")
    assert message.split("\n  - ")[1:] == [
        "layer 'locally_connected1d' (LocallyConnected1D): needs weights of shapes (8, 12, 8), "
        "(8, 8); the file holds (8, 12, 8)",
        "layer 'locally_connected1d_1' (LocallyConnected1D): needs weights of shapes (6, 24, 4), "
        "(6, 4); the file holds (6, 25, 4), (6, 4)",
        "layer 'dense' (Dense): needs weights of shapes (24, 3), (3,); the file holds (24, 3), "
        "(3,), (3,)",
        "the file holds weights of a layer 'spare' that is not there",
    ]


def test_a_layer_without_its_weights_is_a_problem(tmp_path):
    path = copied("sequential_1d", tmp_path)
    with h5py.File(path, "r+") as file:
        names = [name for name in file["model_weights"].attrs["layer_names"] if name != "dense"]
        file["model_weights"].attrs["layer_names"] = names
        del file["model_weights/dense"]
    message = refusal(lcfast.load_model, path)
    assert "layer 'dense' (Dense): needs weights of shapes (24, 3), (3,); the file holds none" in (
        message
    )


def test_weights_in_another_order_do_not_fit(tmp_path):
    path = copied("sequential_1d", tmp_path)
    with h5py.File(path, "r+") as file:
        dense = file["model_weights/dense"]
        dense.attrs["weight_names"] = list(dense.attrs["weight_names"])[::-1]
    assert "the file holds (3,), (24, 3)" in refusal(lcfast.load_model, path)


# ---------------------------------------------------------------- files that are no models


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        lcfast.load_model(tmp_path / "nowhere.h5")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04rest", b'{"class_name": "Sequential"}', b"\x89HDF\r\n\x1a\n", b"\0" * 4096],
    ids=["empty", "zip", "json", "only-the-mark", "zeros"],
)
def test_a_file_that_is_no_hdf5_is_refused_by_its_name(content, tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    assert str(path) in refusal(lcfast.load_model, path)


def test_a_directory_is_refused(tmp_path):
    assert "is a directory" in refusal(lcfast.load_model, tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("name", ["sequential_1d", FUNCTIONAL])
def test_a_file_that_ends_too_early_is_refused(name, share, tmp_path):
    content = goldens.model_path(name).read_bytes()
    path = tmp_path / "model.h5"
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in refusal(lcfast.load_model, path)


@pytest.mark.parametrize(
    "value", [None, "", "{", "null", "[]", "3", '{"class_name": "Dense"}', "{}"]
)
def test_a_file_without_a_model_is_refused(value, tmp_path):
    path = copied("sequential_1d", tmp_path)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        if value is not None:
            file.attrs["model_config"] = value
    assert str(path) in refusal(lcfast.load_model, path)


def test_a_file_of_weights_alone_says_what_to_do(tmp_path):
    path = tmp_path / "weights.h5"
    with h5py.File(goldens.model_path("sequential_1d")) as source, h5py.File(path, "w") as file:
        file.attrs["layer_names"] = source["model_weights"].attrs["layer_names"]
        for name in source["model_weights"]:
            source.copy(f"model_weights/{name}", file)
    assert "holds weights only" in refusal(lcfast.load_model, path)


# ---------------------------------------------------------------- imports


def test_loading_imports_nothing_of_tensorflow():
    code = (
        "import sys, lcfast; lcfast.load_model(sys.argv[1]); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'tensorflow', 'keras', 'tf_keras', 'torch'}))"
    )
    path = str(goldens.model_path("sequential_1d"))
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
