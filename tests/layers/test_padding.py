"""ZeroPadding and Cropping: margins of every form, and one the inverse of the other."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits

BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
MARGINS = [
    (0, ((0, 0), (0, 0))),
    (2, ((2, 2), (2, 2))),
    ((1, 2), ((1, 1), (2, 2))),
    (((1, 0), (0, 2)), ((1, 0), (0, 2))),
    ([[1, 0], 2], ((1, 0), (2, 2))),
    ((np.int64(1), np.int32(0)), ((1, 1), (0, 0))),
]
OF_TWO = [(lcfast.ZeroPadding2D, "padding"), (lcfast.Cropping2D, "cropping")]
OF_ONE = [(lcfast.ZeroPadding1D, "padding"), (lcfast.Cropping1D, "cropping")]


def random(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype("f4")


@BOTH_FORMATS
@pytest.mark.parametrize(("given", "margins"), MARGINS, ids=str)
def test_cropping_takes_away_what_padding_adds(given, margins, data_format):
    x = random(2, 6, 7, 8)
    padding = lcfast.ZeroPadding2D(given, data_format)
    cropping = lcfast.Cropping2D(given, data_format)
    assert padding.padding == cropping.cropping == margins
    padded, pull_padding = padding.vjp(x)
    widths = [(0, 0), *margins, (0, 0)] if data_format == "channels_last" else None
    assert_same_bits(padded, np.pad(x, widths or [(0, 0), (0, 0), *margins]))
    assert_same_bits(cropping(padded), x)
    cropped, pull_cropping = cropping.vjp(padded)
    assert_same_bits(pull_cropping(cropped)[0], padded)
    assert_same_bits(pull_padding(padded)[0], x)
    assert padding.compute_output_shape((None, 6, 7, 8)) == (None, *padded.shape[1:])
    assert cropping.compute_output_shape(padded.shape) == x.shape


@pytest.mark.parametrize("given", [0, 2, (1, 0), [0, 3]], ids=str)
def test_a_sequence_has_one_margin(given):
    x = random(2, 4, 3)
    pair = (given, given) if isinstance(given, int) else tuple(given)
    padded = lcfast.ZeroPadding1D(given)(x)
    assert_same_bits(padded, np.pad(x, [(0, 0), pair, (0, 0)]))
    assert_same_bits(lcfast.Cropping1D(given)(padded), x)
    assert lcfast.ZeroPadding1D(given).get_config()["padding"] == pair


@pytest.mark.parametrize(("kind", "name"), [*OF_ONE, *OF_TWO], ids=lambda value: str(value)[-20:])
@pytest.mark.parametrize(
    "value", [-1, 1.5, "1", None, True, (1, 2, 3), (1, -1), (), {}, ((1, 2, 3), 1), 2**40], ids=repr
)
def test_a_margin_that_is_none_is_refused_by_name(kind, name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        kind(value)


@pytest.mark.parametrize("kind", [lcfast.Cropping1D, lcfast.Cropping2D])
def test_what_leaves_nothing_is_refused(kind):
    rank = kind.spatial_dimensions + 2
    with pytest.raises(ValueError, match=r"crops 4 of 4 positions and leaves none. Received: crop"):
        kind(2)(random(*[4] * rank))
    assert kind(1)(random(*[4] * rank)).shape == (4, *[2] * (rank - 2), 4)


@pytest.mark.parametrize("kind", [kind for kind, _ in [*OF_ONE, *OF_TWO]])
def test_an_input_of_another_rank_is_refused(kind):
    with pytest.raises(ValueError, match="dimensions, the batch first"):
        kind()(random(2, 9))
    unknown = (None, *[None] * kind.spatial_dimensions, 3)
    assert kind().compute_output_shape(unknown) == unknown
