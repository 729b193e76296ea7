"""What holds for every layer: weights, gradients, symbolic calls, threads."""

import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits
from tests.support.each_layer import OF_ONE_INPUT, OF_WEIGHTS, built, flat, positive_weights, random

# ---------------------------------------------------------------- weights


@OF_WEIGHTS
def test_weights_come_back_as_they_were_set(make, shape):
    layer = built(make, shape)
    for got, given in zip(layer.get_weights(), positive_weights(layer), strict=True):
        assert_same_bits(got, given.astype("float32"))


@OF_WEIGHTS
def test_weights_are_cast_to_the_dtype_of_the_layer(make, shape):
    layer = built(make, shape)
    values = [np.ones(w.shape, "int8") for w in layer.get_weights()]
    layer.set_weights([value.tolist() for value in values])
    for got in layer.get_weights():
        assert_same_bits(got, np.ones(got.shape, "float32"))


@OF_WEIGHTS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_changing_the_arrays_that_were_given_or_taken_changes_nothing(make, shape, dtype):
    layer = built(make, shape, dtype=dtype)
    given = [value.astype(dtype) for value in positive_weights(layer)]
    expected = [value.copy() for value in given]
    x = random((2, *shape), dtype)
    layer.set_weights(given)
    y = layer(x)
    for array in [*given, *layer.get_weights(), *(weight.numpy() for weight in layer.weights)]:
        array[...] = 77
    for got, wanted in zip(layer.get_weights(), expected, strict=True):
        assert_same_bits(got, wanted)
    assert_same_bits(layer(x), y)


@OF_WEIGHTS
def test_the_weights_themselves_cannot_be_written_to(make, shape):
    layer = built(make, shape)
    for weight in layer.weights:
        with pytest.raises(ValueError, match="read-only"):
            weight.value[...] = 77
        with pytest.raises(AttributeError, match="You cannot assign to the value of the weight"):
            weight.value = 77


@OF_WEIGHTS
@pytest.mark.parametrize("change", [-1, 1, None])
def test_a_wrong_number_of_weights_is_refused(make, shape, change):
    layer = built(make, shape, name="local")
    weights = layer.get_weights()
    given = [] if change is None else weights[:change] if change < 0 else [*weights, weights[0]]
    expected = f"Layer local expects {len(weights)} weights, but {len(given)} were given"
    with pytest.raises(ValueError, match=expected):
        layer.set_weights(given)


