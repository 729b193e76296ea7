"""Every member and every argument of the two API pages, with Keras's meaning.

A test says by `pytest.mark.member` what it shows: a member, or an argument followed by "=". The
table in docs/keras.md is made of these marks.
"""

import copy
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import lcfast
from tests.support import members_table
from tests.support.cases import assert_same_bits

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize(
    ("kind", "shape"),
    [(lcfast.LocallyConnected1D, (6, 2)), (lcfast.LocallyConnected2D, (6, 5, 2))],
    ids=["1D", "2D"],
)


def built(kind, shape, **options):
    layer = kind(3, 2, name="lc", **options)
    layer.build((None, *shape))
    return layer


def random(shape):
    return np.random.default_rng(3).standard_normal(shape).astype("f4")


# ---------------------------------------------------------------- the table


def test_the_table_in_the_docs_is_made_from_docstrings_and_tests():
    text = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
    assert members_table.with_table(text) == text, "run `make table`"


def test_the_table_has_every_name_of_the_pages():
    names = (*members_table.PROPERTIES, *members_table.METHODS)
    # 43 on the page of LocallyConnected1D (r1.13) with its constructor, 38 on that of 2D (r1.4).
    assert len(names) == len(set(names)) == 46
    assert len(set(members_table.ARGUMENTS)) == 15


def test_no_mark_names_what_the_pages_do_not_have():
    names = {*members_table.PROPERTIES, *members_table.METHODS}
    names |= {f"{argument}=" for argument in members_table.ARGUMENTS}
    assert set(members_table.tests_of_members()) == names


@BOTH
def test_both_layers_have_every_member(kind, shape):
    for name in members_table.PROPERTIES:
        assert isinstance(inspect.getattr_static(kind, name), property), name
    for name in members_table.METHODS:
        assert callable(getattr(kind, name)), name


# ---------------------------------------------------------------- arguments


@pytest.mark.member("__init__")
def test_the_constructors_take_the_arguments_of_the_pages_in_their_order():
    for kind in (lcfast.LocallyConnected1D, lcfast.LocallyConnected2D):
        names = list(inspect.signature(kind).parameters)
        assert tuple(names[: len(members_table.ARGUMENTS)]) == members_table.ARGUMENTS
    by_place = lcfast.LocallyConnected1D(
        *(2, 3, 2, "valid", "channels_first", "relu", False, "ones", "zeros"),
        *("l1", "l2", "l1_l2", "non_neg", "unit_norm", 3),
    )
    config = by_place.get_config()
    assert (config["filters"], config["kernel_size"], config["strides"]) == (2, (3,), (2,))
    assert (config["implementation"], config["use_bias"]) == (3, False)
    assert config["activity_regularizer"]["class_name"] == "L1L2"
    assert config["bias_constraint"]["class_name"] == "UnitNorm"


@pytest.mark.member("filters=", "kernel_size=", "strides=")
@BOTH
def test_filters_kernel_and_strides_fix_the_shape_of_the_output(kind, shape):
    dimensions = len(shape) - 1
    layer = kind(4, 2, strides=2)
    expected = (None, *(3, 2)[:dimensions], 4)
    assert layer.compute_output_shape((None, *shape)) == expected
    again = kind(4, [2] * dimensions, strides=(2,) * dimensions)
    assert again.compute_output_shape((None, *shape)) == expected


@pytest.mark.member("padding=", "implementation=")
@BOTH
def test_same_keeps_the_size_with_the_implementations_that_have_it(kind, shape):
    for implementation in (2, 3):
        layer = kind(4, 3, padding="SAME", implementation=implementation)
        assert layer.compute_output_shape((None, *shape)) == (None, *shape[:-1], 4)
    with pytest.raises(ValueError, match='only "valid" is supported if implementation is 1'):
        kind(4, 3, padding="same")
    with pytest.raises(ValueError, match="Unrecognized implementation mode: 4"):
        kind(4, 3, implementation=4).build((None, *shape))


@pytest.mark.member("data_format=")
@BOTH
def test_channels_are_where_the_data_format_says(kind, shape):
    layer = kind(4, 2, data_format="channels_first")
    output = layer.compute_output_shape((None, shape[-1], *shape[:-1]))
    assert output == (None, 4, *(size - 1 for size in shape[:-1]))
    assert kind(4, 2).data_format == lcfast.image_data_format()


@pytest.mark.member("activation=", "use_bias=", "kernel_initializer=", "bias_initializer=")
@BOTH
def test_first_values_bias_and_activation_make_the_first_answer(kind, shape):
    options = {"kernel_initializer": "ones", "bias_initializer": "ones"}
    x, taps = np.ones((1, *shape)), 2 ** (len(shape) - 1) * shape[-1]
    assert (kind(3, 2, **options)(x) == taps + 1).all()
    assert (kind(3, 2, use_bias=False, **options)(x) == taps).all()
    assert (kind(3, 2, activation="relu", **options)(-x) == 0).all()


