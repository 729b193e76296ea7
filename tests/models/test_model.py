"""Whole models against Keras's goldens; predict, vjp, weights, threads."""

import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import goldens
import numpy as np
import pytest
from cases import LAYOUTS, assert_same_bits, assert_within

import lcfast

EVERY_MODEL = pytest.mark.parametrize("name", goldens.MODELS)
ONE_OUTPUT = [name for name in goldens.MODELS if "two_outputs" not in name]


def bound(expected):
    """How far a whole model may lie from Keras's, relative to the largest number of the array.

    At most ten layers, the longest sums have about 600 products; their roundings add up like
    steps of a random walk, on either side: 10 * sqrt(600) * eps, half of it for the unit roundoff.
    """
    return 120 * np.finfo(expected.dtype).eps * np.abs(expected).max()


def as_list(value):
    return value if isinstance(value, list) else [value]


def as_given(arrays):
    """One array alone, several in a list: as a model takes and gives them."""
    return arrays if len(arrays) > 1 else arrays[0]


def rows(case, count, seed=1):
    rng = np.random.default_rng(seed)
    return as_given([rng.standard_normal((count, *x.shape[1:])).astype(x.dtype) for x in case.x])


def part(x, where):
    return [array[where] for array in x] if isinstance(x, list) else x[where]


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


# ---------------------------------------------------------------- predict


@EVERY_MODEL
def test_the_bits_do_not_depend_on_the_batch_size(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = rows(case, 11)
    expected = as_list(model(x))
    for batch_size in (1, 2, 3, 1024):
        for got, wanted in zip(
            as_list(model.predict(x, batch_size=batch_size)), expected, strict=True
        ):
            assert_same_bits(got, wanted)
    for got, wanted in zip(as_list(model.predict(part(x, slice(4, 5)))), expected, strict=True):
        assert_same_bits(got, wanted[4:5])
    for got, wanted in zip(as_list(model.vjp(x)[0]), expected, strict=True):
        assert_same_bits(got, wanted)


@EVERY_MODEL
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_do_not_depend_on_the_number_of_threads(name, threads, threads_for_any_work):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x, before = rows(case, 5), lcfast.get_num_threads()
    expected = as_list(model.predict(x))
    lcfast.set_num_threads(threads)
    try:
        for got, wanted in zip(as_list(model.predict(x)), expected, strict=True):
            assert_same_bits(got, wanted)
    finally:
        lcfast.set_num_threads(before)


@pytest.mark.parametrize("name", ONE_OUTPUT)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_input_changes_no_bit(name, layout):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = rows(case, 3)
    other = LAYOUTS[layout](x)
    assert_same_bits(model(other), model(x))
    assert_same_bits(model.predict(other, batch_size=2), model(x))


@pytest.mark.parametrize("name", ONE_OUTPUT)
@pytest.mark.parametrize("batch_size", [1, 3, 1024])
def test_an_answer_goes_where_the_caller_wants_it(name, batch_size):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = rows(case, 5)
    expected = model(x)
    wide = np.full((2 * len(expected), *expected.shape[1:]), np.nan, expected.dtype)
    for out in (np.empty_like(expected), wide[::2]):
        assert model.predict(x, batch_size, out=out) is out
        assert_same_bits(out, expected)
        out[...] = np.nan
        assert model(x, out=out) is out
        assert_same_bits(out, expected)
    assert np.isnan(wide[1::2]).all()


@pytest.mark.parametrize("batch_size", [1, 2, 1024])
def test_an_answer_may_overlap_the_input(batch_size):
    model = small()
    shared = np.random.default_rng(1).standard_normal((6, 3)).astype("f4")
    expected = model(shared[:-1])
    assert model.predict(shared[:-1], batch_size, out=shared[1:]).base is shared
    assert_same_bits(shared[1:], expected)


def test_files_are_read_and_written_batch_by_batch(tmp_path):
    model = small()
    rng = np.random.default_rng(1)
    np.save(tmp_path / "x.npy", rng.standard_normal((7, 3)))  # float64, converted on the way
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (7, 3))
    assert model.predict(x, batch_size=2, out=out) is out
    assert_same_bits(np.load(tmp_path / "y.npy"), model(np.array(x)))


