"""Whole models against Keras's goldens: outputs, gradients, sizes, memory, refusals."""

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within
from tests.support.model_cases import EVERY_MODEL, as_given, as_list, forked, small


def bound(expected):
    """How far a whole model may lie from Keras's, relative to the largest number of the array.

    At most ten layers, the longest sums have about 600 products; their roundings add up like
    steps of a random walk, on either side: 10 * sqrt(600) * eps, half of it for the unit roundoff.
    """
    return 120 * np.finfo(expected.dtype).eps * np.abs(expected).max()


# ---------------------------------------------------------------- goldens


def test_all_models_of_keras_are_there():
    found = {path.stem.removeprefix("model_") for path in goldens.DIRECTORY.glob("model_*.npz")}
    assert found == {*goldens.MODELS, *goldens.NESTED_MODELS}
    assert len(found) == 18


@EVERY_MODEL
def test_predict_gives_what_keras_gives(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    answers = as_list(model.predict(as_given(case.x)))
    for got, expected in zip(answers, case.y, strict=True):
        assert_within(got, expected, bound(expected))


@EVERY_MODEL
def test_vjp_gives_the_gradients_of_keras(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    y, pullback = model.vjp(as_given(case.x))
    dx, dweights = pullback(as_given(case.dy))
    for got, expected in zip(
        [*as_list(y), *as_list(dx), *dweights],
        [*case.y, *case.dx, *case.dweights],
        strict=True,
    ):
        assert_within(got, expected, bound(expected))
    assert [d.shape for d in dweights] == [w.shape for w in model.trainable_weights]
    assert isinstance(dx, list) == (len(case.x) > 1)
    assert isinstance(y, list) == (len(case.y) > 1)


@EVERY_MODEL
def test_parameters_are_counted_as_keras_counts_them(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    assert model.count_params() == case.params
    assert sum(weight.size for weight in model.get_weights()) == case.params


@EVERY_MODEL
def test_input_and_output_shapes_are_known(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    assert as_list(model.input_shape) == [(None, *x.shape[1:]) for x in case.x]
    assert as_list(model.output_shape) == [(None, *y.shape[1:]) for y in case.y]
    shapes = [(7, *x.shape[1:]) for x in case.x]
    assert as_list(model.compute_output_shape(as_given(shapes))) == [
        (7, *y.shape[1:]) for y in case.y
    ]


def test_the_digits_are_recognised_as_keras_recognises_them():
    model = lcfast.load_model(goldens.EXAMPLES / "digits.h5")
    images, labels, expected = (
        np.load(goldens.EXAMPLES / f"digits_{what}.npy")
        for what in ("images", "labels", "probabilities")
    )
    probabilities = model.predict(images)
    assert probabilities.shape == (360, 10)
    assert np.abs(probabilities - expected).max() <= 1e-5
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.97


# ---------------------------------------------------------------- made by hand


def test_a_model_made_by_hand_computes_what_its_layers_compute():
    model = small()
    x = np.random.default_rng(3).standard_normal((4, 3))
    hidden, last = model.get_layer("hidden"), model.get_layer("last")
    assert_same_bits(model(x), last(hidden(x)))
    z, pull_hidden = hidden.vjp(x)
    y, pull_last = last.vjp(z)
    dz, of_last = pull_last(y)
    dx, of_hidden = pull_hidden(dz)
    got_dx, got = model.vjp(x)[1](y)
    assert_same_bits(got_dx, dx)
    for d, expected in zip(got, [*of_hidden, *of_last], strict=True):
        assert_same_bits(d, expected)


def test_the_gradients_of_a_shared_layer_are_summed():
    model = forked()
    rng = np.random.default_rng(4)
    model.set_weights([rng.integers(-2, 3, w.shape) / 4 for w in model.get_weights()])
    x = [rng.standard_normal((3, 3)), rng.standard_normal((3, 4, 3))]
    y, pullback = model.vjp(x)
    dy = [rng.standard_normal(output.shape) for output in y]
    dx, dweights = pullback(dy)
    step = 2.0**-7

    def loss(x, weights):
        model.set_weights(weights)
        return sum(np.vdot(d, output.astype(float)) for d, output in zip(dy, model(x), strict=True))

    weights = [w.astype(float) for w in model.get_weights()]
    for group, gradients in ((x, dx), (weights, dweights)):
        for values, gradient in zip(group, gradients, strict=True):
            for place in (0, values.size - 1):
                before = values.flat[place]
                values.flat[place] = before + step
                above = loss(x, weights)
                values.flat[place] = before - step
                slope = (above - loss(x, weights)) / (2 * step)
                values.flat[place] = before
                # step**2 and float32's eps / step are both about 1e-4
                assert gradient.flat[place] == pytest.approx(slope, abs=2e-3)


def test_an_input_that_no_output_needs_gets_a_gradient_of_zero():
    used, unused = lcfast.Input((3,)), lcfast.Input((2,))
    model = lcfast.Model([used, unused], lcfast.Dense(2)(used))
    x = [np.ones((4, 3)), np.ones((4, 2))]
    dx, dweights = model.vjp(x)[1](np.ones((4, 2)))
    assert_same_bits(dx[1], np.zeros((4, 2), "f4"))
    assert len(dweights) == 2


def test_an_output_may_be_used_twice_and_its_gradients_are_summed():
    x = lcfast.Input((3,))
    y = lcfast.Dense(2, kernel_initializer="ones")(x)
    model = lcfast.Model(x, [y, y])
    first, second = model(np.ones((1, 3)))
    assert_same_bits(first, second)
    dx, _ = model.vjp(np.ones((1, 3)))[1]([[[1, 0]], [[0, 5]]])
    assert_same_bits(dx, np.full((1, 3), 6, "f4"))


def test_an_output_may_be_an_input():
    x = lcfast.Input((3,))
    model = lcfast.Model(x, [x, lcfast.Dense(2)(x)])
    given = np.ones((2, 3), "f4")
    same, _ = model(given)
    assert_same_bits(same, given)
    assert not np.shares_memory(same, given)
    dx, _ = model.vjp(given)[1]([2 * given, np.zeros((2, 2))])
    assert_same_bits(dx, 2 * given)


def test_a_list_of_one_input_or_output_stays_a_list():
    x = lcfast.Input((3,))
    model = lcfast.Model([x], [lcfast.Dense(2)(x)])
    given = np.ones((4, 3), "f4")
    for got in (model([given]), model.predict([given]), model.vjp([given])[0]):
        assert isinstance(got, list)
        assert got[0].shape == (4, 2)
    dx, _ = model.vjp([given])[1]([np.ones((4, 2))])
    assert isinstance(dx, list)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_computes_in_its_own_dtype_whatever_it_is_given(dtype):
    x = lcfast.Input((3,), dtype="float64")
    flat = lcfast.Flatten(dtype=dtype)(x)
    model = lcfast.Model(x, lcfast.BatchNormalization(dtype=dtype)(flat))
    given = np.random.default_rng(1).standard_normal((4, 3))
    assert flat.dtype == dtype
    assert model(given).dtype == model.predict(given).dtype == model.vjp(given)[0].dtype == dtype
    assert_same_bits(model.predict(given), model(given))


# ---------------------------------------------------------------- memory


def movers():
    """Models that only hand their input on."""
    x = lcfast.Input((4, 3))
    flat = lcfast.Flatten()(lcfast.Dropout(0.5)(x))
    return {
        "input": lcfast.Model(x, x),
        "dropout": lcfast.Model(x, lcfast.Dropout(0.5)(x)),
        "reshape": lcfast.Model(x, lcfast.Reshape((3, 4))(flat)),
        "activation": lcfast.Model(x, lcfast.Activation("linear")(flat)),
        "sequential": lcfast.Sequential([lcfast.Flatten(input_shape=(4, 3)), lcfast.Dropout(0.1)]),
        "list": lcfast.Model([x], [flat]),
        "twice": lcfast.Model(x, [flat, flat]),
        "added": lcfast.Model(x, lcfast.Add()([flat, flat])),
    }


@pytest.mark.parametrize("name", movers())
def test_nothing_that_is_given_back_lies_in_the_memory_of_what_was_given(name):
    model = movers()[name]
    given = np.random.default_rng(1).standard_normal((2, 4, 3)).astype("f4")
    x = [given] if name == "list" else given
    y, pullback = model.vjp(x)
    dy = [np.ones_like(output) for output in as_list(y)]
    dx, _ = pullback(dy if isinstance(y, list) else dy[0])
    for answers in (y, model(x), model.predict(x), model.predict(x, batch_size=1)):
        arrays = [given, *dy, *as_list(dx), *as_list(answers)]
        for i, first in enumerate(arrays):
            assert not any(np.shares_memory(first, second) for second in arrays[:i])


@EVERY_MODEL
def test_nothing_that_is_given_is_modified(name):
    case = goldens.model_case(name)  # its arrays are read-only, so writing to them would raise
    model = lcfast.load_model(case.path)
    copies = [array.copy() for array in [*case.x, *case.dy]]
    x, dy = as_given(copies[: len(case.x)]), as_given(copies[len(case.x) :])
    model(x)
    model.predict(x)
    model.vjp(x)[1](dy)
    for got, expected in zip(copies, [*case.x, *case.dy], strict=True):
        assert_same_bits(got, expected)


def test_changing_an_answer_changes_no_gradient():
    case = goldens.model_case("sequential_1d")  # its last layer is a softmax
    y, pullback = lcfast.load_model(case.path).vjp(case.x[0])
    dy = case.dy[0]
    dx, dweights = pullback(dy)
    expected = [array.copy() for array in (dx, *dweights)]
    for array in (y, dx, *dweights):
        array[...] = 77
    dx, dweights = pullback(dy)
    for got, wanted in zip([dx, *dweights], expected, strict=True):
        assert_same_bits(got, wanted)


# ---------------------------------------------------------------- finding layers


def test_layers_are_found_by_name_and_by_place():
    model = small()
    assert model.get_layer("last") is model.get_layer(index=2) is model.layers[-1]
    assert model.get_layer(index=-3).name == "given"
    with pytest.raises(
        ValueError, match=r"No such layer: nothing\. There are: given, hidden, last"
    ):
        model.get_layer("nothing")
    with pytest.raises(ValueError, match="No such layer: 3"):
        model.get_layer(index=3)


def test_inputs_and_outputs_have_the_names_of_their_layers():
    assert forked().input_names == ["left", "right"]
    model = forked()
    assert model.output_names == ["total", model.outputs[1].name]
    chain = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,), name="first")])
    assert (chain.input_names, chain.output_names) == (["first_input"], ["first"])
    with pytest.raises(ValueError, match="late"):
        lcfast.Sequential([lcfast.Dense(2)], name="late").output_names  # noqa: B018


