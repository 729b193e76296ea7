"""The order of weights in files, where a layer holds others.

All weights of the golden have one shape, so an order that is wrong gives a wrong answer.
"""

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import assert_same_bits

GOLDEN = goldens.arrays("wrapped")


def assert_is_keras_s(model):
    np.testing.assert_allclose(model.predict(GOLDEN["x"]), GOLDEN["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_a_wrapped_model_predicts_what_keras_does(ending):
    assert_is_keras_s(lcfast.load_model(goldens.DIRECTORY / f"wrapped.{ending}"))


@pytest.mark.parametrize("file", ["h5", "keras", "weights.h5", "checkpoint"])
def test_its_weights_alone_are_those_of_keras(file):
    model = lcfast.load_model(goldens.DIRECTORY / "wrapped.h5")
    model.set_weights([weight * 0 + 1 for weight in model.get_weights()])
    joint = "_" if file == "checkpoint" else "."
    model.load_weights(goldens.DIRECTORY / f"wrapped{joint}{file}")
    assert_is_keras_s(model)


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_it_is_saved_and_loaded_again(ending, tmp_path):
    model = lcfast.load_model(goldens.DIRECTORY / "wrapped.h5")
    model.save(tmp_path / f"again.{ending}")
    again = lcfast.load_model(tmp_path / f"again.{ending}")
    assert_same_bits(again.predict(GOLDEN["x"]), model.predict(GOLDEN["x"]))
