"""TimeDistributed and Bidirectional against tf_keras, both ways."""

import copy
import json

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits, assert_within

CASES = [
    name
    for name in goldens.layer_case_names("recurrent")
    if name.startswith(("bidirectional", "time_distributed"))
]
BY_NAME = {kind.__name__: kind for kind in (lcfast.Bidirectional, lcfast.TimeDistributed)}


def from_golden(name):
    case = goldens.layer_case(name, "recurrent")
    layer = BY_NAME[case.class_name].from_config(case.config)
    layer.build(case.x.shape)
    layer.set_weights(case.weights)
    return layer, case


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def drawn(layer, shape):
    layer.build(shape)
    rng = np.random.default_rng(3)
    layer.set_weights([rng.uniform(0.2, 1, shape) for shape in layer.weight_shapes()])
    return layer


@pytest.mark.parametrize("name", CASES)
def test_a_layer_computes_what_keras_does_both_ways(name):
    layer, case = from_golden(name)
    y, pullback = layer.vjp(case.x)
    dx, dweights = pullback(case.dy)
    assert len(dweights) == len(case.weights)
    trainable = dweights[: len(layer.trainable_weights)]
    eps = np.finfo("f4").eps
    for got, expected in zip([y, dx, *trainable], [case.y, case.dx, *case.dweights], strict=True):
        assert_within(got, expected, 32 * eps * max(1, np.abs(expected).max()))
    assert_same_bits(layer(case.x), y)
    assert layer.compute_output_shape(case.x.shape) == y.shape


@pytest.mark.parametrize("name", CASES)
def test_the_answer_does_not_depend_on_the_batch(name):
    layer, case = from_golden(name)
    x = random(17, *case.x.shape[1:])
    whole = layer(x)
    assert_same_bits(np.concatenate([layer(x[i : i + 1]) for i in range(17)]), whole)
    assert_same_bits(np.concatenate([layer(x[i : i + 3]) for i in range(0, 17, 3)]), whole)
    assert_same_bits(layer(np.asfortranarray(x)), whole)


@pytest.mark.parametrize("name", CASES)
def test_a_config_makes_the_layer_again(name):
    layer, case = from_golden(name)
    config = layer.get_config()
    assert set(config) == set(case.config)
    assert config["layer"]["class_name"] == case.config["layer"]["class_name"]
    assert set(config["layer"]["config"]) == set(case.config["layer"]["config"])
    assert config["layer"]["config"]["name"] == case.config["layer"]["config"]["name"]
    text = json.dumps(config)
    twin = type(layer).from_config(json.loads(text))
    twin.build(case.x.shape)
    twin.set_weights(case.weights)
    assert_same_bits(twin(case.x), layer(case.x))
    assert json.dumps(twin.get_config()) == text


def test_a_config_of_an_older_keras_makes_the_same_layer():
    old = {
        "merge_mode": "concat",
        "num_constants": 0,
        "layer": {
            "class_name": "LSTM",
            "config": {
                "name": "lstm",
                "units": 3,
                "recurrent_activation": "hard_sigmoid",
                "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1.0}},
                "unit_forget_bias": True,
                "implementation": 0,
            },
        },
    }
    layer = drawn(lcfast.Bidirectional.from_config(old), (None, 5, 4))
    new = lcfast.Bidirectional(lcfast.LSTM(3, recurrent_activation="hard_sigmoid"))
    x = random(2, 5, 4)
    assert_same_bits(layer(x), drawn(new, (None, 5, 4))(x))
    with pytest.raises(TypeError, match="num_constants"):
        lcfast.Bidirectional.from_config({**old, "num_constants": 2})


def test_the_two_directions_have_names_and_weights_of_their_own():
    layer = drawn(lcfast.Bidirectional(lcfast.LSTM(3, name="lstm")), (None, 5, 4))
    assert [weight.name for weight in layer.weights][::3] == [
        "forward_lstm/lstm_cell/kernel:0",
        "backward_lstm/lstm_cell/kernel:0",
    ]
    assert layer.forward_layer.go_backwards is False
    assert layer.backward_layer.go_backwards is True
    halves = layer.get_weights()[:3], layer.get_weights()[3:]
    given = lcfast.Bidirectional(lcfast.LSTM(3), weights=halves[0] + halves[1])
    x = random(2, 5, 4)
    assert_same_bits(given(x), layer(x))


def test_a_sequence_is_joined_step_by_step():
    layer = drawn(lcfast.Bidirectional(lcfast.GRU(3, return_sequences=True)), (None, 5, 4))
    x = random(2, 5, 4)
    y = layer(x)
    assert_same_bits(y[..., :3], layer.forward_layer(x))
    assert_same_bits(y[:, ::-1, 3:], layer.backward_layer(x))


