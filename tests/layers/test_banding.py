"""Narrow groups side by side: their geometry, and that it changes nothing but the speed."""

import numpy as np
import pytest
from cases import assert_same_bits

from lcfast.layers import banding, convolving, grouping
from lcfast.layers.arrangement import Arrangement

CASES = {
    "depthwise": Arrangement((6, 7), 5, 5, (3, 2), (1, 1), (1, 1), 5, "same"),
    "multiplied": Arrangement((6, 7), 3, 9, (3, 2), (2, 1), (1, 1), 3),
    "grouped": Arrangement((5, 6), 6, 4, (2, 3), (1, 2), (1, 1), 2, "same"),
    "dilated": Arrangement((7, 6), 4, 4, (2, 3), (1, 1), (3, 2), 4),
    "sequence": Arrangement((9,), 4, 8, (3,), (2,), (1,), 4, "causal"),
    "one-window": Arrangement((3, 2), 4, 4, (3, 2), (1, 1), (1, 1), 2),
}
EVERY = pytest.mark.parametrize("name", CASES)


def problem(name):
    arrangement = CASES[name]
    rng = np.random.default_rng(1)
    channels = arrangement.channels // arrangement.groups
    return (
        arrangement,
        rng.standard_normal((5, *arrangement.size, arrangement.channels)).astype("f4"),
        rng.standard_normal((*arrangement.kernel_size, channels, arrangement.filters)).astype("f4"),
        rng.standard_normal((5, *arrangement.output_size, arrangement.filters)).astype("f4"),
    )


def test_a_band_is_as_high_as_the_kernel_and_its_windows_go_by_groups():
    bands = banding.band_geometry(CASES["grouped"])
    assert bands.input_shape == (2, 7, 6)  # kernel rows, padded columns, channels
    assert (bands.kernel_size, bands.strides) == ((3, 3), (2, 3))
    assert bands.output_shape == (2, 3, 2)  # filters of a group, columns, groups


@EVERY
def test_all_groups_together_are_each_group_alone(name, monkeypatch):
    arrangement, x, kernel, dy = problem(name)
    answers = []
    for narrow in (1 << 30, 0):
        monkeypatch.setattr(grouping, "NARROW", narrow)
        answers.append(
            [
                convolving.forward(x, kernel, None, arrangement),
                convolving.input_gradient(dy, kernel, arrangement),
                convolving.kernel_gradient(x, dy, arrangement),
            ]
        )
    together, alone = answers
    assert_same_bits(together[0], alone[0])  # the same chain; gradients are added in another order
    eps = np.finfo("f4").eps
    for got, expected in zip(together[1:], alone[1:], strict=True):
        assert np.abs(got - expected).max() <= 32 * eps * np.abs(expected).max()


@EVERY
def test_blocks_change_no_bit_of_a_row(name, monkeypatch):
    arrangement, x, kernel, dy = problem(name)
    y = convolving.forward(x, kernel, None, arrangement)
    dx = convolving.input_gradient(dy, kernel, arrangement)
    monkeypatch.setattr(banding, "BLOCK_BYTES", 1)
    assert_same_bits(convolving.forward(x, kernel, None, arrangement), y)
    assert_same_bits(convolving.input_gradient(dy, kernel, arrangement), dx)
