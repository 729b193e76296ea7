"""Penalties and their gradients against tf_keras, and every way in which Keras names them."""

import math

import numpy as np
import pytest

from lcfast.vocabulary import regularizers
from lcfast.vocabulary.regularizers import L1, L1L2, L2, OrthogonalRegularizer

W = np.array([[1.0, -2.0, 0.25], [0.5, 0.0, 3.0]])
# The penalty of W and its gradient, float64, from tf_keras 2.21.
GOLDEN = [
    (
        L1(0.3),
        2.0250000804662704,
        [
            [0.30000001192092896, -0.30000001192092896, 0.30000001192092896],
            [0.30000001192092896, 0.0, 0.30000001192092896],
        ],
    ),
    (
        L2(0.3),
        4.293750170618296,
        [
            [0.6000000238418579, -1.2000000476837158, 0.15000000596046448],
            [0.30000001192092896, 0.0, 1.8000000715255737],
        ],
    ),
    (
        L1L2(0.1, 0.7),
        10.693749839439988,
        [
            [1.4999999776482582, -2.8999999538064003, 0.44999999552965164],
            [0.7999999895691872, 0.0, 4.299999929964542],
        ],
    ),
    (
        OrthogonalRegularizer(0.2),
        0.03653310883446513,
        [
            [0.007396826973891707, 0.014432833119788692, 0.08587535706274273],
            [0.02725172442787129, -0.05845297413514421, -0.004541954071311882],
        ],
    ),
    (
        OrthogonalRegularizer(0.2, "columns"),
        0.09982797600417949,
        [
            [-0.010852932431440768, 0.0, 0.040844013052415064],
            [0.021705864862881556, -0.04812531250861761, -0.003403667754367923],
        ],
    ),
]
by_regularizer = pytest.mark.parametrize(("regularizer", "penalty", "gradient"), GOLDEN, ids=repr)


@by_regularizer
def test_penalty_and_gradient_are_those_of_tf_keras(regularizer, penalty, gradient):
    assert regularizer(W) == pytest.approx(penalty, rel=1e-14)
    np.testing.assert_allclose(regularizer.gradient(W), gradient, rtol=1e-13, atol=1e-17)


@by_regularizer
def test_the_gradient_is_the_slope_of_the_penalty(regularizer, penalty, gradient):
    direction = np.array([[0.3, -0.2, 0.5], [0.7, 0.0, -0.4]])  # stays clear of the kink at 0
    h = 1e-6
    slope = (regularizer(W + h * direction) - regularizer(W - h * direction)) / (2 * h)
    assert slope == pytest.approx(np.vdot(gradient, direction), rel=1e-7)
    assert math.isfinite(penalty)


