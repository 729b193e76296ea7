"""Files that lcfast writes: it reads them back to the bit, and tf_keras loads them.

The tests against tf_keras run where LCFAST_KERAS_PYTHON names a Python that has it, or where the
running one has.
"""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import lcfast
from lcfast import ModelFileError
from lcfast.models.weight_mapping import weight_tree
from tests.support import goldens
from tests.support.cases import assert_same_bits

HAS_KERAS = importlib.util.find_spec("tf_keras") is not None
KERAS_PYTHON = os.environ.get("LCFAST_KERAS_PYTHON") or (sys.executable if HAS_KERAS else None)
WAYS = ("h5", "keras", "weights", "tree")
WRITTEN = (*goldens.MODELS, *goldens.NESTED_MODELS, "small")


def small(name="small"):
    """Shared, branching, frozen, with statistics: most of what a file has to say."""
    a, b = lcfast.Input((3,), name="a"), lcfast.Input((3,), name="b")
    shared = lcfast.Dense(2, activation="tanh", name="shared")
    normalized = lcfast.BatchNormalization(name="statistics")(shared(b))
    total = lcfast.Add(name="total")([shared(a), normalized, shared(a)])
    frozen = lcfast.Dense(
        2, activation=lcfast.LeakyReLU(0.25, name="leak"), trainable=False, name="frozen"
    )
    return lcfast.Model([b, a], [frozen(total), total], name=name)


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [weight.shape for weight in model.get_weights()]
    model.set_weights([rng.uniform(0.1, 1, shape) for shape in shapes])
    return model


def inputs_of(model, rows=5):
    rng = np.random.default_rng(1)
    given = [rng.standard_normal((rows, *t.shape[1:])).astype(t.dtype) for t in model.inputs]
    return given if len(given) > 1 else given[0]


