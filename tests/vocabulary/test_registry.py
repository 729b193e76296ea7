"""One table of names: what it resolves, what it refuses and how it says so."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest

from lcfast.vocabulary import constraints, initializers, regularizers
from lcfast.vocabulary.registry import Registry, number

MODULES = (initializers, regularizers, constraints)
EVERY_KIND = [
    initializers.Zeros(),
    initializers.Ones(),
    initializers.Constant(2.5),
    initializers.Constant(np.array([[1.0, 2.0], [3.0, 4.0]])),
    initializers.RandomUniform(-1, 2, seed=3),
    initializers.RandomNormal(1.0, 0.5),
    initializers.TruncatedNormal(1.0, 0.5, seed=4),
    initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=5),
    initializers.GlorotUniform(seed=6),
    initializers.GlorotNormal(),
    initializers.HeUniform(),
    initializers.HeNormal(),
    initializers.LecunUniform(),
    initializers.LecunNormal(),
    initializers.Orthogonal(1.5, seed=7),
    initializers.Identity(3),
    regularizers.L1(0.3),
    regularizers.L2(0.3),
    regularizers.L1L2(0.1, 0.7),
    regularizers.OrthogonalRegularizer(0.2, "columns"),
    constraints.MaxNorm(3, axis=(0, 1)),
    constraints.NonNeg(),
    constraints.UnitNorm(axis=-1),
    constraints.MinMaxNorm(0.5, 2.0, 0.7, axis=1),
    constraints.RadialConstraint(),
]


def module_of(instance):
    return next(m for m in MODULES if type(instance).__name__ in m.REGISTRY.classes)


def test_the_list_of_every_kind_is_complete():
    named = {name for module in MODULES for name in module.REGISTRY.classes}
    assert {type(instance).__name__ for instance in EVERY_KIND} == named


@pytest.mark.parametrize("instance", EVERY_KIND, ids=repr)
class TestEveryKind:
    def test_comes_back_equal_from_json_in_the_dialect_of_keras_2(self, instance):
        module = module_of(instance)
        written = json.loads(json.dumps(module.serialize(instance)))
        assert set(written) == {"class_name", "config"}
        assert module.get(written) == instance
        assert module.deserialize(written) == instance

    def test_comes_back_equal_in_the_dialect_of_keras_3(self, instance):
        module = module_of(instance)
        written = {"module": "no.such.module", "registered_name": None}
        assert module.get({**written, **module.serialize(instance)}) == instance

    def test_comes_back_equal_in_the_dialect_of_keras_1(self, instance):
        flat = {"name": type(instance).__name__, **instance.get_config()}
        assert module_of(instance).get(flat) == instance

    def test_comes_back_equal_from_its_own_config(self, instance):
        assert type(instance).from_config(instance.get_config()) == instance

    def test_is_its_own_identifier(self, instance):
        assert module_of(instance).get(instance) is instance

    def test_cannot_be_changed(self, instance):
        with pytest.raises(dataclasses.FrozenInstanceError):
            instance.seed = 1

    def test_refuses_an_argument_that_it_does_not_know(self, instance):
        written = {"class_name": type(instance).__name__, "config": {"colour": 1}}
        with pytest.raises(ValueError, match=rf"{type(instance).__name__} takes .*, not colour\."):
            module_of(instance).get(written)


@pytest.mark.parametrize("module", MODULES)
class TestEveryModule:
    def test_none_stands_for_none(self, module):
        assert module.get(None) is None
        assert module.deserialize(None) is None
        assert module.serialize(None) is None

    def test_every_name_makes_a_new_instance_with_default_arguments(self, module):
        for name, factory in {**module.REGISTRY.classes, **module.REGISTRY.aliases}.items():
            assert module.get(name) == factory()
            assert module.get({"class_name": name}) == factory()
            assert module.get({"class_name": name, "config": None}) == factory()
            assert module.get(name) is not module.get(name)

    def test_a_class_makes_an_instance_of_itself(self, module):
        for name, cls in module.REGISTRY.classes.items():
            assert module.get(cls) == module.get(name)

    def test_a_function_comes_back_as_it_is_but_cannot_be_serialized(self, module):
        def custom(w):
            return w

        assert module.get(custom) is custom
        with pytest.raises(ValueError, match=r"custom.* cannot be serialized: .* get_config"):
            module.serialize(custom)

    @pytest.mark.parametrize("name", ["nope", "", "GLOROT_UNIFORM", "L2 ", "Custom>L2"])
    def test_an_unknown_name_is_refused_with_the_known_ones(self, module, name):
        known = ", ".join(sorted(module.REGISTRY.classes))
        for identifier in (name, {"class_name": name, "config": {}}):
            with pytest.raises(ValueError, match="is not a known") as raised:
                module.get(identifier)
            assert repr(name) in str(raised.value)
            assert known in str(raised.value)

    @pytest.mark.parametrize("identifier", [3, 3.0, True, b"l2", ["l2"], ("l2",), np.zeros(2)])
    def test_what_could_name_nothing_is_a_type_error(self, module, identifier):
        with pytest.raises(TypeError, match="is not a "):
            module.get(identifier)
        with pytest.raises(TypeError):
            module.deserialize(identifier)

    @pytest.mark.parametrize(
        "damaged",
        [
            {},
            {"config": {}},
            {"class_name": None},
            {"class_name": ["L2"], "config": {}},
            {"class_name": {"L2": 1}},
            {"class_name": "L2", "config": "l2"},
            {"class_name": "L2", "config": [0.1]},
            {"class_name": "function"},
            {"name": 3},
        ],
    )
    def test_a_damaged_dict_is_refused(self, module, damaged):
        with pytest.raises(ValueError, match="known"):
            module.get(damaged)

    def test_deserialize_takes_no_callable(self, module):
        with pytest.raises(TypeError):
            module.deserialize(next(iter(module.REGISTRY.classes.values()))())

    def test_the_table_cannot_be_changed(self, module):
        with pytest.raises(TypeError):
            module.REGISTRY.classes["Mine"] = object
        with pytest.raises(dataclasses.FrozenInstanceError):
            module.REGISTRY.noun = "thing"


def test_a_dict_of_a_plain_function_is_read_by_the_name_of_the_function():
    written = {"module": "builtins", "class_name": "function", "config": "l1_l2"}
    assert regularizers.get(written) == regularizers.L1L2(0.01, 0.01)


def test_nothing_that_a_dict_names_is_imported():
    with pytest.raises(ValueError, match="'system' is not a known initializer"):
        initializers.get({"module": "os", "class_name": "system", "config": {}})


def test_the_callers_own_dict_is_not_the_table():
    classes = {"Fraction": Fraction}
    registry = Registry("number", classes)
    classes["Decimal"] = Fraction
    assert list(registry.classes) == ["Fraction"]


def test_a_missing_argument_is_named():
    def ratio(above, below):
        return Fraction(above, below)

    with pytest.raises(ValueError, match=r"ratio takes above, below, but below is missing"):
        Registry("number", {"ratio": ratio}).get({"class_name": "ratio", "config": {"above": 1}})


def test_a_type_error_of_a_constructor_becomes_a_value_error():
    written = {"class_name": "Fraction", "config": {"numerator": []}}
    with pytest.raises(ValueError, match="Fraction"):
        Registry("number", {"Fraction": Fraction}).get(written)


def test_an_error_stays_short_whatever_was_given():
    with pytest.raises(TypeError) as raised:
        regularizers.get(list(range(10**6)))
    assert len(str(raised.value)) < 300


class TestNumber:
    @pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0)])
    def test_a_python_or_numpy_number_becomes_a_python_number(self, value):
        assert number("n", value) == 2
        assert type(number("n", value)) in (int, float)

    @pytest.mark.parametrize("value", [None, True, np.True_, "2", [2], 2j, np.ones(1)])
    def test_anything_else_is_refused(self, value):
        with pytest.raises(ValueError, match="n needs a number, not"):
            number("n", value)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
    def test_a_number_that_is_not_finite_is_refused(self, value):
        with pytest.raises(ValueError, match="n needs a finite number, not"):
            number("n", value)

    def test_infinity_may_be_allowed_but_nan_never(self):
        assert number("n", float("inf"), finite=False) == float("inf")
        with pytest.raises(ValueError, match="n needs a number, not nan"):
            number("n", float("nan"), finite=False)
