"""Global pooling: what it does with equal maxima, NaN and inputs without positions."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits

KINDS = [
    lcfast.GlobalMaxPooling1D,
    lcfast.GlobalMaxPooling2D,
    lcfast.GlobalAveragePooling1D,
    lcfast.GlobalAveragePooling2D,
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_equal_maxima_share_the_gradient():
    y, pullback = lcfast.GlobalMaxPooling1D().vjp(np.array([[[3.0], [1.0], [3.0], [3.0]]]))
    dx, dweights = pullback(np.array([[6.0]]))
    assert y.tolist() == [[3.0]]
    assert dx.ravel().tolist() == pytest.approx([2.0, 0.0, 2.0, 2.0])
    assert dweights == []


@pytest.mark.parametrize("kind", KINDS[:2], ids=["1D", "2D"])
def test_a_maximum_of_zeros_has_one_sign(kind):
    # Which of two zeros is the larger, numpy decides by their place.
    rng = np.random.default_rng(1)
    x = np.where(rng.random((40, *[9] * kind.spatial_dimensions, 3)) < 0.5, 0.0, -0.0)
    assert_same_bits(kind()(x), np.zeros((40, 3), "f4"))


@each_kind
def test_nan_and_infinity_are_seen(kind):
    x = np.zeros((1, *[3] * kind.spatial_dimensions, 2), "f4")
    x[(0,) * (x.ndim - 1)] = np.nan, np.inf
    y, pullback = kind().vjp(x)
    assert np.isnan(y[0, 0])
    assert y[0, 1] == np.inf
    assert pullback(y)[0].shape == x.shape


@each_kind
def test_an_input_without_positions_is_refused(kind):
    for size in (0, None):
        shape = (None, *[size] * kind.spatial_dimensions, 3)
        if size == 0:
            with pytest.raises(ValueError, match=r"shape \((None|2), "):
                kind().compute_output_shape(shape)
        else:
            assert kind().compute_output_shape(shape) == (None, 3)
    assert kind()(np.ones((0, *[2] * kind.spatial_dimensions, 3))).shape == (0, 3)


@each_kind
def test_an_input_of_another_rank_is_refused(kind):
    rank = kind.spatial_dimensions + 2
    with pytest.raises(ValueError, match=f"needs an input of {rank} dimensions, the batch first"):
        kind()(np.ones((2,) * (rank - 1)))


@each_kind
@pytest.mark.parametrize("keepdims", ["yes", None, 2], ids=repr)
def test_keepdims_is_a_flag(kind, keepdims):
    with pytest.raises(ValueError, match="The `keepdims` argument must be True or False"):
        kind(keepdims=keepdims)


@each_kind
def test_another_data_format_is_refused(kind):
    with pytest.raises(ValueError, match="The `data_format` argument must be one of"):
        kind("channels")


def test_the_data_format_of_images_follows_the_default():
    lcfast.set_image_data_format("channels_first")
    try:
        assert lcfast.GlobalMaxPooling2D().data_format == "channels_first"
        assert lcfast.GlobalMaxPooling1D().data_format == "channels_last"
    finally:
        lcfast.set_image_data_format(None)