def as_list(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def assert_same_answers(model, other, x):
    for y, y_other in zip(as_list(model.predict(x)), as_list(other.predict(x)), strict=True):
        assert_same_bits(y, y_other)


def stored_config(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


class Scale(lcfast.Layer):
    """A layer of the user's that describes itself."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
        self.inner = lcfast.Dense(2, name="inner")
        self.inner.build(input_shape)

    def call(self, inputs):
        return self.inner(inputs * self.scale * self.factor)

    def get_config(self):
        noted = {"note": self.note} if hasattr(self, "note") else {}
        return {**super().get_config(), "factor": self.factor, **noted}


class Undescribed(lcfast.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor


# ---------------------------------------------------------------- whole models


@pytest.mark.parametrize("name", goldens.MODELS)
def test_a_model_of_keras_saved_again_is_the_same_model(name, tmp_path):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    model.save(tmp_path / "model.h5")
    again = lcfast.load_model(tmp_path / "model.h5")
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    assert_same_answers(model, again, case.x if len(case.x) > 1 else case.x[0])


@pytest.mark.parametrize("name", goldens.MODELS)
def test_the_config_in_the_file_is_the_one_that_keras_wrote(name, tmp_path):
    path = goldens.model_path(name)
    lcfast.load_model(path).save(tmp_path / "model.h5")
    assert stored_config(tmp_path / "model.h5") == stored_config(path)


@pytest.mark.parametrize("name", goldens.MODELS)
def test_the_arrays_lie_where_keras_puts_them(name, tmp_path):
    path = goldens.model_path(name)
    lcfast.load_model(path).save(tmp_path / "model.h5")

    def weight_refs(file_path):
        with h5py.File(file_path) as file:
            found = {}
            file["model_weights"].visititems(
                lambda place, member: found.update(
                    {place: getattr(member, "shape", list(member.attrs.get("weight_names", [])))}
                )
            )
            names = list(file["model_weights"].attrs["layer_names"])
        as_text = [name.decode() if isinstance(name, bytes) else name for name in names]
        return as_text, {
            place: [n.decode() if isinstance(n, bytes) else n for n in value]
            for place, value in found.items()
        }

    assert weight_refs(tmp_path / "model.h5") == weight_refs(path)


@pytest.mark.parametrize("name", goldens.MODELS)
def test_json_makes_the_same_model_with_other_weights(name):
    model = lcfast.load_model(goldens.model_path(name))
    again = lcfast.model_from_json(model.to_json())
    assert again.to_json() == model.to_json()
    again.set_weights(model.get_weights())
    x = inputs_of(model)
    assert_same_answers(model, again, x)


def test_shared_layers_frozen_ones_and_statistics_come_back(tmp_path):
    model = randomised(small())
    model.save(tmp_path / "model.h5")
    again = lcfast.load_model(tmp_path / "model.h5")
    assert again.get_config() == model.get_config()
    assert [w.name for w in again.trainable_weights] == [w.name for w in model.trainable_weights]
    assert_same_answers(model, again, inputs_of(model))


def test_the_config_of_a_graph_says_what_each_call_takes():
    config = small().get_config()
    nodes = {entry["name"]: entry["inbound_nodes"] for entry in config["layers"]}
    assert nodes["a"] == nodes["b"] == []
    assert nodes["shared"] == [[["b", 0, 0, {}]], [["a", 0, 0, {}]], [["a", 0, 0, {}]]]
    assert nodes["total"] == [
        [["shared", 1, 0, {}], ["statistics", 0, 0, {}], ["shared", 2, 0, {}]]
    ]
    assert config["input_layers"] == [["b", 0, 0], ["a", 0, 0]]
    assert config["output_layers"] == [["frozen", 0, 0], ["total", 0, 0]]


@pytest.mark.parametrize(
    "make", [small, lambda: lcfast.load_model(goldens.model_path("regularized"))]
)
def test_a_config_makes_the_model_again(make):
    model = make()
    again = type(model).from_config(model.get_config())
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()


def test_a_class_of_the_users_has_no_from_config_of_ours():
    class Mine(lcfast.Model):
        pass

    with pytest.raises(TypeError, match="Mine is a class of your own"):
        Mine.from_config(small().get_config())


def test_calls_outside_of_the_model_are_not_part_of_it():
    x = lcfast.Input((3,), name="x")
    dense = lcfast.Dense(3, name="dense")
    elsewhere = dense(lcfast.Input((3,), name="y"))
    model = lcfast.Model(x, dense(dense(x)))
    assert elsewhere.name == "dense"
    entry = model.get_config()["layers"][1]
    assert entry["inbound_nodes"] == [[["x", 0, 0, {}]], [["dense", 0, 0, {}]]]
    assert model.get_config()["output_layers"] == [["dense", 1, 0]]


def test_the_zip_holds_the_tree_that_keras_reads(tmp_path):
    model = randomised(small())
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert json.loads(archive.read("metadata.json"))["keras_version"].startswith("2.")
        config = json.loads(archive.read("config.json"))
        inside = archive.read("model.weights.h5")
    assert config["class_name"] == config["registered_name"] == "Functional"
    assert config["build_config"] == {"input_shape": [[None, 3], [None, 3]]}
    (tmp_path / "inside.h5").write_bytes(inside)
    shapes = {}
    for file_name in ("inside.h5", "model.weights.h5"):
        with h5py.File(tmp_path / file_name) as file:
            found = shapes[file_name] = {}
            file.visititems(
                lambda place, m, to=found: to.update({place: getattr(m, "shape", None)})
            )
            assert_same_bits(
                file["layers/dense/vars/0"][()], model.get_layer("shared").get_weights()[0]
            )
    assert shapes["inside.h5"] == shapes["model.weights.h5"]
    arrays = {place: shape for place, shape in shapes["inside.h5"].items() if shape is not None}
    statistics = {f"layers/batch_normalization/vars/{i}": (2,) for i in range(4)}
    assert arrays == {
        **statistics,
        "layers/dense/vars/0": (3, 2),
        "layers/dense/vars/1": (2,),
        "layers/dense_1/vars/0": (2, 2),
        "layers/dense_1/vars/1": (2,),
    }
    assert {"vars", "layers/input_layer/vars", "layers/input_layer_1/vars"} <= set(
        shapes["inside.h5"]
    )


# ---------------------------------------------------------------- weights alone


@pytest.mark.parametrize("write", ["save", "save_weights"])
def test_weights_come_back_in_their_order_whatever_the_layers_are_called(write, tmp_path):
    model = randomised(small())
    getattr(model, write)(tmp_path / "file.h5")
    text = model.to_json().replace('"shared"', '"a_shared"').replace('"frozen"', '"other"')
    again = lcfast.model_from_json(text)
    again.load_weights(tmp_path / "file.h5")
    for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        assert_same_bits(got, expected)


def test_weights_of_a_tree_go_to_the_paths_of_their_layers(tmp_path):
    model = randomised(small())
    found = {
        f"{path}/vars/{i}": np.array(weight)
        for path, weights in sorted(weight_tree(model).items())  # not the model's order
        for i, weight in enumerate(weights)
    }
    again = randomised(small(), seed=3)
    np.savez(tmp_path / "tree.npz", **found)
    with h5py.File(tmp_path / "tree.weights.h5", "w") as file:
        for name, array in found.items():
            file[name] = array
    for file_name in ("tree.npz", "tree.weights.h5"):
        again.set_weights([0 * weight for weight in again.get_weights()])
        again.load_weights(tmp_path / file_name)
        for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
            assert_same_bits(got, expected)
    with h5py.File(tmp_path / "tree.weights.h5", "r+") as file:
        del file["layers/dense/vars/1"]
        file["layers/lstm/vars/0"] = np.ones(2)
    with pytest.raises(ModelFileError, match="2 problems") as caught:
        again.load_weights(tmp_path / "tree.weights.h5")
    assert "layers/dense/vars/1" in str(caught.value)
    assert "layers/lstm/vars/0 (2,)" in str(caught.value)


def test_the_arrays_of_an_npz_are_in_the_order_of_get_weights(tmp_path):
    inside = lcfast.Sequential([lcfast.BatchNormalization(), lcfast.Dense(2), lcfast.Dense(2)])
    model = randomised(lcfast.Sequential([lcfast.InputLayer((2,)), inside]))
    np.savez(tmp_path / "weights.npz", *model.get_weights())
    expected = model.get_weights()
    model.set_weights([0 * weight for weight in expected])
    model.load_weights(tmp_path / "weights.npz")
    for got, right in zip(model.get_weights(), expected, strict=True):
        assert_same_bits(got, right)


@pytest.mark.parametrize("name", ["model.h5", "weights.h5", "model.keras", "tree.weights.h5"])
def test_a_file_is_opened_once_however_many_weights_it_has(name, tmp_path, monkeypatch):
    model = randomised(small())
    (model.save if name.startswith("model") else model.save_weights)(tmp_path / name)
    opened = []
    file_class = h5py.File
    monkeypatch.setattr(h5py, "File", lambda *args: opened.append(args) or file_class(*args))
    randomised(small(), seed=3).load_weights(tmp_path / name)
    assert len(opened) == 1


def test_the_weights_of_a_recurrent_layer_lie_in_its_cell_as_for_keras(tmp_path):
    model = lcfast.load_model(goldens.model_path("recurrent_text"))
    of_keras = goldens.DIRECTORY / "container_recurrent_text.weights.h5"
    again = lcfast.model_from_json(model.to_json())
    again.load_weights(of_keras)
    for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        assert_same_bits(got, expected)
    again.save_weights(tmp_path / "again.weights.h5")
    written, expected = (
        lcfast.read_weights(path) for path in (tmp_path / "again.weights.h5", of_keras)
    )
    assert list(written) == list(expected)
    assert "layers/bidirectional/forward_layer/cell/vars/0" in expected
    for name in expected:
        assert_same_bits(written[name], expected[name])


def test_weights_that_do_not_fit_are_listed_all_at_once_and_none_is_taken(tmp_path):
    def dense(*units):
        layers = [lcfast.Dense(n, name=f"d{i}") for i, n in enumerate(units)]
        return lcfast.Sequential([lcfast.InputLayer((4,)), *layers])

    dense(3, 5, 2).save_weights(tmp_path / "weights.h5")
    model = randomised(dense(3, 6))
    before = model.get_weights()
    with pytest.raises(ModelFileError) as caught:
        model.load_weights(tmp_path / "weights.h5")
    message = str(caught.value)
    assert "weights.h5 does not fit model" in message
    assert "4 problems" in message
    assert "d1/kernel:0 needs shape (3, 6); d1/d1/kernel:0 in the file has (3, 5)" in message
    assert "d2/d2/kernel:0 (5, 2) is surplus" in message
    for got, expected in zip(model.get_weights(), before, strict=True):
        assert_same_bits(got, expected)
    with pytest.raises(ModelFileError, match=r"d3/kernel:0 \(2, 7\) is missing"):
        dense(3, 5, 2, 7).load_weights(tmp_path / "weights.h5")


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("model.txt", "save", r"\.h5, \.hdf5, \.keras"),
        ("model", "save", r"\.h5, \.hdf5, \.keras"),
        ("model.weights.h5", "save", "save_weights"),
        ("weights", "save_weights", r"\.weights\.h5, \.h5, \.hdf5"),
        ("weights.keras", "save_weights", r"\.weights\.h5"),
    ],
)
def test_the_ending_chooses_the_format_and_an_unknown_one_is_refused(name, write, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        getattr(small(), write)(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_format_may_be_given_where_the_ending_says_nothing(tmp_path):
    model = small()
    model.save(tmp_path / "model", save_format="h5", include_optimizer=False, save_traces=False)
    assert lcfast.load_model(tmp_path / "model").get_config() == model.get_config()
    model.save(tmp_path / "zip", save_format="keras")
    assert zipfile.is_zipfile(tmp_path / "zip")
    with pytest.raises(ValueError, match="contradicts the ending"):
        model.save(tmp_path / "model.h5", save_format="keras")
    with pytest.raises(ValueError, match="Received: 'tf'"):
        model.save(tmp_path / "folder", save_format="tf")
    with pytest.raises(TypeError, match="signatures"):
        model.save(tmp_path / "model.h5", signatures=None)


def test_a_model_that_is_not_built_has_no_file(tmp_path):
    with pytest.raises(ValueError, match="is not built yet"):
        lcfast.Sequential([lcfast.Dense(2)]).save(tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- layers of the user's


def test_a_layer_of_the_users_is_written_with_its_class_and_config(tmp_path):
    model = randomised(lcfast.Sequential([lcfast.InputLayer((3,)), Scale(2, name="mine")]))
    model.save(tmp_path / "model.h5")
    entry = stored_config(tmp_path / "model.h5")["config"]["layers"][1]
    assert entry["class_name"] == "Scale"
    assert entry["config"]["factor"] == 2
    described = json.loads(model.to_json())["config"]["layers"][1]
    assert (described["module"], described["registered_name"]) == (Scale.__module__, "Scale")
    again = lcfast.Sequential([lcfast.InputLayer((3,)), Scale(2, name="mine")])
    again.load_weights(tmp_path / "model.h5")
    assert_same_answers(model, again, inputs_of(model))
    assert list(weight_tree(model)) == ["", "layers/scale", "layers/scale/inner"]


def test_what_cannot_be_described_is_listed_all_at_once(tmp_path):
    def halved(x):
        return x / 2

    layers = [
        lcfast.InputLayer((3,)),
        Undescribed(2, name="mine"),
        lcfast.Dense(2, activation=halved, name="half"),
        Scale(2, name="set"),
    ]
    layers[-1].note = {1, 2}
    (tmp_path / "model.h5").write_bytes(b"before")
    with pytest.raises(ValueError, match="3 problems") as caught:
        lcfast.Sequential(layers).save(tmp_path / "model.h5")
    message = str(caught.value)
    assert "'mine' (Undescribed): has a constructor of its own, but no `get_config`" in message
    assert "'half' (Dense): The activation" in message
    assert "'set' (Scale): a set cannot be written as JSON" in message
    assert (tmp_path / "model.h5").read_bytes() == b"before"


def test_a_model_of_a_class_of_the_users_is_refused(tmp_path):
    class Mine(lcfast.Sequential):
        pass

    with pytest.raises(TypeError, match="Mine, a class of your own"):
        Mine([lcfast.Dense(2, input_shape=(3,))]).save(tmp_path / "model.h5")


def test_a_model_that_begins_inside_another_is_refused(tmp_path):
    middle = lcfast.Dense(3, name="middle")(lcfast.Input((3,)))
    model = lcfast.Model(middle, lcfast.Dense(2)(middle))
    with pytest.raises(ValueError, match="begins at the output of layer middle"):
        model.save(tmp_path / "model.h5")


# ---------------------------------------------------------------- tf_keras


@pytest.fixture(scope="module")
def read_back(tmp_path_factory):
    """Folders of files that lcfast wrote and tf_keras read."""
    if KERAS_PYTHON is None:
        pytest.skip("needs tf_keras, here or in the Python that LCFAST_KERAS_PYTHON names")
    folder = tmp_path_factory.mktemp("read_back")
    for name in WRITTEN:
        model = written_model(name)
        here = folder / name
        here.mkdir()
        model.save(here / "model.h5")
        model.save(here / "model.keras")
        model.save_weights(here / "weights.h5")
        model.save_weights(here / "tree.weights.h5")
        (here / "model.json").write_text(model.to_json())
        x = inputs_of(model)
        np.savez(here / "inputs.npz", **{str(i): given for i, given in enumerate(as_list(x))})
    script = goldens.DIRECTORY / "read_back.py"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [KERAS_PYTHON, script, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def written_model(name):
    return randomised(small()) if name == "small" else lcfast.load_model(goldens.model_path(name))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", WRITTEN)
def test_keras_loads_what_is_written_and_computes_the_same(name, way, read_back):
    model = written_model(name)
    expected = as_list(model.predict(inputs_of(model)))
    with np.load(read_back / name / f"{way}.npz") as file:
        got = [file[str(i)] for i in range(len(file.files))]
    for y, y_keras in zip(expected, got, strict=True):
        assert y_keras.dtype == y.dtype
        np.testing.assert_allclose(y_keras, y, rtol=1e-6, atol=1e-6 * max(1, np.abs(y).max()))


# What a wrapper holds lacks build_config and modules in ours; Keras reads it all the same.
@pytest.mark.parametrize("name", [name for name in WRITTEN if not name.startswith("recurrent")])
def test_keras_describes_the_model_in_the_same_json(name, read_back):
    said = json.loads((read_back / name / "keras.json").read_text())
    for entry in said["config"]["layers"]:  # an activation is no layer that lcfast builds
        activation = entry["config"].get("activation")
        if isinstance(activation, dict):
            del activation["build_config"]
    assert json.loads(written_model(name).to_json()) == said
