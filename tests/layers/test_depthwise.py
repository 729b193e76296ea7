"""DepthwiseConv1D and DepthwiseConv2D beside Conv of one channel, and what they refuse."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits, assert_within

KINDS = [lcfast.DepthwiseConv1D, lcfast.DepthwiseConv2D]
BOTH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
OPTIONS = {
    "plain": {},
    "same-strides": {"padding": "same", "strides": 2},
    "dilated": {"dilation_rate": 2, "padding": "same"},
    "multiplied": {"depth_multiplier": 3},
    "one-window": {"kernel_size": 6},
}


def random(shape, seed=1, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def shape_of(kind, channels, data_format="channels_last", size=6):
    sizes = (size,) if kind is lcfast.DepthwiseConv1D else (size, size + 1)
    return (channels, *sizes) if data_format == "channels_first" else (*sizes, channels)


def depthwise(kind, channels, **options):
    layer = kind(**{"kernel_size": 3, "name": "depth", **options})
    layer.build((None, *shape_of(kind, channels, layer.data_format)))
    layer.set_weights([random(shape, i) for i, shape in enumerate(layer.weight_shapes())])
    return layer


@BOTH
@BOTH_FORMATS
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_each_channel_has_the_convolution_of_its_own_filters(kind, data_format, options):
    layer = depthwise(kind, 5, data_format=data_format, **options)
    x = random((3, *shape_of(kind, 5, data_format)))
    kernel, bias = layer.get_weights()
    axis = 1 if data_format == "channels_first" else -1
    config = {key: options[key] for key in options if key != "depth_multiplier"}
    alone = (lcfast.Conv1D if kind is lcfast.DepthwiseConv1D else lcfast.Conv2D)(
        layer.depth_multiplier, data_format=data_format, **{"kernel_size": 3, **config}
    )
    parts = []
    for channel in range(5):
        of_channel = slice(channel * layer.depth_multiplier, (channel + 1) * layer.depth_multiplier)
        one = np.take(x, [channel], axis)
        alone.build((None, *one.shape[1:]))
        alone.set_weights([kernel[..., channel : channel + 1, :], bias[of_channel]])
        parts.append(alone(one))
    assert_same_bits(layer(x), np.concatenate(parts, axis))


@BOTH
def test_weights_are_those_of_keras(kind):
    layer = depthwise(kind, 5, depth_multiplier=2)
    window = (3,) * layer.spatial_dimensions
    assert [weight.name for weight in layer.weights] == ["depth/depthwise_kernel:0", "depth/bias:0"]
    assert layer.weight_shapes() == [(*window, 5, 2), (10,)]
    bare = depthwise(kind, 5, use_bias=False)
    assert bare.weight_shapes() == [(*window, 5, 1)]


def test_initializer_regularizer_and_constraint_are_of_the_depthwise_kernel():
    layer = lcfast.DepthwiseConv2D(
        2,
        depthwise_initializer=lcfast.initializers.Constant(-0.5),
        depthwise_regularizer="l2",
        depthwise_constraint="non_neg",
        bias_initializer="ones",
    )
    layer.build((None, 4, 4, 3))
    kernel, bias = layer.get_weights()
    assert (kernel == -0.5).all()
    assert (bias == 1).all()
    assert [float(loss) for loss in layer.losses] == pytest.approx([0.01 * 12 * 0.25])
    dkernel, dbias = layer.regularization_gradients()
    np.testing.assert_allclose(dkernel, 0.02 * kernel, rtol=1e-6)
    assert not dbias.any()
    layer.apply_constraints()
    assert not layer.get_weights()[0].any()


def test_the_activity_regularizer_sees_the_output():
    layer = depthwise(lcfast.DepthwiseConv1D, 3, activity_regularizer=lcfast.regularizers.L1(0.5))
    y = layer(random((4, 6, 3)))
    assert [float(loss) for loss in layer.losses] == pytest.approx([0.5 * abs(y).sum() / 4])


def test_strides_may_differ():
    layer = depthwise(lcfast.DepthwiseConv2D, 3, strides=(1, 2), use_bias=False)
    dense = depthwise(lcfast.DepthwiseConv2D, 3, use_bias=False)
    x = random((2, 6, 7, 3))
    assert_same_bits(layer(x), np.ascontiguousarray(dense(x)[:, :, ::2]))


def test_an_activation_on_many_filters_of_a_channel_runs_over_all_of_them():
    linear = depthwise(lcfast.DepthwiseConv2D, 4, depth_multiplier=20)
    layer = depthwise(lcfast.DepthwiseConv2D, 4, depth_multiplier=20, activation="softmax")
    x = random((2, 6, 7, 4))
    assert_same_bits(layer(x), lcfast.Activation("softmax")(linear(x)))
    sums = layer(x).sum(axis=-1)
    assert_within(sums, np.ones_like(sums), 80 * np.finfo("f4").eps)


def test_sizes_that_are_not_known_yet_stay_unknown():
    layer = lcfast.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)
    assert layer(lcfast.Input((None, 9, 2))).shape == (None, None, 5, 4)
    assert layer.compute_output_shape((None, 8, 8, None)) == (None, 4, 4, None)
    assert layer(np.ones((1, 7, 9, 2))).shape == (1, 4, 5, 4)


# ---------------------------------------------------------------- what is refused


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "causal"}, "Causal padding is only supported for `Conv1D` and `Separable"),
        ({"groups": 2}, "groups=2"),
        ({"depth_multiplier": 0}, "The `depth_multiplier` argument must be a positive integer"),
        ({"strides": 2, "dilation_rate": 2}, "`strides > 1` not supported in conjunction with"),
        ({"engine": "sparse"}, "has no sparse engine"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_keras_refuses_is_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(3, **options)


@BOTH
def test_another_number_of_channels_is_refused(kind):
    layer = depthwise(kind, 3)
    with pytest.raises(ValueError, match="Layer depth was built for inputs of 3 channels"):
        layer(np.ones((1, *shape_of(kind, 2))))


@BOTH
def test_an_unknown_number_of_channels_is_refused(kind):
    with pytest.raises(ValueError, match="The channel dimension of the inputs to layer depth"):
        kind(1, name="depth").build((None, *shape_of(kind, None)))
