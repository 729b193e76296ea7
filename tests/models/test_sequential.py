"""Sequential: models that grow layer by layer."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits


def dense(units, **options):
    return lcfast.Dense(units, **options)


@pytest.mark.parametrize(
    "first",
    [
        lambda: [dense(4, input_shape=(3,))],
        lambda: [dense(4, batch_input_shape=(None, 3))],
        lambda: [dense(4, input_dim=3)],
        lambda: [lcfast.InputLayer((3,)), dense(4)],
        lambda: [lcfast.Input((3,)), dense(4)],
    ],
    ids=["input_shape", "batch_input_shape", "input_dim", "InputLayer", "Input"],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at-once", "one-by-one"])
def test_a_model_is_built_where_the_shape_of_its_input_is_known(first, at_once):
    layers = [*first(), dense(2)]
    if at_once:
        model = lcfast.Sequential(layers)
    else:
        model = lcfast.Sequential()
        for layer in layers:
            model.add(layer)
    assert model.built
    assert model.input_shape == (None, 3)
    assert model.output_shape == (None, 2)
    assert [type(layer) for layer in model.layers] == [lcfast.Dense, lcfast.Dense]
    assert model.count_params() == 26
    assert model(np.ones((5, 3))).shape == (5, 2)


def test_a_model_computes_its_layers_one_after_the_other():
    layers = [
        lcfast.LocallyConnected1D(4, 3, activation="relu", input_shape=(7, 2)),
        lcfast.Flatten(),
        dense(3, activation="softmax"),
    ]
    model = lcfast.Sequential(layers)
    x = np.random.default_rng(1).standard_normal((5, 7, 2))
    expected = x
    for layer in layers:
        expected = layer(expected)
    assert_same_bits(model(x), expected)
    assert_same_bits(model.predict(x, batch_size=2), expected)
    for got, wanted in zip(
        model.get_weights(),
        itertools.chain.from_iterable(layer.get_weights() for layer in layers),
        strict=True,
    ):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("use", ["call", "predict", "vjp", "build"])
def test_a_model_without_a_shape_is_built_by_its_first_use(use):
    model = lcfast.Sequential([lcfast.LocallyConnected1D(4, 3), lcfast.Flatten()], name="late")
    assert not model.built
    x = np.ones((5, 7, 2))
    uses = {
        "call": lambda: model(x),
        "predict": lambda: model.predict(x),
        "vjp": lambda: model.vjp(x),
        "build": lambda: model.build((None, 7, 2)),
    }
    uses[use]()
    assert model.built
    assert (model.input_shape, model.output_shape) == ((None, 7, 2), (None, 20))
    with pytest.raises(ValueError, match=r"of model late has shape \(5, 8, 2\); expected"):
        model(np.ones((5, 8, 2)))


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.output_shape,
        lambda model: model.input_shape,
        lambda model: model.count_params(),
        lambda model: model.get_weights(),
        lambda model: model.set_weights([]),
        lambda model: model.summary(),
        lambda model: model.compute_output_shape((None, 3)),
    ],
    ids=["output_shape", "input_shape", "count", "get", "set", "summary", "compute"],
)
def test_a_model_that_is_not_built_says_how_to_build_it(use):
    model = lcfast.Sequential([dense(2)], name="late")
    with pytest.raises(ValueError, match="Model late is not built yet: give its first layer an"):
        use(model)


class Slow(lcfast.Sequential):
    """A model that gives other threads their turn after every attribute that is set."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        time.sleep(0.001)


@pytest.mark.parametrize("use", ["call", "predict", "vjp"])
def test_threads_that_make_the_first_call_together_build_one_model(use):
    x = np.ones((2, 3))
    for _ in range(4):
        model, start = Slow([dense(4), dense(2)]), threading.Barrier(8)
        uses = {"call": model, "predict": model.predict, "vjp": lambda x, m=model: m.vjp(x)[0]}

        def first_call(call=uses[use], start=start):
            start.wait()
            return call(x)

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(first_call) for _ in range(8)]
        for future in futures:
            assert_same_bits(future.result(), model(x))


def test_an_empty_model_says_that_it_has_no_layers():
    model = lcfast.Sequential(name="empty")
    for use in (model, model.predict, model.vjp):
        with pytest.raises(ValueError, match="Model empty has no layers; add one first"):
            use(np.ones((2, 3)))
    assert model.layers == []


def test_layers_added_later_go_on_from_the_last_output():
    model = lcfast.Sequential([dense(4, input_shape=(3,))])
    x = np.ones((2, 3))
    first = model(x)
    last = dense(2)
    model.add(last)
    assert_same_bits(model(x), last(first))
    assert model.output_shape == (None, 2)
    assert len(model.get_weights()) == 4


def test_pop_takes_the_last_layer_away():
    model = lcfast.Sequential([dense(4, input_shape=(3,)), dense(2)])
    x = np.ones((2, 3))
    weights, first = model.get_weights(), model.layers[0]
    model.pop()
    assert model.output_shape == (None, 4)
    assert_same_bits(model(x), first(x))
    for got, expected in zip(model.get_weights(), weights[:2], strict=True):
        assert_same_bits(got, expected)
    model.add(dense(5))
    assert model.output_shape == (None, 5)
    model.pop()
    model.pop()
    assert model.layers == []
    assert not model.built
    with pytest.raises(TypeError, match="There are no layers in the model"):
        model.pop()