@pytest.mark.member("kernel_constraint=", "bias_constraint=")
@BOTH
def test_constraints_bound_the_weights_when_they_are_applied(kind, shape):
    layer = built(kind, shape, kernel_constraint="non_neg", bias_constraint="non_neg")
    layer.set_weights([-np.ones(w.shape) for w in layer.get_weights()])
    layer.apply_constraints()
    assert not any(w.any() for w in layer.get_weights())


# ---------------------------------------------------------------- calls


@pytest.mark.member("__call__", "apply", "call")
@BOTH
def test_three_names_for_a_call(kind, shape):
    layer, x = built(kind, shape), random((2, *shape))
    y = layer(x)
    assert_same_bits(layer.apply(x), y)
    assert_same_bits(layer.call(x), y)
    tensor = layer.apply(lcfast.Input(shape))
    assert tensor.shape == (None, *y.shape[1:])
    out = np.empty_like(y)
    assert layer.apply(x, out=out) is out


@BOTH
def test_a_call_refuses_arguments_that_the_layer_does_not_take(kind, shape):
    layer, x = built(kind, shape), random((2, *shape))
    with pytest.raises(TypeError, match="was called with arguments that it does not take: colour"):
        layer(x, colour=1)
    with pytest.raises(TypeError, match="A symbolic call takes no colour"):
        layer(lcfast.Input(shape), colour=1)


@pytest.mark.member("compute_mask")
@BOTH
def test_masks_are_not_supported(kind, shape):
    layer, x = built(kind, shape), random((2, *shape))
    assert layer.compute_mask(x) is None
    message = "Layer lc does not support masking, but was passed a mask"  # tf_keras: an input_mask
    for call in (lambda: layer.compute_mask(x, x), lambda: layer(x, mask=x)):
        with pytest.raises(TypeError, match=message):
            call()
    with pytest.raises(TypeError, match=message):
        layer.call(x, mask=x)


@pytest.mark.member("compute_output_shape", "build")
@BOTH
def test_the_shape_of_the_output_is_known_before_and_after_build(kind, shape):
    layer = kind(3, 2)
    expected = (None, *(size - 1 for size in shape[:-1]), 3)
    assert layer.compute_output_shape((None, *shape)) == expected
    assert not layer.built
    layer.build((None, *shape))
    assert layer.built
    assert layer.compute_output_shape((7, *shape)) == (7, *expected[1:])


# ---------------------------------------------------------------- weights


@pytest.mark.member("weights", "variables", "trainable_weights", "trainable_variables")
@pytest.mark.member("non_trainable_weights", "non_trainable_variables")
@BOTH
def test_weights_have_two_names_each_and_are_always_the_same_objects(kind, shape):
    layer = built(kind, shape)
    assert [w.name for w in layer.weights] == ["lc/kernel:0", "lc/bias:0"]
    assert layer.weights == layer.variables
    assert layer.weights[0] is layer.trainable_weights[0] is layer.trainable_variables[0]
    assert layer.non_trainable_weights == layer.non_trainable_variables == []
    layer.trainable = False
    assert layer.trainable_weights == layer.trainable_variables == []
    assert len(layer.non_trainable_weights) == len(layer.non_trainable_variables) == 2
    with pytest.raises(ValueError, match="The `trainable` argument must be True or False"):
        layer.trainable = "yes"


@pytest.mark.member("get_weights", "set_weights", "count_params")
@BOTH
def test_weights_are_taken_set_and_counted(kind, shape):
    layer = kind(3, 2, name="lc")
    assert layer.get_weights() == []
    with pytest.raises(ValueError, match=re.escape("`layer.build(batch_input_shape)`")):
        layer.count_params()
    layer.build((None, *shape))
    values = [random(w.shape) for w in layer.get_weights()]
    layer.set_weights(values)
    for got, expected in zip(layer.get_weights(), values, strict=True):
        assert_same_bits(got, expected)
    assert layer.count_params() == sum(value.size for value in values)


@pytest.mark.member("add_weight", "add_variable")
def test_weights_are_added_by_two_names():
    layer = lcfast.Layer(name="own", dtype="float64")
    first = layer.add_weight("a", (2, 3), None, "ones", "l2", False, "non_neg")
    second = layer.add_variable(name="b", shape=(4,), dtype="float32", initializer="zeros")
    assert [w.name for w in layer.weights] == ["own/b:0", "own/a:0"]  # trainable ones first
    assert layer.weights == [second, first]
    assert (first.shape, first.dtype, first.trainable) == ((2, 3), np.float64, False)
    assert (second.shape, second.dtype, second.trainable) == ((4,), np.float32, True)
    np.testing.assert_allclose(layer.losses, [0.06], rtol=1e-6)
    assert [w.dtype for w in layer.get_weights()] == [np.float32, np.float64]


