"""Flatten and Reshape: the same numbers in another order or shape."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


def counted(*shape):
    return np.arange(np.prod(shape, dtype=int), dtype="f4").reshape(shape)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2,), (2, 0, 3)], ids=str)
def test_flatten_keeps_the_order_of_the_numbers(shape):
    x = counted(*shape)
    y, pullback = lcfast.Flatten().vjp(x)
    assert_same_bits(y, x.reshape(2, int(np.prod(shape[1:]))))
    assert_same_bits(lcfast.Flatten()(x), y)
    assert_same_bits(pullback(y)[0], x)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)], ids=str)
def test_flatten_moves_the_channels_to_the_end_where_they_come_first(shape):
    x = counted(*shape)
    layer = lcfast.Flatten(data_format="channels_first")
    y, pullback = layer.vjp(x)
    last = x if x.ndim == 2 else np.moveaxis(x, 1, -1)
    assert_same_bits(y, last.reshape(2, -1))
    assert_same_bits(layer(x), y)
    assert_same_bits(pullback(y)[0], x)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, 3, 4), (None, 12)),
        ((5, 3), (5, 3)),
        ((None,), (None, 1)),
        ((None, None, 4), (None, None)),
        ((None, 0, 4), (None, 0)),
    ],
    ids=str,
)
def test_the_shape_of_a_flat_output_is_known_where_its_input_s_is(shape, expected):
    assert lcfast.Flatten().compute_output_shape(shape) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ((6, 4), (2, 6, 4)),
        ((4, -1), (2, 4, 6)),
        ((-1,), (2, 24)),
        (-1, (2, 24)),
        (24, (2, 24)),
        ([2, 3, -1, 2], (2, 2, 3, 2, 2)),
        ((24, 1), (2, 24, 1)),
        ((-1, 24), (2, 1, 24)),
        ((np.int64(6), np.int16(-1)), (2, 6, 4)),
    ],
    ids=str,
)
def test_reshape_keeps_the_order_of_the_numbers(target, expected):
    x = counted(2, 4, 6)
    layer = lcfast.Reshape(target)
    y, pullback = layer.vjp(x)
    assert_same_bits(y, x.reshape(expected))
    assert_same_bits(layer(x), y)
    assert_same_bits(pullback(y)[0], x)
    assert layer.compute_output_shape((None, 4, 6)) == (None, *expected[1:])
    assert all(type(size) is int for size in layer.get_config()["target_shape"])


def test_a_size_that_follows_from_an_unknown_one_is_unknown():
    assert lcfast.Reshape((4, -1)).compute_output_shape((None, None, 6)) == (None, 4, None)
    assert lcfast.Reshape((4, 6)).compute_output_shape((None, None, 6)) == (None, 4, 6)


@pytest.mark.parametrize("target", [(5, 5), (7, -1), (24, 2), (23,)], ids=str)
def test_numbers_that_do_not_fit_are_refused(target):
    layer = lcfast.Reshape(target, name="shape")
    expected = r"Layer shape cannot reshape inputs of shape \(.*, 4, 6\) to "
    with pytest.raises(ValueError, match=expected):
        layer(counted(2, 4, 6))
    with pytest.raises(ValueError, match=expected):
        layer(lcfast.Input((4, 6)))


@pytest.mark.parametrize("target", [(-1, -1), [2, -1, -1]], ids=str)
def test_more_than_one_free_size_is_refused(target):
    with pytest.raises(ValueError, match="The `target_shape` argument may hold one -1"):
        lcfast.Reshape(target)


@pytest.mark.parametrize(
    "target",
    [(0,), (2, -2), "24", ("4",), None, (None,), 2.0, (4.0, 6), True, {}, (2**40,)],
    ids=repr,
)
def test_a_target_that_is_no_shape_is_refused(target):
    with pytest.raises(ValueError, match="The `target_shape` argument"):
        lcfast.Reshape(target)


# ---------------------------------------------------------------- Permute and RepeatVector


@pytest.mark.parametrize("dims", [(1,), (2, 1), [3, 1, 2], (4, 2, 1, 3)], ids=str)
def test_permute_moves_axes_there_and_back(dims):
    x = np.random.default_rng(1).standard_normal((2, *range(3, 3 + len(dims)))).astype("f4")
    layer = lcfast.Permute(dims)
    y, pullback = layer.vjp(x)
    assert_same_bits(y, np.transpose(x, (0, *dims)))
    assert y.flags.c_contiguous
    assert_same_bits(pullback(y)[0], x)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *y.shape[1:])


@pytest.mark.parametrize(
    "dims", [(), (0, 1), (1, 1), (1, 3), (2,), "21", None, 3, (True, 2), (1.0, 2), {}], ids=repr
)
def test_dims_that_are_no_permutation_are_refused(dims):
    if dims == ():
        assert lcfast.Permute(dims)(np.ones(3)).shape == (3,)
        return
    with pytest.raises(ValueError, match="Invalid permutation argument `dims` for Permute Layer"):
        lcfast.Permute(dims)


def test_a_vector_is_repeated_and_its_gradients_are_summed():
    x = np.array([[1.0, 2.0]])
    y, pullback = lcfast.RepeatVector(3).vjp(x)
    assert y.tolist() == [[[1, 2]] * 3]
    assert pullback(np.arange(6.0).reshape(1, 3, 2))[0].tolist() == [[6, 9]]


@pytest.mark.parametrize("n", [1.5, "3", None, True, [3]], ids=repr)
def test_a_number_of_repetitions_must_be_an_integer(n):
    with pytest.raises(TypeError, match="Expected an integer value for `n`, got"):
        lcfast.RepeatVector(n)


@pytest.mark.parametrize("n", [0, -1])
def test_a_number_of_repetitions_must_be_positive(n):
    with pytest.raises(ValueError, match="The `n` argument must be a positive integer"):
        lcfast.RepeatVector(n)


@pytest.mark.parametrize("layer", [lcfast.Permute((2, 1)), lcfast.RepeatVector(2)], ids=repr)
def test_moving_layers_refuse_another_rank(layer):
    with pytest.raises(ValueError, match="dimensions, the batch first"):
        layer(np.ones((2, 3, 4, 5)))