def test_names_of_outputs_are_numbered_as_keras_numbers_them():
    x = lcfast.Input((3,), name="x")
    a, taken = lcfast.Dense(2, name="a"), lcfast.Dense(2, name="a_1")
    model = lcfast.Model(x, [a(x), taken(x), a(x), a(x)])
    assert model.output_names == ["a", "a_1", "a_2", "a_3"]


def test_predict_on_batch_gives_the_bits_of_predict():
    model, x = forked(), [np.ones((5, 3)), np.arange(60).reshape(5, 4, 3)]
    for got, wanted in zip(model.predict_on_batch(x), model.predict(x), strict=True):
        assert_same_bits(got, wanted)
    model, x = small(), np.random.default_rng(1).standard_normal((7, 3))
    assert_same_bits(model.predict_on_batch(x), model.predict(x))


def test_models_without_a_name_are_numbered():
    first, second = small().name, small().name
    number = int(first.removeprefix("model").removeprefix("_") or 0)
    assert second == f"model_{number + 1}"
    assert small(name="mine").name == "mine"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.ones((2, 3)), "takes a list of 2 inputs, in the order left, right"),
        ([np.ones((2, 3))], "takes a list of 2 inputs, in the order left, right"),
        ([np.ones((2, 3)), np.ones((2, 4, 3)), 1], "takes a list of 2 inputs"),
        ([np.ones((2, 3)), np.ones((3, 4, 3))], "have different numbers of rows: 2, 3"),
        ([np.ones((2, 4)), np.ones((2, 4, 3))], r"The input left of model forked has shape \(2, 4"),
        ([np.ones((2, 3)), np.ones((2, 3))], r"right .*has shape \(2, 3\); expected \(batch, 4, 3"),
        ([np.ones((2, 3)), 1.0], "An input of model forked is a number; expected a batch"),
    ],
    ids=["alone", "one", "three", "rows", "size", "rank", "number"],
)
def test_inputs_that_do_not_fit_are_refused(inputs, message):
    model = forked()
    for call in (model, model.predict, model.vjp):
        with pytest.raises(ValueError, match=message):
            call(inputs)


