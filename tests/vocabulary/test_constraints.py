"""Constraints against tf_keras, and every way in which Keras names them."""

import numpy as np
import pytest

from lcfast.vocabulary import constraints
from lcfast.vocabulary.constraints import (
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    RadialConstraint,
    UnitNorm,
)

W = np.array([[1.0, -2.0, 0.0], [0.5, 0.0, 3.0]])
# What becomes of W, float64, from tf_keras 2.21.
GOLDEN = [
    (
        MaxNorm(1.5),
        [[0.9999999105572889, -1.4999999250000038, 0.0], [0.49999995527864444, 0.0, 1.49999995]],
    ),
    (
        MaxNorm(1.5, axis=1),
        [
            [0.6708203632499382, -1.3416407264998764, 0.0],
            [0.2465984728499281, 0.0, 1.4795908370995687],
        ],
    ),
    (
        MaxNorm(1.5, axis=[0, 1]),
        [
            [0.39735969659319764, -0.7947193931863953, 0.0],
            [0.19867984829659882, 0.0, 1.192079089779593],
        ],
    ),
    (
        UnitNorm(),
        [
            [0.8944271109999229, -0.9999999500000026, 0.0],
            [0.44721355549996145, 0.0, 0.9999999666666678],
        ],
    ),
    (
        UnitNorm(axis=1),
        [
            [0.4472135754999588, -0.8944271509999177, 0.0],
            [0.16439898189995208, 0.0, 0.9863938913997125],
        ],
    ),
    (
        MinMaxNorm(0.5, 2.0, 0.3),
        [
            [0.9999999105572889, -1.9999999000000053, 0.0],
            [0.49999995527864444, 0.0, 2.699999910000003],
        ],
    ),
    (
        MinMaxNorm(4.0, 5.0, axis=1),
        [
            [1.7888543019998353, -3.5777086039996706, 0.0],
            [0.6575959275998083, 0.0, 3.9455755655988503],
        ],
    ),
    (NonNeg(), [[1.0, 0.0, 0.0], [0.5, 0.0, 3.0]]),
]


@pytest.mark.parametrize(("constraint", "expected"), GOLDEN, ids=repr)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_constrained_weights_are_those_of_tf_keras(constraint, expected, dtype, rtol):
    weights = W.astype(dtype)
    constrained = constraint(weights)
    np.testing.assert_allclose(constrained, expected, rtol=rtol)
    assert constrained.dtype == dtype
    assert not np.shares_memory(constrained, weights)
    np.testing.assert_array_equal(weights, W)


def test_weights_that_satisfy_the_constraint_still_come_back_as_a_new_array():
    weights = np.ones((4, 4, 1, 1), np.float32)
    for constraint in (MaxNorm(100), NonNeg(), RadialConstraint()):
        constrained = constraint(weights)
        np.testing.assert_allclose(constrained, weights, rtol=1e-6)
        assert not np.shares_memory(constrained, weights)


def test_weights_of_zero_stay_zero():
    for constraint in (MaxNorm(), UnitNorm(), MinMaxNorm(1.0, 2.0)):
        np.testing.assert_array_equal(constraint(np.zeros((3, 2))), np.zeros((3, 2)))


def test_axis_none_takes_the_norm_of_all_weights():
    assert np.linalg.norm(UnitNorm(axis=None)(W)) == pytest.approx(1, rel=1e-6)


def test_weights_without_axes_keep_their_dtype():
    assert MaxNorm(1.0, axis=None)(np.float32(3)).dtype == np.float32


def test_limits_in_the_wrong_order_and_below_0_are_taken_as_keras_takes_them():
    np.testing.assert_array_equal(MaxNorm(-1)(W), 0 * W)
    np.testing.assert_allclose(MinMaxNorm(3, 1)(W), MinMaxNorm(3, 3)(W))


def test_an_infinite_limit_is_none():
    np.testing.assert_allclose(MaxNorm(float("inf"))(W), W, rtol=1e-6)


