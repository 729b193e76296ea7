"""BatchNormalization against its formula, and its gradients against differences."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits, assert_within

SHAPE = (3, 4, 5, 6)
AXES = pytest.mark.parametrize("axis", [-1, 3, 1, [2], (-3,)], ids=str)
PARTS = pytest.mark.parametrize(
    ("center", "scale"), [(True, True), (False, True), (True, False), (False, False)], ids=str
)


def normalization(axis=-1, dtype="float64", shape=SHAPE, **options):
    layer = lcfast.BatchNormalization(axis, dtype=dtype, name="norm", **options)
    layer.build((None, *shape[1:]))
    rng = np.random.default_rng(7)
    layer.set_weights([rng.uniform(0.5, 2, size) for size in layer.weight_shapes()])
    return layer


def formula(axis, x, weights, center, scale, epsilon):
    place = axis[0] if isinstance(axis, list | tuple) else axis
    shape = [1] * x.ndim
    shape[place] = -1
    rest = [weight.reshape(shape) for weight in weights]
    gamma = rest.pop(0) if scale else 1
    beta = rest.pop(0) if center else 0
    mean, variance = rest
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def random(shape=SHAPE, dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@AXES
@PARTS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scoring_takes_the_moving_statistics(axis, center, scale, dtype):
    layer = normalization(axis, dtype, center=center, scale=scale, epsilon=0.01)
    x, weights = random(dtype=dtype), layer.get_weights()
    wide = [weight.astype(np.longdouble) for weight in weights]
    expected = formula(axis, x.astype(np.longdouble), wide, center, scale, 0.01)
    # A sum, a root, a quotient, two products and two sums of numbers of at most this size.
    sizes = formula(axis, abs(x) + 2 * wide[-2].max(), wide, center, scale, 0.01)
    assert_within(layer(x), expected.astype(dtype), 8 * np.finfo(dtype).eps * (abs(sizes) + 1))
    assert_same_bits(layer.vjp(x)[0], layer(x))
    assert layer.compute_output_shape((None, *SHAPE[1:])) == (None, *SHAPE[1:])


@AXES
@PARTS
def test_the_gradients_are_those_of_the_formula(axis, center, scale):
    layer = normalization(axis, center=center, scale=scale)
    x, weights = random(), layer.get_weights()
    dy = random(seed=2)
    dx, dweights = layer.vjp(x)[1](dy)

    def loss(x, weights):
        return np.vdot(dy, formula(axis, x, weights, center, scale, 1e-3))

    # The error of a central difference is step**2 times a third derivative, plus rounding / step.
    step, tolerance = 1e-5, 1e-7
    for values, gradient in zip([x, *weights], [dx, *dweights], strict=True):
        assert values.shape == gradient.shape
        for place in [0, values.size // 2, values.size - 1]:
            differences = []
            for sign in (1, -1):
                moved = [x.copy(), *(weight.copy() for weight in weights)]
                changed = next(m for m, v in zip(moved, [x, *weights], strict=True) if v is values)
                changed.flat[place] += sign * step
                differences.append(loss(moved[0], moved[1:]))
            slope = (differences[0] - differences[1]) / (2 * step)
            assert gradient.flat[place] == pytest.approx(slope, rel=tolerance, abs=tolerance)


def test_weights_are_gamma_beta_mean_and_variance():
    layer = normalization()
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [weight.name for weight in layer.weights] == [f"norm/{name}:0" for name in names]
    assert {weight.shape for weight in layer.weights} == {(6,)}
    assert [w.name for w in layer.trainable_weights] == ["norm/gamma:0", "norm/beta:0"]
    assert layer.count_params() == 24
    assert normalization(center=False, scale=False).count_params() == 12


def test_a_new_layer_gives_its_input_but_for_epsilon():
    layer = lcfast.BatchNormalization(dtype="float64")
    x = random()
    assert_within(layer(x), x / np.sqrt(1.001), 4 * np.finfo(float).eps * abs(x))
    for weight, value in zip(layer.get_weights(), (1, 0, 0, 1), strict=True):
        assert_same_bits(weight, np.full(6, value, float))


@AXES
def test_the_bits_of_a_row_do_not_depend_on_the_batch(axis):
    layer = normalization(axis, "float32")
    x = random((40, *SHAPE[1:]), "float32")
    together = layer(x)
    for start, stop in [(0, 1), (7, 8), (3, 20)]:
        assert_same_bits(layer(x[start:stop]), together[start:stop])


@pytest.mark.parametrize("axis", [np.int64(1), [np.int32(-1)]], ids=repr)
def test_numpy_integers_are_integers(axis):
    plain = [int(np.ravel(axis)[0])]
    layer, expected = normalization(axis), normalization(plain)
    assert_same_bits(layer(random()), expected(random()))
    assert all(type(number) is int for number in np.ravel(layer.get_config()["axis"]).tolist())


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("axis", [[], [1, 2], "1", 1.0, None, True, [True], {}, [[1]]], ids=repr)
def test_an_axis_must_be_one_integer(axis):
    with pytest.raises(ValueError, match="Layer norm needs one integer as `axis`"):
        lcfast.BatchNormalization(axis, name="norm")


@pytest.mark.parametrize("axis", [0, -4, 4, -5, 99])
def test_an_axis_that_is_the_batch_or_not_there_is_refused(axis):
    with pytest.raises(ValueError, match=f"Layer norm normalises axis {axis}, which"):
        lcfast.BatchNormalization(axis, name="norm")(np.ones((2, 3, 4, 5)))


def test_an_axis_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match="Axis -1 of the inputs to layer norm should be defined"):
        lcfast.BatchNormalization(name="norm").build((None, 3, None))


@pytest.mark.parametrize("axis", [-1, 1, -3])
@pytest.mark.parametrize("shape", [(2, 5, 4, 5), (2, 7), (2,)], ids=str)
def test_an_input_of_another_size_along_the_axis_is_refused(axis, shape):
    layer = normalization(axis)
    with pytest.raises(ValueError, match=rf"Layer norm was built for inputs whose axis {axis} is"):
        layer(np.ones(shape))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"renorm": True}, "renorm=True"),
        ({"virtual_batch_size": 8}, "virtual_batch_size=8"),
        ({"adjustment": len}, "adjustment=<built-in function len>"),
        ({"renorm": True, "virtual_batch_size": 2}, "renorm=True, virtual_batch_size=2"),
    ],
    ids=["renorm", "virtual_batch_size", "adjustment", "two"],
)
def test_what_changes_the_statistics_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=rf"Layer norm \(BatchNormalization\) has {named}, which"):
        lcfast.BatchNormalization(name="norm", **options)


@pytest.mark.parametrize("options", [{"renorm": False}, {"fused": True}, {"synchronized": True}])
def test_what_changes_nothing_here_is_accepted(options):
    layer = lcfast.BatchNormalization(dtype="float64", **options)
    assert_same_bits(layer(random()), lcfast.BatchNormalization(dtype="float64")(random()))


@pytest.mark.parametrize("argument", ["momentum", "epsilon"])
@pytest.mark.parametrize(
    "value",
    ["much", None, [], {}, True, float("nan"), np.complex64(1), 10**400],
    ids=lambda value: repr(value)[:20],
)
def test_a_number_that_is_none_is_refused_by_name(argument, value):
    with pytest.raises(ValueError, match=f"The `{argument}` argument"):
        lcfast.BatchNormalization(**{argument: value})


@pytest.mark.parametrize("epsilon", [-1e-3, -1, float("nan")])
def test_an_epsilon_below_zero_is_refused(epsilon):
    # The root of a variance and such an epsilon may be no number.
    with pytest.raises(ValueError, match="The `epsilon` argument must be a number"):
        lcfast.BatchNormalization(epsilon=epsilon)
    assert lcfast.BatchNormalization(epsilon=0).epsilon == 0


def test_training_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="training=True"):
        normalization()(random(), training=True)
