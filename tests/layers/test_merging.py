"""Layers that merge, on small integers: every sum of them is exact."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


def integers(*shape, seed=1):
    return np.random.default_rng(seed).integers(-9, 10, shape).astype("f4")


ADDED = [
    ([(2, 3), (2, 3)], (2, 3)),
    ([(2, 3)], (2, 3)),
    ([(2, 3, 4), (2, 3, 4), (2, 3, 4)], (2, 3, 4)),
    ([(2, 3, 4), (2, 1, 4)], (2, 3, 4)),
    ([(2, 1, 4), (2, 3, 1)], (2, 3, 4)),
    ([(2, 1, 1, 5), (2, 3, 4, 1), (2, 3, 1, 5)], (2, 3, 4, 5)),
]
JOINED = [
    (-1, [(2, 3), (2, 4)], (2, 7)),
    (1, [(2, 3, 4), (2, 1, 4), (2, 2, 4)], (2, 6, 4)),
    (2, [(2, 3, 4, 5), (2, 3, 1, 5)], (2, 3, 5, 5)),
    (-2, [(2, 3, 4), (2, 0, 4)], (2, 3, 4)),
    (1, [(2, 3)], (2, 3)),
]


@pytest.mark.parametrize(("shapes", "expected"), ADDED, ids=str)
def test_add_sums_its_inputs_and_repeats_sizes_of_one(shapes, expected):
    given = [integers(*shape, seed=i) for i, shape in enumerate(shapes)]
    layer = lcfast.Add()
    assert_same_bits(layer(given), sum(given, np.zeros(expected, "f4")))
    assert layer.compute_output_shape([(None, *shape[1:]) for shape in shapes]) == (
        None,
        *expected[1:],
    )


@pytest.mark.parametrize(("shapes", "expected"), ADDED, ids=str)
def test_add_sums_the_gradient_over_what_was_repeated(shapes, expected):
    given = [integers(*shape, seed=i) for i, shape in enumerate(shapes)]
    y, pullback = lcfast.Add().vjp(given)
    dy = integers(*expected, seed=9)
    dx, dweights = pullback(dy)
    assert dweights == []
    assert_same_bits(y, lcfast.Add()(given))
    for got, shape in zip(dx, shapes, strict=True):
        repeated = tuple(i for i in range(len(shape)) if shape[i] != expected[i])
        assert_same_bits(got, dy.sum(axis=repeated, keepdims=True))
    wanted = np.vdot(dy, y)
    assert sum(np.vdot(d, x) for d, x in zip(dx, given, strict=True)) == wanted


def test_add_adds_in_the_order_of_its_inputs():
    large, small = np.full((1, 1), 2.0**24, "f4"), np.ones((1, 1), "f4")
    assert lcfast.Add()([large, small, small])[0, 0] == 2**24
    assert lcfast.Add()([small, small, large])[0, 0] == 2**24 + 2


@pytest.mark.parametrize(("axis", "shapes", "expected"), JOINED, ids=str)
def test_concatenate_joins_along_its_axis_and_splits_the_gradient(axis, shapes, expected):
    given = [integers(*shape, seed=i) for i, shape in enumerate(shapes)]
    layer = lcfast.Concatenate(axis)
    y, pullback = layer.vjp(given)
    assert y.shape == expected
    assert_same_bits(layer(given), y)
    dx, dweights = pullback(y)
    assert dweights == []
    for got, x in zip(dx, given, strict=True):
        assert_same_bits(got, x)
    at = axis % len(expected)
    where = 0
    for x in given:
        part = np.take(y, range(where, where + x.shape[at]), axis=at)
        assert_same_bits(part, x)
        where += x.shape[at]
    with_batch = [(None, *shape[1:]) for shape in shapes]
    assert layer.compute_output_shape(with_batch) == (None, *expected[1:])


@pytest.mark.parametrize("kind", [lcfast.Add, lcfast.Concatenate])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_of_any_kind_are_converted_to_the_dtype_of_the_layer(kind, dtype):
    given = [integers(2, 3), integers(2, 3, seed=2)]
    layer = kind(dtype=dtype)
    expected = layer([x.astype(dtype) for x in given])
    assert expected.dtype == np.dtype(dtype)
    assert_same_bits(layer([given[0].astype("int8"), given[1].tolist()]), expected)
    assert_same_bits(layer((given[0].astype("float16"), given[1])), expected)


@pytest.mark.parametrize("kind", [lcfast.Add, lcfast.Concatenate])
def test_the_answer_may_go_into_an_array_of_the_caller(kind):
    given = [integers(2, 3), integers(2, 3, seed=2)]
    expected = kind()(given)
    out = np.empty_like(expected)
    assert kind()(given, out=out) is out
    assert_same_bits(out, expected)
    with pytest.raises(ValueError, match="out has shape"):
        kind()(given, out=out[:1])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("kind", [lcfast.Add, lcfast.Concatenate])
def test_one_array_is_no_list_of_inputs(kind):
    layer = kind(name="merge")
    for call in (layer, layer.vjp):
        with pytest.raises(ValueError, match="Layer merge takes a list of inputs, not one array"):
            call(integers(2, 3))


@pytest.mark.parametrize("kind", [lcfast.Add, lcfast.Concatenate])
def test_an_empty_list_is_refused(kind):
    with pytest.raises(ValueError, match=r"takes a list of one or more inputs\. Received: \[\]"):
        kind()([])


@pytest.mark.parametrize(
    "shapes", [[(2, 3), (2, 4)], [(2, 3), (2, 4, 2)], [(2, 3, 4), (2, 2, 4), (2, 1, 4)]], ids=str
)
def test_shapes_that_cannot_be_added_are_refused(shapes):
    with pytest.raises(ValueError, match=r"Layer merge cannot add inputs of shapes \[\(2, 3"):
        lcfast.Add(name="merge")([integers(*shape) for shape in shapes])


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [(1, [(2, 3, 4), (2, 3, 5)]), (-1, [(2, 3, 4), (2, 4)]), (3, [(2, 3, 4)] * 2), (-4, [(2, 3)])],
    ids=str,
)
def test_shapes_that_cannot_be_joined_are_refused(axis, shapes):
    with pytest.raises(ValueError, match=f"Layer merge cannot join inputs .* along axis {axis}"):
        lcfast.Concatenate(axis, name="merge")([integers(*shape) for shape in shapes])


@pytest.mark.parametrize("kind", [lcfast.Add, lcfast.Concatenate])
@pytest.mark.parametrize("already_built", [False, True])
def test_inputs_with_different_numbers_of_rows_are_refused(kind, already_built):
    layer = kind()
    if already_built:
        layer([integers(2, 3), integers(2, 3)])
    with pytest.raises(ValueError, match=r"cannot (add|join) inputs of shapes"):
        layer([integers(2, 3), integers(1, 3)])


@pytest.mark.parametrize("axis", [0, -3])
def test_rows_are_never_joined_to_rows(axis):
    # The answer of a model would depend on the batch size.
    layer = lcfast.Concatenate(axis, name="merge")
    with pytest.raises(ValueError, match=f"Layer merge cannot join inputs .* along axis {axis}"):
        layer([integers(2, 3, 4), integers(2, 3, 4)])
    with pytest.raises(ValueError, match=f"Layer merge cannot join inputs .* along axis {axis}"):
        layer([lcfast.Input((3, 4)), lcfast.Input((3, 4))])


@pytest.mark.parametrize("axis", ["1", 1.0, None, True, [1]], ids=repr)
def test_an_axis_must_be_an_integer(axis):
    with pytest.raises(ValueError, match="The `axis` argument must be an integer"):
        lcfast.Concatenate(axis)


def test_numpy_integers_are_integers():
    layer = lcfast.Concatenate(np.int64(1))
    assert layer([integers(2, 3), integers(2, 4)]).shape == (2, 7)
    assert type(layer.get_config()["axis"]) is int


def test_a_part_that_is_not_real_numbers_is_refused_by_its_place():
    with pytest.raises(TypeError, match="input 1 has dtype complex64"):
        lcfast.Add()([integers(2, 3), 1j * integers(2, 3)])


# ---------------------------------------------------------------- the others, number by number

FORMULAS = {
    lcfast.Add: lambda a, b: a + b,
    lcfast.Subtract: lambda a, b: a - b,
    lcfast.Multiply: lambda a, b: a * b,
    lcfast.Average: lambda a, b: (a + b) / np.float32(2),
    lcfast.Maximum: np.maximum,
    lcfast.Minimum: np.minimum,
}
each_formula = pytest.mark.parametrize(
    ("kind", "formula"), FORMULAS.items(), ids=lambda value: getattr(value, "__name__", "")
)


@each_formula
def test_inputs_with_fewer_axes_get_axes_after_the_batch(kind, formula):
    a, b = integers(2, 3), integers(2, 4, 3, seed=2)
    y, pullback = kind().vjp([a, b])
    assert_same_bits(y, formula(a[:, np.newaxis], b))
    assert_same_bits(kind()([b, a]), formula(b, a[:, np.newaxis]))
    assert kind().compute_output_shape([(None, 3), (None, 4, 3)]) == (None, 4, 3)
    dx, _ = pullback(y)
    assert [d.shape for d in dx] == [(2, 3), (2, 4, 3)]


@each_formula
def test_of_three_inputs_the_first_two_are_joined_first(kind, formula):
    given = [integers(2, 3, seed=seed) for seed in range(3)]
    if kind is lcfast.Subtract:
        with pytest.raises(ValueError, match="should be called on exactly 2 inputs"):
            kind()(given)
        return
    a, b, c = given
    expected = (a + b + c) / np.float32(3) if kind is lcfast.Average else formula(formula(a, b), c)
    assert_same_bits(kind()(given), expected)


@each_formula
def test_one_input_is_enough_but_for_subtract(kind, formula):
    x = integers(2, 3)
    if kind is lcfast.Subtract:
        with pytest.raises(ValueError, match="should be called on exactly 2 inputs"):
            kind()([x])
    else:
        assert_same_bits(kind()([x]), x)


@pytest.mark.parametrize(("kind", "sign"), [(lcfast.Maximum, 1), (lcfast.Minimum, -1)])
def test_of_equal_numbers_the_first_gets_the_gradient(kind, sign):
    given = [np.array([row]) * sign for row in ([1.0, 5.0, 3.0], [1.0, 5.0, 4.0], [2.0, 0.0, 4.0])]
    dx, _ = kind().vjp(given)[1]([[10.0, 20.0, 30.0]])
    assert [d.tolist() for d in dx] == [[[0, 20, 0]], [[0, 0, 30]], [[10, 0, 0]]]


def test_a_product_of_several_has_the_products_of_the_others_as_gradients():
    given = [integers(2, 3, seed=seed) for seed in range(4)]
    dx, _ = lcfast.Multiply().vjp(given)[1](np.ones((2, 3)))
    for i, got in enumerate(dx):
        others = [x for j, x in enumerate(given) if j != i]
        assert got.tolist() == np.prod(others, axis=0).tolist()


@each_formula
def test_shapes_that_do_not_go_together_are_refused_by_the_name_of_the_layer(kind, formula):
    for shapes in ([(2, 3), (2, 4)], [(2, 3), (1, 3)], [(2, 3), (2, 3, 4)]):
        with pytest.raises(ValueError, match=r"Layer merge cannot \w+ inputs of shapes"):
            kind(name="merge")([integers(*shape) for shape in shapes])


def test_inputs_without_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"cannot add inputs of shapes \[\(\), \(None, 3\)\]"):
        lcfast.Add().compute_output_shape([(), (None, 3)])
