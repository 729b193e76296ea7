"""The graph between inputs and outputs: which layers, in which order."""

import numpy as np
import pytest

import lcfast
from tests.support import goldens


def summary_names(name):
    """The layers in the order in which Keras's own summary lists them."""
    lines = goldens.model_case(name).summary.splitlines()
    table = lines[4 : lines.index(lines[3], 4)]
    return [line.split(" (")[0].strip() for line in table if " (" in line and line[1] != " "]


@pytest.mark.parametrize("name", [name for name in goldens.MODELS if "functional" in name])
def test_the_layers_of_a_functional_model_are_in_the_order_of_keras(name):
    model = lcfast.load_model(goldens.model_path(name))
    names = [layer.name for layer in model.layers]
    assert len(names) > 9
    assert names == summary_names(name)


def test_the_order_of_layers_is_by_their_distance_from_the_outputs():
    x, y = lcfast.Input((3,), name="x"), lcfast.Input((3,), name="y")
    deep = lcfast.Dense(3, name="deep_2")(lcfast.Dense(3, name="deep_1")(y))
    total = lcfast.Add(name="total")([lcfast.Dense(3, name="near")(x), deep])
    model = lcfast.Model([x, y], total)
    # What tf_keras 2.21 gives: y is three calls away from the output, x and deep_1 are two.
    assert [layer.name for layer in model.layers] == ["y", "x", "deep_1", "near", "deep_2", "total"]


def test_a_layer_that_is_called_twice_is_listed_once():
    shared = lcfast.Dense(3, name="shared")
    x = lcfast.Input((3,))
    model = lcfast.Model(x, shared(shared(x)))
    assert [layer.name for layer in model.layers][1:] == ["shared"]
    assert len(model.get_weights()) == 2
    kernel, bias = model.get_weights()
    given = np.ones((1, 3), "f4")
    np.testing.assert_allclose(model(given), (given @ kernel + bias) @ kernel + bias, rtol=1e-5)


def test_a_value_that_several_layers_need_is_computed_once():
    calls = []

    class Counted(lcfast.Dense):
        def forward(self, *arguments, **options):
            calls.append(self.name)
            return super().forward(*arguments, **options)

    x = lcfast.Input((3,))
    middle = Counted(3, name="middle")(x)
    model = lcfast.Model(x, lcfast.Add()([middle, lcfast.Add()([middle, middle])]))
    model(np.ones((2, 3)))
    assert calls == ["middle"]


def test_a_part_of_a_graph_is_a_model_too():
    x = lcfast.Input((3,))
    hidden = lcfast.Dense(4)(x)
    whole = lcfast.Model(x, lcfast.Dense(2)(hidden))
    part = lcfast.Model(x, hidden)
    given = np.ones((1, 3))
    last = whole.layers[-1]
    np.testing.assert_array_equal(whole(given), last(part(given)))
    assert len(part.layers) == 2


def test_a_deep_model_does_not_meet_the_limit_of_recursion():
    x = tensor = lcfast.Input((2,))
    for _ in range(1500):
        tensor = lcfast.ReLU()(tensor)
    model = lcfast.Model(x, tensor)
    assert len(model.layers) == 1501
    given = np.ones((1, 2), "f4")
    y, pullback = model.vjp(given)
    np.testing.assert_array_equal(y, given)
    np.testing.assert_array_equal(pullback(given)[0], given)


def test_an_input_that_nothing_uses_belongs_to_the_model():
    used, unused = lcfast.Input((3,), name="used"), lcfast.Input((2,), name="unused")
    model = lcfast.Model([unused, used], lcfast.Dense(2)(used))
    assert {layer.name for layer in model.layers} > {"used", "unused"}
    assert model.input_shape == [(None, 2), (None, 3)]
    assert model([np.ones((4, 2)), np.ones((4, 3))]).shape == (4, 2)


# ---------------------------------------------------------------- what is refused


def test_an_input_that_is_missing_is_named():
    x, y = lcfast.Input((3,), name="x"), lcfast.Input((3,), name="y")
    with pytest.raises(ValueError, match=r"Graph disconnected: .* depend on the input y, which is"):
        lcfast.Model(x, lcfast.Add()([x, y]))


def test_an_input_must_not_be_given_twice():
    x = lcfast.Input((3,))
    with pytest.raises(ValueError, match="contains the same input twice"):
        lcfast.Model([x, x], lcfast.Dense(2)(x))


def test_two_layers_must_not_have_one_name():
    x = lcfast.Input((3,))
    outputs = lcfast.Dense(2, name="twin")(lcfast.Dense(2, name="twin")(x))
    with pytest.raises(ValueError, match="All layer names should be unique; used twice: twin"):
        lcfast.Model(x, outputs)
