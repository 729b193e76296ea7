"""Threads share a model while its weights are set: each result uses one complete set."""

import sys
import threading

import numpy as np
import pytest

import lcfast
from tests.support import answers

CALLERS, CALLS, SETS = 64, 20, 4


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def answers_amid_set_weights(shared, call, calls=CALLS):
    """The set of weights that each result of all callers used; None if it mixed several."""
    sets = [answers.weights_of(shared, seed) for seed in range(SETS)]
    right = {}
    for number, one in enumerate(sets):
        shared.set_weights(one)
        right[call(0)] = number
    assert len(right) == SETS
    seen, errors = [[] for _ in range(CALLERS)], []
    begin, swapped, stop = threading.Barrier(CALLERS + 1), threading.Event(), threading.Event()

    def compute(caller):
        try:
            begin.wait()
            while len(seen[caller]) < calls or not swapped.is_set():
                seen[caller].append(right.get(call(len(seen[caller]))))
        except Exception as error:  # pytest would only warn of an error in a thread
            errors.append(error)

    def swap():
        begin.wait()
        while not stop.is_set():
            for one in sets:
                shared.set_weights(one)
            swapped.set()

    swapping = threading.Thread(target=swap)
    callers = [threading.Thread(target=compute, args=(caller,)) for caller in range(CALLERS)]
    for thread in (swapping, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    stop.set()
    swapping.join()
    assert errors == []
    return [number for answers_of_caller in seen for number in answers_of_caller]


def bits_of(y, pullback):
    """The bytes of an output and its gradients."""
    dx, dweights = pullback(np.ones_like(y) - 2 * y)
    return b"".join(array.tobytes() for array in (y, dx, *dweights))


def layer_of(**arguments):
    layer = lcfast.LocallyConnected1D(64, 3, activation="tanh", **arguments)
    layer.build((None, 20, 6))
    return layer


def small_model():
    inputs = lcfast.Input((20, 6))
    first = lcfast.LocallyConnected1D(8, 3, activation="relu")(inputs)
    both = lcfast.Bidirectional(lcfast.SimpleRNN(3, return_sequences=True))(first)
    joined = lcfast.Concatenate()([lcfast.Flatten()(both), lcfast.Flatten()(first)])
    return lcfast.Model(inputs, lcfast.Dense(5, activation="softmax")(joined))


X = np.random.default_rng(3).standard_normal((4, 20, 6), np.float32)
OUTS = threading.local()


def into_the_callers_own_array(shared):
    """The output of a call with `out`, one array per thread."""
    if not hasattr(OUTS, "y"):
        OUTS.y = np.empty((4, *shared.compute_output_shape((4, 20, 6))[1:]), np.float32)
    return shared(X, out=OUTS.y).tobytes()


@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("way", ["call", "out", "vjp"])
def test_an_answer_of_a_layer_is_of_one_whole_set(way, implementation):
    layer = layer_of(implementation=implementation)
    calls = {
        "call": lambda turn: layer(X).tobytes(),  # by the fast path, where there is one
        "out": lambda turn: into_the_callers_own_array(layer),
        "vjp": lambda turn: bits_of(*layer.vjp(X)),
    }
    OUTS.__dict__.clear()
    numbers = answers_amid_set_weights(layer, calls[way])
    took_the_short_cut = "_cached_calls" in vars(layer.geometry)
    assert took_the_short_cut == (implementation == 1)
    assert set(numbers) <= set(range(SETS))
    assert len(set(numbers)) > 1  # weights were set meanwhile


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["call", "predict", "blocks", "vjp"])
def test_an_answer_of_a_model_is_of_one_whole_set_of_all_its_layers(way):
    made = small_model()
    calls = {
        "call": lambda turn: made(X).tobytes(),
        "predict": lambda turn: made.predict(X).tobytes(),
        "blocks": lambda turn: made.predict(X, batch_size=1 + turn % 3).tobytes(),
        "vjp": lambda turn: bits_of(*made.vjp(X)),
    }
    numbers = answers_amid_set_weights(made, calls[way])
    assert set(numbers) <= set(range(SETS))
    assert len(set(numbers)) > 1


def test_calls_on_several_threads_each_are_of_one_whole_set_too(threads_for_any_work):
    layer = layer_of()
    lcfast.set_num_threads(2)
    try:
        numbers = answers_amid_set_weights(layer, lambda turn: bits_of(*layer.vjp(X)), calls=4)
    finally:
        lcfast.set_num_threads(None)
    assert set(numbers) <= set(range(SETS))


def test_a_pullback_keeps_the_weights_that_its_call_took():
    made = small_model()
    sets = [answers.weights_of(made, seed) for seed in (1, 2)]
    made.set_weights(sets[0])
    y, pullback = made.vjp(X)
    right = bits_of(y, pullback)
    made.set_weights(sets[1])
    assert bits_of(y, pullback) == right
    assert bits_of(*made.vjp(X)) != right
