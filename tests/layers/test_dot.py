"""Dot against numpy's sums, and what it refuses."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_within

# axes, shapes of the inputs, the same as a sum, shape of the output
PRODUCTS = [
    (1, (3, 4), (3, 4), "nk,nk->n", (3, 1)),
    ((1, 2), (3, 4), (3, 5, 4), "nk,njk->nj", (3, 5)),
    ((2, 1), (3, 5, 4), (3, 4), "nik,nk->ni", (3, 5)),
    ((2, 1), (3, 5, 4), (3, 4, 6), "nik,nkj->nij", (3, 5, 6)),
    (1, (3, 4, 5), (3, 4, 6), "nki,nkj->nij", (3, 5, 6)),
    ((-1, -1), (3, 2, 5, 4), (3, 6, 4), "naik,njk->naij", (3, 2, 5, 6)),
    ((2, -1), (3, 2, 4, 5), (3, 6, 7, 4), "naki,njbk->naijb", (3, 2, 5, 6, 7)),
    ((2, 1), (3, 5, 0), (3, 0, 6), "nik,nkj->nij", (3, 5, 6)),
    ((2, 1), (3, 0, 4), (3, 4, 6), "nik,nkj->nij", (3, 0, 6)),
]
EVERY = pytest.mark.parametrize(("axes", "first", "second", "sum_", "shape"), PRODUCTS, ids=str)


def pair(first, second):
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape) for shape in (first, second)]


@EVERY
def test_dot_is_a_sum_of_products(axes, first, second, sum_, shape):
    layer = lcfast.Dot(axes, dtype="float64")
    a, b = pair(first, second)
    y, pullback = layer.vjp([a, b])
    bound = 6 * np.finfo(float).eps * np.einsum(sum_, abs(a), abs(b)).reshape(shape)
    assert_within(y, np.einsum(sum_, a, b).reshape(shape), bound)
    assert layer.compute_output_shape([(None, *first[1:]), (None, *second[1:])]) == (
        None,
        *shape[1:],
    )
    dy = np.random.default_rng(2).standard_normal(shape)
    (da, db), dweights = pullback(dy)
    wanted = np.vdot(dy, y)
    tolerance = 1e-13 * np.vdot(abs(dy), layer([abs(a), abs(b)]))
    assert abs(np.vdot(da, a) - wanted) <= tolerance
    assert abs(np.vdot(db, b) - wanted) <= tolerance
    assert (da.shape, db.shape, dweights) == (first, second, [])


def test_cosines_lie_between_one_and_minus_one():
    a = np.array([[1.0, 2.0], [3.0, -4.0]])
    cosine = lcfast.Dot(1, normalize=True, dtype="float64")
    assert cosine([a, 7 * a]).ravel() == pytest.approx([1, 1])
    assert cosine([a, -a]).ravel() == pytest.approx([-1, -1])


def test_a_vector_of_zeros_is_not_divided_by_its_length():
    zeros, ones = np.zeros((1, 3)), np.ones((1, 3))
    y, pullback = lcfast.Dot(1, normalize=True, dtype="float64").vjp([zeros, ones])
    (dx, _), _ = pullback([[1.0]])
    assert y.item() == 0
    assert dx.ravel() == pytest.approx([1e6 / np.sqrt(3)] * 3)  # 1 / sqrt(1e-12), as TensorFlow


@pytest.mark.parametrize(
    ("axes", "first", "second"),
    [
        ((2, 1), (3, 5, 4), (3, 5, 6)),
        (1, (3, 4), (2, 4)),
        (0, (3, 4), (3, 4)),
        ((1, 0), (3, 4), (3, 4)),
        (-2, (3, 4), (3, 4)),
        (2, (3, 4), (3, 4)),
        (1, (3,), (3, 4)),
    ],
    ids=str,
)
def test_inputs_that_do_not_go_together_are_refused(axes, first, second):
    with pytest.raises(ValueError, match=r"Layer dot \(Dot\).*axes"):
        lcfast.Dot(axes, name="dot")(pair(first, second))


def test_dot_takes_two_inputs():
    for count in (1, 3):
        with pytest.raises(ValueError, match="2 inputs"):
            lcfast.Dot(1)([np.ones((2, 3))] * count)


@pytest.mark.parametrize("axes", [None, "1", 1.5, True, {}], ids=repr)
def test_axes_of_another_type_are_refused(axes):
    with pytest.raises(TypeError, match="`axes`"):
        lcfast.Dot(axes)


@pytest.mark.parametrize("axes", [[], [1], [1, 2, 3], [1, 1.5], [[1], 2], ["1", 2]], ids=repr)
def test_axes_that_are_not_two_integers_are_refused(axes):
    with pytest.raises(ValueError, match="`axes`"):
        lcfast.Dot(axes)
