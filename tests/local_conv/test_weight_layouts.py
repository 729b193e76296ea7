"""Conversions between the stored weights of each implementation and the engines' forms."""

import dataclasses
import itertools

import numpy as np
import pytest

from lcfast.local_conv import ops, sparse, weight_layouts
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from tests.support import reference
from tests.support.cases import GEOMETRIES, SAME_GEOMETRIES, assert_same_bits, numbers

ALL = {**GEOMETRIES, **SAME_GEOMETRIES}
LOCAL = [name for name, g in ALL.items() if not g.shared and g.patch_size * g.filters < 5000]
every_local_geometry = pytest.mark.parametrize("name", LOCAL)


def connections_by_loops(geometry):
    """(output, input) of each weight by plain loops, in the order of Keras."""
    fields = []
    sizes = (geometry.input_size, geometry.kernel_size, geometry.strides, geometry.output_size)
    for n, k, s, out in zip(*sizes, strict=True):
        shift = k // 2 if geometry.pads else 0
        fields.append(
            [[i for i in range(p * s - shift, p * s - shift + k) if 0 <= i < n] for p in range(out)]
        )
    pairs = []
    for position in np.ndindex(*geometry.output_size):
        taps = itertools.product(*(along[p] for along, p in zip(fields, position, strict=True)))
        for tap, c, f in itertools.product(taps, range(geometry.channels), range(geometry.filters)):
            if geometry.channels_first:
                output, source = (f, *position), (c, *tap)
            else:
                output, source = (*position, f), (*tap, c)
            pairs.append(
                (
                    np.ravel_multi_index(output, geometry.output_shape),
                    np.ravel_multi_index(source, geometry.input_shape),
                )
            )
    return sorted(pairs)


@every_local_geometry
def test_the_pattern_is_the_one_that_plain_loops_find(name):
    geometry = ALL[name]
    pattern = sparse.pattern_of(geometry)
    found = list(zip(pattern.rows.tolist(), pattern.indices.tolist(), strict=True))
    assert found == connections_by_loops(geometry)
    assert pattern.nnz == geometry.connections == pattern.starts[-1]


@every_local_geometry
def test_the_shapes_are_those_of_keras(name):
    geometry = ALL[name]
    patch = (geometry.positions, geometry.patch_size, geometry.filters)
    assert weight_layouts.stored_kernel_shape(geometry, 1) == patch
    dense = (*geometry.input_shape, *geometry.output_shape)
    assert weight_layouts.stored_kernel_shape(geometry, 2) == dense
    assert weight_layouts.stored_kernel_shape(geometry, 3) == (len(connections_by_loops(geometry)),)
    bias = (*geometry.output_size, geometry.filters)
    assert weight_layouts.stored_bias_shape(geometry) == bias


@every_local_geometry
def test_conversions_of_the_vector_are_reversible(name):
    geometry = ALL[name]
    vector = numbers(geometry.connections, "float32", 1)
    kernel = weight_layouts.kernel_of_vector(vector, geometry)
    assert kernel.shape == geometry.kernel_shape
    assert kernel.flags.c_contiguous
    assert_same_bits(weight_layouts.vector_of_kernel(kernel, geometry), vector)
    for implementation in (2, 3) if geometry.pads else (1, 2, 3):
        stored = weight_layouts.stored_of_vector(vector, geometry, implementation)
        assert stored.shape == weight_layouts.stored_kernel_shape(geometry, implementation)
        assert_same_bits(weight_layouts.vector_of_stored(stored, geometry, implementation), vector)
        assert_same_bits(weight_layouts.kernel_of_stored(stored, geometry, implementation), kernel)
        assert_same_bits(weight_layouts.stored_of_kernel(kernel, geometry, implementation), stored)


@every_local_geometry
def test_the_dense_tensor_is_the_matrix_from_inputs_to_outputs(name):
    geometry = ALL[name]
    vector = numbers(geometry.connections, "float32", 1)
    dense = weight_layouts.stored_of_vector(vector, geometry, 2)
    matrix = dense.reshape(np.prod(geometry.input_shape), np.prod(geometry.output_shape))
    expected = np.zeros_like(matrix)
    for number, (output, source) in zip(vector, connections_by_loops(geometry), strict=True):
        expected[source, output] = number
    assert_same_bits(matrix, expected)


