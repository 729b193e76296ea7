"""What a caller gives for names that lcfast does not know; custom_objects.h5 holds them all."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

import lcfast
from lcfast import ModelFileError
from tests.support import goldens
from tests.support.cases import assert_same_bits


class Scale(lcfast.Layer):
    def __init__(self, by=2.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def build(self, input_shape):
        self.w = self.add_weight("w", (input_shape[-1],), initializer="uniform")

    def call(self, x):
        return x * self.w * np.float32(self.by)

    def get_config(self):
        return {**super().get_config(), "by": self.by}


class EveryOther(lcfast.Layer):
    def call(self, x):
        return x[:, ::2]


def double(x):
    return 2 * x


OBJECTS = {"Scale": Scale, "every_other": EveryOther, "double": double, "Scorer": lcfast.Model}
FILES = [goldens.DIRECTORY / f"custom_objects.{ending}" for ending in ("h5", "keras")]


def made(*layers, **options):
    config = {"class_name": "Sequential", "config": {"name": "made", "layers": list(layers)}}
    return lcfast.model_from_json(json.dumps(config), **options)


def dense(**config):
    return {"class_name": "Dense", "config": {"units": 2, "batch_input_shape": [None, 3], **config}}


# ---------------------------------------------------------------- files of Keras


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.suffix)
def test_a_file_with_its_authors_layers_predicts_the_same(path):
    golden = goldens.arrays("custom_objects")
    model = lcfast.load_model(path, OBJECTS, compile=False)
    assert type(model) is lcfast.Model
    assert type(model.get_layer("every_other")) is EveryOther
    np.testing.assert_allclose(model.predict(golden["x"]), golden["y"], rtol=1e-5, atol=1e-6)
    for rows in (1, 2):
        assert_same_bits(model.predict(golden["x"][:rows]), model.predict(golden["x"])[:rows])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.suffix)
def test_what_nobody_gave_is_listed_with_what_to_give(path):
    with pytest.raises(ModelFileError) as caught:
        lcfast.load_model(path)
    message = str(caught.value)
    assert "6 problems" in message
    assert "a model of class 'Scorer'" in message
    assert "'every_other': Lambda holds Python code, which lcfast never runs" in message
    assert "custom_objects={'every_other': YourLayer}" in message
    assert "custom_objects={'golden>Scale': YourLayer}" in message
    assert "'double' is not a known activation" in message


@pytest.mark.parametrize("name", ["Scale", "golden>Scale"])
def test_a_registered_name_goes_with_its_package_or_without(name):
    given = {key: value for key, value in OBJECTS.items() if key != "Scale"}
    model = lcfast.load_model(FILES[1], {**given, name: Scale})
    assert type(model.get_layer("inner").layers[1]) is Scale


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_a_model_with_a_layer_of_ones_own_is_saved_and_loaded(ending, tmp_path):
    layers = [lcfast.Dense(4, input_shape=(3,)), lcfast.TimeDistributed(Scale()), Scale(5.0)]
    layers.insert(1, lcfast.Reshape((2, 2)))
    model, x = lcfast.Sequential(layers), np.ones((2, 3), "f4")
    path = tmp_path / f"model.{ending}"
    model.save(path)
    again = lcfast.load_model(path, {"Scale": Scale})
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    assert again.layers[3].by == 5.0
    assert_same_bits(again.predict(x), model.predict(x))


class Shift(lcfast.Layer):
    """A layer that computes with its record, as lcfast's own do."""

    def build(self, input_shape):
        self.by = self.add_weight("by", (input_shape[-1],), initializer="uniform")
        self.still = self.add_weight("still", (), trainable=False)

    def compute_output_shape(self, input_shape):
        return input_shape

    def forward(self, weights, inputs, training=False, out=None):
        by, still = weights
        return inputs + by + still


