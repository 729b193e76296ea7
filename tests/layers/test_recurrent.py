"""SimpleRNN, LSTM and GRU against tf_keras, both ways."""

import copy

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within

CASES = [
    name
    for name in goldens.layer_case_names("recurrent")
    if name.startswith(("simple_rnn", "lstm", "gru"))
]
KINDS = (lcfast.SimpleRNN, lcfast.LSTM, lcfast.GRU)
BY_NAME = {kind.__name__: kind for kind in KINDS}
SHAPE = (None, 5, 4)


def from_golden(name):
    case = goldens.layer_case(name, "recurrent")
    layer = BY_NAME[case.class_name].from_config(case.config)
    layer.build(case.x.shape)
    layer.set_weights(case.weights)
    return layer, case


def random(*shape, seed=0, dtype="f4"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def built(kind, *arguments, shape=SHAPE, **options):
    layer = kind(*arguments, **options)
    layer.build(shape)
    rng = np.random.default_rng(3)
    layer.set_weights([rng.standard_normal(shape) for shape in layer.weight_shapes()])
    return layer


@pytest.mark.parametrize("name", CASES)
def test_a_layer_computes_what_keras_does_both_ways(name):
    layer, case = from_golden(name)
    y, pullback = layer.vjp(case.x)
    dx, dweights = pullback(case.dy)
    assert len(dweights) == len(case.dweights) == len(case.weights)
    eps = np.finfo(y.dtype).eps
    for got, expected in zip([y, dx, *dweights], [case.y, case.dx, *case.dweights], strict=True):
        assert_within(got, expected, 32 * eps * max(1, np.abs(expected).max()))
    assert_same_bits(layer(case.x), y)
    assert layer.compute_output_shape(case.x.shape) == y.shape


@pytest.mark.parametrize("name", CASES)
def test_a_config_has_the_keys_of_keras_in_its_order(name):
    layer, case = from_golden(name)
    config = layer.get_config()
    assert list(config) == list(case.config)
    plain = {key: value for key, value in config.items() if not isinstance(value, dict)}
    assert plain == {key: case.config[key] for key in plain}
    twin = type(layer).from_config(config)
    twin.build(case.x.shape)
    twin.set_weights(case.weights)
    assert_same_bits(twin(case.x), layer(case.x))


@pytest.mark.parametrize("units", [1, 3, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}], ids=["last", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_does_not_depend_on_the_batch(kind, options, dtype, units):
    layer = built(kind, units, dtype=dtype, **options)
    x = random(17, 5, 4, dtype=dtype)
    whole = layer(x)
    assert_same_bits(np.concatenate([layer(x[i : i + 1]) for i in range(17)]), whole)
    assert_same_bits(np.concatenate([layer(x[i : i + 3]) for i in range(0, 17, 3)]), whole)
    assert_same_bits(layer(np.asfortranarray(x)), whole)
    assert_same_bits(layer.vjp(x)[0], whole)


@pytest.mark.parametrize("kind", KINDS)
def test_backwards_is_forwards_on_a_turned_input(kind):
    layer = built(kind, 3, return_sequences=True)
    back = built(kind, 3, return_sequences=True, go_backwards=True)
    back.set_weights(layer.get_weights())
    x, dy = random(2, 5, 4), random(2, 5, 3, seed=1)
    (y, pullback), (y_back, pullback_back) = layer.vjp(x), back.vjp(x[:, ::-1])
    assert_same_bits(y_back, y)
    dx, dweights = pullback(dy)
    dx_back, dweights_back = pullback_back(dy)
    assert_same_bits(dx_back[:, ::-1], dx)
    for got, expected in zip(dweights_back, dweights, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_output_is_the_last_of_the_sequence(kind):
    layer, every = built(kind, 3), built(kind, 3, return_sequences=True)
    every.set_weights(layer.get_weights())
    x = random(2, 5, 4)
    assert_same_bits(layer(x), every(x)[:, -1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_of_a_sequence_is_free(kind):
    layer = built(kind, 3, shape=(None, None, 4), return_sequences=True)
    x = random(2, 9, 4)
    assert layer.compute_output_shape((None, None, 4)) == (None, None, 3)
    assert_same_bits(layer(x[:, :6]), layer(x)[:, :6])
    assert layer(x[:0]).shape == (0, 9, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_has_gradients(kind):
    layer = built(kind, 3)
    y, pullback = layer.vjp(np.zeros((0, 5, 4)))
    dx, dweights = pullback(y)
    assert (y.shape, dx.shape) == ((0, 3), (0, 5, 4))
    assert all(not gradient.any() for gradient in dweights)
    assert [gradient.shape for gradient in dweights] == layer.weight_shapes()


def test_weights_have_the_names_and_shapes_of_keras():
    shapes = {
        weight.name: weight.shape for weight in built(lcfast.LSTM, 3, name="lstm").trainable_weights
    }
    assert shapes == {
        "lstm/lstm_cell/kernel:0": (4, 12),
        "lstm/lstm_cell/recurrent_kernel:0": (3, 12),
        "lstm/lstm_cell/bias:0": (12,),
    }
    assert built(lcfast.GRU, 3).weight_shapes() == [(4, 9), (3, 9), (2, 9)]
    assert built(lcfast.GRU, 3, reset_after=False).weight_shapes() == [(4, 9), (3, 9), (9,)]
    assert built(lcfast.SimpleRNN, 3, use_bias=False).weight_shapes() == [(4, 3), (3, 3)]


def test_the_forget_gate_begins_open():
    layer = lcfast.LSTM(2, bias_initializer="zeros")
    layer.build(SHAPE)
    assert layer.get_weights()[2].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    plain = lcfast.LSTM(2, unit_forget_bias=False)
    plain.build(SHAPE)
    assert not plain.get_weights()[2].any()


def test_the_recurrent_kernel_begins_orthogonal():
    layer = lcfast.SimpleRNN(6, dtype="float64")
    layer.build(SHAPE)
    kernel = layer.get_weights()[1]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(6), atol=1e-12)


def test_regularizers_and_constraints_are_those_of_their_weights():
    layer = lcfast.GRU(
        2,
        recurrent_regularizer="l2",
        activity_regularizer="l1",
        kernel_constraint="non_neg",
        weights=[-np.ones((4, 6)), np.ones((2, 6)), np.zeros((2, 6))],
    )
    y = layer(np.ones((1, 5, 4)))
    np.testing.assert_allclose(layer.losses, [0.01 * abs(y).sum(), 0.12], rtol=1e-6)
    layer.apply_constraints()
    assert not layer.get_weights()[0].any()


def test_a_deep_copy_computes_the_same():
    layer = built(lcfast.LSTM, 3)
    x = random(2, 5, 4)
    twin = copy.deepcopy(layer)
    layer_bits = layer(x)
    layer.set_weights([w * 0 for w in layer.get_weights()])
    assert_same_bits(twin(x), layer_bits)


def test_an_activation_of_the_user_s_is_applied():
    layer = built(lcfast.SimpleRNN, 3, activation=lambda z: z / 2)
    linear = built(lcfast.SimpleRNN, 3, activation=None)
    x = random(2, 1, 4)
    assert_same_bits(layer(x), linear(x) / 2)
    with pytest.raises(TypeError, match="gradient"):
        layer.vjp(x)


def test_a_layer_of_a_model_takes_input_dim_and_input_length():
    model = lcfast.Sequential([lcfast.GRU(3, input_dim=4, input_length=5)])
    assert (model.input_shape, model.output_shape) == ((None, 5, 4), (None, 3))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"return_state": True}, "return_state"),
        ({"stateful": True}, "stateful=True"),
        ({"units": 0}, "The `units` argument must be a positive integer"),
        ({"implementation": 3}, "The `implementation` must be 1 or 2"),
        ({"activation": "wavy"}, "wavy"),
        ({"dropout": "much"}, "The `dropout` argument must be a number"),
    ],
    ids=str,
)
def test_what_a_layer_cannot_do_is_said(kind, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(**{"units": 3, **options})


@pytest.mark.parametrize("shape", [(None, 4), (None, 5, None), (None, 5, 0), (None, 5, 4, 1)])
def test_an_input_that_is_no_sequence_is_refused(shape):
    with pytest.raises(ValueError, match=r"needs an input of 3 dimensions \(batch, steps, featu"):
        lcfast.LSTM(3).build(shape)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 0, 4), (2, 4)], ids=str)