def test_values_of_the_dense_tensor_outside_the_connections_are_dropped():
    geometry = Geometry((5,), 1, 2, (2,), (1,))
    dense = np.ones(weight_layouts.stored_kernel_shape(geometry, 2), "f4")
    vector = weight_layouts.vector_of_stored(dense, geometry, 2)
    assert vector.shape == (16,)
    assert weight_layouts.stored_of_vector(vector, geometry, 2).sum() == 16


def test_the_vector_of_implementation_3_and_the_kernel_of_1_are_not_copied():
    geometry = Geometry((5,), 2, 3, (2,), (1,))
    vector = numbers(geometry.connections, "float32", 1)
    kernel = numbers(geometry.kernel_shape, "float32", 2)
    assert weight_layouts.vector_of_stored(vector, geometry, 3) is vector
    assert weight_layouts.stored_of_vector(vector, geometry, 3) is vector
    assert weight_layouts.kernel_of_stored(kernel, geometry, 1) is kernel
    assert weight_layouts.stored_of_kernel(kernel, geometry, 1) is kernel


@pytest.mark.parametrize("data_format", [CHANNELS_LAST, CHANNELS_FIRST])
@pytest.mark.parametrize("size", [(5,), (4, 5)], ids=["1D", "2D"])
def test_conversion_to_the_other_data_format_is_reversible(size, data_format):
    geometry = Geometry(size, 2, 3, (2,) * len(size), (1,) * len(size), data_format)
    other = CHANNELS_FIRST if data_format == CHANNELS_LAST else CHANNELS_LAST
    there = Geometry(size, 2, 3, (2,) * len(size), (1,) * len(size), other)
    vector = numbers(geometry.connections, "float32", 1)
    moved = weight_layouts.vector_in_format(vector, geometry, other)
    assert_same_bits(weight_layouts.vector_in_format(moved, there, data_format), vector)
    bias = numbers(weight_layouts.stored_bias_shape(geometry), "float32", 2)
    moved_bias = weight_layouts.bias_in_format(bias, geometry)
    assert moved_bias.shape == bias.shape
    assert_same_bits(weight_layouts.bias_in_format(moved_bias, there), bias)


@pytest.mark.parametrize("data_format", [CHANNELS_LAST, CHANNELS_FIRST])
@pytest.mark.parametrize("size", [(5,), (4, 5)], ids=["1D", "2D"])
def test_converted_weights_compute_the_same_on_converted_rows(size, data_format):
    geometry = Geometry(size, 2, 3, (2, 3)[: len(size)], (1,) * len(size), data_format)
    other = CHANNELS_FIRST if data_format == CHANNELS_LAST else CHANNELS_LAST
    there = dataclasses.replace(geometry, data_format=other)
    axes = (-1, 1) if other == CHANNELS_FIRST else (1, -1)
    x = numbers((7, *geometry.input_shape), "float64", 1)
    vector = numbers(geometry.connections, "float64", 2)
    bias = numbers(weight_layouts.stored_bias_shape(geometry), "float64", 3)
    moved = weight_layouts.vector_in_format(vector, geometry, other)
    kernels = [
        weight_layouts.kernel_of_vector(vector, geometry),
        weight_layouts.kernel_of_vector(moved, there),
    ]
    biases = [bias.reshape(-1), weight_layouts.bias_in_format(bias, geometry).reshape(-1)]
    y = reference.forward(x, kernels[0], biases[0], geometry)
    y_there = reference.forward(np.moveaxis(x, *axes), kernels[1], biases[1], there)
    np.testing.assert_allclose(y_there, np.moveaxis(y, *axes), rtol=1e-12)


@every_local_geometry
def test_the_size_of_the_dense_tensor_is_computed_without_allocating_it(name):
    geometry = ALL[name]
    for dtype in (np.dtype("f4"), np.dtype("f8")):
        dense = np.prod((*geometry.input_shape, *geometry.output_shape), dtype=int)
        assert weight_layouts.dense_bytes(geometry, dtype) == np.empty(dense, dtype).nbytes


def test_the_bias_of_channels_first_is_reshaped_and_not_transposed():
    geometry = Geometry((4, 3), 2, 5, (2, 2), (1, 1), CHANNELS_FIRST)
    bias = numbers(weight_layouts.stored_bias_shape(geometry), "float32", 3)
    x = np.zeros((1, *geometry.input_shape), "f4")
    kernel = np.zeros(geometry.kernel_shape, "f4")
    y = ops.forward(x, kernel, bias.reshape(-1), geometry)
    for f in range(5):
        for p, position in enumerate(np.ndindex(*geometry.output_size)):
            assert y[(0, f, *position)] == bias.ravel()[f * geometry.positions + p]