def test_time_first_is_time_first_in_both_directions():
    x = random(5, 2, 4)
    options = {"return_sequences": True, "time_major": True}
    layer = drawn(lcfast.Bidirectional(lcfast.LSTM(3, **options)), (5, None, 4))
    usual = drawn(lcfast.Bidirectional(lcfast.LSTM(3, return_sequences=True)), (None, 5, 4))
    assert_same_bits(layer(x).swapaxes(0, 1), usual(x.swapaxes(0, 1)))


def test_every_step_is_a_call_of_the_layer():
    inner = lcfast.LocallyConnected1D(2, 3, activation="tanh")
    layer = drawn(lcfast.TimeDistributed(inner), (None, None, 6, 2))
    x = random(3, 4, 6, 2)
    expected = np.stack([inner(x[:, t]) for t in range(4)], axis=1)
    assert_same_bits(layer(x), expected)
    assert layer.compute_output_shape((None, None, 6, 2)) == (None, None, 4, 2)
    assert layer(x[:0]).shape == (0, 4, 4, 2)
    assert layer(x[:, :0]).shape == (3, 0, 4, 2)


def test_a_model_may_be_applied_to_every_step():
    normal = lcfast.BatchNormalization(name="normal")
    model = lcfast.Sequential([normal, lcfast.Dense(2, name="dense")], name="step")
    layer = drawn(lcfast.TimeDistributed(model), (None, 4, 3))
    x, dy = random(2, 4, 3), random(2, 4, 2, seed=1)
    y, pullback = layer.vjp(x)
    dx, dweights = pullback(dy)
    inner_y, inner_pullback = model.vjp(x.reshape(8, 3))
    inner_dx, of_trainable = inner_pullback(dy.reshape(8, 2))
    assert_same_bits(y.reshape(8, 2), inner_y)
    assert_same_bits(dx.reshape(8, 3), inner_dx)
    trainable = dweights[: len(layer.trainable_weights)]
    for got, expected in zip(trainable, of_trainable, strict=True):
        assert_same_bits(got, expected)
    # Keras lists what is trainable first, and so does the file.
    assert [weight.name for weight in layer.weights][-2:] == [
        "normal/moving_mean:0",
        "normal/moving_variance:0",
    ]


def test_a_wrapper_has_the_dtype_of_its_layer_unless_it_is_given_one():
    x = random(2, 5, 4)
    for wrapped in (
        lcfast.Bidirectional(lcfast.LSTM(3, dtype="float64")),
        lcfast.TimeDistributed(lcfast.Dense(3, dtype="float64")),
    ):
        assert wrapped(x).dtype == wrapped.dtype == "float64"
    mixed = lcfast.TimeDistributed(lcfast.Dense(3, dtype="float64"), dtype="float32")
    y, pullback = mixed.vjp(x)
    dx, dweights = pullback(y)
    assert (y.dtype, dx.dtype, dweights[0].dtype) == ("float32", "float32", "float64")
    assert_same_bits(mixed(x), y)
    model = lcfast.Sequential([mixed, lcfast.Flatten(), lcfast.Dense(1)])
    assert model.predict(x).dtype == "float32"


def test_one_call_sees_one_whole_set_of_weights():
    layer = drawn(lcfast.TimeDistributed(lcfast.Dense(2)), (None, 4, 3))
    x = random(2, 4, 3)
    before, (y, pullback) = layer.get_weights(), layer.vjp(x)
    layer.set_weights([w * 0 for w in before])
    dx = pullback(np.ones_like(y))[0]
    layer.set_weights(before)
    assert_same_bits(dx, layer.vjp(x)[1](np.ones_like(y))[0])


def test_what_is_frozen_outside_is_frozen_inside():
    layer = drawn(lcfast.Bidirectional(lcfast.LSTM(3)), (None, 5, 4))
    layer.trainable = False
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == len(layer.get_weights()) == 6
    assert not lcfast.Bidirectional(lcfast.LSTM(3, trainable=False)).trainable


def test_a_deep_copy_has_layers_of_its_own():
    layer = drawn(lcfast.Bidirectional(lcfast.GRU(2)), (None, 5, 4))
    x = random(2, 5, 4)
    twin, before = copy.deepcopy(layer), layer(x)
    layer.set_weights([w * 0 for w in layer.get_weights()])
    assert_same_bits(twin(x), before)


def test_penalties_inside_are_losses():
    layer = lcfast.TimeDistributed(lcfast.Dense(1, kernel_regularizer="l2", weights=[[[2.0]], [0]]))
    layer(np.ones((1, 2, 1)))
    np.testing.assert_allclose(layer.losses, [0.04], rtol=1e-6)
    inner = lcfast.Dense(1, activity_regularizer="l1", name="penalised")
    model = lcfast.Sequential([lcfast.TimeDistributed(inner, input_shape=(2, 1))])
    with pytest.raises(TypeError, match="penalised"):
        model.regularization_gradients(np.ones((1, 2, 1)))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("merge_mode", [None, "max", 3], ids=str)
