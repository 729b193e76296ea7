"""The weights of whole models: one whole set of them in every answer, whatever the threads."""

import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits
from tests.support.model_cases import EVERY_MODEL, small

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