@pytest.mark.parametrize(
    "x",
    [1j * np.ones((2, 3)), np.full((2, 3), None), np.full((2, 3), "a"), [["a", "b", "c"]]],
    ids=["complex", "object", "text", "list"],
)
def test_inputs_that_are_not_real_numbers_are_refused(x):
    model = small(name="small")
    for call in (model, model.predict, model.vjp):
        with pytest.raises(TypeError, match="The input given of model small has dtype"):
            call(x)


@pytest.mark.parametrize(
    "x", [[[2**31]], [[-(2**31) - 1]], [[np.nan]], [[np.inf]], np.array([[2**32]], np.uint64)]
)
def test_numbers_that_integers_cannot_hold_are_refused(x):
    inputs = lcfast.Input((1,), dtype="int32", name="words")
    model = lcfast.Model(inputs, lcfast.Embedding(3, 2)(inputs))
    with pytest.raises(ValueError, match=r"input words .* has numbers from .* int32 cannot hold"):
        model.predict(x)
    assert model.predict(np.array([[2.0]])).shape == (1, 1, 2)


def test_lists_of_different_lengths_are_refused_by_the_name_of_the_input():
    x = [[[1, 2, 3], [4]], np.ones((2, 4, 3))]
    with pytest.raises(TypeError, match="The input left of model forked cannot be made into"):
        forked().predict(x)