# A kernel that counts 0, 1, 2, ... row by row; the rings from the outside, from tf_keras 2.21.
@pytest.mark.parametrize(
    ("size", "rings"), [(2, [0]), (3, [4, 0]), (4, [15, 5]), (5, [18, 12, 6]), (6, [35, 28, 14])]
)
def test_radial_rings_are_those_of_tf_keras(size, rings):
    counting = np.arange(size * size, dtype=np.float32).reshape(size, size)
    weights = counting[:, :, None, None] * np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    constrained = RadialConstraint()(weights)
    assert constrained.shape == (size, size, 2, 3)
    np.testing.assert_array_equal(constrained[: len(rings), size // 2, 0, 0], rings)
    one = constrained[:, :, 0, 0]
    np.testing.assert_array_equal(one, one.T)
    np.testing.assert_array_equal(one, one[::-1])
    np.testing.assert_array_equal(constrained[:, :, 1, 2], 6 * one)


def test_a_radial_kernel_of_one_weight_stays_as_it_is():
    np.testing.assert_array_equal(RadialConstraint()(np.full((1, 1, 1, 1), 3.0)), [[[[3]]]])


@pytest.mark.parametrize("shape", [(3, 4, 1, 1), (3, 3, 1), (9,)])
def test_radial_needs_a_square_kernel_of_4_axes(shape):
    with pytest.raises(ValueError, match=r"RadialConstraint needs weights of shape \(size, size,"):
        RadialConstraint()(np.zeros(shape))


@pytest.mark.parametrize("axis", [2, -3, [0, 0], [0, 5]])
def test_an_axis_that_does_not_fit_is_refused_by_name(axis):
    with pytest.raises(ValueError, match=r"axis .* does not fit weights of shape \(2, 3\)"):
        UnitNorm(axis)(W)


@pytest.mark.parametrize("axis", ["0", 0.0, [0, "1"], True, [[0]]])
def test_an_axis_that_is_no_int_is_refused(axis):
    with pytest.raises(ValueError, match=r"^axis needs"):
        constraints.get({"class_name": "UnitNorm", "config": {"axis": axis}})


def test_weights_that_are_no_floats_are_refused():
    with pytest.raises(ValueError, match=r"NonNeg needs weights of floats, not int64\."):
        NonNeg()(np.array([1, -1], np.int64))


@pytest.mark.parametrize("value", ["a", None, float("nan"), [1]])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="max_value needs a number, not"):
        constraints.get({"class_name": "MaxNorm", "config": {"max_value": value}})


class TestNames:
    @pytest.mark.parametrize("name", ["MaxNorm", "max_norm", "maxnorm"])
    def test_every_name_of_max_norm_is_known(self, name):
        assert constraints.get(name) == MaxNorm(2, 0)

    @pytest.mark.parametrize("name", ["NonNeg", "non_neg", "nonneg"])
    def test_every_name_of_non_neg_is_known(self, name):
        assert constraints.get(name) == NonNeg()

    @pytest.mark.parametrize("name", ["UnitNorm", "unit_norm", "unitnorm"])
    def test_every_name_of_unit_norm_is_known(self, name):
        assert constraints.get(name) == UnitNorm(0)

    @pytest.mark.parametrize("name", ["MinMaxNorm", "min_max_norm"])
    def test_every_name_of_min_max_norm_is_known(self, name):
        assert constraints.get(name) == MinMaxNorm(0, 1, 1, 0)

    @pytest.mark.parametrize("name", ["RadialConstraint", "radial_constraint"])
    def test_every_name_of_radial_constraint_is_known(self, name):
        assert constraints.get(name) == RadialConstraint()

    def test_the_functions_of_keras_exist(self):
        assert constraints.maxnorm(3) == constraints.max_norm(3) == MaxNorm(3)
        assert constraints.non_neg() == constraints.nonneg() == NonNeg()
        assert constraints.min_max_norm(rate=0.5) == MinMaxNorm(rate=0.5)

    def test_several_axes_are_a_list_in_the_config(self):
        for axes in ([0, 1, 2], (0, 1, 2), np.arange(3)):
            assert MaxNorm(1, axes).get_config() == {"max_value": 1, "axis": [0, 1, 2]}

    def test_the_dicts_of_keras_1_files_are_read(self):
        assert constraints.get({"name": "MaxNorm", "m": 3, "axis": 1}) == MaxNorm(3, 1)
        low_high = {"name": "MinMaxNorm", "low": 0.5, "high": 2.0, "rate": 1.0, "axis": 0}
        assert constraints.get(low_high) == MinMaxNorm(0.5, 2.0)


def test_a_class_of_the_users_says_what_it_lacks():
    class Own(constraints.Constraint):
        pass

    with pytest.raises(NotImplementedError, match="Own needs a __call__ method"):
        Own()(np.ones(3))