def test_the_weights_that_a_layer_of_ones_own_adds_come_from_the_file(tmp_path):
    model, x = lcfast.Sequential([Shift(input_shape=(3,))]), np.ones((2, 3), "f4")
    model.set_weights([[1, 2, 3], 4])
    model.save(tmp_path / "model.h5")
    again = lcfast.load_model(tmp_path / "model.h5", {"Shift": Shift})
    assert np.array_equal(again.predict(x), [[6, 7, 8]] * 2)
    assert [weight.name for weight in again.weights] == [weight.name for weight in model.weights]


class Twice(lcfast.Layer):
    """A layer that holds another one under two names, and in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = lcfast.Dense(3)
        self.second = self.first
        self.listed = [self.first, lcfast.Dense(3)]

    def call(self, x):
        return self.listed[1](self.second(self.first(x)))

    def get_config(self):
        return super().get_config()


class Mixed(lcfast.Layer):
    """A layer whose list has its classes in another order than the alphabet."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.listed = [Scale(), lcfast.Dense(3, use_bias=False), Scale(), lcfast.PReLU()]

    def call(self, x):
        for layer in self.listed:
            x = layer(x)
        return x

    def get_config(self):
        return super().get_config()


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("kind", [Mixed, Twice])
def test_the_layers_inside_of_one_have_their_own_weights_again(kind, ending, is_nested, tmp_path):
    model = lcfast.Sequential([kind(input_shape=(3,))])
    if is_nested:
        model = lcfast.Sequential([lcfast.InputLayer((3,)), lcfast.Dense(3), model])
    rng, shapes = np.random.default_rng(0), [weight.shape for weight in model.weights]
    model.set_weights([rng.standard_normal(shape) for shape in shapes])
    model.save(tmp_path / f"model.{ending}")
    again = lcfast.load_model(tmp_path / f"model.{ending}", {"Mixed": Mixed, "Twice": Twice})
    for weight, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        assert_same_bits(weight, expected)


@pytest.mark.parametrize("ending", ["h5", "keras", "weights.h5"])
def test_a_layer_that_is_held_twice_is_written_once(ending, tmp_path):
    model, x = lcfast.Sequential([Twice(input_shape=(3,))]), np.ones((2, 3), "f4")
    assert model.count_params() == 2 * 12
    if ending == "weights.h5":
        model.save_weights(tmp_path / "model.weights.h5")
        again = lcfast.Sequential([Twice(input_shape=(3,))])
        again.load_weights(tmp_path / "model.weights.h5")
    else:
        model.save(tmp_path / f"model.{ending}")
        again = lcfast.load_model(tmp_path / f"model.{ending}", {"Twice": Twice})
    assert_same_bits(again.predict(x), model.predict(x))


