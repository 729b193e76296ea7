"""Subclasses of Model that define `call`: calls and predict use it, with one output or a list."""

import numpy as np
import pytest

import lcfast
from tests.support.cases import assert_same_bits


class Scaled(lcfast.Model):
    """Multiplies what the layers compute; counts its calls."""

    calls = 0

    def call(self, inputs, factor=2, mask=None):
        self.calls += 1
        factor = factor if mask is None else mask
        outputs = super().call(inputs)
        return [factor * y for y in outputs] if isinstance(outputs, list) else factor * outputs


def made(outputs=2, kind=Scaled, dtype="float32", inputs=1):
    given = [lcfast.Input((3,), dtype=dtype) for _ in range(inputs)]
    total = given[0] if inputs == 1 else lcfast.Add(dtype=dtype)(given)
    results = [lcfast.Dense(2 + i, dtype=dtype)(total) for i in range(outputs or 1)]
    return kind(given if inputs > 1 else given[0], results if outputs else results[0])


def plain(model):
    """The same layers without the `call`."""
    outputs = model.outputs if model._gives_list else model.outputs[0]
    return lcfast.Model(model.inputs if len(model.inputs) > 1 else model.inputs[0], outputs)


def listed(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


X = np.random.default_rng(0).standard_normal((5, 3)).astype("f4")
# 0 outputs: one that is not in a list.
outputs_of_models = pytest.mark.parametrize("outputs", [0, 1, 2])


@outputs_of_models
@pytest.mark.parametrize("inputs", [1, 2])
def test_calls_and_predict_use_the_call(outputs, inputs):
    model = made(outputs, inputs=inputs)
    x = X if inputs == 1 else [X, 2 * X]
    expected = [2 * y for y in listed(plain(model)(x))]
    for number, compute in enumerate((model, model.predict, lambda x: model.predict(x, 5)), 1):
        got = compute(x)
        assert isinstance(got, list) == bool(outputs)
        for y, wanted in zip(listed(got), expected, strict=True):
            assert_same_bits(y, wanted)
        assert model.calls == number
    blocks = zip(X, 2 * X, strict=True) if inputs == 2 else ((row,) for row in X)
    got = model.predict(tuple(row[None] for row in block) for block in blocks)
    for y, wanted in zip(listed(got), expected, strict=True):
        assert_same_bits(y, wanted)


@outputs_of_models
def test_predict_with_out_uses_the_call(outputs):
    model = made(outputs)
    expected = [2 * y for y in listed(plain(model)(X))]
    out = [np.empty_like(y) for y in expected]
    model.predict(X, 2, out=out if outputs else out[0])
    for y, wanted in zip(out, expected, strict=True):
        assert_same_bits(y, wanted)


@outputs_of_models
def test_arguments_of_the_call_are_passed_on(outputs):
    model = made(outputs)
    expected = listed(plain(model)(X))
    for y, wanted in zip(listed(model(X, factor=4)), expected, strict=True):
        assert_same_bits(y, 4 * wanted)
    for y, wanted in zip(listed(model(X, mask=8)), expected, strict=True):
        assert_same_bits(y, 8 * wanted)


@outputs_of_models
@pytest.mark.parametrize("kind", [lcfast.Model, Scaled])
def test_arguments_that_nobody_takes_are_refused(outputs, kind):
    with pytest.raises(TypeError, match="wrong"):
        made(outputs, kind)(X, wrong=1)


@outputs_of_models
def test_a_mask_that_nobody_takes_is_refused(outputs):
    with pytest.raises(TypeError, match="mask"):
        made(outputs, lcfast.Model)(X, mask=np.ones(5))


@pytest.mark.parametrize("returned", [None, np.ones((5, 2)), [np.ones((5, 2))], [None, None]])
def test_a_call_must_return_as_many_arrays_as_there_are_outputs(returned):
    class Wrong(lcfast.Model):
        def call(self, inputs):
            return returned

    model = made(2, Wrong)
    for compute in (model, model.predict):
        with pytest.raises(ValueError, match=model.name):
            compute(X)


@outputs_of_models
def test_outputs_have_the_dtype_of_the_model(outputs):
    model = made(outputs, dtype="float64")
    for got in (model(X), model.predict(X)):
        assert {y.dtype.name for y in listed(got)} == {"float64"}


def test_outputs_share_no_memory_with_inputs_or_each_other():
    class Same(lcfast.Model):
        def call(self, inputs):
            return [inputs, inputs]

    x = lcfast.Input((3,))
    model = Same(x, [x, x])
    for first, second in (model(X), model.predict(X)):
        for other in (first, X):
            assert not np.shares_memory(second, other)
        assert not np.shares_memory(first, X)


@outputs_of_models
@pytest.mark.parametrize("kind", [lcfast.Model, Scaled])
def test_predict_uses_the_weights_that_it_took_at_its_start(outputs, kind):
    model = made(outputs, kind)
    expected = listed(model(X))
    zeros = [0 * weight for weight in model.get_weights()]
    got = model.predict(X, 1, progress=lambda rows: model.set_weights(zeros))
    for y, wanted in zip(listed(got), expected, strict=True):
        assert_same_bits(y, wanted)
    assert not any(np.any(y) for y in listed(model(X)))


def test_gradients_of_another_computation_are_refused():
    with pytest.raises(TypeError, match="linearize"):
        made(0).vjp(X)


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 0), (1, 1), (1, 2)])
def test_a_call_on_lists_cannot_be_a_part_of_another_model(inputs, outputs):
    model = made(outputs, inputs=inputs)
    given = [lcfast.Input((3,)) for _ in range(inputs)]
    with pytest.raises(ValueError, match=model.name):
        model(given if inputs > 1 else given[0])
