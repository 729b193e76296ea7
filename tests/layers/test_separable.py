"""SeparableConv1D and SeparableConv2D beside the two layers that they are made of."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits

PAIRS = {
    lcfast.SeparableConv1D: (lcfast.DepthwiseConv1D, lcfast.Conv1D),
    lcfast.SeparableConv2D: (lcfast.DepthwiseConv2D, lcfast.Conv2D),
}
BOTH = pytest.mark.parametrize("kind", PAIRS, ids=lambda kind: kind.__name__)
BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
OPTIONS = {
    "plain": {},
    "same-strides": {"padding": "same", "strides": 2},
    "dilated": {"dilation_rate": 2},
    "multiplied": {"depth_multiplier": 3},
}


def random(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def shape_of(kind, channels, data_format="channels_last"):
    sizes = (7,) if kind is lcfast.SeparableConv1D else (7, 6)
    return (channels, *sizes) if data_format == "channels_first" else (*sizes, channels)


def separable(kind, **options):
    layer = kind(**{"filters": 4, "kernel_size": 3, "name": "apart", **options})
    layer.build((None, *shape_of(kind, 5, layer.data_format)))
    layer.set_weights([random(shape, i) for i, shape in enumerate(layer.weight_shapes())])
    return layer


@BOTH
@BOTH_FORMATS
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_is_a_depthwise_convolution_and_one_of_single_pixels(kind, data_format, options):
    layer = separable(kind, data_format=data_format, activation="tanh", **options)
    of_depth, of_points = PAIRS[kind]
    depthwise = of_depth(3, data_format=data_format, use_bias=False, **options)
    pointwise = of_points(4, 1, data_format=data_format, activation="tanh")
    x = random((3, *shape_of(kind, 5, data_format)))
    depthwise.build((None, *x.shape[1:]))
    z, pull_depthwise = (depthwise.set_weights(layer.get_weights()[:1]), depthwise.vjp(x))[1]
    pointwise.build((None, *z.shape[1:]))
    y, pull_pointwise = (pointwise.set_weights(layer.get_weights()[1:]), pointwise.vjp(z))[1]
    got, pullback = layer.vjp(x)
    assert_same_bits(got, y)
    assert_same_bits(layer(x), y)
    dy = random(y.shape, 7)
    dz, of_pointwise = pull_pointwise(dy)
    dx, of_depthwise = pull_depthwise(dz)
    got_dx, gradients = pullback(dy)
    expected = [dx, *of_depthwise, *of_pointwise]
    for one, other in zip([got_dx, *gradients], expected, strict=True):
        assert_same_bits(one, other)


@BOTH
def test_weights_are_those_of_keras(kind):
    layer = separable(kind, depth_multiplier=2)
    ones = (1,) * layer.spatial_dimensions
    names = ["apart/depthwise_kernel:0", "apart/pointwise_kernel:0", "apart/bias:0"]
    assert [weight.name for weight in layer.weights] == names
    window = (3,) * layer.spatial_dimensions
    assert layer.weight_shapes() == [(*window, 5, 2), (*ones, 10, 4), (4,)]
    assert separable(kind, use_bias=False).weight_shapes() == [(*window, 5, 1), (*ones, 5, 4)]


def test_each_kernel_has_its_own_initializer_regularizer_and_constraint():
    layer = lcfast.SeparableConv2D(
        3,
        2,
        depthwise_initializer=lcfast.initializers.Constant(2.0),
        pointwise_initializer=lcfast.initializers.Constant(-1.0),
        depthwise_regularizer=lcfast.regularizers.L2(1.0),
        pointwise_regularizer=lcfast.regularizers.L1(0.5),
        bias_regularizer="l1",
        depthwise_constraint=lcfast.constraints.MaxNorm(1.0, axis=[0, 1]),
        pointwise_constraint="non_neg",
    )
    layer.build((None, 4, 4, 3))
    depthwise, pointwise, bias = layer.get_weights()
    assert ((depthwise == 2).all(), (pointwise == -1).all(), bias.any()) == (True, True, False)
    assert [float(loss) for loss in layer.losses] == pytest.approx([4.0 * 12, 0.5 * 9, 0.0])
    ddepthwise, dpointwise, _ = layer.regularization_gradients()
    assert ((ddepthwise == 4).all(), (dpointwise == -0.5).all()) == (True, True)
    layer.apply_constraints()
    depthwise, pointwise, _ = layer.get_weights()
    assert depthwise == pytest.approx(0.5, rel=1e-5)
    assert not pointwise.any()


def test_an_output_of_causal_padding_sees_no_later_input():
    layer = separable(lcfast.SeparableConv1D, padding="causal", dilation_rate=2)
    x = random((1, 7, 5))
    changed = x.copy()
    changed[:, 4:] += 1
    assert_same_bits(layer(changed)[:, :4], layer(x)[:, :4])
    assert layer(x).shape == (1, 7, 4)


# ---------------------------------------------------------------- what is refused, and dialects


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2}, "groups"),
        ({"filters": None}, "The `filters` argument must be a positive integer"),
        ({"depth_multiplier": 1.5}, "The `depth_multiplier` argument must be a positive integer"),
        ({"strides": 2, "dilation_rate": 2}, "`strides > 1` not supported in conjunction with"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_keras_refuses_is_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        separable(kind, **options)


def test_images_have_no_causal_padding():
    with pytest.raises(ValueError, match="Causal padding is only supported for `Conv1D` and"):
        lcfast.SeparableConv2D(1, 1, padding="causal")


def test_a_config_of_keras_1_has_one_initializer_for_both_kernels():
    config = {
        "name": "separableconvolution2d_1",
        "nb_filter": 4,
        "nb_row": 3,
        "nb_col": 2,
        "init": "he_normal",
        "border_mode": "same",
        "subsample": [2, 2],
        "depth_multiplier": 2,
        "dim_ordering": "tf",
        "depthwise_regularizer": None,
        "pointwise_regularizer": None,
        "b_regularizer": None,
        "b_constraint": None,
        "bias": False,
    }
    before = dict(config)
    layer = lcfast.SeparableConv2D.from_config(config)
    assert config == before
    assert (layer.kernel_size, layer.strides, layer.padding) == ((3, 2), (2, 2), "same")
    assert (layer.depth_multiplier, layer.use_bias) == (2, False)
    written = layer.get_config()
    for kernel in ("depthwise", "pointwise"):
        assert written[f"{kernel}_initializer"]["class_name"] == "HeNormal"
