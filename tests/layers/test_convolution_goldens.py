"""Conv and its kin as tf_keras computes them: outputs, gradients, configs, and their bits."""

import json

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within
from tests.support.naive_ops import layers_on_naive_loops

FAMILY = "convolutions"
EVERY = pytest.mark.parametrize("name", goldens.layer_case_names(FAMILY))


def layer_of(case, weights, **changes):
    layer = getattr(lcfast, case.class_name).from_config({**case.config, **changes})
    layer.build((None, *case.x.shape[1:]))
    layer.set_weights(weights)
    return layer


def magnitudes(case):
    """Sums of the absolute values of what the output and each gradient are made of."""
    weights = [abs(weight) for weight in case.weights]
    layer = layer_of(case, weights, activation="linear", dtype="float64")
    y, pullback = layer.vjp(abs(case.x).astype(float))
    # softmax mixes the gradients of its axis; y's own rounding comes back through dy.
    dy = np.abs(case.dy).astype(float).sum(axis=-1, keepdims=True) * (1 + y)
    dx, dweights = pullback(np.broadcast_to(dy, y.shape))
    return y, [dx, *dweights]


@EVERY
def test_the_output_and_the_gradients_are_those_of_keras(name):
    case = goldens.layer_case(name, FAMILY)
    layer = layer_of(case, case.weights)
    y, pullback = layer.vjp(case.x)
    dx, dweights = pullback(case.dy)
    of_y, of_gradients = magnitudes(case)
    eps = np.finfo(case.x.dtype).eps
    terms = max(weight.size for weight in case.weights) + 8  # longer than any chain of the output
    assert_within(y, case.y, terms * eps * of_y)
    assert_same_bits(layer(case.x), y)
    for got, expected, size in zip(
        [dx, *dweights], [case.dx, *case.dweights], of_gradients, strict=True
    ):
        assert_within(got, expected, terms * eps * size)


@EVERY
def test_the_gradients_differ_from_those_of_keras_in_last_bits_alone(name):
    # The bounds above are wide where many numbers are added; this one is not.
    case = goldens.layer_case(name, FAMILY)
    dx, dweights = layer_of(case, case.weights).vjp(case.x)[1](case.dy)
    limit = 64 * np.finfo(case.x.dtype).eps
    for got, expected in zip([dx, *dweights], [case.dx, *case.dweights], strict=True):
        assert np.abs(got - expected).max() <= limit * np.abs(expected).max()


@EVERY
def test_the_config_has_the_keys_of_keras_in_its_order(name):
    case = goldens.layer_case(name, FAMILY)
    config = json.loads(json.dumps(layer_of(case, case.weights).get_config()))
    assert list(config) == list(case.config)
    for key, value in case.config.items():
        if isinstance(value, dict):  # with the module, which no Keras 2 needs
            assert config[key] == {key: value[key] for key in ("class_name", "config")}
        else:
            assert config[key] == value
    again = type(layer_of(case, case.weights)).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config


@EVERY
def test_the_bits_of_a_row_do_not_depend_on_the_batch(name):
    case = goldens.layer_case(name, FAMILY)
    layer = layer_of(case, case.weights)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((17, *case.x.shape[1:])).astype(case.x.dtype)
    dy = rng.standard_normal((17, *case.y.shape[1:])).astype(case.x.dtype)
    together = layer(x)
    dx, _ = layer.vjp(x)[1](dy)
    for start, stop in [(0, 1), (16, 17), (7, 10)]:
        part = slice(start, stop)
        assert_same_bits(layer(x[part]), together[part])
        assert_same_bits(layer.vjp(x[part])[1](dy[part])[0], dx[part])
    assert_same_bits(layer(np.asfortranarray(x)), together)


@EVERY
def test_one_thread_gives_the_bits_of_two(name):
    case = goldens.layer_case(name, FAMILY)
    layer = layer_of(case, case.weights)
    answers = []
    before = lcfast.get_num_threads()
    try:
        for threads in (1, 2):
            lcfast.set_num_threads(threads)
            y, pullback = layer.vjp(np.repeat(case.x, 9, axis=0))
            dx, dweights = pullback(np.repeat(case.dy, 9, axis=0))
            answers.append([y, dx, *dweights])
    finally:
        lcfast.set_num_threads(before)
    for one, two in zip(*answers, strict=True):
        assert_same_bits(one, two)


@EVERY
def test_the_naive_loops_agree(name):
    case = goldens.layer_case(name, FAMILY)
    layer = layer_of(case, case.weights)
    with layers_on_naive_loops():
        y, pullback = layer.vjp(case.x)
        dx, dweights = pullback(case.dy)
    limit = 64 * np.finfo(case.x.dtype).eps
    expected = [case.y, case.dx, *case.dweights]
    for got, wanted in zip([y, dx, *dweights], expected, strict=True):
        assert np.abs(got - wanted).max() <= limit * np.abs(wanted).max()


@EVERY
def test_the_gradients_are_adjoints(name):
    # <dy, f(x, W)> = <dx, x> = <dW, W> for each weight in which a layer without bias is linear.
    case = goldens.layer_case(name, FAMILY)
    kernels = case.weights[: len(case.weights) - case.config["use_bias"]]
    layer = layer_of(case, kernels, activation="linear", use_bias=False, dtype="float64")
    y, pullback = layer.vjp(case.x)
    dx, dweights = pullback(case.dy)
    wanted = np.vdot(case.dy.astype(float), y)
    absolute = layer_of(
        case, [abs(w) for w in kernels], activation="linear", use_bias=False, dtype="float64"
    )
    tolerance = 1e-14 * np.vdot(abs(case.dy), absolute(abs(case.x)))
    for got, factor in zip([dx, *dweights], [case.x, *kernels], strict=True):
        assert abs(np.vdot(got, factor.astype(float)) - wanted) <= tolerance


@EVERY
def test_an_empty_batch_gives_empty_arrays(name):
    case = goldens.layer_case(name, FAMILY)
    layer = layer_of(case, case.weights)
    y, pullback = layer.vjp(case.x[:0])
    dx, dweights = pullback(case.dy[:0])
    assert (y.shape, dx.shape) == (case.y[:0].shape, case.x[:0].shape)
    assert [dw.shape for dw in dweights] == [weight.shape for weight in case.weights]
    assert not any(dw.any() for dw in dweights)


@EVERY
def test_an_answer_may_be_written_into_an_array_of_the_caller(name):
    case = goldens.layer_case(name, FAMILY)
    layer = layer_of(case, case.weights)
    out = np.full_like(case.y, np.nan)
    assert layer(case.x, out=out) is out
    assert_same_bits(out, layer(case.x))
