"""Keras's stored weights of implementation 1 and the canonical ones, each way."""

import numpy as np
import pytest
from cases import GEOMETRIES, numbers

from lcfast.local_conv import layouts, ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, Geometry

LOCAL = [name for name, geometry in GEOMETRIES.items() if not geometry.shared]
every_local_geometry = pytest.mark.parametrize("name", LOCAL)
ENGINES = ("direct", "reference")


@every_local_geometry
def test_the_kernel_is_stored_as_positions_by_patch_by_filters(name):
    geometry = GEOMETRIES[name]
    shape = (geometry.positions, geometry.patch_size, geometry.filters)
    assert layouts.stored_kernel_shape(geometry) == shape


@every_local_geometry
def test_the_bias_is_stored_with_the_filters_last_in_both_data_formats(name):
    geometry = GEOMETRIES[name]
    shape = (*geometry.output_size, geometry.filters)
    assert layouts.stored_bias_shape(geometry) == shape


@every_local_geometry
def test_there_and_back_gives_the_same_weights_without_a_copy(name):
    geometry = GEOMETRIES[name]
    kernel = numbers(layouts.stored_kernel_shape(geometry), "float32", 1)
    canonical = layouts.canonical_kernel(kernel, geometry)
    assert canonical.shape == geometry.kernel_shape
    assert np.shares_memory(canonical, kernel)
    np.testing.assert_array_equal(layouts.stored_kernel(canonical, geometry), kernel)

    bias = numbers(layouts.stored_bias_shape(geometry), "float32", 2)
    canonical = layouts.canonical_bias(bias)
    assert canonical.shape == (geometry.bias_size,)
    assert np.shares_memory(canonical, bias)
    np.testing.assert_array_equal(layouts.stored_bias(canonical, geometry), bias)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [(4,), (4, 5)], ids=["1d", "2d"])
def test_the_bias_of_channels_first_is_reshaped_not_transposed(size, engine):
    kernel_size = (2,) * len(size)
    geometry = Geometry(size, 3, 5, kernel_size, (1,) * len(size), CHANNELS_FIRST)
    stored = numbers(layouts.stored_bias_shape(geometry), "float32", 1)
    y = ops.forward(
        np.zeros((2, *geometry.input_shape)),
        np.zeros(geometry.kernel_shape, np.float32),
        layouts.canonical_bias(stored),
        geometry,
        call=ops.Call(engine),
    )
    flat = stored.ravel()
    for f in range(5):
        for p, position in enumerate(np.ndindex(*geometry.output_size)):
            assert (y[(slice(None), f, *position)] == flat[f * geometry.positions + p]).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [(4,), (4, 5)], ids=["1d", "2d"])
def test_the_gradient_of_that_bias_follows_the_same_index(size, engine):
    kernel_size = (2,) * len(size)
    geometry = Geometry(size, 3, 5, kernel_size, (1,) * len(size), CHANNELS_FIRST)
    dy = numbers((1, *geometry.output_shape), "float32", 1)
    dbias = layouts.stored_bias(ops.sum_rows(dy, ops.Call(engine)), geometry)
    assert dbias.shape == layouts.stored_bias_shape(geometry)
    flat = dbias.ravel()
    for f in range(5):
        for p, position in enumerate(np.ndindex(*geometry.output_size)):
            assert dy[(0, f, *position)] == flat[f * geometry.positions + p]