@by_regularizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_penalty_is_a_float_and_a_gradient_is_like_the_weights(
    regularizer, penalty, gradient, dtype
):
    weights = np.asfortranarray(W, dtype)
    assert isinstance(regularizer(weights), float)
    assert regularizer(weights) == pytest.approx(penalty, rel=1e-14)  # W is exact in float32
    assert regularizer.gradient(weights).dtype == dtype
    np.testing.assert_allclose(regularizer.gradient(weights), gradient, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(weights, W.astype(dtype))


def test_float32_weights_are_summed_in_float64():
    weights = np.ones(1000, np.float32)
    weights[0] = 1e8  # beside it, float32 would lose the others
    assert L1(1)(weights) == 1e8 + 999
    weights[0] = 1e6
    assert L2(1)(weights) == 1e12 + 999


def test_the_gradient_of_abs_is_0_at_0():
    np.testing.assert_array_equal(L1(1).gradient(np.array([0.0, -0.0])), [0, 0])


def test_a_penalty_of_factor_0_leaves_infinite_weights_alone():
    assert L1L2()(np.array([np.inf])) == 0
    assert L1L2(l2=0.5)(np.array([2.0])) == 2


def test_a_list_of_ints_counts_as_weights():
    assert L2(1)([1, 2]) == 5
    np.testing.assert_array_equal(L2(0.25).gradient([1, 2]), [0.5, 1.0])


class TestOrthogonalRegularizer:
    def test_orthogonal_rows_cost_nothing(self):
        assert OrthogonalRegularizer()(np.diag([2.0, 3.0, 0.5])) == 0

    def test_parallel_rows_cost_the_factor(self):
        assert OrthogonalRegularizer(0.5)(np.ones((4, 3))) == pytest.approx(0.5)

    def test_a_row_of_zeros_costs_nothing_and_has_a_finite_gradient(self):
        weights = np.array([[0.0, 0.0], [1.0, 2.0]])
        assert OrthogonalRegularizer()(weights) == 0
        assert np.isfinite(OrthogonalRegularizer().gradient(weights)).all()

    def test_a_single_row_gives_nan_as_in_keras(self):
        assert math.isnan(OrthogonalRegularizer()([[1.0, 2.0]]))

    def test_it_needs_a_matrix(self):
        with pytest.raises(ValueError, match=r"weights of 2 axes, not of shape \(2, 2, 2\)"):
            OrthogonalRegularizer()(np.ones((2, 2, 2)))

    def test_a_mode_that_does_not_exist_is_refused(self):
        with pytest.raises(ValueError, match="mode needs 'rows' or 'columns', not 'cols'"):
            OrthogonalRegularizer(0.1, "cols")


class TestNames:
    def test_a_factor_is_rounded_to_float32_as_in_keras(self):
        assert L2(0.01).get_config() == {"l2": 0.009999999776482582}
        assert L2(np.float32(0.01)) == L2(0.01)

    @pytest.mark.parametrize("name", ["l2", "L2"])
    def test_the_string_l2_has_the_factor_0_01(self, name):
        assert regularizers.get(name) == L2(0.01)

    @pytest.mark.parametrize("name", ["l1", "L1"])
    def test_the_string_l1_has_the_factor_0_01(self, name):
        assert regularizers.get(name) == L1(0.01)

    def test_l1_l2_has_factors_where_the_class_has_none(self):
        assert regularizers.get("l1_l2") == L1L2(0.01, 0.01) == regularizers.l1_l2()
        assert regularizers.get({"class_name": "l1_l2", "config": {}}) == L1L2(0.01, 0.01)
        assert regularizers.get("L1L2") == L1L2(0, 0)

    def test_the_functions_have_the_defaults_of_keras(self):
        assert regularizers.l1() == L1(0.01)
        assert regularizers.l2() == L2(0.01)
        assert regularizers.l1(l1=0.5) == L1(0.5)
        assert regularizers.l2(l2=0.5) == L2(0.5)
        assert regularizers.l1_l2(l1=0.5) == L1L2(0.5, 0.01)

    def test_the_dict_of_keras_2_files_is_read(self):
        written = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.009999999776482582}}
        assert regularizers.get(written) == L1L2(0, 0.01)

    @pytest.mark.parametrize(
        "name", ["L1L2Regularizer", "WeightRegularizer", "ActivityRegularizer"]
    )
    def test_the_dict_of_keras_1_files_is_read(self, name):
        assert regularizers.get({"name": name, "l1": 0.1, "l2": 0.2}) == L1L2(0.1, 0.2)

    @pytest.mark.parametrize("name", ["l1l2", "activity_l1l2"])
    def test_the_names_of_keras_1_are_known(self, name):
        assert regularizers.get(name) == L1L2(0.01, 0.01)

    def test_the_argument_l_of_old_files_is_read(self):
        assert regularizers.get({"class_name": "L1", "config": {"l": 0.5}}) == L1(0.5)
        assert regularizers.get({"class_name": "l2", "config": {"l": 0.5}}) == L2(0.5)

    def test_none_stands_for_the_default_factor(self):
        assert L1(None) == L1(0.01)
        assert L2(None) == L2(0.01)
        assert L1L2(None, None) == L1L2(0, 0)

    @pytest.mark.parametrize("factor", ["a", [0.1], float("nan"), float("inf"), 1e300, True])
    def test_a_factor_that_is_no_finite_number_is_refused(self, factor):
        with pytest.raises(ValueError, match=r"l2 needs a (finite )?number, not"):
            regularizers.get({"class_name": "L2", "config": {"l2": factor}})


def test_a_class_of_the_users_says_what_it_lacks():
    class Own(regularizers.Regularizer):
        pass

    with pytest.raises(NotImplementedError, match="Own needs a __call__ method"):
        Own()(np.ones(3))
    with pytest.raises(NotImplementedError, match="Own needs a gradient method"):
        Own().gradient(np.ones(3))
