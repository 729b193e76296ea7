"""Pooling against naive loops, both ways."""

import itertools

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits, assert_within

# spatial sizes, window, strides
GEOMETRIES = [
    ((7,), (2,), None),
    ((8,), (3,), (1,)),
    ((9,), (4,), (3,)),
    ((5,), (5,), (2,)),
    ((7,), (1,), (3,)),  # inputs that no window sees
    ((3,), (3,), (5,)),
    ((6, 5), (2, 2), None),
    ((7, 8), (3, 3), (2, 2)),
    ((5, 6), (2, 4), (1, 3)),
    ((4, 7), (4, 1), (1, 2)),
    ((9, 5), (1, 2), (4, 1)),
]
EVERY = pytest.mark.parametrize(
    ("size", "window", "strides"),
    GEOMETRIES,
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
BOTH_PADDINGS = pytest.mark.parametrize("padding", ["valid", "same"])
KINDS = {
    ("max", 1): lcfast.MaxPooling1D,
    ("max", 2): lcfast.MaxPooling2D,
    ("average", 1): lcfast.AveragePooling1D,
    ("average", 2): lcfast.AveragePooling2D,
}
BOTH_KINDS = pytest.mark.parametrize("kind", ["max", "average"])
ALL_FOUR = pytest.mark.parametrize("pooling", KINDS.values(), ids=lambda kind: kind.__name__)


def pool(kind, size, window, strides, padding, data_format, dtype="float32"):
    options = {"padding": padding, "data_format": data_format, "dtype": dtype, "name": "pool"}
    return KINDS[kind, len(size)](window, strides, **options)


def rows(layer, size, dtype="float32", count=3):
    """Few different numbers, so that windows hold their maximum several times."""
    first = layer.data_format == "channels_first"
    shape = (count, 2, *size) if first else (count, *size, 2)
    return np.random.default_rng(1).integers(-4, 5, shape).astype(dtype)


def taps(layer, x):
    """(output place, [input places inside of its window]), TensorFlow's padding left out."""
    sizes = x.shape[1:-1]
    counts, starts = [], []
    for n, k, s in zip(sizes, layer.pool_size, layer.strides, strict=True):
        count = -(-n // s) if layer.padding == "same" else (n - k) // s + 1
        counts.append(count)
        missing = max((count - 1) * s + k - n, 0) if layer.padding == "same" else 0
        starts.append(missing // 2)  # the odd one goes to the end
    for place in itertools.product(*map(range, counts)):
        ranges = [
            range(max(i * s - start, 0), min(i * s - start + k, n))
            for i, s, k, start, n in zip(
                place, layer.strides, layer.pool_size, starts, sizes, strict=True
            )
        ]
        yield place, list(itertools.product(*ranges))


def naive(kind, layer, x, dy=None):
    """(y, dx) in float64, one output at a time; of equal maxima the first takes the gradient."""
    first = layer.data_format == "channels_first"
    moved = np.moveaxis(x, 1, -1) if first else x
    weight_refs = list(taps(layer, moved))
    counts = [max(place[i] for place, _ in weight_refs) + 1 for i in range(moved.ndim - 2)]
    y, dx = np.zeros((len(x), *counts, 2)), np.zeros(moved.shape)
    if dy is None:
        dy = np.zeros(y.shape)
    elif first:
        dy = np.moveaxis(dy, 1, -1)
    for place, inside in weight_refs:
        for n, channel in itertools.product(range(len(x)), range(2)):
            values = [float(moved[(n, *at, channel)]) for at in inside]
            here = (n, *place, channel)
            if kind == "max":
                y[here] = max(values)
                dx[(n, *inside[values.index(max(values))], channel)] += dy[here]
            else:
                y[here] = sum(values) / len(values)
                for at in inside:
                    dx[(n, *at, channel)] += dy[here] / len(values)
    return (np.moveaxis(y, -1, 1), np.moveaxis(dx, -1, 1)) if first else (y, dx)


@EVERY
@BOTH_FORMATS
@BOTH_PADDINGS
@BOTH_KINDS
def test_pooling_is_what_naive_loops_give_both_ways(
    kind, size, window, strides, padding, data_format
):
    layer = pool(kind, size, window, strides, padding, data_format)
    x = rows(layer, size)
    y, pullback = layer.vjp(x)
    dy = np.random.default_rng(2).standard_normal(y.shape).astype("f4")
    dx, dweights = pullback(dy)
    expected, expected_dx = naive(kind, layer, x, dy)
    assert dweights == []
    assert_same_bits(layer(x), y)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *y.shape[1:])
    # A maximum is exact, and so are sums of small integers: the quotient alone is rounded.
    assert_same_bits(y, expected.astype("f4"))
    terms = np.prod(window) + 2
    bound = terms * np.finfo("f4").eps * naive(kind, layer, x, abs(dy))[1]
    assert_within(dx, expected_dx.astype("f4"), bound)


@EVERY
@BOTH_PADDINGS
def test_the_gradient_of_an_average_is_its_adjoint(size, window, strides, padding):
    layer = pool("average", size, window, strides, padding, "channels_last", "float64")
    x = np.random.default_rng(3).standard_normal((2, *size, 2))
    y, pullback = layer.vjp(x)
    dy = np.random.default_rng(4).standard_normal(y.shape)
    tolerance = 1e-14 * np.vdot(abs(dy), layer(abs(x)))
    assert abs(np.vdot(pullback(dy)[0], x) - np.vdot(dy, y)) <= tolerance


@BOTH_FORMATS
def test_padding_is_never_a_maximum(data_format):
    layer = lcfast.MaxPooling2D(3, 2, "same", data_format)
    assert (layer(np.full((1, 4, 4, 4), -5.0)) == -5).all()
    assert (layer(np.full((1, 4, 4, 4), -np.inf)) == -np.inf).all()


@BOTH_FORMATS
def test_padding_is_no_part_of_an_average(data_format):
    layer = lcfast.AveragePooling2D(3, 2, "same", data_format)
    assert (layer(np.full((1, 5, 5, 5), 7.0)) == 7).all()


@BOTH_KINDS
def test_the_strides_are_the_window_where_none_are_given(kind):
    layer = KINDS[kind, 2]((3, 2))
    assert layer.strides == (3, 2)
    assert KINDS[kind, 2]().pool_size == KINDS[kind, 2]().strides == (2, 2)
    assert KINDS[kind, 1]().pool_size == KINDS[kind, 1]().strides == (2,)


@ALL_FOUR
@pytest.mark.parametrize("argument", ["pool_size", "strides"])
@pytest.mark.parametrize("value", [0, -1, "2", 2.0, True, (), (1, 2, 3), 2**40], ids=repr)
def test_a_window_that_is_none_is_refused_by_name(pooling, argument, value):
    with pytest.raises(ValueError, match=f"The `{argument}` argument"):
        pooling(**{argument: value})


@ALL_FOUR
@pytest.mark.parametrize("padding", ["causal", "full", None, 0], ids=repr)
def test_another_padding_is_refused(pooling, padding):
    with pytest.raises(ValueError, match="The `padding` argument must be one of 'valid', 'same'"):
        pooling(padding=padding)


@ALL_FOUR
@pytest.mark.parametrize("data_format", ["channels", 0, []], ids=repr)
def test_another_data_format_is_refused(pooling, data_format):
    with pytest.raises(ValueError, match="The `data_format` argument must be one of"):
        pooling(data_format=data_format)


@ALL_FOUR
def test_a_window_larger_than_the_input_is_refused_where_nothing_is_padded(pooling):
    shape = (1, *[3] * pooling.spatial_dimensions, 2)
    with pytest.raises(ValueError, match=r"The window of layer pool, .* does not fit into"):
        pooling(4, name="pool")(np.ones(shape))
    assert pooling(4, padding="same")(np.ones(shape)).shape[1] == 1


@ALL_FOUR
def test_an_input_of_another_rank_is_refused(pooling):
    rank = pooling.spatial_dimensions + 2
    for shape in [(4,) * (rank - 1), (4,) * (rank + 1)]:
        with pytest.raises(ValueError, match=f"needs an input of {rank} dimensions"):
            pooling()(np.ones(shape))


@ALL_FOUR
def test_sizes_that_are_not_known_yet_stay_unknown(pooling):
    layer = pooling(2)
    unknown = (None, *[None] * pooling.spatial_dimensions, 3)
    assert layer.compute_output_shape(unknown) == unknown