def test_a_layer_that_is_held_twice_may_lie_under_its_first_name_as_keras_3_has_it(tmp_path):
    model, x = lcfast.Sequential([Twice(input_shape=(3,))]), np.ones((2, 3), "f4")
    model.save(tmp_path / "last.keras")
    with zipfile.ZipFile(tmp_path / "last.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file.move("layers/twice/second", "layers/twice/first")
    with zipfile.ZipFile(tmp_path / "first.keras", "w") as archive:
        for name, content in {**parts, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(name, content)
    again = lcfast.load_model(tmp_path / "first.keras", {"Twice": Twice})
    assert_same_bits(again.predict(x), model.predict(x))


class Numpy(Scale):
    def get_config(self):
        return {**super().get_config(), "by": np.float32(self.by), "more": np.arange(3)}

    def __init__(self, more=(), **kwargs):
        super().__init__(**kwargs)
        self.more = more


def test_a_config_may_hold_what_numpy_makes():
    model = lcfast.Sequential([Numpy(by=3.0, input_shape=(3,))])
    again = lcfast.model_from_json(model.to_json(), {"Numpy": Numpy})
    assert (again.layers[0].by, again.layers[0].more) == (3.0, [0, 1, 2])


# ---------------------------------------------------------------- what stands for what


def test_a_callers_class_goes_before_lcfasts():
    class Dense(lcfast.Dense):
        pass

    model = made(dense(), custom_objects={"Dense": Dense})
    assert type(model.layers[0]) is Dense


@pytest.mark.parametrize(
    "activation",
    [
        "double",
        {"class_name": "function", "config": "double", "registered_name": "double"},
        {"class_name": "Pack>double", "config": {}, "registered_name": "Pack>double"},
    ],
    ids=["a name", "as Keras 3 says", "with a package"],
)
def test_a_function_stands_for_the_name_of_an_activation(activation):
    x = np.ones((1, 3), "f4")
    model = made(dense(activation=activation), custom_objects={"double": double})
    linear = made(dense())
    linear.set_weights(model.get_weights())
    assert_same_bits(model.predict(x), 2 * linear.predict(x))


def test_a_class_of_an_initializer_is_made_with_its_arguments():
    class Sevens:
        def __init__(self, times):
            self.times = times

        def __call__(self, shape, dtype=None):
            return np.full(shape, 7 * self.times, dtype)

    kernel = {"class_name": "Sevens", "config": {"times": 2}}
    model = made(dense(kernel_initializer=kernel), custom_objects={"Sevens": Sevens})
    assert np.array_equal(model.get_weights()[0], np.full((3, 2), 14, "f4"))


def test_hard_sigmoid_of_keras_3_may_be_the_callers():
    layer = dense(activation="hard_sigmoid")
    layer["config"]["batch_shape"] = layer["config"].pop("batch_input_shape")
    entry = {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "x"}}
    del layer["config"]["batch_shape"]
    with pytest.raises(ModelFileError, match="hard_sigmoid, which is clip"):
        made(entry, layer)
    given = {"hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1)}
    model = made(entry, layer, custom_objects=given)
    assert np.array_equal(model.predict(np.zeros((1, 3))), [[0.5, 0.5]])


def test_two_lambdas_are_two_layers():
    code = [{"class_name": "Lambda", "config": {"name": n, "function": ["4wAA"]}} for n in "ab"]
    with pytest.raises(ModelFileError, match=r"layer 'b'.*custom_objects=\{'b': YourLayer\}"):
        made(dense(), *code, custom_objects={"a": Scale, "Lambda": Scale})
    model = made(dense(), *code, custom_objects={"a": Scale, "b": EveryOther})
    assert [type(layer) for layer in model.layers[1:]] == [Scale, EveryOther]
    assert model.output_shape == (None, 1)


def test_from_config_takes_them_too():
    model = lcfast.Sequential([Scale(3.0, input_shape=(2,))])
    again = lcfast.Sequential.from_config(model.get_config(), custom_objects={"Scale": Scale})
    assert again.layers[0].by == 3.0


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("given", [3, "Scale", Scale, object(), [Scale]])
def test_what_is_no_class_of_a_layer_is_a_problem_of_its_layer(given):
    entry = {"class_name": "Scale", "config": {"name": "s", "batch_input_shape": [None, 3]}}
    if given is Scale:
        entry["config"]["units"] = 3
        message = "layer 's' \\(Scale\\): .*'units'"
    else:
        message = r"layer 's': custom_objects\['Scale'\] must be a subclass of lcfast.Layer"
    with pytest.raises(ModelFileError, match=message):
        made(entry, custom_objects={"Scale": given})


@pytest.mark.parametrize("given", [Scale, [Scale], "Scale", {Scale: Scale}])
def test_what_is_no_dict_of_names_is_refused(given):
    with pytest.raises(TypeError, match=r"must be a dict .name in the file: class or function"):
        made(dense(), custom_objects=given)
    with pytest.raises(TypeError, match="must be a dict"):
        lcfast.load_model("nowhere.h5", given)


def test_lcfasts_model_may_stand_for_a_class_of_models():
    config = json.loads(lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))]).to_json())
    config["class_name"] = "Scorer"
    model = lcfast.model_from_json(json.dumps(config), {"Scorer": lcfast.Sequential})
    assert type(model) is lcfast.Sequential
    assert model.output_shape == (None, 2)
