"""Conv1DTranspose and Conv2DTranspose against naive loops, and as the adjoint of Conv."""

import itertools

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits, assert_within

# size, channels, filters, kernel and further arguments
CASES = {
    "1d": ((5,), 3, 4, (3,), {}),
    "1d-apart": ((4,), 2, 3, (2,), {"strides": 4}),  # outputs that no input reaches
    "1d-same": ((5,), 2, 3, (4,), {"strides": 2, "padding": "same"}),
    "1d-dilated": ((5,), 2, 3, (3,), {"dilation_rate": 3}),
    "1d-longer": ((4,), 2, 3, (3,), {"strides": 3, "output_padding": 2}),
    "1d-cut": ((4,), 2, 3, (5,), {"strides": 3, "output_padding": 1, "padding": "same"}),
    "2d": ((3, 4), 2, 3, (2, 3), {}),
    "2d-strides": ((3, 4), 3, 2, (3, 2), {"strides": (2, 1)}),
    "2d-same": ((3, 4), 3, 17, (3, 4), {"strides": (1, 2), "padding": "same"}),
    "2d-dilated": ((4, 3), 2, 3, (2, 3), {"dilation_rate": (1, 2), "padding": "same"}),
    "2d-longer": ((3, 2), 1, 1, (3, 3), {"strides": 2, "output_padding": (1, 0)}),
    "2d-one-pixel": ((1, 1), 2, 3, (4, 4), {"strides": 2, "padding": "same"}),
}
EVERY = pytest.mark.parametrize("name", CASES)
BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])