def test_pop_leaves_an_input_layer_of_the_caller_in_place():
    model = lcfast.Sequential([lcfast.Input((3,), name="mine"), dense(4), dense(2)])
    model.pop()
    assert model.inputs[0].name == "mine"
    assert model.output_shape == (None, 4)
    assert [layer.units for layer in model.layers] == [4]
    assert [layer.name for layer in model.graph_of_layers().layers][:1] == ["mine"]


def test_pop_of_a_model_that_is_not_built_leaves_it_so():
    model = lcfast.Sequential([dense(4), dense(2)])
    model.pop()
    assert not model.built
    assert model(np.ones((2, 3))).shape == (2, 4)


def test_a_layer_that_does_not_fit_leaves_the_model_as_it_was():
    model = lcfast.Sequential([lcfast.LocallyConnected1D(4, 3, input_shape=(7, 2))])
    before = model(np.ones((2, 7, 2)))
    with pytest.raises(ValueError, match="One of the dimensions in the output is <= 0"):
        model.add(lcfast.LocallyConnected1D(4, 6))
    with pytest.raises(ValueError, match="needs an input of 4 dimensions"):
        model.add(lcfast.LocallyConnected2D(4, 2))
    assert model.output_shape == (None, 5, 4)
    assert len(model.layers) == 1
    assert_same_bits(model(np.ones((2, 7, 2))), before)


@pytest.mark.parametrize("layer", [None, 3, "dense", np.ones(3), lcfast.Dense], ids=str)
def test_only_layers_may_be_added(layer):
    with pytest.raises(TypeError, match="The added layer must be an instance of Layer"):
        lcfast.Sequential([layer])


def test_a_tensor_that_is_no_input_cannot_be_added():
    with pytest.raises(TypeError, match="The added layer must be an instance of Layer"):
        lcfast.Sequential([dense(2)(lcfast.Input((3,)))])


@pytest.mark.parametrize("shape", [None, (3,)], ids=["not-built", "built"])
def test_names_must_be_unique(shape):
    model = lcfast.Sequential([dense(2, name="twin", input_shape=shape)])
    for twin in (dense(2, name="twin"), model.layers[0]):
        with pytest.raises(ValueError, match="Name 'twin' is already the name of a layer"):
            model.add(twin)
    assert len(model.layers) == 1


def test_an_input_layer_comes_first():
    model = lcfast.Sequential([dense(2)])
    with pytest.raises(ValueError, match="InputLayer late must be the first layer of a model"):
        model.add(lcfast.InputLayer((2,), name="late"))


def test_models_without_a_name_are_numbered():
    first, second = lcfast.Sequential().name, lcfast.Sequential().name
    number = int(first.removeprefix("sequential").removeprefix("_") or 0)
    assert second == f"sequential_{number + 1}"
    assert lcfast.Sequential(name="mine").name == "mine"


def test_a_fixed_batch_is_part_of_the_shape_and_no_more():
    model = lcfast.Sequential([dense(4, batch_input_shape=(2, 3))])
    assert (model.input_shape, model.output_shape) == ((2, 3), (2, 4))
    assert model.predict(np.ones((5, 3))).shape == (5, 4)


def test_the_input_has_the_dtype_of_the_first_layer():
    model = lcfast.Sequential([dense(4, input_shape=(3,), dtype="float64")])
    assert model.inputs[0].dtype == "float64"
    assert model.predict(np.ones((2, 3))).dtype == np.float64
    assert_same_bits(model.predict(np.ones((2, 3))), model.layers[0](np.ones((2, 3))))


def test_the_config_lists_the_input_and_the_layers_as_keras_does():
    first, last = dense(4, input_shape=(3,), name="first"), dense(2, name="last")
    config = lcfast.Sequential([first, last], name="model").get_config()
    assert config["name"] == "model"
    assert [entry["class_name"] for entry in config["layers"]] == ["InputLayer", "Dense", "Dense"]
    assert config["layers"][0]["config"]["name"] == "first_input"
    assert config["layers"][0]["config"]["batch_input_shape"] == (None, 3)
    assert [entry["config"] for entry in config["layers"][1:]] == [
        *(first.get_config(), last.get_config())
    ]


def test_the_configs_of_a_loaded_model_are_those_of_its_layers():
    model = lcfast.load_model(goldens.model_path("sequential_2d"))
    entries = model.get_config()["layers"]
    assert entries[0]["class_name"] == "InputLayer"
    for entry, layer in zip(entries[1:], model.layers, strict=True):
        assert entry == {"class_name": type(layer).__name__, "config": layer.get_config()}


def test_a_model_that_is_not_built_was_never_called():
    with pytest.raises(RuntimeError, match="has never been called and thus has no defined input"):
        lcfast.Sequential(name="empty").get_input_at(0)