def test_progress_is_told_the_rows_of_each_batch():
    told = []
    model = small()
    x = np.ones((7, 3))
    expected = model.predict(x)
    assert_same_bits(model.predict(x, batch_size=3, progress=told.append), expected)
    assert told == [3, 3, 1]


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
def test_progress_is_shown_where_it_is_asked_for(verbose, capsys):
    y = small().predict(np.ones((7, 3)), batch_size=3, verbose=verbose)
    printed = capsys.readouterr()
    assert y.shape == (7, 3)
    assert printed.out == ""
    assert ("7.00/7.00" in printed.err) == (verbose == 1)


@EVERY_MODEL
def test_no_rows_give_no_rows(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = part(as_given(case.x), slice(0, 0))
    for got, expected in zip(as_list(model.predict(x)), case.y, strict=True):
        assert_same_bits(got, expected[:0])
    for got, expected in zip(as_list(model(x)), case.y, strict=True):
        assert_same_bits(got, expected[:0])
    y, pullback = model.vjp(x)
    dx, dweights = pullback(y)
    for got, expected in zip(as_list(dx), case.x, strict=True):
        assert_same_bits(got, expected[:0])
    assert not any(np.any(d) for d in dweights)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", True], ids=repr)
def test_a_batch_size_must_be_a_positive_integer(batch_size):
    with pytest.raises(ValueError, match="The `batch_size` argument must be a positive integer"):
        small().predict(np.ones((2, 3)), batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [2**31, sys.maxsize, 10**30], ids=str)
def test_a_batch_may_be_larger_than_there_are_rows(batch_size):
    model, x = small(), np.ones((5, 3))
    assert_same_bits(model.predict(x, batch_size), model(x))


def test_a_batch_size_may_be_of_numpy():
    model = small()
    assert_same_bits(model.predict(np.ones((5, 3)), np.int16(2)), model(np.ones((5, 3))))


# ---------------------------------------------------------------- made by hand


def small(**options):
    """Three numbers in, three out."""
    inputs = lcfast.Input((3,), name="given")
    hidden = lcfast.Dense(4, activation="tanh", name="hidden")(inputs)
    outputs = lcfast.Dense(3, name="last")(hidden)
    model = lcfast.Model(inputs, outputs, **options)
    rng = np.random.default_rng(2)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def forked():
    """Two inputs, two outputs, one layer that is called twice."""
    left, right = lcfast.Input((3,), name="left"), lcfast.Input((4, 3), name="right")
    shared = lcfast.Dense(2, activation="tanh", name="shared")
    flat = lcfast.Flatten()(shared(right))
    total = lcfast.Add(name="total")([shared(left), lcfast.Dense(2, name="other")(flat)])
    return lcfast.Model([left, right], [total, flat], name="forked")


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


# ---------------------------------------------------------------- weights


@EVERY_MODEL
def test_weights_come_back_as_they_were_set(name):
    model = lcfast.load_model(goldens.model_path(name))
    given = [weight + 1 for weight in model.get_weights()]
    model.set_weights(given)
    for got, expected in zip(model.get_weights(), given, strict=True):
        assert_same_bits(got, expected)
    for weight, expected in zip(model.weights, given, strict=True):
        assert_same_bits(weight.numpy(), expected)
    for array in [*given, *model.get_weights()]:
        array[...] = 77
    assert not any((weight == 77).all() for weight in model.get_weights())


def test_weights_are_listed_layer_by_layer():
    model = small()
    names = ["hidden/kernel:0", "hidden/bias:0", "last/kernel:0", "last/bias:0"]
    assert [weight.name for weight in model.weights] == names
    assert [weight.name for weight in model.trainable_weights] == names
    assert model.non_trainable_weights == []


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_weights_is_refused(change):
    model = small(name="small")
    weights = model.get_weights()
    given = weights[:change] if change < 0 else [*weights, weights[0]]
    with pytest.raises(ValueError, match=f"Model small expects 4 weights, but {4 + change} were"):
        model.set_weights(given)


def test_weights_that_do_not_fit_change_nothing():
    model = small()
    before = model.get_weights()
    wrong = [w + 1 for w in before[:-1]]
    with pytest.raises(ValueError, match=r"The weight bias of layer last has shape \(9,\)"):
        model.set_weights([*wrong, np.ones(9)])
    with pytest.raises(TypeError, match="The weight bias of layer last has dtype complex64"):
        model.set_weights([*wrong, 1j * before[-1]])
    for got, expected in zip(model.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("frozen", ["layer", "model"])
def test_weights_that_are_not_trained_get_no_gradient(frozen):
    x = lcfast.Input((3,))
    hidden = lcfast.Dense(4, name="hidden", trainable=frozen != "layer")(x)
    normal = lcfast.BatchNormalization(name="normal")(hidden)
    model = lcfast.Model(x, lcfast.Dense(2, name="last")(normal), trainable=frozen != "model")
    names = [weight.name.split("/")[0] for weight in model.trainable_weights]
    assert names == (["normal", "normal", "last", "last"] if frozen == "layer" else [])
    assert len(model.weights) == len(model.get_weights()) == 8
    dweights = model.vjp(np.ones((2, 3)))[1](np.ones((2, 2)))[1]
    assert [d.shape for d in dweights] == [w.shape for w in model.trainable_weights]


# ---------------------------------------------------------------- threads


def test_a_pullback_gives_the_same_bits_every_time_and_in_every_thread():
    case = goldens.model_case("functional_two_inputs_two_outputs")
    model = lcfast.load_model(case.path)
    y, pullback = model.vjp(case.x)
    dx, dweights = pullback(case.dy)
    expected = [array.copy() for array in (*dx, *dweights)]
    model.set_weights([weight + 1 for weight in model.get_weights()])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pullback(case.dy), range(24)))
    for dx, dweights in [pullback(case.dy), *answers]:
        for got, wanted in zip([*dx, *dweights], expected, strict=True):
            assert_same_bits(got, wanted)
    assert len(y) == 2


