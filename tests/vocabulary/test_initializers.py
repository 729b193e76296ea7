"""Initializers by their distribution, and every way in which Keras names them."""

import math

import numpy as np
import pytest

from lcfast.vocabulary import initializers
from lcfast.vocabulary.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)

SHAPE = (20, 30, 40)  # fan_in 600, fan_out 800: 24000 draws
SEEDED = [
    RandomUniform(seed=1),
    RandomNormal(seed=1),
    TruncatedNormal(seed=1),
    VarianceScaling(seed=1),
    VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=1),
    VarianceScaling(2.0, "fan_avg", "uniform", seed=1),
    GlorotUniform(1),
    GlorotNormal(1),
    HeUniform(1),
    HeNormal(1),
    LecunUniform(1),
    LecunNormal(1),
    Orthogonal(seed=1),
]
EVERY = [*SEEDED, Zeros(), Ones(), Constant(0.5)]


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, "float64", np.dtype("float32")])
@pytest.mark.parametrize("shape", [(3, 4), [2, 3, 4], (np.int64(4), 2), (0, 3), (5, 1)])
def test_an_array_has_the_shape_and_dtype_asked_for(initializer, dtype, shape):
    array = initializer(shape, dtype)
    assert isinstance(array, np.ndarray)
    assert array.shape == tuple(shape)
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable


@pytest.mark.parametrize("initializer", [e for e in EVERY if not isinstance(e, Orthogonal)])
def test_a_weight_may_have_one_axis_or_none(initializer):
    assert initializer((3,), np.float32).shape == (3,)
    assert initializer((), np.float32).shape == ()
    assert initializer((), np.float32).dtype == np.float32


@pytest.mark.parametrize("initializer", SEEDED, ids=repr)
class TestSeed:
    def test_the_same_seed_gives_the_same_array_on_every_call(self, initializer):
        again = type(initializer).from_config(initializer.get_config())
        first = initializer((4, 5), np.float32)
        np.testing.assert_array_equal(first, initializer((4, 5), np.float32))
        np.testing.assert_array_equal(first, again((4, 5), np.float32))

    def test_another_seed_gives_another_array(self, initializer):
        other = type(initializer).from_config({**initializer.get_config(), "seed": 2})
        assert (initializer((4, 5), np.float32) != other((4, 5), np.float32)).any()

    def test_without_a_seed_every_call_draws_afresh(self, initializer):
        fresh = type(initializer).from_config({**initializer.get_config(), "seed": None})
        assert (fresh((4, 5), np.float32) != fresh((4, 5), np.float32)).any()

    def test_numpys_global_state_is_neither_used_nor_changed(self, initializer):
        before = np.random.get_state()[1].copy()
        initializer((4, 5), np.float32)
        np.testing.assert_array_equal(np.random.get_state()[1], before)

    def test_any_int_is_a_seed(self, initializer):
        for seed in (0, -1, 2**40, np.int64(7)):
            made = type(initializer).from_config({**initializer.get_config(), "seed": seed})
            assert np.isfinite(made((4, 5), np.float32)).all()
            assert type(made.seed) is int

    def test_a_seed_that_is_no_int_is_refused(self, initializer):
        for seed in (1.5, "1", [1], True):
            with pytest.raises(ValueError, match="seed needs"):
                type(initializer).from_config({**initializer.get_config(), "seed": seed})


def uniform(limit):
    return limit, limit / math.sqrt(3)


def truncated(stddev):
    return 2 * stddev / 0.8796256610342398, stddev


