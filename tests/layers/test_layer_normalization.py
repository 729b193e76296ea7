"""LayerNormalization against its formula in more digits, and what it refuses."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_within

SHAPE = (3, 4, 5, 6)
AXES = pytest.mark.parametrize("axis", [-1, 3, 1, [2], (1, 3), [3, 1], [1, 2, 3]], ids=str)


def normalization(axis=-1, dtype="float64", shape=SHAPE, **options):
    layer = lcfast.LayerNormalization(axis, dtype=dtype, name="norm", **options)
    layer.build((None, *shape[1:]))
    rng = np.random.default_rng(7)
    layer.set_weights([rng.uniform(0.5, 2, size) for size in layer.weight_shapes()])
    return layer


def random(shape=SHAPE, dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@AXES
@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_is_normalized_by_itself(axis, epsilon, dtype):
    layer = normalization(axis, dtype, epsilon=epsilon)
    axes = tuple(a % 4 for a in (axis if isinstance(axis, list | tuple) else [axis]))
    x = 3 + random(dtype=dtype)
    wide = x.astype(np.longdouble)
    centred = wide - wide.mean(axes, keepdims=True)
    normalized = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)
    # As in Keras the numbers of gamma and beta are laid along the axes in the order of the input.
    sizes = [SHAPE[i] if i in axes else 1 for i in range(4)]
    gamma, beta = (weight.reshape(sizes) for weight in layer.get_weights())
    count = np.prod([SHAPE[i] for i in axes])
    bound = (4 * count + 8) * np.finfo(dtype).eps * (np.abs(x).max() + np.abs(normalized).max())
    assert_within(layer(x), (normalized * gamma + beta).astype(dtype), 2 * bound)


@AXES
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_the_gradients_are_those_of_the_formula(axis, center, scale):
    layer = normalization(axis, center=center, scale=scale)
    x, dy = random(), random(seed=2)
    weights = layer.get_weights()
    dx, dweights = layer.vjp(x)[1](dy)
    assert [d.shape for d in dweights] == [w.shape for w in weights]
    rng = np.random.default_rng(3)
    for i, (value, gradient) in enumerate(zip([x, *weights], [dx, *dweights], strict=True)):
        step = 1e-5 * rng.standard_normal(value.shape)
        found = []
        for sign in (1, -1):
            moved = [x, *weights]
            moved[i] = value + sign * step
            layer.set_weights(moved[1:])
            found.append(np.vdot(dy, layer(moved[0])))
        # The error of a central difference is step**2 times a third derivative, plus rounding.
        assert np.vdot(gradient, step) == pytest.approx(np.subtract(*found) / 2, rel=1e-6, abs=1e-9)


def test_a_constant_row_gives_beta():
    layer = normalization(shape=(2, 6), dtype="float32")
    y = layer(np.full((2, 6), 7.0))
    assert y.tolist() == [layer.get_weights()[1].tolist()] * 2


def test_the_axes_are_counted_from_the_front_once_it_is_built():
    layer = lcfast.LayerNormalization(-1)
    assert layer.axis == layer.get_config()["axis"] == -1
    layer.build((None, 3, 4))
    assert layer.axis == layer.get_config()["axis"] == [2]
    assert lcfast.LayerNormalization((1, 2)).get_config()["axis"] == [1, 2]


def test_weights_are_gamma_and_beta():
    layer = normalization([1, 3])
    assert [weight.name for weight in layer.trainable_weights] == ["norm/gamma:0", "norm/beta:0"]
    assert layer.weight_shapes() == [(4, 6), (4, 6)]
    assert normalization(center=False, scale=False).get_weights() == []


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("axis", ["1", 1.0, None, True, [], [1.5], [True], {}, [[1]]], ids=repr)
def test_an_axis_must_be_an_integer_or_several(axis):
    with pytest.raises(TypeError, match="Expected an int or a list/tuple of ints for the argument"):
        lcfast.LayerNormalization(axis)


@pytest.mark.parametrize("axis", [0, -4, 4, [1, 1], [1, -3], [0, 1], 99], ids=str)
def test_an_axis_that_is_the_batch_or_twice_there_is_refused(axis):
    with pytest.raises(ValueError, match="Layer norm normalises the axes"):
        lcfast.LayerNormalization(axis, name="norm")(np.ones((2, 3, 4, 5)))


@pytest.mark.parametrize("size", [None, 0])
def test_an_axis_of_unknown_size_is_refused(size):
    with pytest.raises(ValueError, match=r"inputs to layer norm should be defined and positive"):
        lcfast.LayerNormalization(name="norm").build((None, 3, size))


@pytest.mark.parametrize("shape", [(2, 4, 5, 7), (2, 4, 5), (2,)], ids=str)
def test_an_input_of_another_size_along_the_axes_is_refused(shape):
    with pytest.raises(ValueError, match=r"norm was built for inputs whose axes \[3\] are \(6,\)"):
        normalization()(np.ones(shape))


@pytest.mark.parametrize("epsilon", [-1e-3, "1", None, float("nan"), True], ids=repr)
def test_an_epsilon_that_is_none_is_refused(epsilon):
    with pytest.raises(ValueError, match="The `epsilon` argument must be a number of 0 or more"):
        lcfast.LayerNormalization(epsilon=epsilon)
