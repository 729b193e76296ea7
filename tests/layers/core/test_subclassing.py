"""Layers that users write: `build` with add_weight and `call`, as in Keras."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


class Scale(lcfast.Layer):
    """y = x * w + b; by default `build` does not call the one of Layer."""

    calls_super = False

    def build(self, input_shape):
        if self.calls_super:
            super().build(input_shape)
        self.w = self.add_weight(
            name="w", shape=(input_shape[-1],), initializer="ones", regularizer="l2"
        )
        self.b = self.add_weight("b", (), trainable=False, initializer="zeros")

    def call(self, inputs):
        return inputs * self.w + self.b


class ScaleWithSuper(Scale):
    calls_super = True


X = np.random.default_rng(2).standard_normal((4, 3)).astype("f4")
KINDS = pytest.mark.parametrize("kind", [Scale, ScaleWithSuper])


@KINDS
def test_a_layer_with_call_computes_everywhere(kind):
    layer = kind(name="scale")
    assert_same_bits(layer(X), X)
    layer.set_weights([[1, 2, 3], 1])
    expected = X * np.array([1, 2, 3], "f4") + np.float32(1)
    assert_same_bits(layer(X), expected)
    assert_same_bits(layer.call(X), expected)
    out = np.empty_like(X)
    assert layer(X, out=out) is out
    assert_same_bits(out, expected)
    sequential = lcfast.Sequential([lcfast.InputLayer((3,)), layer, lcfast.ReLU()])
    inputs = lcfast.Input((3,))
    functional = lcfast.Model(inputs, lcfast.ReLU()(layer(inputs)))
    for model in (sequential, functional):
        assert model.output_shape == (None, 3)
        assert_same_bits(model(X), np.maximum(expected, 0))
        assert_same_bits(model.predict(X, batch_size=3), np.maximum(expected, 0))
        assert [w.name for w in model.weights] == ["scale/w:0", "scale/b:0"]


@KINDS
def test_its_weights_are_those_of_any_layer(kind):
    layer = kind(name="scale")
    assert layer.get_weights() == []
    layer.build((None, 3))
    assert layer.built
    assert layer.w is layer.weights[0]
    assert [w.name for w in layer.trainable_weights] == ["scale/w:0"]
    assert [w.name for w in layer.non_trainable_weights] == ["scale/b:0"]
    assert layer.count_params() == 4
    np.testing.assert_allclose(layer.losses, [0.03], rtol=1e-6)
    layer(X)  # does not build again
    assert len(layer.weights) == 2
    with pytest.raises(ValueError, match="The weight w of layer scale has shape"):
        layer.set_weights([[1, 2], 0])
    with pytest.raises(ValueError, match=r"Layer scale expects 2 weights, but 1 were given"):
        layer.set_weights([[1, 2, 3]])


@KINDS
def test_first_values_may_be_given_to_the_constructor(kind):
    layer = kind(weights=[[1, 2, 3], 4])
    layer.build((None, 3))
    assert np.asarray(layer.w).tolist() == [1, 2, 3]
    assert layer.b.value == 4


def test_vjp_needs_linearize():
    layer = Scale(name="scale")
    message = r"Layer scale \(Scale\) does not define `linearize`: define linearize\(weights, "
    with pytest.raises(TypeError, match=message):
        layer.vjp(X)
    model = lcfast.Sequential([lcfast.InputLayer((3,)), layer])
    with pytest.raises(TypeError, match=message):
        model.vjp(X)


class Linearized(Scale):
    def linearize(self, weights, inputs):
        def pullback(dy):
            return dy * self.w, [(dy * inputs).sum(axis=0), dy.sum()]

        return self.call(inputs), pullback


def test_a_layer_that_defines_linearize_has_gradients_of_one_set_of_weights():
    layer = Linearized(activity_regularizer="l2", dtype="float64")
    layer.build((None, 3))
    layer.set_weights([[1, 2, 3], 0])
    y, pullback = layer.vjp(X)
    layer.set_weights([[0, 0, 0], 0])
    dx, (dw, _) = pullback(np.ones_like(y))
    assert dx[0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(dw, X.astype("f8").sum(axis=0))
    layer.set_weights([[1, 2, 3], 0])
    gradients = layer.regularization_gradients(X)[0]
    of_activity = 0.02 * np.array([1, 2, 3]) * np.square(X.astype("f8")).sum(axis=0) / 4
    np.testing.assert_allclose(gradients, 0.02 * np.array([1, 2, 3]) + of_activity, rtol=1e-6)


class Doubled(lcfast.LocallyConnected1D):
    def call(self, inputs):
        return 2 * super().call(inputs)


def test_a_built_in_layer_with_its_own_call_does_not_inherit_gradients():
    layer, x = Doubled(2, 3), np.ones((2, 6, 1), "f4")
    layer.build(x.shape)
    plain = lcfast.LocallyConnected1D.from_config(layer.get_config())
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    assert_same_bits(layer(x), 2 * plain(x))
    assert_same_bits(lcfast.Sequential([layer]).predict(x), 2 * plain(x))
    with pytest.raises(TypeError, match="does not define `linearize`"):
        layer.vjp(x)


# ---------------------------------------------------------------- arguments of call


class Arguments(lcfast.Layer):
    def call(self, inputs, training=False, mask=None, extra=2):
        seen = extra if mask is None else extra * np.asarray(mask)
        return inputs * seen + (100 if training else 0)


def test_call_gets_training_mask_and_its_own_arguments():
    layer, one = Arguments(), np.ones((1, 1))
    assert layer(one).item() == 2
    assert layer(one, extra=5).item() == 5
    assert layer(one, training=True).item() == 102
    assert layer(one, mask=[[3]]).item() == 6
    with pytest.raises(TypeError, match="colour"):
        layer(one, colour=1)
    with pytest.raises(TypeError, match=r"Layer scale does not support masking"):
        Scale(name="scale")(X, mask=X)


def test_training_reaches_the_layers_inside_of_a_call():
    class Outer(lcfast.Layer):
        def __init__(self):
            super().__init__()
            self.part = Arguments()

        def call(self, inputs):
            return self.part(inputs)

    assert Outer()(np.ones((1, 1)), training=True).item() == 102
    assert Outer()(np.ones((1, 1))).item() == 2


@pytest.mark.parametrize(("value", "what"), [(None, "None"), ([X], "a list"), ((X,), "a tuple")])
def test_call_returns_one_array(value, what):
    class Wrong(lcfast.Layer):
        def call(self, inputs):
            return value

    message = rf"The `call` of layer wrong \(Wrong\) returned {what}; it must return one array"
    with pytest.raises(ValueError, match=message):
        Wrong(name="wrong")(X)


def test_a_call_may_take_a_list():
    class Dot(lcfast.Layer):
        def call(self, inputs):
            a, b = inputs
            return (a * b).sum(axis=-1, keepdims=True)

    a, b = lcfast.Input((3,)), lcfast.Input((3,))
    layer = Dot()
    model = lcfast.Model([a, b], layer([a, b]))
    assert model.output_shape == (None, 1)
    assert_same_bits(model.predict([X, X]), layer([X, X]))
    assert Dot()([X, X]).shape == (4, 1)


# ---------------------------------------------------------------- shapes


def test_the_shape_of_the_output_is_seen_by_a_call_without_a_loss():
    class Sum(lcfast.Layer):
        def call(self, inputs):
            self.add_loss(1.0)
            return inputs.sum(axis=1)

    layer = Sum()
    assert layer(lcfast.Input((5, 3))).shape == (None, 3)
    assert layer(lcfast.Input((5, 3), batch_size=1)).shape == (1, 3)
    assert layer.compute_output_shape((None, 5, 3)) == (None, 3)
    assert layer.losses == []


def test_compute_output_shape_is_needed_where_a_call_cannot_show_the_shape():
    class Total(lcfast.Layer):
        def call(self, inputs):
            return inputs.sum()

    with pytest.raises(ValueError, match=r"not a row for each; define `compute_output_shape`"):
        Total()(lcfast.Input((3,)))
    with pytest.raises(ValueError, match=r"cannot be seen by a call, .* define `compute_output_sh"):
        Total()(lcfast.Input((None, 3)))

    class Known(Scale):
        def compute_output_shape(self, input_shape):
            return input_shape

    assert Known()(lcfast.Input((None, 3))).shape == (None, None, 3)


# ---------------------------------------------------------------- add_weight


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (2,), "colour": 1}, TypeError, "Unknown keyword argument of add_weight: 'col"),
        ({"shape": (None, 2)}, ValueError, "The weight 'w' of layer own needs a shape without N"),
        ({"shape": 3}, ValueError, "The `shape` argument must be a tuple"),
        ({"shape": (2,), "dtype": "int32"}, ValueError, "The `dtype` argument must be float32 or"),
        ({"shape": (2,), "trainable": "x"}, ValueError, "The `trainable` argument must be True"),
        ({"shape": (2,), "initializer": "x"}, ValueError, "'x' is not a known initializer"),
    ],
)
def test_arguments_of_add_weight_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        lcfast.Layer(name="own").add_weight("w", **arguments)


def test_add_weight_has_defaults_and_takes_what_only_tensorflow_knows():
    layer = lcfast.Layer(name="own")
    weight = layer.add_weight(use_resource=True, aggregation=None)
    assert (weight.name, weight.shape, weight.trainable) == ("own/Variable:0", (), True)
    with pytest.raises(ValueError, match=r"The `name` of a weight must be a string\. Received: 3"):
        layer.add_weight(3, (2,))


# ---------------------------------------------------------------- sublayers


class Holder(lcfast.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.first = lcfast.Dense(2, name="first")
        self.more = [lcfast.Dense(2, name="second"), {"last": lcfast.Dense(1, name="third")}]
        self.scale = self.add_weight("scale", (1,), initializer="ones")

    def call(self, inputs):
        return self.more[1]["last"](self.more[0](self.first(inputs))) * self.scale


NAMES = ["holder/scale:0"] + [
    f"{layer}/{weight}:0" for layer in ("first", "second", "third") for weight in ("kernel", "bias")
]


def test_sublayers_in_attributes_lists_and_dicts_are_tracked():
    holder = Holder(name="holder")
    assert [w.name for w in holder.weights] == NAMES[:1]
    y = holder(X)
    assert [w.name for w in holder.weights] == NAMES
    assert holder.count_params() == 1 + 8 + 6 + 3
    weights = holder.get_weights()
    holder.set_weights([2 * w for w in weights])
    assert_same_bits(holder.more[0].get_weights()[0], 2 * weights[3])
    assert (holder(X) != y).any()
    holder.set_weights(weights)
    assert_same_bits(holder(X), y)
    with pytest.raises(ValueError, match=r"Layer holder expects 7 weights, but 6 were given"):
        holder.set_weights(weights[1:])
    holder.more.append(lcfast.Dense(5, name="late"))
    holder.more[-1].build((None, 1))
    assert len(holder.weights) == 9


def test_a_frozen_sublayer_is_listed_last_and_a_frozen_holder_freezes_all():
    holder = Holder(name="holder")
    holder(X)
    holder.first.trainable = False
    assert [w.name for w in holder.weights] == [NAMES[0], *NAMES[3:], *NAMES[1:3]]
    assert len(holder.trainable_weights) == 5
    holder.trainable = False
    assert holder.trainable_weights == []
    assert not holder.more[1]["last"].trainable


def test_a_holder_works_in_a_model_and_a_model_in_a_holder():
    holder = Holder(name="holder")
    model = lcfast.Sequential([lcfast.InputLayer((3,)), holder])
    assert model.output_shape == (None, 1)
    assert_same_bits(model.predict(X), holder(X))
    weights = model.get_weights()
    model.set_weights([w + 1 for w in weights])
    assert_same_bits(holder.get_weights()[0], weights[0] + 1)
    assert_same_bits(model.predict(X), holder(X))

    class Around(lcfast.Layer):
        def __init__(self):
            super().__init__()
            self.model = model

        def call(self, inputs):
            return self.model(inputs)

    around = Around()
    assert_same_bits(around(X), holder(X))
    assert [w.name for w in around.weights] == NAMES


def test_a_call_never_sees_half_of_a_set_of_weights():
    class Pair(lcfast.Layer):
        def __init__(self):
            super().__init__()
            self.part = lcfast.Dense(1, use_bias=False)

        def build(self, input_shape):
            self.a = self.add_weight("a", (1,), initializer="ones")
            self.b = self.add_weight("b", (1,), initializer="ones")

        def call(self, inputs):
            first = np.asarray(self.a) + 0 * inputs
            entered.set()
            go_on.wait(10)
            return np.concatenate([first, self.b + 0 * inputs, self.part(inputs)], axis=-1)

    entered, go_on = threading.Event(), threading.Event()
    go_on.set()
    layer, one = Pair(), np.ones((1, 1))
    layer(one)
    layer.set_weights([[1], [1], [[1]]])
    entered.clear()
    go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(layer, one)
        assert entered.wait(10)
        layer.set_weights([[2], [2], [[2]]])
        layer.part.set_weights([[[3]]])
        assert layer.a.value == 2  # this thread sees the new ones
        go_on.set()
        assert answer.result().tolist() == [[1, 1, 1]]
    assert layer(one).tolist() == [[2, 2, 3]]
