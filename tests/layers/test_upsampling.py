"""UpSampling: repetition, interpolation, and their adjoints."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits

BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
KINDS = pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])


def random(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


@BOTH_FORMATS
@pytest.mark.parametrize("size", [1, 3, (2, 5), [4, 1]], ids=str)
def test_nearest_repeats_pixels(size, data_format):
    rows, columns = (size, size) if isinstance(size, int) else size
    first = 2 if data_format == "channels_first" else 1
    x = random(2, 3, 4, 5).astype("f4")
    layer = lcfast.UpSampling2D(size, data_format)
    assert_same_bits(layer(x), x.repeat(rows, first).repeat(columns, first + 1))


@BOTH_FORMATS
@KINDS
@pytest.mark.parametrize("size", [1, (2, 3), (5, 1)], ids=str)
def test_the_gradient_is_the_adjoint(size, interpolation, data_format):
    layer = lcfast.UpSampling2D(size, data_format, interpolation, dtype="float64")
    x = random(2, 3, 4, 5)
    y, pullback = layer.vjp(x)
    dy = random(*y.shape, seed=2)
    (dx, dweights) = pullback(dy)
    assert dweights == []
    tolerance = 1e-13 * np.vdot(abs(dy), layer(abs(x)))
    assert abs(np.vdot(dx, x) - np.vdot(dy, y)) <= tolerance


def test_a_sequence_repeats_its_steps():
    x = random(2, 3, 4).astype("f4")
    y, pullback = lcfast.UpSampling1D(np.int64(3)).vjp(x)
    assert_same_bits(y, x.repeat(3, axis=1))
    assert_same_bits(pullback(np.ones_like(y))[0], np.full_like(x, 3))


@KINDS
def test_a_constant_image_stays_constant(interpolation):
    y = lcfast.UpSampling2D((7, 3), interpolation=interpolation)(np.full((1, 4, 5, 1), 0.3))
    assert_same_bits(y, np.full((1, 28, 15, 1), 0.3, "f4"))


def test_bilinear_is_exact_between_two_pixels():
    x = np.array([[[[0.0], [4.0]]]])
    y = lcfast.UpSampling2D((1, 4), interpolation="bilinear")(x)
    assert y.ravel().tolist() == [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]


@KINDS
def test_an_image_without_pixels_stays_without(interpolation):
    layer = lcfast.UpSampling2D(2, interpolation=interpolation)
    assert layer(np.ones((2, 3, 4, 0))).shape == (2, 6, 8, 0)


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", None, True], ids=repr)
def test_a_size_must_be_positive(size):
    with pytest.raises(ValueError, match="The `size` argument must be a positive integer"):
        lcfast.UpSampling1D(size)
    with pytest.raises(ValueError, match="The `size` argument must be one integer or 2"):
        lcfast.UpSampling2D((2, size))


@pytest.mark.parametrize("interpolation", ["bicubic", "area", "", None, 2, ["nearest"]], ids=repr)
def test_another_interpolation_is_refused(interpolation):
    with pytest.raises(ValueError, match=r"up .*interpolation"):
        lcfast.UpSampling2D(interpolation=interpolation, name="up")
    assert lcfast.UpSampling2D(interpolation="BiLinear").interpolation == "bilinear"


@pytest.mark.parametrize("kind", [lcfast.UpSampling1D, lcfast.UpSampling2D])
def test_an_input_of_another_rank_is_refused(kind):
    with pytest.raises(ValueError, match="dimensions, the batch first"):
        kind()(random(2, 9))
    unknown = (None, None, None, 3)[: 3 if kind is lcfast.UpSampling1D else 4]
    assert kind().compute_output_shape(unknown)[1] is None