def test_an_out_that_does_not_fit_is_refused():
    model, x = small(), np.ones((4, 3))
    for call in (model, model.predict):
        with pytest.raises(TypeError, match="out must be a numpy array, not list"):
            call(x, out=[])
        with pytest.raises(TypeError, match="out has dtype float64; expected float32"):
            call(x, out=np.empty((4, 3)))
        with pytest.raises(ValueError, match=r"out has shape \(3, 3\); expected \(4, 3\)"):
            call(x, out=np.empty((3, 3), "f4"))
        locked = np.empty((4, 3), "f4")
        locked.flags.writeable = False
        with pytest.raises(ValueError, match="out is read-only"):
            call(x, out=locked)


def test_one_out_is_not_enough_for_several_outputs():
    x = [np.ones((2, 3)), np.ones((2, 4, 3))]
    for call in (forked(), forked().predict):
        with pytest.raises(ValueError, match="has a list of outputs; `out` takes one array"):
            call(x, out=np.empty((2, 2), "f4"))


def test_gradients_that_do_not_fit_are_refused():
    model = forked()
    x = [np.ones((2, 3)), np.ones((2, 4, 3))]
    _, pullback = model.vjp(x)
    with pytest.raises(ValueError, match="Model forked has 2 outputs; got 1 of dy"):
        pullback([np.ones((2, 2))])
    with pytest.raises(ValueError, match=r"model forked has shape \(2, 3\); expected \(2, 8\)"):
        pullback([np.ones((2, 2)), np.ones((2, 3))])
    with pytest.raises(TypeError, match="the gradient of the output has dtype complex128"):
        pullback([np.ones((2, 2)), 1j * np.ones((2, 8))])


def test_masks_and_training_are_refused():
    model = lcfast.load_model(goldens.model_path("sequential_2d"))
    x = np.ones((1, 11, 9, 2))
    with pytest.raises(TypeError, match="does not support masking"):
        model(x, mask=np.ones(1))
    with pytest.raises(ValueError, match="was called with training=True"):
        model(x, training=True)
    assert_same_bits(model(x, training=False), model(x))
    assert_same_bits(small()(np.ones((1, 3)), training=True), small()(np.ones((1, 3))))


@pytest.mark.parametrize(
    ("inputs", "outputs"), [([], []), (None, None), (np.ones(3), np.ones(3)), ("a", "b")], ids=str
)
def test_a_model_is_made_of_symbolic_tensors(inputs, outputs):
    with pytest.raises(ValueError, match=r"The inputs of a model must be what lcfast\.Input"):
        lcfast.Model(inputs, outputs)
    with pytest.raises(ValueError, match=r"The outputs of a model must be what lcfast\.Input"):
        lcfast.Model(lcfast.Input((3,)), outputs)
