"""Conv1D and Conv2D against naive loops, and their gradients by the adjoint identity."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits, assert_within
from tests.support.naive_ops import layers_on_naive_loops

# spatial sizes, channels, filters, kernel, strides
GEOMETRIES = [
    ((7,), 3, 4, (3,), (1,)),
    ((8,), 2, 5, (4,), (1,)),  # an even window
    ((9,), 3, 1, (2,), (2,)),
    ((10,), 1, 17, (3,), (4,)),  # inputs that no window sees
    ((5,), 2, 3, (5,), (1,)),  # the window is the input
    ((3,), 2, 3, (1,), (5,)),  # one position
    ((6, 5), 3, 4, (3, 3), (1, 1)),
    ((5, 8), 2, 3, (2, 4), (1, 2)),
    ((7, 6), 1, 5, (4, 1), (3, 2)),
    ((4, 4), 3, 17, (2, 3), (2, 2)),
    ((9, 7), 2, 2, (1, 2), (4, 3)),
]
EVERY = pytest.mark.parametrize(
    ("size", "channels", "filters", "kernel", "strides"),
    GEOMETRIES,
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
BOTH_PADDINGS = pytest.mark.parametrize("padding", ["valid", "same"])


def convolution(size, channels, filters, kernel, strides, dtype="float32", **options):
    kind = lcfast.Conv1D if len(size) == 1 else lcfast.Conv2D
    layer = kind(filters, kernel, strides, dtype=dtype, name="conv", **options)
    first = layer.data_format == "channels_first"
    layer.build((None, channels, *size) if first else (None, *size, channels))
    rng = np.random.default_rng(filters)
    layer.set_weights([rng.standard_normal(shape) for shape in layer.weight_shapes()])
    return layer


def random(shape, dtype="float32", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def rows(layer, size, channels, count=3, dtype="float32"):
    first = layer.data_format == "channels_first"
    return random((count, channels, *size) if first else (count, *size, channels), dtype)


def naive(layer, x, weights):
    """TensorFlow's convolution, one output at a time, in float64; weights may be absolute."""
    first = layer.data_format == "channels_first"
    if first:
        x = np.moveaxis(x, 1, -1)
    kernel, *bias = weights
    sizes, windows = x.shape[1:-1], kernel.shape[:-2]
    counts, starts = [], []
    for n, k, s, d in zip(sizes, windows, layer.strides, layer.dilation_rate, strict=True):
        reach = (k - 1) * d + 1
        count = (n - reach) // s + 1 if layer.padding == "valid" else -(-n // s)
        missing = max((count - 1) * s + reach - n, 0)
        counts.append(count)
        # The odd one goes to the end.
        starts.append({"valid": 0, "same": missing // 2, "causal": reach - 1}[layer.padding])
    y = np.zeros((len(x), *counts, kernel.shape[-1]))
    for place in itertools.product(*map(range, counts)):
        for tap in itertools.product(*map(range, windows)):
            at = tuple(
                i * s + t * d - start
                for i, s, t, d, start in zip(
                    place, layer.strides, tap, layer.dilation_rate, starts, strict=True
                )
            )
            if all(0 <= a < n for a, n in zip(at, sizes, strict=True)):
                pixel = x[(slice(None), *at)].astype(float)
                parts = zip(
                    np.split(pixel, layer.groups, axis=-1),
                    np.split(kernel[tap], layer.groups, axis=-1),
                    strict=True,
                )
                y[(slice(None), *place)] += np.hstack([a @ b for a, b in parts])
    y += bias[0] if bias else 0
    return np.moveaxis(y, -1, 1) if first else y


@EVERY
@BOTH_FORMATS
@BOTH_PADDINGS
def test_a_convolution_is_what_naive_loops_give(
    size, channels, filters, kernel, strides, data_format, padding
):
    options = {"data_format": data_format, "padding": padding}
    layer = convolution(size, channels, filters, kernel, strides, **options)
    x = rows(layer, size, channels)
    weights = [weight.astype(float) for weight in layer.get_weights()]
    expected = naive(layer, x, weights)
    terms = np.prod(kernel) * channels + 2
    sizes = naive(layer, abs(x), [abs(weight) for weight in weights])
    y = layer(x)
    assert_within(y, expected.astype("f4"), terms * np.finfo("f4").eps * sizes)
    shape = (None, *x.shape[1:])
    assert layer.compute_output_shape(shape) == (None, *expected.shape[1:])


@EVERY
@BOTH_FORMATS
@BOTH_PADDINGS
def test_the_gradients_are_the_adjoints_of_the_convolution(
    size, channels, filters, kernel, strides, data_format, padding
):
    # <dy, f(x, W)> = <dx, x> = <dW, W> for a linear f, whatever x, W and dy.
    options = {"data_format": data_format, "padding": padding, "use_bias": False}
    layer = convolution(size, channels, filters, kernel, strides, "float64", **options)
    x = rows(layer, size, channels, dtype="float64")
    (weight,) = layer.get_weights()
    y, pullback = layer.vjp(x)
    dy = random(y.shape, "float64", seed=2)
    dx, (dkernel,) = pullback(dy)
    wanted = np.vdot(dy, naive(layer, x, [weight]))
    tolerance = 1e-14 * np.vdot(abs(dy), naive(layer, abs(x), [abs(weight)]))
    assert abs(np.vdot(dy, y) - wanted) <= tolerance
    assert abs(np.vdot(dx, x) - wanted) <= tolerance
    assert abs(np.vdot(dkernel, weight) - wanted) <= tolerance
    # Other arguments than those of the call: dx is linear in W alone, dW in x alone.
    other_x, other_weight = random(x.shape, "float64", 5), random(weight.shape, "float64", 6)
    assert np.vdot(dx, other_x) == pytest.approx(np.vdot(dy, naive(layer, other_x, [weight])))
    assert np.vdot(dkernel, other_weight) == pytest.approx(
        np.vdot(dy, naive(layer, x, [other_weight]))
    )


# spatial sizes, channels, filters, kernel and further arguments
DILATED_OR_GROUPED = {
    "dilated-1d": ((9,), 3, 4, (3,), {"dilation_rate": 2}),
    "dilated-1d-beyond-the-input": ((4,), 2, 3, (3,), {"dilation_rate": 5, "padding": "same"}),
    "causal": ((8,), 3, 4, (3,), {"padding": "causal"}),
    "causal-strides": ((9,), 2, 3, (4,), {"padding": "causal", "strides": 2}),
    "causal-dilated": ((10,), 2, 3, (2,), {"padding": "causal", "dilation_rate": 3}),
    "dilated-2d": ((7, 8), 2, 3, (3, 2), {"dilation_rate": (2, 3)}),
    "dilated-rows": ((7, 5), 2, 17, (2, 3), {"dilation_rate": (3, 1), "padding": "same"}),
    "groups-1d": ((7,), 6, 4, (3,), {"groups": 2, "strides": 2}),
    "groups-2d": ((5, 6), 4, 12, (2, 3), {"groups": 4, "strides": (2, 1), "padding": "same"}),
    "groups-of-one": ((6, 5), 5, 5, (3, 3), {"groups": 5, "padding": "same"}),
    "groups-wide": ((4, 5), 34, 32, (2, 2), {"groups": 2}),
    "groups-dilated": ((6, 7), 4, 6, (2, 2), {"groups": 2, "dilation_rate": 2}),
    "groups-causal": ((7,), 4, 4, (3,), {"groups": 2, "dilation_rate": 2, "padding": "causal"}),
}
EVERY_KIND = pytest.mark.parametrize("kind", DILATED_OR_GROUPED)


def dilated_or_grouped(kind, dtype="float32", **options):
    size, channels, filters, kernel, arguments = DILATED_OR_GROUPED[kind]
    arguments = {"strides": 1, **arguments, **options}
    group_channels = arguments.get("groups", 1)
    layer = convolution(size, channels, filters, kernel, dtype=dtype, **arguments)
    assert layer.weight_shapes()[0] == (*kernel, channels // group_channels, filters)
    return layer, size, channels


@EVERY_KIND
@BOTH_FORMATS
def test_dilation_groups_and_causal_padding_are_what_naive_loops_give(kind, data_format):
    layer, size, channels = dilated_or_grouped(kind, data_format=data_format)
    x = rows(layer, size, channels)
    weights = [weight.astype(float) for weight in layer.get_weights()]
    expected = naive(layer, x, weights)
    bound = naive(layer, abs(x), [abs(weight) for weight in weights])
    terms = np.prod(weights[0].shape[:-1]) + 2
    assert_within(layer(x), expected.astype("f4"), terms * np.finfo("f4").eps * bound)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *expected.shape[1:])


@EVERY_KIND
@BOTH_FORMATS
def test_the_gradients_of_dilation_and_groups_are_adjoints(kind, data_format):
    options = {"data_format": data_format, "use_bias": False}
    layer, size, channels = dilated_or_grouped(kind, "float64", **options)
    x = rows(layer, size, channels, dtype="float64")
    (weight,) = layer.get_weights()
    y, pullback = layer.vjp(x)
    dy = random(y.shape, "float64", seed=2)
    dx, (dkernel,) = pullback(dy)
    other_x, other_weight = random(x.shape, "float64", 5), random(weight.shape, "float64", 6)
    for got, other, x_or, weight_or in [
        (dx, other_x, other_x, weight),
        (dkernel, other_weight, x, other_weight),
    ]:
        tolerance = 1e-14 * np.vdot(abs(dy), naive(layer, abs(x_or), [abs(weight_or)]))
        wanted = np.vdot(dy, naive(layer, x_or, [weight_or]))
        assert abs(np.vdot(got, other) - wanted) <= tolerance


@BOTH_FORMATS
@BOTH_PADDINGS
@pytest.mark.parametrize("activation", ["relu", "tanh", "softmax"])
def test_activation_and_bias_are_pulled_through(data_format, padding, activation):
    options = {"data_format": data_format, "padding": padding}
    layer = convolution((5, 6), 2, 3, (2, 3), (1, 2), activation=activation, **options)
    linear = convolution((5, 6), 2, 3, (2, 3), (1, 2), **options)
    x = rows(layer, (5, 6), 2)
    z, pull_linear = linear.vjp(x)
    expected, pull_activation = lcfast.Activation(activation).vjp(z)  # softmax: the last axis
    y, pullback = layer.vjp(x)
    assert_same_bits(y, expected)
    assert_same_bits(layer(x), expected)
    dy = random(y.shape, seed=2)
    dz, _ = pull_activation(dy)
    (dx, dweights), (wanted_dx, wanted_dweights) = pullback(dy), pull_linear(dz)
    for got, wanted in zip([dx, *dweights], [wanted_dx, *wanted_dweights], strict=True):
        assert_same_bits(got, wanted)
    others = tuple(i for i in range(4) if i != (1 if data_format == "channels_first" else 3))
    bound = (dz.size + 2) * np.finfo("f4").eps * abs(dz).sum(axis=others)
    assert_within(dweights[1], dz.astype(float).sum(axis=others).astype("f4"), bound)


@EVERY
@BOTH_FORMATS
def test_the_bits_of_a_row_do_not_depend_on_the_batch(
    size, channels, filters, kernel, strides, data_format
):
    layer = convolution(
        size, channels, filters, kernel, strides, data_format=data_format, padding="same"
    )
    x = rows(layer, size, channels, 40)
    together = layer(x)
    for start, stop in [(0, 1), (7, 8), (3, 5), (10, 27)]:
        assert_same_bits(layer(x[start:stop]), together[start:stop])


@BOTH_FORMATS
def test_the_naive_loops_agree_with_the_direct_engine(data_format):
    answers = []
    options = {"engine": "direct", "data_format": data_format, "padding": "same"}
    layer = convolution((6, 5), 3, 4, (3, 2), (1, 2), **options)
    x = rows(layer, (6, 5), 3)
    for engine in (nullcontext, layers_on_naive_loops):
        with engine():
            y, pullback = layer.vjp(x)
            dx, dweights = pullback(random(y.shape, seed=2))
        answers.append([y, dx, *dweights])
    assert "engine" not in layer.get_config()
    for got, expected in zip(*answers, strict=True):
        assert_within(got, expected, 32 * np.finfo("f4").eps * np.abs(expected).max())


@BOTH_FORMATS
@BOTH_PADDINGS
def test_images_of_other_sizes_share_the_weights(data_format, padding):
    layer = convolution(
        (6, 5), 3, 4, (3, 2), (1, 2), data_format=data_format, padding=padding, use_bias=False
    )
    x = rows(layer, (9, 4), 3)
    (kernel,) = layer.get_weights()
    expected = naive(layer, x, [kernel]).astype("f4")
    bound = (3 * 2 * 3 + 2) * np.finfo("f4").eps * naive(layer, abs(x), [abs(kernel)])
    assert_within(layer(x), expected, bound)


def test_an_output_of_causal_padding_sees_no_later_input():
    layer = convolution((9,), 2, 3, (3,), 1, padding="causal", dilation_rate=2)
    x = random((1, 9, 2))
    changed = x.copy()
    changed[:, 5:] += 1
    assert_same_bits(layer(changed)[:, :5], layer(x)[:, :5])
    assert not np.any(layer(changed)[:, 5] == layer(x)[:, 5])


def test_the_kernel_is_stored_rows_columns_channels_filters():
    layer = convolution((6, 5), 3, 4, (3, 2), (1, 1), data_format="channels_first")
    assert [weight.name for weight in layer.weights] == ["conv/kernel:0", "conv/bias:0"]
    assert [weight.shape for weight in layer.weights] == [(3, 2, 3, 4), (4,)]
    assert layer.count_params() == 76


# ---------------------------------------------------------------- what is refused


def test_causal_padding_is_of_sequences_alone():
    with pytest.raises(ValueError, match="Causal padding is only supported for `Conv1D` and"):
        lcfast.Conv2D(1, 1, padding="causal")


@pytest.mark.parametrize(("strides", "dilation"), [(2, 2), ((1, 2), (3, 1))], ids=str)
def test_strides_and_dilation_together_are_refused(strides, dilation):
    with pytest.raises(ValueError, match="`strides > 1` not supported in conjunction with `dila"):
        lcfast.Conv2D(1, 1, strides=strides, dilation_rate=dilation)


def test_groups_that_do_not_divide_the_filters_are_refused():
    expected = "filters must be evenly divisible .* Received: groups=3, filters=4"
    with pytest.raises(ValueError, match=expected):
        lcfast.Conv1D(4, 1, groups=3)


def test_groups_that_do_not_divide_the_channels_are_refused():
    expected = r"groups=3, but the input has 4 channels \(full input shape is \(None, 7, 4\)\)"
    with pytest.raises(ValueError, match=expected):
        lcfast.Conv1D(6, 1, groups=3).build((None, 7, 4))


def test_a_dilated_kernel_that_does_not_fit_is_refused():
    layer = lcfast.Conv1D(1, 3, dilation_rate=4, name="conv")
    expected = r"The kernel of layer conv, \(3,\), dilated by \(4,\), does not fit into an input"
    with pytest.raises(ValueError, match=expected):
        layer.build((None, 8, 1))
    layer.build((None, 9, 1))
    assert layer.compute_output_shape((None, 9, 1)) == (None, 1, 1)


@pytest.mark.parametrize("kind", [lcfast.Conv1D, lcfast.Conv2D])
@pytest.mark.parametrize(
    "argument", ["filters", "kernel_size", "strides", "dilation_rate", "groups"]
)
@pytest.mark.parametrize("value", [0, -1, "3", 2.0, True, None, [], (1, 2, 3), 2**40], ids=repr)
def test_a_size_that_is_none_is_refused_by_name(kind, argument, value):
    with pytest.raises(ValueError, match=f"The `{argument}` argument"):
        kind(**{"filters": 1, "kernel_size": 1, argument: value})


@pytest.mark.parametrize("padding", ["full", "", None, 1], ids=repr)
def test_another_padding_is_refused(padding):
    with pytest.raises(ValueError, match="must be one of 'valid', 'same', 'causal'"):
        lcfast.Conv2D(1, 1, padding=padding)


@BOTH_PADDINGS
def test_a_kernel_that_does_not_fit_is_refused_where_nothing_is_padded(padding):
    layer = lcfast.Conv2D(2, (5, 1), padding=padding, name="conv")
    if padding == "same":
        assert layer(np.ones((1, 4, 4, 1))).shape == (1, 4, 4, 2)
    else:
        with pytest.raises(ValueError, match=r"The kernel of layer conv, \(5, 1\), does not fit"):
            layer(np.ones((1, 4, 4, 1)))


@BOTH_FORMATS
def test_another_number_of_channels_is_refused(data_format):
    layer = convolution((6,), 3, 4, (2,), (1,), data_format=data_format)
    x = np.ones((1, 6, 2) if data_format == "channels_last" else (1, 2, 6))
    with pytest.raises(ValueError, match="Layer conv was built for inputs of 3 channels"):
        layer(x)


@pytest.mark.parametrize("channels", [None, 0])
def test_an_unknown_number_of_channels_is_refused(channels):
    with pytest.raises(ValueError, match="The channel dimension of the inputs to layer conv"):
        lcfast.Conv1D(1, 1, name="conv").build((None, 5, channels))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5, 6)], ids=str)
def test_an_input_of_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match="needs an input of 4 dimensions, the batch first"):
        lcfast.Conv2D(1, 1)(np.ones(shape))


def test_sizes_that_are_not_known_yet_stay_unknown():
    layer = lcfast.Conv2D(4, 3, 2, padding="same")
    assert layer(lcfast.Input((None, 9, 2))).shape == (None, None, 5, 4)
    assert layer(np.ones((1, 7, 9, 2))).shape == (1, 4, 5, 4)
