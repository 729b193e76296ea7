"""Sums over axes: in ascending order, bit-identical for any batch and layout."""

import numpy as np
import pytest

import lcfast
from lcfast.convolution.reductions import sum_over, sum_to
from tests.support.cases import LAYOUTS, assert_same_bits, numbers


def chain(values, axes):
    """The same sum, one number at a time."""
    moved = np.moveaxis(values, axes, range(len(axes)))
    rows = moved.reshape(-1, *moved.shape[len(axes) :])
    total = np.zeros(rows.shape[1:], values.dtype)
    for row in rows:
        total = total + row
    return np.expand_dims(total, tuple(axis % values.ndim for axis in axes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", [[1], [0], [-1], [1, 2], [3, 1], [0, 1, 2, 3]], ids=str)
def test_a_sum_is_a_chain_in_the_order_of_the_axes(axes, dtype):
    values = numbers((5, 7, 3, 4), dtype, 1)
    assert_same_bits(sum_over(values, axes), chain(values, axes))
    for change in LAYOUTS.values():
        native = change(values).astype(dtype)
        assert_same_bits(sum_over(native, axes), chain(values, axes))


@pytest.mark.parametrize("steps", [3, 1000])
@pytest.mark.parametrize("columns", [1, 3, 70])
def test_a_sum_does_not_depend_on_the_other_rows(steps, columns):
    values = numbers((40, steps, columns), "float32", 2)
    together = sum_over(values, [1])
    for size in (1, 3, 17):
        assert_same_bits(sum_over(values[:size], [1]), together[:size])
    assert_same_bits(sum_over(values[31:32], [1]), together[31:32])


def test_a_sum_over_nothing_is_zero():
    assert_same_bits(sum_over(np.ones((2, 0, 3), "f4"), [1]), np.zeros((2, 1, 3), "f4"))
    assert sum_over(np.ones((0, 4, 3), "f4"), [1]).shape == (0, 1, 3)


def test_a_sum_to_a_shape_runs_over_what_was_repeated():
    values = numbers((2, 4, 3), "float64", 3)
    assert sum_to(values, (2, 4, 3)) is values
    assert_same_bits(sum_to(values, (2, 1, 3)), chain(values, [1]))
    assert_same_bits(sum_to(values, (2, 1, 1)), chain(values, [1, 2]))


LARGE = [
    (lambda: lcfast.GlobalAveragePooling1D(), (300, 5)),
    (lambda: lcfast.GlobalAveragePooling2D(), (13, 17, 33)),
    (lambda: lcfast.GlobalAveragePooling2D("channels_first"), (3, 40, 41)),
    (lambda: lcfast.GlobalMaxPooling2D(), (13, 17, 33)),
    (lambda: lcfast.LayerNormalization(), (7, 1000)),
    (lambda: lcfast.LayerNormalization([1, 2, 3]), (9, 10, 11)),
    (lambda: lcfast.UpSampling2D(2, interpolation="bilinear"), (13, 17, 5)),
]


@pytest.mark.parametrize(("make", "shape"), LARGE, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_of_large_rows_depend_on_nothing_else(make, shape, threads, threads_for_any_work):
    x = numbers((17, *shape), "float32", 4)
    layer = make()
    together, pullback = layer.vjp(x)
    dy = numbers(together.shape, "float32", 5)
    dx, _ = pullback(dy)
    lcfast.set_num_threads(threads)
    try:
        for size in (1, 3, 17):
            y, pull = layer.vjp(x[:size])
            assert_same_bits(y, together[:size])
            assert_same_bits(pull(dy[:size])[0], dx[:size])
            assert_same_bits(layer.vjp(np.asfortranarray(x[:size]))[0], together[:size])
    finally:
        lcfast.set_num_threads(None)


@pytest.mark.parametrize("axes", [1, -1, (1, 2), (2, 1)], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_of_dot_depend_on_nothing_else(axes, normalize, threads, threads_for_any_work):
    layer = lcfast.Dot(axes, normalize)
    pair = [numbers((70, 33, 33), "float32", 6), numbers((70, 33, 33), "float32", 7)]
    together, pullback = layer.vjp(pair)
    dy = numbers(together.shape, "float32", 8)
    dx, _ = pullback(dy)
    lcfast.set_num_threads(threads)
    try:
        for part in (slice(0, 1), slice(40, 43), slice(3, 70)):
            y, pull = layer.vjp([x[part] for x in pair])
            assert_same_bits(y, together[part])
            for got, wanted in zip(pull(dy[part])[0], dx, strict=True):
                assert_same_bits(got, wanted[part])
    finally:
        lcfast.set_num_threads(None)
