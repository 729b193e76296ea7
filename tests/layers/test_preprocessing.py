"""Rescaling and Normalization: their statistics as files and callers give them."""

import json

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


def random(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------- Rescaling


def test_bytes_are_rescaled_in_the_dtype_of_the_layer():
    x = np.array([[0, 51, 255]], "uint8")
    expected = x.astype("f4") * np.float32(1 / 255) + np.float32(-0.5)
    assert_same_bits(lcfast.Rescaling(1 / 255, -0.5)(x), expected)
    assert lcfast.Rescaling(0.5, dtype="float64")(x).dtype == np.float64


@pytest.mark.parametrize("scale", [0.5, [0.5, 2.0, 4.0], np.array([0.5, 2.0, 4.0]), [[0.5], [2]]])
def test_a_scale_may_be_an_array_that_fits_to_a_row(scale):
    x = random(3, 2, 3)
    y, pullback = lcfast.Rescaling(scale, dtype="float64").vjp(x)
    assert_same_bits(y, x * np.asarray(scale))
    assert_same_bits(pullback(x)[0], x * np.asarray(scale))
    json.dumps(lcfast.Rescaling(scale).get_config())


@pytest.mark.parametrize("argument", ["scale", "offset"])
@pytest.mark.parametrize("shape", [(2,), (2, 3), (3, 1, 3)], ids=str)
def test_an_array_that_does_not_fit_to_a_row_is_refused(argument, shape):
    layer = lcfast.Rescaling(**{"scale": 1.0, argument: np.ones(shape)}, name="scaled")
    with pytest.raises(ValueError, match=f"The `{argument}` of layer scaled"):
        layer(random(3, 3))


@pytest.mark.parametrize("value", ["x", None, True, [1, "x"], [[1], [1, 2]], {}, np.nan], ids=repr)
def test_a_scale_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="The `scale` argument must be a number"):
        lcfast.Rescaling(value)


# ---------------------------------------------------------------- Normalization


def normalization(shape, *arguments, **options):
    layer = lcfast.Normalization(*arguments, dtype="float64", name="norm", **options)
    layer.build((None, *shape))
    rng = np.random.default_rng(2)
    if layer.get_weights():
        sizes = layer.weight_shapes()[:2]
        layer.set_weights([*(rng.uniform(0.5, 2, size) for size in sizes), 12])
    return layer


def test_the_weights_are_mean_variance_and_count():
    layer = normalization((4, 3))
    mean, variance, count = layer.get_weights()
    assert [w.name for w in layer.weights] == ["norm/mean:0", "norm/variance:0", "norm/count:0"]
    assert layer.trainable_weights == []
    assert (mean.shape, variance.shape, count.shape) == ((3,), (3,), ())
    assert (count.dtype, int(count)) == (np.int64, 12)
    assert layer.count_params() == 7


def test_a_new_layer_gives_its_input():
    x = random(2, 4)
    assert_same_bits(lcfast.Normalization(dtype="float64")(x), x)


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, (3,)), (None, ()), ((1, 2), (4, 3)), (1, (4,)), ((-1, 1), (4, 3))]
)
@pytest.mark.parametrize("invert", [False, True])
def test_each_entry_of_the_axes_has_a_mean_of_its_own(axis, shape, invert):
    layer = normalization((4, 3), axis, invert=invert)
    mean, variance, _ = layer.get_weights()
    assert mean.shape == shape
    sizes = {(3,): (1, 1, 3), (): (1, 1, 1), (4, 3): (1, 4, 3), (4,): (1, 4, 1)}[shape]
    mean, root = mean.reshape(sizes), np.sqrt(variance).reshape(sizes)
    x = random(2, 4, 3)
    assert_same_bits(layer(x), mean + x * root if invert else (x - mean) / root)


@pytest.mark.parametrize("axis", [-1, None, (1, 2)], ids=str)
@pytest.mark.parametrize("invert", [False, True])
def test_the_gradients_are_those_of_the_formula(axis, invert):
    layer = normalization((4, 3), axis, invert=invert)
    x, dy = random(2, 4, 3), random(2, 4, 3, seed=3)
    values = [x, *layer.get_weights()]
    dx, dweights = layer.vjp(x)[1](dy)
    assert dweights[2].shape == ()
    assert dweights[2] == 0
    for i, gradient in enumerate([dx, *dweights[:2]]):
        step = 1e-6 * random(*values[i].shape, seed=4)
        found = []
        for sign in (1, -1):
            moved = list(values)
            moved[i] = moved[i] + sign * step
            layer.set_weights(moved[1:])
            found.append(np.vdot(dy, layer(moved[0])))
        assert np.vdot(gradient, step) == pytest.approx(np.subtract(*found) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("mean", "shape"), [(3.0, ()), ([1.0, 2.0, 3.0], (3,)), (np.ones((1, 3)), (1, 3)), ([3], (1,))]
)
def test_given_statistics_are_no_weights(mean, shape):
    layer = normalization((4, 3), -1, mean, 4.0)
    x = random(2, 4, 3)
    assert layer.get_weights() == []
    assert np.shape(layer.mean) == shape
    assert_same_bits(layer(x), (x - np.asarray(mean)) / 2)
    assert layer.vjp(x)[1](x)[1] == []
    assert layer.get_config()["variance"] == 4.0


def test_a_variance_of_zero_divides_by_little():
    assert lcfast.Normalization(mean=0, variance=0)(np.ones((1, 1))).item() == np.float32(1e7)


@pytest.mark.parametrize("given", [{"mean": 1.0}, {"variance": 1.0}], ids=str)
def test_mean_and_variance_are_given_together(given):
    with pytest.raises(ValueError, match="both `mean` and `variance` must be set"):
        lcfast.Normalization(**given)


@pytest.mark.parametrize(
    ("axis", "shape", "message"),
    [
        (3, (None, 4, 3), r"must be in the range \[-ndim, ndim\)"),
        (-4, (None, 4, 3), r"must be in the range \[-ndim, ndim\)"),
        (0, (None, 4, 3), "none may be the batch"),
        (0, (5, 4, 3), "none may be the batch"),
        (-1, (None, 4, None), "must have known shape"),
    ],
)
def test_axes_that_an_input_does_not_have_are_refused(axis, shape, message):
    with pytest.raises(ValueError, match=message):
        lcfast.Normalization(axis).build(shape)


@pytest.mark.parametrize("mean", [[1.0, 2.0], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]], ids=str)
def test_statistics_of_another_shape_are_refused(mean):
    with pytest.raises(ValueError, match=r"The `mean` of layer norm .*; expected \(3,\)"):
        normalization((4, 3), -1, mean, 1.0)


def test_an_input_of_another_size_along_the_axes_is_refused():
    layer = normalization((4, 3))
    for shape in ((2, 4, 4), (2, 4)):
        with pytest.raises(ValueError, match="norm was built for inputs with the sizes"):
            layer(random(*shape))


@pytest.mark.parametrize("axis", ["1", 1.5, True, [1.5]], ids=repr)
def test_an_axis_must_be_an_integer(axis):
    with pytest.raises(ValueError, match="The `axis` argument must be an integer"):
        lcfast.Normalization(axis)