@BOTH
def test_a_weight_is_an_array_to_numpy(kind, shape):
    layer = built(kind, shape)
    weight = layer.weights[0]
    value = layer.get_weights()[0]
    assert_same_bits(weight + 1, value + 1)
    assert_same_bits(weight[0], value[0])
    assert_same_bits(weight.T, value.T)
    assert (len(weight), weight.ndim, weight.size) == (len(value), value.ndim, value.size)
    assert weight.sum() == value.sum()
    with pytest.raises(AttributeError, match="A weight has no attribute 'colour'"):
        weight.colour  # noqa: B018
    with pytest.raises(AttributeError, match="You cannot assign to the value of the weight lc/"):
        weight.value = value


# ---------------------------------------------------------------- configuration and copies


@pytest.mark.member("get_config", "from_config")
@BOTH
def test_a_config_makes_the_layer_again(kind, shape):
    layer = built(kind, shape, kernel_regularizer="l2", bias_constraint="non_neg")
    again = kind.from_config(json.loads(json.dumps(layer.get_config())))
    assert json.dumps(again.get_config()) == json.dumps(layer.get_config())
    assert again.name == "lc"


@pytest.mark.member("name", "dtype", "dynamic")
@BOTH
def test_name_dtype_and_dynamic_are_those_of_the_constructor_and_stay(kind, shape):
    layer = kind(3, 2, name="lc", dtype="float64")
    assert (layer.name, layer.dtype, layer.dynamic) == ("lc", "float64", False)
    assert kind(3, 2, dynamic=True).dynamic is True
    for name in ("name", "dtype", "dynamic", "weights", "losses"):
        message = f'Can\'t set the attribute "{name}", likely because it conflicts with an existing'
        with pytest.raises(AttributeError, match=message):
            setattr(layer, name, "other")


@pytest.mark.member("__setattr__")
def test_layers_that_are_assigned_are_tracked():
    layer = lcfast.LocallyConnected1D(2, 3, name="lc")
    layer.build((None, 6, 1))
    layer.part = lcfast.Dense(1, name="part")
    layer.part.build((None, 2))
    names = ["lc/kernel:0", "lc/bias:0", "part/kernel:0", "part/bias:0"]
    assert [w.name for w in layer.weights] == names
    assert len(layer.get_weights()) == 4
    layer(np.ones((1, 6, 1)))
    del layer.part
    assert [w.name for w in layer.weights] == names[:2]


@pytest.mark.member("__deepcopy__")
@pytest.mark.parametrize("implementation", [1, 2, 3])
@BOTH
def test_a_deep_copy_is_a_layer_of_its_own(kind, shape, implementation):
    layer = built(kind, shape, implementation=implementation, kernel_regularizer="l2")
    layer.note = {"list": [1]}
    layer(lcfast.Input(shape))
    x, before = random((2, *shape)), layer.get_weights()
    y = layer(x)
    twin = copy.deepcopy(layer)
    assert twin.name == layer.name
    assert twin.get_config() == layer.get_config()
    assert_same_bits(twin(x), y)
    twin.set_weights([w + 1 for w in before])
    twin.note["list"].append(2)
    assert layer.note == {"list": [1]}
    assert_same_bits(layer(x), y)
    assert_same_bits(np.asarray(layer.weights[0]), before[0])
    assert (np.asarray(twin.weights[1]) == before[1] + 1).all()
    with pytest.raises(RuntimeError, match="has never been called"):
        twin.get_input_at(0)


def functional():
    x = lcfast.Input((6, 2))
    shared = lcfast.LocallyConnected1D(2, 1, name="shared")
    branches = [shared(x), shared(shared(x))]
    return lcfast.Model(x, lcfast.Add()(branches))


def sequential():
    return lcfast.Sequential(
        [lcfast.LocallyConnected1D(2, 3, input_shape=(6, 2)), lcfast.Flatten()]
    )


@pytest.mark.parametrize("make", [functional, sequential])
def test_a_deep_copy_of_a_model_is_a_model_of_its_own(make):
    model = make()
    x = random((3, 6, 2))
    y = model(x)
    twin = copy.deepcopy(model)
    assert type(twin) is type(model)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert not set(twin.layers) & set(model.layers)
    assert_same_bits(twin(x), y)
    twin.set_weights([w + 1 for w in twin.get_weights()])
    assert_same_bits(model(x), y)
    assert (twin(x) != y).any()
    assert twin.input_shape == model.input_shape
    if isinstance(twin, lcfast.Sequential):
        twin.add(lcfast.Dense(1))
        assert twin.output_shape == (None, 1)
        assert model.output_shape != twin.output_shape


def test_a_deep_copy_of_a_model_that_is_not_built_can_be_built():
    model = lcfast.Sequential([lcfast.Dense(2)])
    twin = copy.deepcopy(model)
    twin.build((None, 3))
    assert not model.built
    assert twin(np.ones((1, 3))).shape == (1, 2)
