"""Narrow groups computed together: their geometry, and the same results as group by group."""

import numpy as np
import pytest

from lcfast.convolution import conv_ops, grouped, narrow_groups
from lcfast.convolution.conv_geometry import ConvGeometry
from tests.support.cases import assert_same_bits

CASES = {
    "depthwise": ConvGeometry((6, 7), 5, 5, (3, 2), (1, 1), (1, 1), 5, "same"),
    "multiplied": ConvGeometry((6, 7), 3, 9, (3, 2), (2, 1), (1, 1), 3),
    "grouped": ConvGeometry((5, 6), 6, 4, (2, 3), (1, 2), (1, 1), 2, "same"),
    "dilated": ConvGeometry((7, 6), 4, 4, (2, 3), (1, 1), (3, 2), 4),
    "sequence": ConvGeometry((9,), 4, 8, (3,), (2,), (1,), 4, "causal"),
    "one-position": ConvGeometry((3, 2), 4, 4, (3, 2), (1, 1), (1, 1), 2),
}
EVERY = pytest.mark.parametrize("name", CASES)


def problem(name):
    conv = CASES[name]
    rng = np.random.default_rng(1)
    channels = conv.channels // conv.groups
    return (
        conv,
        rng.standard_normal((5, *conv.size, conv.channels)).astype("f4"),
        rng.standard_normal((*conv.kernel_size, channels, conv.filters)).astype("f4"),
        rng.standard_normal((5, *conv.output_size, conv.filters)).astype("f4"),
    )


def test_a_band_has_the_rows_of_the_kernel_and_a_position_for_each_pixel_and_group():
    bands = narrow_groups.band_geometry(CASES["grouped"])
    assert bands.input_shape == (2, 7, 6)  # kernel rows, padded columns, channels
    assert (bands.kernel_size, bands.strides) == ((3, 3), (2, 3))
    assert bands.output_shape == (2, 3, 2)  # filters of a group, columns, groups


@EVERY
def test_all_groups_together_are_each_group_alone(name, monkeypatch):
    conv, x, kernel, dy = problem(name)
    answers = []
    for narrow in (1 << 30, 0):
        monkeypatch.setattr(grouped, "NARROW", narrow)
        answers.append(
            [
                conv_ops.forward(x, kernel, None, conv),
                conv_ops.input_gradient(dy, kernel, conv),
                conv_ops.kernel_gradient(x, dy, conv),
            ]
        )
    together, alone = answers
    assert_same_bits(together[0], alone[0])  # bit-identical; gradients are summed in another order
    eps = np.finfo("f4").eps
    for got, expected in zip(together[1:], alone[1:], strict=True):
        assert np.abs(got - expected).max() <= 32 * eps * np.abs(expected).max()


@EVERY
def test_results_are_bit_identical_for_any_block_size(name, monkeypatch):
    conv, x, kernel, dy = problem(name)
    y = conv_ops.forward(x, kernel, None, conv)
    dx = conv_ops.input_gradient(dy, kernel, conv)
    monkeypatch.setattr(narrow_groups, "BLOCK_BYTES", 1)
    assert_same_bits(conv_ops.forward(x, kernel, None, conv), y)
    assert_same_bits(conv_ops.input_gradient(dy, kernel, conv), dx)