@OF_WEIGHTS
def test_weights_of_a_wrong_shape_or_kind_are_refused_and_change_nothing(make, shape):
    layer = built(make, shape, name="local")
    before = layer.get_weights()
    last = layer.weights[-1]
    name = last.name.removeprefix("local/").removesuffix(":0")
    what = f"The weight {name} of layer local"
    good = [weight + 1 for weight in before[:-1]]
    wrong = {
        "has shape": [last.value[..., None], last.value[:-1], last.value.T[None], 3.0],
        "has dtype": [1j * last.value, last.value.astype(object), last.value.astype(str), None],
        "cannot be made into an array": [[[1.0], [1.0, 2.0]]],
    }
    for message, values in wrong.items():
        for value in values:
            error = ValueError if message == "has shape" else TypeError
            with pytest.raises(error, match=f"{what} {message}"):
                layer.set_weights([*good, value])
    for got, expected in zip(layer.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("weights", [None, 3, 1.5], ids=repr)
def test_weights_that_are_no_list_are_refused(weights):
    layer = lcfast.Dense(2, input_shape=(3,))
    layer.build((None, 3))
    with pytest.raises(TypeError):
        layer.set_weights(weights)


@OF_WEIGHTS
def test_a_layer_that_is_not_built_has_no_weights(make, shape):
    layer = make(name="local")
    assert not layer.built
    assert layer.get_weights() == layer.weights == layer.trainable_weights == []
    with pytest.raises(ValueError, match="You tried to call `count_params` on local, but"):
        layer.count_params()
    with pytest.raises(ValueError, match="not built yet: call `build` first"):
        layer.set_weights([np.ones(shape)])
    layer(np.ones((1, *shape)))
    assert layer.built
    assert len(layer.get_weights()) == len(layer.weights) > 0


@OF_WEIGHTS
def test_the_first_values_may_be_given_to_the_constructor(make, shape):
    layer = built(make, shape)
    given = [weight + 1 for weight in layer.get_weights()]
    again = make(weights=given)
    again.build((None, *shape))
    for array in given:
        array[...] += 1
    for got, expected in zip(again.get_weights(), layer.get_weights(), strict=True):
        assert_same_bits(got, expected + 1)
    with pytest.raises(ValueError, match="weights, but 0 were given"):
        make(weights=[]).build((None, *shape))


@OF_WEIGHTS
@pytest.mark.parametrize("trainable", [True, False])
def test_weights_have_the_names_and_shapes_of_keras(make, shape, trainable):
    layer = built(make, shape, name="local", trainable=trainable)
    normalizes = isinstance(layer, lcfast.BatchNormalization | lcfast.LayerNormalization)
    trained = (
        ["local/gamma:0", "local/beta:0"] if normalizes else ["local/kernel:0", "local/bias:0"]
    )
    of_batches = isinstance(layer, lcfast.BatchNormalization)
    frozen = ["local/moving_mean:0", "local/moving_variance:0"] if of_batches else []
    names = [weight.name for weight in layer.weights]
    assert names == trained + frozen
    assert [w.name for w in layer.trainable_weights] == (trained if trainable else [])
    assert [w.name for w in layer.non_trainable_weights] == (frozen if trainable else names)
    for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
        assert (weight.shape, weight.dtype) == (value.shape, value.dtype)
        assert_same_bits(np.asarray(weight), value)
        assert_same_bits(np.array(weight, "float64"), value.astype("float64"))
    assert layer.count_params() == sum(value.size for value in layer.get_weights())


@OF_WEIGHTS
def test_weights_that_are_not_trained_keep_their_place(make, shape):
    trained, frozen = built(make, shape), built(make, shape, trainable=False)
    stems = [weight.name.split("/")[1] for weight in trained.weights]
    assert [weight.name.split("/")[1] for weight in frozen.weights] == stems
    x = random((3, *shape))
    (y, pullback), (frozen_y, frozen_pullback) = trained.vjp(x), frozen.vjp(x)
    assert_same_bits(frozen_y, y)
    for got, expected in zip(frozen_pullback(y)[1], pullback(y)[1], strict=True):
        assert_same_bits(got, expected)


# ---------------------------------------------------------------- vjp


@OF_ONE_INPUT
def test_vjp_gives_the_output_and_gradients_in_the_shapes_of_the_weights(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    y, pullback = layer.vjp(x)
    assert_same_bits(y, layer(x))
    dx, dweights = pullback(random(y.shape))
    assert (dx.shape, dx.dtype) == (x.shape, x.dtype)
    assert [d.shape for d in dweights] == [w.shape for w in layer.get_weights()]
    assert {d.dtype for d in dweights} <= {np.dtype("float32")}


@OF_ONE_INPUT
def test_a_pullback_gives_the_same_bits_every_time_and_in_every_thread(make, shape):
    layer = built(make, shape)
    y, pullback = layer.vjp(random((5, *shape)))
    dy = random(y.shape, seed=8)
    expected = flat(pullback(dy))
    layer.set_weights([weight + 1 for weight in layer.get_weights()])
    pullback(random(y.shape, seed=9))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: flat(pullback(dy)), range(24)))
    for answer in [flat(pullback(dy)), *answers]:
        for got, wanted in zip(answer, expected, strict=True):
            assert_same_bits(got, wanted)


