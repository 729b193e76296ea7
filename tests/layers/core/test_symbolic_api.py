"""Keras's members about symbolic calls: inputs, outputs, shapes and nodes of a layer."""

import re

import numpy as np
import pytest

import lcfast

PARTS = ("input", "output", "input_shape", "output_shape", "input_mask", "output_mask")


def layer():
    return lcfast.LocallyConnected1D(2, 3, name="lc")


@pytest.mark.member("input", "output", "get_input_at", "get_output_at")
def test_one_call_is_remembered_with_its_tensors():
    local, x = layer(), lcfast.Input((6, 1))
    y = local(x)
    assert local.input is x
    assert local.output is y
    assert local.get_input_at(0) is local.get_input_at(-1) is x
    assert local.get_output_at(0) is y


@pytest.mark.member("input_shape", "output_shape", "get_input_shape_at", "get_output_shape_at")
def test_one_call_is_remembered_with_its_shapes():
    local = layer()
    local(lcfast.Input((6, 1)))
    assert local.input_shape == local.get_input_shape_at(0) == (None, 6, 1)
    assert local.output_shape == local.get_output_shape_at(0) == (None, 4, 2)


@pytest.mark.member("input_mask", "output_mask", "get_input_mask_at", "get_output_mask_at")
def test_the_masks_of_a_call_are_none():
    local = layer()
    local(lcfast.Input((6, 1)))
    assert local.input_mask is None
    assert local.output_mask is None
    assert local.get_input_mask_at(0) is None
    assert local.get_output_mask_at(0) is None


# The messages of tf_keras 2.21.
NEVER_CALLED = {
    "input": "Layer lc is not connected, no input to return.",
    "output": "Layer lc has no inbound nodes.",
    "input_mask": "Layer lc is not connected, no input to return.",
    "output_mask": "Layer lc has no inbound nodes.",
    "input_shape": "The layer lc has never been called and thus has no defined input shape.",
    "output_shape": "The layer lc has never been called and thus has no defined output shape.",
}


@pytest.mark.parametrize("part", PARTS)
def test_a_layer_that_was_never_called_has_no_input_and_output(part):
    local = layer()
    local(np.ones((1, 6, 1)))  # arrays do not count
    with pytest.raises(AttributeError, match=re.escape(NEVER_CALLED[part])):
        getattr(local, part)
    what = part.replace("_", " ")
    message = f"The layer lc has never been called and thus has no defined {what}."
    with pytest.raises(RuntimeError, match=re.escape(message)):
        getattr(local, f"get_{part}_at")(0)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("number", [1, -2, 100])
def test_a_node_that_is_not_there_is_refused(part, number):
    local = layer()
    local(lcfast.Input((6, 1)))
    message = f"Asked to get {part.replace('_', ' ')} at node {number}, but the layer has only 1 "
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(local, f"get_{part}_at")(number)


@pytest.mark.parametrize("number", ["a", None, 0.0, True], ids=repr)
def test_the_number_of_a_node_is_an_integer(number):
    local = layer()
    local(lcfast.Input((6, 1)))
    with pytest.raises(TypeError, match="The `node_index` must be an integer"):
        local.get_input_at(number)


def test_two_calls_on_equal_shapes_have_one_shape_and_two_tensors():
    local = layer()
    x, other = lcfast.Input((6, 1)), lcfast.Input((6, 1))
    local(x)
    local(other)
    assert local.input_shape == (None, 6, 1)
    assert local.output_shape == (None, 4, 2)
    assert local.get_input_at(1) is other
    for part in ("input", "output"):
        message = rf'The layer "lc" has multiple inbound nodes.*Use `get_{part}_at\(node_index\)`'
        with pytest.raises(AttributeError, match=message):
            getattr(local, part)


@pytest.mark.parametrize("part", ["input_shape", "output_shape"])
def test_two_calls_on_other_shapes_have_no_common_one(part):
    local = layer()
    local(lcfast.Input((6, 1)))
    local(lcfast.Input((6, 1), batch_size=5))
    what = part.replace("_", " ")
    message = f'with different {what}s. Hence the notion of "{what}" is ill-defined for the layer.'
    with pytest.raises(AttributeError, match=re.escape(message)):
        getattr(local, part)
    assert getattr(local, f"get_{part}_at")(1)[0] == 5


def test_a_layer_of_several_inputs_has_lists():
    a, b = lcfast.Input((3,)), lcfast.Input((3,))
    add = lcfast.Add()
    add([a, b])
    assert add.input == [a, b]
    assert add.input_shape == [(None, 3), (None, 3)]
    assert add.output_shape == (None, 3)


def test_an_input_layer_has_its_tensor_on_both_sides():
    x = lcfast.Input((3,))
    entry = x.node.layer
    assert entry.input is entry.output is x
    assert entry.input_shape == entry.output_shape == [(None, 3)]  # lists, as in Keras
    assert entry.get_input_shape_at(0) == (None, 3)


def test_a_model_has_its_own_tensors():
    x = lcfast.Input((3,))
    y = lcfast.Dense(2)(x)
    model = lcfast.Model(x, y)
    assert model.input is model.get_input_at(0) is x
    assert model.output is model.get_output_at(0) is y
    assert model.get_input_shape_at(0) == model.input_shape == (None, 3)
    assert model.get_output_shape_at(0) == model.output_shape == (None, 2)


def test_the_layers_of_a_sequential_model_know_their_calls_after_a_pop_too():
    model = lcfast.Sequential([lcfast.Dense(4, input_shape=(3,)), lcfast.Dense(2)])
    first, second = model.layers
    model.pop()
    assert first.output is model.output
    model.add(second)
    assert second.get_input_at(1) is first.output
    assert model.output_shape == (None, 2)


@pytest.mark.member("graph")
def test_there_is_no_graph_of_tensorflow():
    with pytest.raises(AttributeError, match=r"Layer lc has no `graph`: .* no TensorFlow graph"):
        layer().graph  # noqa: B018
    assert not hasattr(layer(), "graph")


@pytest.mark.member("scope_name", "name")
def test_the_name_and_the_scope_are_those_of_the_weights():
    local = layer()
    local.build((None, 6, 1))
    assert local.name == local.scope_name == "lc"
    assert {weight.name.split("/")[0] for weight in local.weights} == {"lc"}