def test_outputs_are_joined_in_one_of_four_ways(merge_mode):
    with pytest.raises(ValueError, match="must be 'concat', 'sum', 'mul' or 'ave'; a layer has"):
        lcfast.Bidirectional(lcfast.LSTM(3), merge_mode=merge_mode)


@pytest.mark.parametrize("layer", [lcfast.Dense(3), "lstm", None], ids=["dense", "text", "none"])
def test_only_recurrent_layers_walk_both_ways(layer):
    with pytest.raises(ValueError, match="must be a SimpleRNN, an LSTM or a GRU"):
        lcfast.Bidirectional(layer)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"units": 3}, "go_backwards=False"),
        ({"units": 3, "go_backwards": True, "return_sequences": True}, "same `return_sequences`"),
        ({"units": 2, "go_backwards": True}, "must have the same `units`; they have 3 and 2"),
    ],
    ids=str,
)
def test_two_layers_must_go_together(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        lcfast.Bidirectional(
            lcfast.LSTM(3), merge_mode="sum", backward_layer=lcfast.LSTM(**options)
        )


def test_a_step_is_computed_by_a_layer_with_one_input_and_one_output():
    with pytest.raises(ValueError, match="TimeDistributed"):
        lcfast.TimeDistributed("dense")
    with pytest.raises(ValueError, match="cannot hold add, which takes several inputs"):
        lcfast.TimeDistributed(lcfast.Add(name="add"))
    x = lcfast.Input((3,))
    two = lcfast.Model(x, [x, lcfast.Dense(2)(x)], name="two")
    with pytest.raises(ValueError, match="cannot hold two, which has several outputs"):
        lcfast.TimeDistributed(two).build((None, 4, 3))


@pytest.mark.parametrize("shape", [(2,), (2, 3)], ids=str)
def test_an_input_without_steps_is_refused(shape):
    layer = lcfast.TimeDistributed(lcfast.Dense(2))
    with pytest.raises(ValueError, match="needs an input of 3 or more dimensions"):
        layer.build(shape)
    drawn(layer, (None, 4, 3))
    with pytest.raises(ValueError, match="needs an input of 3 or more dimensions"):
        layer(np.ones(shape))


def test_a_step_that_does_not_fit_the_model_inside_is_refused():
    model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))], name="step")
    layer = lcfast.TimeDistributed(model)
    with pytest.raises(ValueError, match=r"of model step has shape \(None, 5\); expected"):
        layer.build((None, 4, 5))
    assert layer(np.ones((2, 4, 3))).shape == (2, 4, 2)
    with pytest.raises(ValueError, match=r"of model step has shape \(None, 5\); expected"):
        layer(np.ones((2, 4, 5)))


def test_a_config_names_layers_of_lcfast_alone():
    class Mine(lcfast.Layer):
        pass

    for name in ("Mine", "Lambda", None):
        entry = {"class_name": name, "config": {}}
        with pytest.raises(ValueError, match="has no layer"):
            lcfast.TimeDistributed.from_config({"layer": entry})
    assert Mine().name


def test_time_distributed_of_integers_has_gradients_of_the_weights_alone():
    layer = lcfast.TimeDistributed(lcfast.Embedding(5, 3))
    y, pullback = layer.vjp(np.array([[[0, 4], [1, 1]]]))
    dx, (dtable,) = pullback(np.ones_like(y))
    assert dx is None
    assert np.array_equal(dtable, np.array([1, 2, 0, 0, 1.0])[:, None] * np.ones(3))


def test_two_layers_of_other_sizes_are_laid_side_by_side():
    walk = {"return_sequences": True}
    layer = lcfast.Bidirectional(
        lcfast.LSTM(3, **walk),
        backward_layer=lcfast.GRU(5, go_backwards=True, **walk),
        input_shape=(4, 2),
    )
    layer.build((None, 4, 2))
    x = random(6, 4, 2)
    assert layer.compute_output_shape((None, 4, 2)) == (None, 4, 8)
    assert_same_bits(layer(x)[..., :3], layer.forward_layer(x))
    assert_same_bits(layer(x)[..., 3:], layer.backward_layer(x)[:, ::-1])


@pytest.mark.parametrize("merge_mode", ["sum", "mul", "ave"])
def test_two_layers_of_other_sizes_are_joined_in_no_other_way(merge_mode):
    with pytest.raises(ValueError, match="must have the same `units`; they have 3 and 5"):
        lcfast.Bidirectional(
            lcfast.LSTM(3),
            merge_mode=merge_mode,
            backward_layer=lcfast.LSTM(5, go_backwards=True),
        )