@OF_ONE_INPUT
def test_a_gradient_that_does_not_have_the_shape_of_the_output_is_refused(make, shape):
    layer = built(make, shape, name="local")
    y, pullback = layer.vjp(random((3, *shape)))
    for wrong in (y[:2], y[0], y[..., None], 1.0):
        with pytest.raises(ValueError, match="The gradient of the output of layer local has shape"):
            pullback(wrong)
    with pytest.raises(TypeError, match="the gradient of the output has dtype complex64"):
        pullback(y * 1j)
    for got, expected in zip(flat(pullback(y.tolist())), flat(pullback(y)), strict=True):
        assert_same_bits(got, expected)


# ---------------------------------------------------------------- symbolic calls


@OF_ONE_INPUT
def test_a_call_on_a_symbolic_tensor_builds_the_layer_and_gives_the_next_one(make, shape):
    layer = make(dtype="float64")
    tensor = layer(lcfast.Input(shape, dtype="float64"))
    assert layer.built
    assert tensor.shape == (None, *layer(np.ones((2, *shape))).shape[1:])
    assert tensor.dtype == "float64"
    assert tensor.name == layer.name
    assert layer.compute_output_shape((None, *shape)) == tensor.shape


def test_symbolic_tensors_and_arrays_do_not_mix():
    mixed = [lcfast.Input((3,)), np.ones((2, 3))]
    with pytest.raises(TypeError, match="symbolic tensors and arrays in one list"):
        lcfast.Add()(mixed)


def test_a_layer_of_one_input_takes_one():
    with pytest.raises(ValueError, match=r"Layer local takes one input\. Received: 2"):
        lcfast.Dense(2, name="local")([lcfast.Input((3,)), lcfast.Input((3,))])


def test_a_layer_that_defines_neither_forward_nor_call_raises_a_type_error():
    layer = lcfast.Layer(name="bare")
    x = np.ones((1, 2))
    with pytest.raises(TypeError, match=r"Layer bare \(Layer\) does not define `forward`"):
        layer(x)
    with pytest.raises(TypeError, match=r"Layer bare \(Layer\) does not define `linearize`"):
        layer.vjp(x)


# ---------------------------------------------------------------- threads


def test_threads_that_make_the_first_call_together_build_one_layer():
    x = np.ones((1, 6, 3))
    for _ in range(20):
        layer, start = lcfast.LocallyConnected1D(4, 3), threading.Barrier(8)

        def first_call(layer=layer, start=start):
            start.wait()
            return layer(x)

        with ThreadPoolExecutor(8) as pool:
            answers = [future.result() for future in [pool.submit(first_call) for _ in range(8)]]
        for answer in answers:
            assert_same_bits(answer, layer(x))


@pytest.fixture
def busy_threads():
    """Threads take turns a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
@pytest.mark.parametrize("engine", ["direct", "sparse"])
def test_every_output_belongs_to_one_whole_set_of_weights(engine):
    # With all weights equal to n every output is 4 n + n, and dx is 3 n per receptive field.
    layer = lcfast.LocallyConnected1D(3, 2, engine=engine)
    x = np.ones((2, 12, 2), "f4")
    layer.build(x.shape)
    stop, seen = threading.Event(), set()

    def ask():
        while not stop.is_set():
            y, pullback = layer.vjp(x)
            dx = pullback(np.ones_like(y))[0]
            called = layer(x)
            kernel, bias = layer.get_weights()
            seen.add((y.min() / 5, y.max() / 5, dx.min() / 3, dx.max() / 6))
            seen.add((called.min() / 5, called.max() / 5))
            seen.add((kernel.min(), bias.min(), kernel.max(), bias.max(), kernel[0, 0, 0]))

    layer.set_weights([np.full(shape, 1) for shape in layer.weight_shapes()])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        numbers, give_up = itertools.cycle(range(1, 10)), time.monotonic() + 20
        while len(seen) < 20 and time.monotonic() < give_up and not asked[0].done():
            number = next(numbers)
            layer.set_weights([np.full(shape, number) for shape in layer.weight_shapes()])
        stop.set()
    assert [thread.result() for thread in asked] == [None] * 8
    assert len(seen) >= 20
    assert {len(set(numbers)) for numbers in seen} == {1}