def test_an_input_of_another_shape_is_refused(shape):
    layer = built(lcfast.LSTM, 3)
    with pytest.raises(ValueError, match=r"was built for inputs of shape \(batch, steps, 4\)"):
        layer(np.ones(shape))


def test_a_sequence_without_a_step_is_refused_in_a_model_too():
    model = lcfast.Sequential([lcfast.GRU(3, input_shape=(None, 4), name="gru")])
    assert model(random(2, 1, 4)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"Layer gru .*length 0"):
        model(np.zeros((2, 0, 4)))


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"recurrent_dropout": 0.1}], ids=str)
def test_dropout_is_refused_in_training_only(options):
    layer = built(lcfast.LSTM, 3, **options)
    x = random(2, 5, 4)
    assert_same_bits(layer(x), built(lcfast.LSTM, 3)(x))
    with pytest.raises(ValueError, match="training=True"):
        layer(x, training=True)
    assert layer(x, training=False).shape == (2, 3)


def test_time_major_has_no_place_in_a_model():
    layer = lcfast.LSTM(3, time_major=True)
    with pytest.raises(ValueError, match="time_major=True"):
        layer(lcfast.Input((5, 4)))
    with pytest.raises(ValueError, match="time_major=True"):
        lcfast.Bidirectional(layer)(lcfast.Input((5, 4)))


def test_a_mask_is_refused():
    with pytest.raises(TypeError, match="does not support masking"):
        built(lcfast.GRU, 3)(random(2, 5, 4), mask=np.ones((2, 5), bool))