@pytest.mark.parametrize(
    ("cls", "arguments", "bound", "stddev"),
    [
        (RandomUniform, {}, *uniform(0.05)),
        (RandomNormal, {}, math.inf, 0.05),
        (TruncatedNormal, {"stddev": 0.5}, 1.0, 0.5 * 0.8796256610342398),
        (GlorotUniform, {}, *uniform(math.sqrt(6 / 1400))),
        (GlorotNormal, {}, *truncated(math.sqrt(2 / 1400))),
        (HeUniform, {}, *uniform(math.sqrt(6 / 600))),
        (HeNormal, {}, *truncated(math.sqrt(2 / 600))),
        (LecunUniform, {}, *uniform(math.sqrt(3 / 600))),
        (LecunNormal, {}, *truncated(math.sqrt(1 / 600))),
        (VarianceScaling, {}, *truncated(math.sqrt(1 / 600))),
        (VarianceScaling, {"mode": "fan_out", "scale": 3}, *truncated(math.sqrt(3 / 800))),
        (VarianceScaling, {"distribution": "untruncated_normal"}, math.inf, math.sqrt(1 / 600)),
        (VarianceScaling, {"distribution": "uniform"}, *uniform(math.sqrt(3 / 600))),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_distribution_has_its_bound_and_its_moments(cls, arguments, bound, stddev, dtype):
    drawn = cls(**arguments, seed=11)(SHAPE, dtype).astype(np.float64)
    assert abs(drawn.mean()) < 4 * stddev / math.sqrt(drawn.size)
    assert drawn.std() == pytest.approx(stddev, rel=0.02)
    largest = np.abs(drawn).max()
    if math.isinf(bound):
        assert largest > 3 * stddev  # nothing was cut off
    else:
        assert 0.98 * bound < largest <= bound * (1 + 1e-6)


def test_a_distribution_may_lie_anywhere():
    between = RandomUniform(2, 3, seed=1)(SHAPE, np.float32)
    assert between.min() >= 2
    assert between.max() <= 3
    assert between.mean() == pytest.approx(2.5, abs=0.01)
    assert RandomNormal(5.0, 0.1, seed=1)(SHAPE, np.float32).mean() == pytest.approx(5, abs=0.01)
    around = TruncatedNormal(5.0, 0.1, seed=1)(SHAPE, np.float64)
    assert np.abs(around - 5).max() <= 0.2


def test_a_maxval_of_none_is_1_as_in_keras():
    drawn = RandomUniform(0, None, seed=1)(SHAPE, np.float32)
    assert 0.99 < drawn.max() <= 1
    assert RandomUniform(0, None).get_config()["maxval"] is None


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 4), (3, 4)),
        ((100, 27, 8), (2700, 800)),  # implementation 1: positions count as receptive field
        ((3, 3, 16, 32), (144, 288)),
    ],
)
def test_fans_are_counted_from_the_stored_shape(shape, expected):
    assert initializers.fans(shape) == expected


class TestConstant:
    def test_a_number_fills_any_shape(self):
        np.testing.assert_array_equal(Constant(2.5)((2, 3), np.float64), np.full((2, 3), 2.5))
        np.testing.assert_array_equal(Constant([7])((2,), np.float32), [7, 7])

    def test_an_array_fills_a_shape_of_as_many_elements_row_by_row(self):
        values = np.arange(6.0)
        np.testing.assert_array_equal(Constant(values)((2, 3), np.float32), values.reshape(2, 3))
        np.testing.assert_array_equal(Constant([[1, 2], [3, 4]])((4,), np.float32), [1, 2, 3, 4])

    def test_an_array_of_another_size_is_refused(self):
        with pytest.raises(ValueError, match=r"2 .*\(2, 2\)"):
            Constant([1, 2])((2, 2), np.float32)

    def test_later_changes_of_the_callers_array_do_not_matter(self):
        values = np.zeros(3)
        initializer = Constant(values)
        values[0] = 1
        initializer((3,), np.float32)[1] = 1
        np.testing.assert_array_equal(initializer((3,), np.float32), [0, 0, 0])

    def test_the_array_dicts_of_keras_files_are_read(self):
        for value in (
            {"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "float32"}},
            {"class_name": "__tensor__", "config": {"value": [1.0, 2.0], "dtype": "float32"}},
            {"type": "ndarray", "value": [1.0, 2.0]},
        ):
            written = {"class_name": "Constant", "config": {"value": value}}
            assert initializers.get(written) == Constant([1.0, 2.0])

    @pytest.mark.parametrize("value", ["3", None, {}, {"config": 3}, [1, "a"], [[1], [2, 3]], 2j])
    def test_what_is_no_number_is_refused(self, value):
        with pytest.raises(ValueError, match="value needs a number or an array"):
            initializers.get({"class_name": "Constant", "config": {"value": value}})


class TestOrthogonal:
    @pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 3, 2, 5), (2, 3, 40)])
    def test_the_shorter_side_is_orthonormal_times_gain(self, shape):
        matrix = Orthogonal(1.5, seed=3)(shape, np.float64).reshape(-1, shape[-1])
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        np.testing.assert_allclose(wide @ wide.T, 2.25 * np.eye(len(wide)), atol=1e-12)

    def test_no_matrix_comes_up_more_often_than_its_negative(self):
        traces = [Orthogonal(seed=seed)((2, 2), np.float64).trace() for seed in range(400)]
        assert abs(np.mean(traces)) < 4 / math.sqrt(400)

    def test_it_needs_two_axes(self):
        with pytest.raises(ValueError, match=r"Orthogonal needs .* at least 2 axes, not \(3,\)\."):
            Orthogonal()((3,), np.float32)


