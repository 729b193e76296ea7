"""Embedding: indices of every dtype, and those that are not in the table."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


def table(rows=5, columns=3, dtype="float32"):
    return np.random.default_rng(1).standard_normal((rows, columns)).astype(dtype)


def embedding(rows=5, **options):
    return lcfast.Embedding(rows, 3, weights=[table(rows)], name="words", **options)


@pytest.mark.parametrize(
    "dtype", [*("int8", "uint8", "int32", "int64", "uint64", "bool"), "float16", "float64", ">i4"]
)
def test_an_index_of_any_dtype_finds_its_row(dtype):
    x = np.array([[0, 1, 1], [1, 0, 0]]).astype(dtype)
    assert_same_bits(embedding()(x), table()[x.astype(int)])
    assert_same_bits(embedding()(x.tolist()), table()[x.astype(int)])


def test_numbers_are_cut_towards_zero_as_keras_does():
    assert_same_bits(embedding()([[0.99, 4.5, -0.5]]), table()[[[0, 4, 0]]])


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (5, "5"),
        (-1, "-1"),
        (2**40, "1099511627776"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        (1e30, "1e"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (-1.0, "-1"),
    ],
    ids=repr,
)
def test_an_index_that_is_not_in_the_table_is_refused_by_its_place(index, shown):
    x = np.full((2, 3), 0, np.asarray(index).dtype)
    x[1, 2] = index
    for call in (embedding(), embedding().vjp):
        with pytest.raises(ValueError, match=rf"words .*\[1, 2\] = {shown}.* not in \[0, 5\)"):
            call(x)


def test_a_table_may_be_longer_than_a_small_float_counts():
    # 65521 is no float16, and 2**24 + 1 no float32.
    layer = lcfast.Embedding(2**24 + 2, 1, "zeros")
    layer.build((None, 1))
    layer.set_weights([np.arange(2**24 + 2, dtype="f4")[:, np.newaxis]])
    assert layer(np.array([[2048.0]], "float16")).item() == 2048
    assert layer(np.array([[2**24 + 1]])).item() == np.float32(2**24 + 1)


def test_the_gradient_of_the_table_adds_the_rows_that_were_taken():
    x = np.array([[0, 1, 1], [1, 0, 4]])
    y, pullback = embedding().vjp(x)
    dy = np.random.default_rng(2).standard_normal(y.shape).astype("f4")
    dx, (gradient,) = pullback(dy)
    expected = np.zeros((5, 3), "f4")
    for row, place in zip(dy.reshape(-1, 3), x.ravel(), strict=True):
        expected[place] += row
    assert dx is None
    assert_same_bits(gradient, expected)
    assert_same_bits(pullback(dy)[1][0], expected)


def test_indices_of_several_axes_keep_them():
    x = np.zeros((2, 3, 4, 5), int)
    assert embedding()(x).shape == (2, 3, 4, 5, 3)
    assert embedding()(x[:, 0, 0, 0]).shape == (2, 3)
    assert embedding(input_length=None)(x[:0]).shape == (0, 3, 4, 5, 3)


@pytest.mark.parametrize(
    ("length", "batch_input_shape", "output"),
    [
        (None, (None, None), (None, None, 3)),
        (4, (None, 4), (None, 4, 3)),
        ((4, None), (None, 4, None), (None, 4, None, 3)),
        (0, (None, None), None),
    ],
    ids=str,
)
def test_input_length_is_the_shape_of_a_row(length, batch_input_shape, output):
    layer = lcfast.Embedding(5, 3, input_length=length)
    assert layer.batch_input_shape == batch_input_shape
    if output is not None:
        assert layer.compute_output_shape(batch_input_shape) == output


def test_a_shape_against_input_length_is_refused():
    layer = embedding(input_length=4)
    for shape in ((None, 5), (None, 4, 2)):
        with pytest.raises(ValueError, match='"input_length" is 4, but received input has shape'):
            layer.compute_output_shape(shape)
    assert layer.compute_output_shape((None, None)) == (None, 4, 3)


def test_the_shape_that_keras_writes_for_several_lengths_is_read():
    config = {**lcfast.Embedding(5, 3).get_config(), "batch_input_shape": [None, [2, None]]}
    assert lcfast.Embedding.from_config(config).batch_input_shape == (None, 2, None)


@pytest.mark.parametrize("argument", ["input_dim", "output_dim"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", None, True], ids=repr)
def test_a_size_must_be_a_positive_integer(argument, value):
    with pytest.raises(ValueError, match=f"The `{argument}` argument must be a positive integer"):
        lcfast.Embedding(**{"input_dim": 3, "output_dim": 3, argument: value})


def test_sparse_outputs_are_refused():
    with pytest.raises(ValueError, match="sparse"):
        lcfast.Embedding(3, 3, sparse=True)


def test_text_is_no_index():
    with pytest.raises(TypeError, match="which is not real numbers; convert it to integers"):
        embedding()(np.array([["a"]]))


def test_an_embedding_is_drawn_as_keras_draws_it():
    layer = lcfast.Embedding(100, 20, embeddings_regularizer="l2", activity_regularizer="l1")
    layer.build((None, 4))
    (drawn,) = layer.get_weights()
    assert drawn.shape == (100, 20)
    assert -0.05 <= drawn.min() < -0.04 < 0.04 < drawn.max() <= 0.05
    assert layer.weights[0].name == f"{layer.name}/embeddings:0"
    layer(np.zeros((2, 4), int))
    assert len(layer.losses) == 2
