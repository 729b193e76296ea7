"""The grid on which Keras checks these layers: padding x strides x data format x implementation."""

from itertools import product

import numpy as np
import pytest

import lcfast
from tests.support.training import step_of

GRID = list(product(("valid", "same"), (1, 2), ("channels_last", "channels_first"), (1, 2, 3)))
SIZES = {1: (8,), 2: (7, 6)}
EACH = pytest.mark.parametrize("dimensions", [1, 2])
CONFIGURATION = pytest.mark.parametrize(
    ("padding", "strides", "data_format", "implementation"), GRID
)


def made(dimensions, padding, strides, data_format, implementation, **options):
    kind = lcfast.LocallyConnected1D if dimensions == 1 else lcfast.LocallyConnected2D
    return kind(
        3, 3, padding=padding, strides=strides, data_format=data_format,
        implementation=implementation, **options,
    )  # fmt: skip


def shape_of(dimensions, data_format):
    size = SIZES[dimensions]
    return (None, 2, *size) if data_format == "channels_first" else (None, *size, 2)


def inputs(dimensions, data_format, seed=0):
    shape = (4, *shape_of(dimensions, data_format)[1:])
    return np.random.default_rng(seed).standard_normal(shape)


@EACH
@CONFIGURATION
def test_regularizers_make_two_losses_and_a_call_makes_three(
    dimensions, padding, strides, data_format, implementation
):
    configuration = (dimensions, padding, strides, data_format, implementation)
    options = {f"{part}_regularizer": "l2" for part in ("kernel", "bias", "activity")}
    if (padding, implementation) == ("same", 1):
        with pytest.raises(ValueError, match='only "valid" is supported if implementation is 1'):
            made(*configuration, **options)
        return
    layer = made(*configuration, **options)
    layer.build(shape_of(dimensions, data_format))
    assert len(layer.losses) == 2
    layer(inputs(dimensions, data_format))
    assert len(layer.losses) == 3


@EACH
@CONFIGURATION
def test_constraints_are_kept_as_they_were_given(
    dimensions, padding, strides, data_format, implementation
):
    configuration = (dimensions, padding, strides, data_format, implementation)
    of_kernel, of_bias = lcfast.constraints.max_norm(0.01), lcfast.constraints.max_norm(0.01)
    options = {"kernel_constraint": of_kernel, "bias_constraint": of_bias}
    if (padding, implementation) == ("same", 1):
        with pytest.raises(ValueError, match='only "valid" is supported if implementation is 1'):
            made(*configuration, **options)
        return
    layer = made(*configuration, **options)
    layer.build(shape_of(dimensions, data_format))
    assert layer.kernel_constraint is of_kernel
    assert layer.bias_constraint is of_bias
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 1])
    layer.apply_constraints()
    for weight in layer.get_weights():
        assert np.sqrt(np.square(weight).sum(axis=0)).max() <= 0.01 + 1e-6


@EACH
@pytest.mark.parametrize(("padding", "strides", "data_format"), sorted({case[:3] for case in GRID}))
def test_implementations_agree_before_and_after_steps_of_training(
    dimensions, padding, strides, data_format
):
    x = inputs(dimensions, data_format)
    first = made(dimensions, padding, strides, data_format, 3, activation="tanh")
    first.build(shape_of(dimensions, data_format))
    others = [1, 2] if padding == "valid" else [2]
    layers = [first, *(first.with_implementation(other) for other in others)]
    assert {layer.implementation for layer in layers} == {3, *others}
    target = np.random.default_rng(1).standard_normal(first(x).shape)
    for _ in range(3):
        expected = first(x)
        for layer in layers:
            np.testing.assert_allclose(layer(x), expected, atol=1e-5)
            step_of(layer, x, target)
    for layer in layers:
        np.testing.assert_allclose(layer(x), first(x), atol=1e-5)
    assert np.abs(first(x) - expected).max() > 1e-4
