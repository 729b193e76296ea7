"""ConvGeometry: output sizes, padding, and phases of dilated convolutions."""

import numpy as np
import pytest

from lcfast.convolution.conv_geometry import ConvGeometry
from tests.support.cases import assert_same_bits

# size, kernel, strides, dilation, padding: output size, pads
BY_HAND = [
    ((7,), (3,), (1,), (1,), "valid", (5,), ((0, 0),)),
    ((7,), (3,), (2,), (1,), "same", (4,), ((1, 1),)),
    ((8,), (3,), (2,), (1,), "same", (4,), ((0, 1),)),
    ((8,), (2,), (1,), (3,), "valid", (5,), ((0, 0),)),
    ((8,), (2,), (1,), (3,), "same", (8,), ((1, 2),)),
    ((5,), (3,), (1,), (2,), "causal", (5,), ((4, 0),)),
    ((5,), (3,), (2,), (1,), "causal", (3,), ((2, 0),)),
    ((4, 9), (3, 2), (1, 1), (1, 4), "same", (4, 9), ((1, 1), (2, 2))),
    ((4, 1), (1, 1), (3, 2), (1, 1), "same", (2, 1), ((0, 0), (0, 0))),
]


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "dilation", "padding", "out", "pads"), BY_HAND
)
def test_sizes_are_those_of_tensorflow(size, kernel, strides, dilation, padding, out, pads):
    conv = ConvGeometry(size, 1, 1, kernel, strides, dilation, 1, padding)
    assert (conv.output_size, conv.pads) == (out, pads)


def test_a_phase_holds_the_inputs_that_lie_a_dilation_apart():
    conv = ConvGeometry((5,), 1, 1, (2,), (1,), (3,))
    rows = conv.phases_of_input(np.array([[[1.0], [2.0], [3.0], [4.0], [5.0]]]))
    np.testing.assert_array_equal(rows[..., 0], [[1, 4], [2, 5], [3, 0]])
    assert conv.phase.output_size == (1,)
    y = conv.output_of_phases(np.array([[[7.0]], [[8.0]], [[9.0]]]))
    np.testing.assert_array_equal(
        y, [[[7.0], [8.0]]]
    )  # the third phase is too short for a position


def test_phases_of_an_image_go_row_by_row():
    conv = ConvGeometry((2, 4), 1, 1, (1, 2), (1, 1), (2, 2))
    rows = conv.phases_of_input(np.arange(8.0).reshape(1, 2, 4, 1))
    assert rows.shape == (4, 1, 2, 1)
    np.testing.assert_array_equal(rows[:, 0, :, 0], [[0, 2], [1, 3], [4, 6], [5, 7]])


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (3, 2)], ids=str)
def test_phases_joined_are_the_array_again(padding, dilation):
    conv = ConvGeometry((7, 5), 3, 2, (2, 3), (1, 1), dilation, 1, padding)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 7, 5, 3))
    y = rng.standard_normal((2, *conv.output_size, 2))
    rows, y_rows = conv.phases_of_input(x), conv.phases_of_output(y)
    assert rows.shape == (2 * conv.phases, *conv.phase.input_shape)
    assert y_rows.shape == (2 * conv.phases, *conv.phase.output_shape)
    assert_same_bits(conv.input_of_phases(rows), x)
    assert_same_bits(conv.output_of_phases(y_rows), y)
    assert rows.sum() == pytest.approx(x.sum())  # all else is zeros
    assert y_rows.sum() == pytest.approx(y.sum())


def test_without_padding_and_dilation_the_one_phase_is_the_input_itself():
    x = np.ones((2, 4, 3))
    assert ConvGeometry((4,), 3, 1, (2,), (2,), (1,)).phases_of_input(x) is x
