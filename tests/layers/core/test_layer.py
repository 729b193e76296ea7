"""What holds for every layer: names, shapes, calls."""

import inspect

import numpy as np
import pytest

import lcfast
from lcfast.layers.noise import Noise
from tests.support.cases import LAYOUTS, assert_same_bits
from tests.support.each_layer import (
    MERGING,
    MOVERS,
    OF_MERGING,
    OF_MOVERS,
    OF_ONE_INPUT,
    WITH_WEIGHTS,
    WITHOUT_WEIGHTS,
    built,
    flat,
    one,
    random,
)

# ---------------------------------------------------------------- names, dtypes, shapes


@pytest.mark.parametrize(
    ("kind", "arguments", "stem"),
    [
        (lcfast.LocallyConnected1D, (1, 1), "locally_connected1d"),
        (lcfast.LocallyConnected2D, (1, 1), "locally_connected2d"),
        (lcfast.Conv2D, (1, 1), "conv2d"),
        (lcfast.BatchNormalization, (), "batch_normalization"),
        (lcfast.MaxPooling2D, (), "max_pooling2d"),
        (lcfast.ReLU, (), "re_lu"),
        (lcfast.InputLayer, ((3,),), "input"),
        (lcfast.Dense, (1,), "dense"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layers_without_a_name_are_numbered_by_their_class(kind, arguments, stem):
    first, second = kind(*arguments).name, kind(*arguments).name
    numbers = [int(name.removeprefix(stem).removeprefix("_") or 0) for name in (first, second)]
    assert first == (f"{stem}_{numbers[0]}" if numbers[0] else stem)
    assert second == f"{stem}_{numbers[1]}"
    assert numbers[1] == numbers[0] + 1


@pytest.mark.parametrize("name", ["", 3, ["a"], b"a", True], ids=repr)
def test_a_name_must_be_a_string_with_something_in_it(name):
    with pytest.raises(ValueError, match="The `name` argument must be a non-empty string"):
        lcfast.Dense(1, name=name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "float32"),
        ("float64", "float64"),
        (np.float64, "float64"),
        (np.dtype("float32"), "float32"),
        ({"class_name": "Policy", "config": {"name": "float64"}}, "float64"),
    ],
    ids=str,
)
def test_a_dtype_is_float32_or_float64(given, expected):
    layer = lcfast.Dense(2, dtype=given)
    assert layer.dtype == expected
    assert layer.get_config()["dtype"] == expected
    assert layer(np.ones((1, 3))).dtype == np.dtype(expected)
    assert {w.dtype for w in layer.get_weights()} == {np.dtype(expected)}


@pytest.mark.parametrize(
    "dtype",
    [
        *("float16", "mixed_float16", "int32", "half", "nonsense", "O", ">f4", "f4,f4", "("),
        *(3, [], ["float32"], {"config": {"name": "int8"}}, {"config": []}, object, bool),
        {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}},
    ],
    ids=repr,
)
def test_another_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match="The `dtype` argument must be float32 or float64"):
        lcfast.Dense(2, dtype=dtype)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"input_shape": (4, None, 3)}, (None, 4, None, 3)),
        ({"input_shape": [4, np.int64(3)]}, (None, 4, 3)),
        ({"input_shape": (4, 3), "batch_size": 5}, (5, 4, 3)),
        ({"batch_input_shape": (2, 4, 3)}, (2, 4, 3)),
        ({"batch_input_shape": (2, 4, 3), "input_shape": (9,)}, (2, 4, 3)),
        ({"batch_size": 5}, None),
    ],
    ids=str,
)
def test_the_shape_of_the_input_may_be_given_with_or_without_the_batch(options, expected):
    layer = lcfast.Activation("relu", **options)
    assert layer.batch_input_shape == expected
    assert ("batch_input_shape" in layer.get_config()) == (expected is not None)