@pytest.fixture
def busy_threads():
    """Threads take turns a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_every_answer_belongs_to_one_whole_set_of_weights(monkeypatch):
    swap = lcfast.Dense.swap_record

    def slow_swap(layer, record):  # time enough to see a model that has half of its weights
        time.sleep(0.0005)
        swap(layer, record)

    monkeypatch.setattr(lcfast.Dense, "swap_record", slow_swap)
    # With all weights equal to n an output is n (3 n + n) + n, and a dx is 2 n n.
    x = lcfast.Input((3,))
    hidden = lcfast.Dense(1)(x)
    model = lcfast.Model(x, lcfast.Dense(2)(hidden))
    shapes = [weight.shape for weight in model.get_weights()]
    given = np.ones((4, 3), "f4")
    stop, seen = threading.Event(), set()

    def ask():
        while not stop.is_set():
            y, pullback = model.vjp(given)
            dx, _ = pullback(np.ones((4, 2)))
            seen.add(("vjp", *np.unique(y), *np.unique(dx)))
            seen.add(("predict", *np.unique(model.predict(given, batch_size=1))))
            seen.add(("weights", *np.unique(np.hstack([w.ravel() for w in model.get_weights()]))))

    model.set_weights([np.ones(shape) for shape in shapes])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        numbers, give_up = itertools.cycle(range(1, 10)), time.monotonic() + 20
        while len(seen) < 20 and time.monotonic() < give_up and not asked[0].done():
            number = next(numbers)
            model.set_weights([np.full(shape, number) for shape in shapes])
        stop.set()
    assert [thread.result() for thread in asked] == [None] * 8
    assert len(seen) >= 20
    for n in range(1, 10):
        y, dx = n * 4 * n + n, 2 * n * n
        seen -= {("vjp", y, dx), ("predict", y), ("weights", n)}
    assert seen == set()


def test_one_prediction_takes_its_weights_once():
    model = small()
    x = np.random.default_rng(1).standard_normal((6, 3))
    expected = model(x)
    zeros = [np.zeros_like(weight) for weight in model.get_weights()]
    y = model.predict(x, batch_size=2, progress=lambda rows: model.set_weights(zeros))
    assert_same_bits(y, expected)
    assert (model(x) == 0).all()


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