class TestIdentity:
    def test_gain_lies_on_the_diagonal(self):
        np.testing.assert_array_equal(Identity(2)((2, 3), np.float32), [[2, 0, 0], [0, 2, 0]])

    @pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
    def test_it_needs_exactly_two_axes(self, shape):
        with pytest.raises(ValueError, match="Identity needs a shape of exactly 2 axes, not"):
            Identity()(shape, np.float32)


class TestRefusals:
    @pytest.mark.parametrize("shape", [(-1, 2), (2.0, 3), 5, "ab", (None, 3)])
    def test_a_shape_that_is_none_is_refused(self, shape):
        with pytest.raises(ValueError, match="shape needs a sequence of ints, none negative, not"):
            Zeros()(shape, np.float32)

    @pytest.mark.parametrize("dtype", [np.int32, np.float16, bool, complex])
    def test_other_dtypes_are_refused(self, dtype):
        with pytest.raises(ValueError, match="GlorotUniform"):
            GlorotUniform()((2, 2), dtype)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ({"scale": 0}, r"scale needs a positive number, not 0\."),
            ({"scale": "1"}, r"scale needs a number, not '1'\."),
            ({"mode": "FAN_AVG"}, r"mode needs 'fan_in', 'fan_out' or 'fan_avg', not 'FAN_AVG'\."),
            ({"distribution": "cauchy"}, r"distribution needs .*, not 'cauchy'\."),
            ({"distribution": None}, r"distribution needs .*, not None\."),
        ],
    )
    def test_unfit_arguments_are_refused_by_name(self, arguments, sentence):
        with pytest.raises(ValueError, match=sentence):
            initializers.get({"class_name": "VarianceScaling", "config": arguments})

    def test_a_parameter_that_is_no_number_is_refused_by_name(self):
        with pytest.raises(ValueError, match=r"stddev needs a number, not None\."):
            initializers.get({"class_name": "RandomNormal", "config": {"stddev": None}})


class TestNames:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ("Zeros zeros zero ZerosV2", Zeros()),
            ("Ones ones one OnesV2", Ones()),
            ("Constant constant ConstantV2", Constant(0)),
            ("RandomUniform random_uniform uniform RandomUniformV2", RandomUniform(-0.05, 0.05)),
            ("RandomNormal random_normal normal RandomNormalV2", RandomNormal(0.0, 0.05)),
            ("TruncatedNormal truncated_normal", TruncatedNormal(0.0, 0.05)),
            ("VarianceScaling variance_scaling", VarianceScaling(1.0, "fan_in")),
            ("GlorotUniform glorot_uniform glorot_uniformV2", GlorotUniform()),
            ("GlorotNormal glorot_normal GlorotNormalV2", GlorotNormal()),
            ("HeUniform he_uniform he_uniformV2", HeUniform()),
            ("HeNormal he_normal", HeNormal()),
            ("LecunUniform lecun_uniform", LecunUniform()),
            ("LecunNormal lecun_normal", LecunNormal()),
            ("Orthogonal orthogonal OrthogonalV2", Orthogonal(1.0)),
            ("Identity identity", Identity(1.0)),
        ],
    )
    def test_every_name_of_an_initializer_is_known(self, names, expected):
        for name in names.split():
            assert initializers.get(name) == expected

    def test_normal_is_another_name_of_truncated_normal(self):
        for name in ("normal", "NORMAL", "truncated_normal"):
            assert VarianceScaling(distribution=name).distribution == "truncated_normal"

    @pytest.mark.parametrize("name", sorted(initializers.REGISTRY.classes))
    def test_the_dtype_of_old_files_is_ignored(self, name):
        written = {"class_name": name, "config": {"dtype": "float32"}}
        assert initializers.get(written) == initializers.get(name)


def test_a_class_of_the_users_says_what_it_lacks():
    class Own(initializers.Initializer):
        pass

    with pytest.raises(NotImplementedError, match="Own needs a __call__ method"):
        Own()((3,))


def test_numbers_that_depend_on_their_place_are_not_independent_of_it():
    assert initializers.independent(initializers.Constant(2.0), (3,)) == initializers.Constant(2.0)
    assert initializers.independent(initializers.Constant([1.0, 2.0, 3.0]), (3,)) is None
    assert initializers.independent(initializers.Orthogonal(), (3, 3)) is None
