"""Input and InputLayer: where a graph begins."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"shape": (4, 3)}, (None, 4, 3)),
        ({"shape": [None, np.int64(3)]}, (None, None, 3)),
        ({"shape": (4,), "batch_size": 2}, (2, 4)),
        ({"batch_shape": (None, 4)}, (None, 4)),
        ({"batch_shape": (2, 4)}, (2, 4)),
        ({"shape": ()}, (None,)),
    ],
    ids=str,
)
def test_an_input_has_the_shape_that_was_given(options, shape):
    tensor = lcfast.Input(**options)
    assert tensor.shape == shape
    assert tensor.dtype == "float32"


@pytest.mark.parametrize(
    "dtype",
    [
        *("float32", "float64", np.float64, "float16", "int8", "int32", "int64", "uint8", "bool"),
        {"class_name": "Policy", "config": {"name": "int32"}},
    ],
    ids=str,
)
def test_an_input_has_the_dtype_that_was_given(dtype):
    name = "int32" if isinstance(dtype, dict) else np.dtype(dtype).name
    tensor = lcfast.Input((3,), dtype=dtype)
    assert tensor.dtype == name
    assert tensor.node.layer.get_config()["dtype"] == name


def test_an_input_has_the_name_of_its_layer():
    tensor = lcfast.Input((3,), name="signal")
    assert tensor.name == "signal"
    first, second = lcfast.Input((3,)).name, lcfast.Input((3,)).name
    assert int(second.removeprefix("input_")) == int(first.removeprefix("input_")) + 1
    assert int(first.removeprefix("input_")) >= 1


def test_an_input_layer_is_built_and_has_no_weights():
    layer = lcfast.InputLayer((4, 3), batch_size=2)
    assert layer.built
    assert layer.get_weights() == []
    assert layer.count_params() == 0
    assert layer.tensor.shape == layer.batch_input_shape == (2, 4, 3)
    assert layer.compute_output_shape((2, 4, 3)) == (2, 4, 3)


def test_an_input_layer_passes_arrays_on():
    x = np.random.default_rng(1).standard_normal((2, 3))
    layer = lcfast.InputLayer((3,))
    y, pullback = layer.vjp(x)
    assert_same_bits(layer(x), x.astype("f4"))
    assert_same_bits(y, x.astype("f4"))
    dx, dweights = pullback(2 * x)
    assert_same_bits(dx, (2 * x).astype("f4"))
    assert dweights == []


@pytest.mark.parametrize("option", ["sparse", "ragged", "optional"])
def test_inputs_of_another_kind_are_refused(option):
    with pytest.raises(ValueError, match="sparse, ragged or optional"):
        lcfast.InputLayer((3,), **{option: True})
    assert lcfast.InputLayer((3,), **{option: False}).built
    assert lcfast.InputLayer((3,), **{option: None}).built


def test_an_input_without_a_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(InputLayer\) needs a shape: give input_shape"):
        lcfast.Input()
    with pytest.raises(ValueError, match=r"Layer signal \(InputLayer\) needs a shape"):
        lcfast.InputLayer(name="signal")


@pytest.mark.parametrize("shape", [3, 3.0, "ab", (2.5,), (True,), ([1],), (-1,)], ids=repr)
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape` argument must be a tuple"):
        lcfast.Input(shape)


@pytest.mark.parametrize(
    "dtype", ["string", 3, "complex64", "O", ">i4", "longdouble", "datetime64[D]"], ids=repr
)
def test_an_input_of_another_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match="The `dtype` argument of an input must be float16, "):
        lcfast.Input((3,), dtype=dtype)


def test_an_integer_input_layer_passes_integers_on_and_has_no_gradient():
    layer = lcfast.InputLayer((3,), dtype="int32")
    x = np.array([[1, 2, 3]])
    y, pullback = layer.vjp(x)
    assert y.dtype == layer(x).dtype == np.int32
    assert y.tolist() == x.tolist()
    assert pullback(y) == (None, [])


# ---------------------------------------------------------------- integers in models


def words_and_numbers():
    words, numbers = lcfast.Input((4,), dtype="int32"), lcfast.Input((2,))
    embedded = lcfast.Flatten()(lcfast.Embedding(10, 2)(words))
    both = lcfast.Concatenate()([embedded, numbers, words])
    return lcfast.Model([words, numbers], lcfast.Dense(3)(both))


def some_words(rows=5, dtype="int32"):
    rng = np.random.default_rng(1)
    words = rng.integers(0, 10, (rows, 4)).astype(dtype)
    return [words, rng.standard_normal((rows, 2)).astype("f4")]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float32", "float16"])
def test_a_model_takes_integers_in_any_dtype(dtype):
    model = words_and_numbers()
    expected = model.predict(some_words())
    assert_same_bits(model.predict(some_words(dtype=dtype)), expected)
    assert_same_bits(model(some_words(dtype=dtype)), expected)
    assert_same_bits(model.predict(some_words(dtype=dtype), batch_size=2), expected)


def test_an_input_is_cast_to_the_dtype_of_its_layer():
    inputs = lcfast.Input((3,), dtype="uint8")
    model = lcfast.Model(inputs, lcfast.Rescaling(0.5)(inputs))
    assert model.predict(np.array([[1.75, 2.0, 254.5]])).tolist() == [[0.5, 1.0, 127.0]]


def test_the_gradient_of_an_integer_input_is_none():
    model = words_and_numbers()
    x = some_words()
    y, pullback = model.vjp(x)
    dx, dweights = pullback(np.ones_like(y))
    kernel = model.get_weights()[1]
    assert dx[0] is None
    assert_same_bits(dx[1], np.repeat(kernel[8:10].sum(axis=1)[np.newaxis], 5, axis=0))
    assert [d.shape for d in dweights] == [(10, 2), (14, 3), (3,)]
    alone = lcfast.Input((4,), dtype="int32")
    model = lcfast.Model(alone, lcfast.Embedding(10, 2)(alone))
    y, pullback = model.vjp(x[0])
    assert pullback(y)[0] is None


def test_a_sequential_may_begin_with_an_embedding():
    model = lcfast.Sequential([lcfast.Embedding(10, 2, input_length=4), lcfast.Flatten()])
    words = some_words()[0]
    table = model.get_weights()[0]
    assert model.input_shape == (None, 4)
    assert model.inputs[0].dtype == "float32"  # as in Keras
    assert_same_bits(model.predict(words), table[words].reshape(5, 8))
    dx, (dtable,) = model.vjp(words)[1](np.ones((5, 8)))
    assert_same_bits(dx, np.zeros((5, 4), "f4"))
    counts = np.bincount(words.ravel(), minlength=10)
    assert_same_bits(dtable, np.repeat(counts[:, np.newaxis], 2, axis=1).astype("f4"))


def test_an_integer_output_is_given_as_it_is():
    words = lcfast.Input((4,), dtype="int32")
    model = lcfast.Model(words, [words, lcfast.Embedding(10, 2)(words)])
    x = some_words()[0]
    same, vectors = model.predict(x)
    assert same.dtype == np.int32
    assert same.tolist() == x.tolist()
    assert vectors.shape == (5, 4, 2)
    y, pullback = model.vjp(x)
    assert pullback(y)[0] is None