@pytest.mark.parametrize(
    "shape",
    [5, np.int64(5), 5.0, "ab", (True,), (2.0,), (-1,), ("3",), ((2,),), (2**40,)],
    ids=repr,
)
def test_a_shape_that_is_no_tuple_of_sizes_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape` argument must be a tuple"):
        lcfast.Activation("relu", input_shape=shape)


@pytest.mark.parametrize("batch_size", [-1, True, 2.0, "2"], ids=repr)
def test_a_batch_size_that_is_no_positive_integer_is_refused(batch_size):
    with pytest.raises(ValueError, match="argument must be a"):
        lcfast.Activation("relu", input_shape=(3,), batch_size=batch_size)


@pytest.mark.parametrize("flag", ["trainable", "dynamic"])
@pytest.mark.parametrize("value", ["yes", None, 2, [], {}, 0.5], ids=repr)
def test_a_flag_must_be_true_or_false(flag, value):
    with pytest.raises(ValueError, match=f"The `{flag}` argument must be True or False"):
        lcfast.Dense(1, **{flag: value})


# ---------------------------------------------------------------- inputs


@OF_ONE_INPUT
@pytest.mark.parametrize("kind", ["float16", "float64", "int8", "uint16", "int64", "bool", "list"])
def test_real_numbers_of_any_kind_are_converted(make, shape, kind):
    layer = built(make, shape)
    x = (3 * random((2, *shape))).astype("int8" if kind == "list" else kind)
    given = x.tolist() if kind == "list" else x
    assert_same_bits(layer(given), layer(x.astype("float32")))
    assert_same_bits(layer.vjp(given)[0], layer(x.astype("float32")))


@OF_ONE_INPUT
@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_are_bit_identical_for_any_layout_of_the_input(make, shape, layout):
    layer = built(make, shape)
    x = random((3, *shape))
    other = LAYOUTS[layout](x)
    y, pullback = layer.vjp(x)
    dy = random(y.shape, seed=8)
    other_y, other_pullback = layer.vjp(other)
    assert_same_bits(layer(other), y)
    assert_same_bits(other_y, y)
    (dx, dweights), (other_dx, other_dweights) = pullback(dy), other_pullback(LAYOUTS[layout](dy))
    for got, expected in zip([other_dx, *other_dweights], [dx, *dweights], strict=True):
        assert_same_bits(got, expected)


@OF_ONE_INPUT
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_output_of_a_row_does_not_depend_on_the_batch(make, shape, dtype):
    layer = built(make, shape, dtype=dtype)
    x = random((19, *shape), dtype)
    together = layer(x)
    assert together.dtype == np.dtype(dtype)
    for size in (1, 2, 7, 16):
        assert_same_bits(layer(x[:size]), together[:size])
    assert_same_bits(layer(x[11:12]), together[11:12])
    _, pullback = layer.vjp(x)
    dy = random(together.shape, dtype, seed=8)
    assert_same_bits(layer.vjp(x[5:8])[1](dy[5:8])[0], pullback(dy)[0][5:8])


@OF_ONE_INPUT
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("text", "which is not real numbers"),
        (1j * np.ones((2, 3)), "has dtype complex128, which is not real numbers"),
        (np.array([[None]]), "has dtype object"),
        (None, "has dtype object"),
        (np.array(["2020-01-01"], "datetime64[D]"), "has dtype datetime64"),
        ([[1.0, 2.0], [3.0]], "cannot be made into an array"),
    ],
    ids=["text", "complex", "object", "None", "dates", "ragged"],
)
def test_an_input_that_is_not_real_numbers_is_refused(make, shape, given, message):
    layer = built(make, shape, name="local")
    for call in (layer, layer.vjp):
        with pytest.raises(TypeError, match=rf"The input of layer local .*{message}"):
            call(given)


@OF_ONE_INPUT
def test_a_single_number_is_no_batch(make, shape):
    for layer in (make(name="local"), built(make, shape, name="local")):
        with pytest.raises(ValueError, match="The input of layer local is a number"):
            layer(3.0)


@OF_ONE_INPUT
def test_an_empty_batch_gives_an_empty_output(make, shape):
    layer = built(make, shape)
    rows, empty = np.ones((3, *shape), "f4"), np.empty((0, *shape), "f4")
    expected = (0, *layer(rows).shape[1:])
    assert layer(empty).shape == expected
    assert layer(empty, out=np.empty(expected, "f4")).shape == expected
    y, pullback = layer.vjp(empty)
    dx, dweights = pullback(np.empty(y.shape))
    assert y.shape == expected
    assert dx.shape == empty.shape
    for gradient, weight in zip(dweights, layer.get_weights(), strict=True):
        assert_same_bits(np.abs(gradient), np.zeros_like(weight))


@OF_ONE_INPUT
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_that_is_given_is_modified(make, shape, dtype):
    layer = built(make, shape)
    x = random((3, *shape), dtype)
    y, pullback = layer.vjp(x)
    dy = random(y.shape, dtype, seed=8)
    x_before, dy_before = x.copy(), dy.copy()
    layer(x)
    pullback(dy)
    assert_same_bits(x, x_before)
    assert_same_bits(dy, dy_before)


@OF_MERGING
def test_merging_layers_modify_nothing_that_is_given(make, shape):
    given = [random((3, *shape), seed=seed) for seed in (1, 2)]
    before = [x.copy() for x in given]
    y, pullback = make().vjp(given)
    dy = random(y.shape, seed=8)
    dy_before = dy.copy()
    make()(given)
    pullback(dy)
    for got, expected in zip([*given, dy], [*before, dy_before], strict=True):
        assert_same_bits(got, expected)


def assert_apart(*arrays):
    for i, first in enumerate(arrays):
        for second in arrays[:i]:
            assert not np.shares_memory(first, second), "two of them share memory"


@OF_MOVERS
def test_an_output_never_shares_memory_with_the_input(make, shape):
    x = random((3, *shape))
    y = make()(x)
    assert_same_bits(y.reshape(x.shape), x)
    assert_apart(x, y)


@OF_MOVERS
def test_an_output_never_shares_memory_that_the_input_only_wraps(make, shape):
    x = random((3, *shape))
    assert_apart(x, make()(memoryview(x)))


@OF_MOVERS
def test_gradients_never_share_memory_with_the_arguments(make, shape):
    x = random((3, *shape))
    y, pullback = make().vjp(x)
    dy = random(y.shape, seed=8)
    dx, dweights = pullback(dy)
    assert dweights == []
    assert_same_bits(dx.reshape(dy.shape), dy)
    assert_apart(x, y, dy, dx)


@OF_MERGING
@pytest.mark.parametrize("count", [1, 2])
def test_outputs_of_merging_layers_never_share_memory_with_the_arguments(make, shape, count):
    given = [random((3, *shape), seed=seed) for seed in range(count)]
    y, pullback = make().vjp(given)
    dy = random(y.shape, seed=8)
    dx, _ = pullback(dy)
    assert len(dx) == count
    assert_apart(*given, make()(given), y, dy, *dx)


@pytest.mark.parametrize(("make", "shape"), [*WITH_WEIGHTS, *WITHOUT_WEIGHTS, *MOVERS])
def test_changing_an_output_changes_neither_the_next_one_nor_the_gradients(make, shape):
    layer = built(make, shape)
    y, pullback = layer.vjp(random((3, *shape)))
    dy, before = random(y.shape, seed=8), y.copy()
    expected = flat(pullback(dy))
    y -= 1  # as in y -= target; pullback(y)
    for got, wanted in zip(flat(pullback(dy)), expected, strict=True):
        assert_same_bits(got, wanted)
        got[...] = 77
    for got, wanted in zip(flat(pullback(dy)), expected, strict=True):
        assert_same_bits(got, wanted)
    assert_same_bits(layer(random((3, *shape))), before)


# ---------------------------------------------------------------- out, training, mask


@OF_ONE_INPUT
def test_the_output_is_written_to_out(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    expected = layer(x)
    out = np.full(expected.shape, np.nan, expected.dtype)
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


@OF_ONE_INPUT
@pytest.mark.parametrize("layout", ["fortran", "reversed", "every-second", "misaligned"])
def test_out_may_have_any_layout(make, shape, layout):
    layer = built(make, shape)
    x = random((3, *shape))
    expected = layer(x)
    out = LAYOUTS[layout](np.zeros_like(expected))
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


OF_EQUAL_SHAPES = pytest.mark.parametrize(
    ("make", "shape"),
    [
        one(lcfast.Activation, (4, 5), "softmax"),
        one(lcfast.BatchNormalization, (4, 5)),
        one(lcfast.Conv1D, (4, 5), 5, 3, padding="same"),
        one(lcfast.Dense, (4, 5), 5),
        one(lcfast.Dropout, (4, 5), 0.5),
        one(lcfast.LocallyConnected1D, (4, 5), 5, 1, activation="relu"),
        one(lcfast.MaxPooling1D, (4, 5), 3, 1, "same"),
        one(lcfast.ReLU, (4, 5)),
    ],
)


@OF_EQUAL_SHAPES
def test_out_may_be_the_input(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    expected = layer(x)
    assert layer(x, out=x) is x
    assert_same_bits(x, expected)


@OF_EQUAL_SHAPES
@pytest.mark.parametrize("ahead", [True, False])
def test_out_may_overlap_the_input(make, shape, ahead):
    layer = built(make, shape)
    shared = random((4, *shape))
    x, out = (shared[:-1], shared[1:]) if ahead else (shared[1:], shared[:-1])
    expected = layer(x.copy())
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


@OF_ONE_INPUT
def test_an_out_that_does_not_fit_is_refused(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    y = layer(x)
    with pytest.raises(TypeError, match="out must be a numpy array, not list"):
        layer(x, out=y.tolist())
    with pytest.raises(TypeError, match="out has dtype float64; expected float32"):
        layer(x, out=y.astype("float64"))
    for wrong in (y[:2], y[..., :1], y[0]):
        with pytest.raises(ValueError, match="out has shape"):
            layer(x, out=wrong.copy())
    y.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        layer(x, out=y)


@OF_ONE_INPUT
def test_a_mask_is_refused(make, shape):
    layer = built(make, shape, name="local")
    x, mask = random((3, *shape)), np.ones(3, bool)
    expected = "Layer local does not support masking, but was passed a mask"
    with pytest.raises(TypeError, match=expected):
        layer(x, mask=mask)
    with pytest.raises(TypeError, match=expected):
        layer.compute_mask(x, mask)
    assert layer.compute_mask(x) is None
    assert layer.compute_mask(x, None) is None


@OF_ONE_INPUT
@pytest.mark.parametrize("training", [None, False, True, 0, 1])
def test_training_changes_nothing_or_is_refused(make, shape, training):
    layer = built(make, shape, name="local")
    x = random((3, *shape))
    if training and isinstance(layer, Noise | lcfast.BatchNormalization):
        with pytest.raises(ValueError, match="Layer local was called with training=True"):
            layer(x, training=training)
    else:
        assert_same_bits(layer(x, training=training), layer(x))


def test_calls_take_the_arguments_of_keras_in_its_order():
    parameters = inspect.signature(lcfast.Dense.__call__).parameters
    defaults = {name: parameter.default for name, parameter in list(parameters.items())[1:]}
    assert list(defaults.items()) == [
        *(("inputs", inspect.Parameter.empty), ("training", None), ("mask", None), ("out", None)),
        ("call_arguments", inspect.Parameter.empty),  # by name: what the `call` of a subclass takes
    ]


@pytest.mark.parametrize(("make", "shape"), WITH_WEIGHTS + WITHOUT_WEIGHTS + MERGING)
def test_an_argument_that_no_layer_takes_is_refused_by_its_name(make, shape):
    with pytest.raises(TypeError, match=r"does not take these arguments: 'autocast', 'colour'\."):
        make(autocast=True, colour="red")