def random(shape, seed=1, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def transposed(name, dtype="float32", **options):
    size, channels, filters, kernel, arguments = CASES[name]
    kind = lcfast.Conv1DTranspose if len(size) == 1 else lcfast.Conv2DTranspose
    layer = kind(filters, kernel, dtype=dtype, name="larger", **{**arguments, **options})
    first = layer.data_format == "channels_first"
    shape = (channels, *size) if first else (*size, channels)
    layer.build((None, *shape))
    layer.set_weights([random(shape, 2, dtype) for shape in layer.weight_shapes()])
    return layer, random((3, *shape), 3, dtype)


def naive(layer, x, weights):
    """Each input is spread over a window of the output, in float64."""
    first = layer.data_format == "channels_first"
    if first:
        x = np.moveaxis(x, 1, -1)
    kernel, *bias = weights
    sizes, starts = [], []
    more = layer.output_padding or (None,) * layer.spatial_dimensions
    for n, k, s, d, p in zip(
        x.shape[1:-1], layer.kernel_size, layer.strides, layer.dilation_rate, more, strict=True
    ):
        reach = (k - 1) * d + 1
        if p is None:
            size = n * s + (max(reach - s, 0) if layer.padding == "valid" else 0)
        else:
            size = (n - 1) * s + reach + p - (2 * (reach // 2) if layer.padding == "same" else 0)
        sizes.append(size)
        cut = max((n - 1) * s + reach - size, 0)
        starts.append(cut // 2 if layer.padding == "same" else 0)
    y = np.zeros((len(x), *sizes, layer.filters))
    for place in itertools.product(*map(range, x.shape[1:-1])):
        for tap in itertools.product(*map(range, layer.kernel_size)):
            at = tuple(
                i * s + t * d - start
                for i, s, t, d, start in zip(
                    place, layer.strides, tap, layer.dilation_rate, starts, strict=True
                )
            )
            if all(0 <= a < n for a, n in zip(at, sizes, strict=True)):
                y[(slice(None), *at)] += x[(slice(None), *place)].astype(float) @ kernel[tap].T
    y += bias[0] if bias else 0
    return np.moveaxis(y, -1, 1) if first else y


@EVERY
@BOTH_FORMATS
def test_a_transposed_convolution_is_what_naive_loops_give(name, data_format):
    layer, x = transposed(name, data_format=data_format)
    weights = [weight.astype(float) for weight in layer.get_weights()]
    expected = naive(layer, x, weights)
    terms = weights[0].size + 2
    bound = terms * np.finfo("f4").eps * naive(layer, abs(x), [abs(w) for w in weights])
    assert_within(layer(x), expected.astype("f4"), bound)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *expected.shape[1:])


@EVERY
@BOTH_FORMATS
def test_the_gradients_are_adjoints(name, data_format):
    layer, x = transposed(name, "float64", data_format=data_format, use_bias=False)
    (weight,) = layer.get_weights()
    y, pullback = layer.vjp(x)
    dy = random(y.shape, 4, "float64")
    dx, (dkernel,) = pullback(dy)
    other_x, other_weight = random(x.shape, 5, "float64"), random(weight.shape, 6, "float64")
    for got, other, x_or, weight_or in [
        (dx, other_x, other_x, weight),
        (dkernel, other_weight, x, other_weight),
    ]:
        wanted = np.vdot(dy, naive(layer, x_or, [weight_or]))
        tolerance = 1e-14 * np.vdot(abs(dy), naive(layer, abs(x_or), [abs(weight_or)]))
        assert abs(np.vdot(got, other) - wanted) <= tolerance


@EVERY
def test_its_gradient_of_the_input_is_the_convolution_with_its_kernel(name):
    layer, x = transposed(name, use_bias=False)
    y, pullback = layer.vjp(x)
    dx, _ = pullback(y)
    kind = lcfast.Conv1D if layer.spatial_dimensions == 1 else lcfast.Conv2D
    convolution = kind(
        x.shape[-1],
        layer.kernel_size,
        layer.strides,
        layer.padding,
        dilation_rate=layer.dilation_rate,
        use_bias=False,
    )
    convolution.build((None, *y.shape[1:]))
    convolution.set_weights(layer.get_weights())
    assert_same_bits(dx, convolution(y))


@BOTH_FORMATS
@pytest.mark.parametrize("activation", ["relu", "softmax", "gelu"])
def test_activation_and_bias_are_pulled_through(data_format, activation):
    layer, x = transposed("2d-same", data_format=data_format, activation=activation)
    linear, _ = transposed("2d-same", data_format=data_format)
    z, pull_linear = linear.vjp(x)
    expected, pull_activation = lcfast.Activation(activation).vjp(z)  # softmax: the last axis
    y, pullback = layer.vjp(x)
    assert_same_bits(y, expected)
    dy = random(y.shape, 4)
    dz, _ = pull_activation(dy)
    (dx, dweights), (wanted_dx, wanted_dweights) = pullback(dy), pull_linear(dz)
    for got, wanted in zip([dx, *dweights], [wanted_dx, *wanted_dweights], strict=True):
        assert_same_bits(got, wanted)


def test_the_kernel_is_stored_rows_columns_filters_channels():
    layer, _ = transposed("2d-strides")
    assert [weight.name for weight in layer.weights] == ["larger/kernel:0", "larger/bias:0"]
    assert layer.weight_shapes() == [(3, 2, 2, 3), (2,)]


def test_sizes_that_are_not_known_yet_stay_unknown():
    layer = lcfast.Conv2DTranspose(4, 3, 2, padding="same")
    assert layer(lcfast.Input((None, 9, 2))).shape == (None, None, 18, 4)
    assert layer(np.ones((1, 7, 9, 2))).shape == (1, 14, 18, 4)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("padding", [2, (0, 2), [3, 0]], ids=str)
def test_an_output_padding_as_large_as_the_strides_is_refused(padding):
    expected = r"Strides must be greater than output padding. Received strides=\(2, 2\), output_pad"
    with pytest.raises(ValueError, match=expected):
        lcfast.Conv2DTranspose(1, 1, strides=2, output_padding=padding)


@pytest.mark.parametrize("padding", [-1, (1,), (0, 0, 0), "1", True, 0.5, (0, None)], ids=repr)
def test_an_output_padding_that_is_none_is_refused_by_name(padding):
    with pytest.raises(ValueError, match="The `output_padding` argument must be None or one integ"):
        lcfast.Conv2DTranspose(1, 1, strides=2, output_padding=padding)


def test_an_output_that_no_convolution_leads_back_from_is_refused():
    # An even kernel, "same" and output_padding 0: TensorFlow aborts there.
    layer = lcfast.Conv1DTranspose(1, 2, strides=2, padding="same", output_padding=0, name="up")
    expected = r"Layer up \(Conv1DTranspose\) .*output_padding \(0,\)"
    with pytest.raises(ValueError, match=expected):
        layer.build((None, 5, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "causal"}, "Causal padding is only supported for `Conv1D` and `Separable"),
        ({"groups": 2}, "groups"),
        ({"strides": 2, "dilation_rate": 2}, "`strides > 1` not supported in conjunction with"),
        ({"filters": 0}, "The `filters` argument must be a positive integer"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_keras_refuses_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        lcfast.Conv1DTranspose(**{"filters": 2, "kernel_size": 3, **options})
