"""Dense against numpy in float64."""

from contextlib import nullcontext

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits, assert_within
from tests.support.naive_ops import layers_on_naive_loops


def dense(features, units, dtype="float32", **options):
    layer = lcfast.Dense(units, dtype=dtype, name="dense", **options)
    layer.build((None, features))
    rng = np.random.default_rng(units)
    layer.set_weights([rng.standard_normal(shape) for shape in layer.weight_shapes()])
    return layer


def random(shape, dtype="float32", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def wide(arrays):
    return [array.astype(np.longdouble) for array in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(
    ("rows", "units"),
    [((5, 7), 3), ((1, 1), 1), ((33, 300), 17), ((4, 3, 6), 5), ((2, 3, 4, 5), 16)],
    ids=str,
)
def test_dense_is_a_product_and_a_bias_over_the_last_axis(rows, units, use_bias, dtype):
    layer = dense(rows[-1], units, dtype, use_bias=use_bias)
    x = random(rows, dtype)
    y, pullback = layer.vjp(x)
    dy = random(y.shape, dtype, seed=2)
    dx, dweights = pullback(dy)
    kernel, *bias = wide(layer.get_weights())
    wide_x, wide_dy = wide([x, dy])
    flat_x, flat_dy = wide_x.reshape(-1, rows[-1]), wide_dy.reshape(-1, units)
    eps = np.finfo(dtype).eps

    def bound(terms, product):  # of a sum of as many products
        return (terms + 2) * eps * product

    expected, size = wide_x @ kernel, abs(wide_x) @ abs(kernel)
    if use_bias:
        expected, size = expected + bias[0], size + abs(bias[0])
        of_bias = bound(len(flat_dy), abs(flat_dy).sum(axis=0))
        assert_within(dweights[1], flat_dy.sum(axis=0).astype(dtype), of_bias)
    assert_within(y, expected.astype(dtype), bound(rows[-1], size))
    assert_same_bits(layer(x), y)
    of_dx = bound(units, abs(wide_dy) @ abs(kernel.T))
    assert_within(dx, (wide_dy @ kernel.T).astype(dtype), of_dx)
    of_dkernel = bound(len(flat_dy), abs(flat_x.T) @ abs(flat_dy))
    assert_within(dweights[0], (flat_x.T @ flat_dy).astype(dtype), of_dkernel)
    assert len(dweights) == 1 + use_bias


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "softmax", "elu", "selu"])
def test_the_activation_is_applied_to_the_sum_and_pulled_through(activation):
    layer, linear = dense(6, 4, activation=activation), dense(6, 4)
    x, dy = random((3, 5, 6)), random((3, 5, 4), seed=2)
    z, pull_linear = linear.vjp(x)
    expected, pull_activation = lcfast.Activation(activation).vjp(z)
    y, pullback = layer.vjp(x)
    assert_same_bits(y, expected)
    wanted_dx, wanted_dweights = pull_linear(pull_activation(dy)[0])
    dx, dweights = pullback(dy)
    for got, wanted in zip([dx, *dweights], [wanted_dx, *wanted_dweights], strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("units", [1, 3, 16, 40])
@pytest.mark.parametrize("features", [1, 5, 300])
def test_the_bits_of_a_row_do_not_depend_on_the_batch(features, units):
    layer = dense(features, units, activation="softmax" if units > 1 else "tanh")
    x = random((50, features))
    together = layer(x)
    for start, stop in [(0, 1), (3, 5), (10, 27), (1, 50)]:
        assert_same_bits(layer(x[start:stop]), together[start:stop])


@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "every-second"])
@pytest.mark.parametrize("rows", [(3, 6), (3, 2, 6)], ids=str)
def test_the_answer_may_go_into_an_array_of_the_caller(rows, contiguous):
    layer = dense(6, 4, activation="relu")
    x = random(rows)
    out = np.zeros((*rows[:-1], 4 if contiguous else 8), "f4")[..., :: 1 if contiguous else 2]
    assert layer(x, out=out) is out
    assert_same_bits(out, layer(x))


@pytest.mark.parametrize("shape", [(3, 5), (2, 4), (4, 3, 1)], ids=str)
def test_an_out_of_another_shape_is_refused_with_the_shape_that_it_has(shape):
    expected = rf"out has shape \({', '.join(map(str, shape))}\); expected \(3, 4\)"
    with pytest.raises(ValueError, match=expected):
        dense(6, 4)(random((3, 6)), out=np.empty(shape, "f4"))


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", None, True, [3], 2**40], ids=repr)
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="The `units` argument"):
        lcfast.Dense(units)


def test_numpy_integers_are_integers():
    layer = lcfast.Dense(np.int64(3), input_dim=np.int32(5))
    assert (layer.units, layer.batch_input_shape) == (3, (None, 5))
    assert type(layer.get_config()["units"]) is int


def test_input_dim_is_a_short_form_of_the_input_shape():
    assert lcfast.Dense(2, input_dim=5).batch_input_shape == (None, 5)
    assert lcfast.Dense(2, input_dim=5, batch_size=3).batch_input_shape == (3, 5)
    assert lcfast.Dense(2, input_dim=None).batch_input_shape == (None, None)


@pytest.mark.parametrize("shape", [(), (3,), (None,), (3, None), (3, 0), (None, 4, None)], ids=str)
def test_an_input_without_a_known_last_axis_is_refused(shape):
    layer = lcfast.Dense(2, name="dense")
    with pytest.raises(ValueError, match=r"Layer dense \(Dense\) needs an input of 2 or more dim"):
        layer.build(shape)
    assert not layer.built


@pytest.mark.parametrize("shape", [(2, 5), (2, 6, 1), (6,)], ids=str)
def test_an_input_with_another_last_axis_is_refused(shape):
    with pytest.raises(ValueError, match="Layer dense was built for inputs whose last axis is 6"):
        dense(6, 4)(np.ones(shape))


def test_inputs_of_another_rank_share_the_weights():
    layer = dense(6, 4)
    x = random((5, 6))
    assert_same_bits(layer(x[None])[0], layer(x))
    assert layer.compute_output_shape((None, 3, 6)) == (None, 3, 4)


def test_weights_are_a_kernel_and_a_bias():
    layer = dense(6, 4)
    assert [weight.name for weight in layer.weights] == ["dense/kernel:0", "dense/bias:0"]
    assert [weight.shape for weight in layer.weights] == [(6, 4), (4,)]
    assert layer.count_params() == 28
    assert dense(6, 4, use_bias=False).count_params() == 24


def test_the_naive_loops_agree_with_the_direct_engine():
    x, dy = random((7, 30)), random((7, 9), seed=2)
    answers = []
    layer = dense(30, 9, engine="direct")
    for engine in (nullcontext, layers_on_naive_loops):
        with engine():
            y, pullback = layer.vjp(x)
            answers.append([y, pullback(dy)[0], *pullback(dy)[1]])
    assert "engine" not in layer.get_config()
    for got, expected in zip(*answers, strict=True):
        assert_within(got, expected, 32 * np.finfo("f4").eps * np.abs(expected).max())
