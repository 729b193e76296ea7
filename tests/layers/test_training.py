"""Steps of training made of vjp, regularization_gradients and apply_constraints."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.training import step_of

DOCS = Path(__file__).parents[2] / "docs" / "keras.md"


def case_names():
    return sorted({key.split("/")[0] for key in goldens.arrays("training")})


@pytest.mark.parametrize("engine", [None, "auto", "direct"])
@pytest.mark.parametrize("name", case_names())
def test_five_steps_are_those_of_keras(name, engine):
    arrays = goldens.arrays("training")
    case = {key.split("/")[1]: arrays[key] for key in arrays if key.split("/")[0] == name}
    described = json.loads(str(case["config"]))
    config = {**described["config"], "engine": engine}
    layer = getattr(lcfast, described["class_name"]).from_config(config)
    x, target = case["x"], case["target"]
    layer.build((None, *x.shape[1:]))
    layer.set_weights([case["w0"], case["w1"]])
    np.testing.assert_allclose(layer.losses, case["losses_built"], atol=1e-4)
    layer(x)
    np.testing.assert_allclose(layer.losses, case["losses_called"], atol=1e-4)
    losses = [step_of(layer, x, target) for _ in case["loss"]]
    np.testing.assert_allclose(losses, case["loss"], atol=1e-4)
    for got, expected in zip(
        layer.get_weights(), (case["w0_after"], case["w1_after"]), strict=True
    ):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_goldens_hold_both_layers_and_all_implementations():
    names = case_names()
    assert len(names) >= 12
    assert sum(name.endswith("-regularized") for name in names) >= 6


def test_the_example_of_the_docs_runs_and_its_loss_falls():
    section = DOCS.read_text(encoding="utf-8").split("## A training step")[1]
    (example,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert example.count("\n") <= 15
    names = {"np": np, "lcfast": lcfast}
    exec(compile(example, str(DOCS), "exec"), names)
    history = names["history"]
    assert all(after < before for before, after in itertools.pairwise(history))
    norms = np.sqrt(np.square(names["layer"].get_weights()[0]).sum(axis=0))
    assert norms.max() <= 2 + 1e-6


def numeric_gradients(thing, x, weights, step=1e-6):
    """Differences of the sum of the losses by each weight, of what has dtype float64."""
    found = []
    for place, weight in enumerate(weights):
        slope = np.zeros_like(weight)
        for index in np.ndindex(weight.shape):
            sums = []
            for sign in (1, -1):
                moved = [w.copy() for w in weights]
                moved[place][index] += sign * step
                thing.set_weights(moved)
                thing(x)
                sums.append(sum(thing.losses))
            slope[index] = (sums[0] - sums[1]) / (2 * step)
        found.append(slope)
    thing.set_weights(weights)
    return found


REGULARIZED = {
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
    "activity_regularizer": "l2",
    "dtype": "float64",
}


@pytest.mark.parametrize("implementation", [1, 3])
def test_regularization_gradients_are_the_slopes_of_the_losses_of_a_layer(implementation):
    x = np.random.default_rng(1).standard_normal((3, 5, 2))
    layer = lcfast.LocallyConnected1D(
        2, 3, activation="tanh", bias_initializer="ones", implementation=implementation,
        **REGULARIZED,
    )  # fmt: skip
    layer.build(x.shape)
    for got, expected in zip(
        layer.regularization_gradients(x),
        numeric_gradients(layer, x, layer.get_weights()),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-8)


def test_regularization_gradients_are_the_slopes_of_the_losses_of_a_model():
    x = np.random.default_rng(1).standard_normal((3, 4, 2))
    model = lcfast.Sequential(
        [
            lcfast.LocallyConnected1D(2, 2, input_shape=(4, 2), activation="tanh", **REGULARIZED),
            lcfast.Flatten(dtype="float64"),
            lcfast.BatchNormalization(gamma_regularizer="l2", dtype="float64"),
            lcfast.Dense(2, dtype="float64", activity_regularizer="l1"),
        ]
    )
    names = [weight.name for weight in model.weights]
    slopes = dict(zip(names, numeric_gradients(model, x, model.get_weights()), strict=True))
    gradients = model.regularization_gradients(x)
    assert len(gradients) == len(model.trainable_weights) == len(names) - 2
    for weight, got in zip(model.trainable_weights, gradients, strict=True):
        np.testing.assert_allclose(got, slopes[weight.name], atol=1e-8)


def test_without_an_input_the_activity_does_not_count():
    layer = lcfast.Dense(1, kernel_regularizer="l2", activity_regularizer="l2", dtype="float64")
    layer.build((None, 2))
    kernel = layer.get_weights()[0]
    by_kernel, by_bias = layer.regularization_gradients()
    np.testing.assert_allclose(by_kernel, 2 * 0.01 * kernel, rtol=1e-6)
    assert not by_bias.any()
    assert (layer.regularization_gradients(np.ones((1, 2)))[0] != by_kernel).any()


def test_regularization_gradients_leave_the_losses_alone():
    layer = lcfast.Dense(1, activity_regularizer="l2")
    layer(np.ones((1, 2)))
    before = layer.losses
    layer.regularization_gradients(np.full((1, 2), 7.0))
    assert layer.losses == before


def test_a_regularizer_without_a_gradient_is_named():
    layer = lcfast.Dense(1, kernel_regularizer=np.sum)
    layer.build((None, 2))
    assert layer.losses == [float(layer.get_weights()[0].sum())]
    with pytest.raises(TypeError, match="of kernel has no method `gradient`; define it"):
        layer.regularization_gradients()


def test_a_composite_says_where_the_activity_of_its_parts_counts():
    class Holder(lcfast.Layer):
        def __init__(self):
            super().__init__(name="holder")
            self.part = lcfast.Dense(1, activity_regularizer="l2", name="part")

        def call(self, inputs):
            return self.part(inputs)

    layer, x = Holder(), np.ones((1, 2))
    layer(x)
    assert [g.shape for g in layer.regularization_gradients()] == [(2, 1), (1,)]
    with pytest.raises(TypeError, match="Layer holder holds layer part, whose activity_regul"):
        layer.regularization_gradients(x)


def test_apply_constraints_projects_every_weight_that_has_one():
    layer = lcfast.LocallyConnected1D(1, 2, kernel_constraint="non_neg", bias_constraint="non_neg")
    model = lcfast.Sequential([lcfast.InputLayer((3, 1)), layer])
    below = [np.full(w.shape, -1.0) for w in model.get_weights()]
    for thing in (layer, model):
        model.set_weights(below)
        thing.apply_constraints()
        assert not any(w.any() for w in model.get_weights())


def test_a_batch_normalization_is_constrained_and_penalised():
    options = {f"{w}_regularizer": "l2" for w in ("gamma", "beta")}
    layer = lcfast.BatchNormalization(gamma_constraint="non_neg", **options)
    layer.build((None, 2))
    layer.set_weights([[-1, 1], [2, 2], [0, 0], [1, 1]])
    np.testing.assert_allclose(layer.losses, [0.02, 0.08], rtol=1e-6)
    layer.apply_constraints()
    assert layer.get_weights()[0].tolist() == [0, 1]
