"""The sparse engine against naive loops, and its bit-identical results."""

from itertools import pairwise

import numpy as np
import pytest

from lcfast.local_conv import ops, sparse, weight_layouts
from lcfast.local_conv.dispatch import PATHS
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.ops import Activation, ComputeOptions
from tests.support import reference
from tests.support.cases import (
    GEOMETRIES,
    SAME_GEOMETRIES,
    assert_same_bits,
    assert_within,
    numbers,
    rounding_of_chains,
)

ALL = {**GEOMETRIES, **SAME_GEOMETRIES}
LOCAL = [name for name, g in ALL.items() if not g.shared and g.patch_size * g.filters < 20_000]
every_local_geometry = pytest.mark.parametrize("name", LOCAL)
every_same_geometry = pytest.mark.parametrize("name", SAME_GEOMETRIES)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Problem:
    """A geometry with weights in both forms, rows and a gradient of the output."""

    def __init__(self, name, dtype, rows=5):
        self.geometry = geometry = ALL[name]
        self.x = numbers((rows, *geometry.input_shape), dtype, 1)
        self.vector = numbers(geometry.connections, dtype, 2)
        self.kernel = weight_layouts.kernel_of_vector(self.vector, geometry)
        self.sparse = sparse.connected(geometry, self.vector)
        self.bias = numbers(geometry.bias_size, dtype, 3)
        self.dy = numbers((rows, *geometry.output_shape), dtype, 4)


def magnitudes(operation, *arrays):
    return operation(*(abs(a) if isinstance(a, np.ndarray) else a for a in arrays))


@pytest.mark.parametrize("path", PATHS)
@each_dtype
@every_local_geometry
def test_the_sparse_engine_agrees_with_naive_loops(name, dtype, path):
    case, options = Problem(name, dtype), ComputeOptions("sparse", None, path)
    g = case.geometry

    expected = reference.forward(case.x, case.kernel, case.bias, g)
    size = magnitudes(reference.forward, case.x, case.kernel, case.bias, g)
    got = ops.forward(case.x, case.sparse, case.bias, g, options=options)
    assert_within(got, expected, rounding_of_chains(g.patch_size + 2, size))

    expected = reference.input_gradient(case.dy, case.kernel, g)
    size = magnitudes(reference.input_gradient, case.dy, case.kernel, g)
    got = ops.input_gradient(case.dy, case.sparse, g, options)
    assert_within(got, expected, rounding_of_chains(g.patch_size * g.filters + 2, size))

    expected = reference.kernel_gradient(case.x, case.dy, g)
    size = magnitudes(reference.kernel_gradient, case.x, case.dy, g)
    got = ops.kernel_gradient(case.x, case.dy, g, options)
    assert_within(
        got,
        weight_layouts.vector_of_kernel(expected, g),
        weight_layouts.vector_of_kernel(rounding_of_chains(len(case.x) + 2, size), g),
    )


@pytest.mark.parametrize("path", PATHS)
@each_dtype
@every_same_geometry
def test_the_direct_engine_pads_as_keras_does(name, dtype, path):
    case, options = Problem(name, dtype), ComputeOptions("direct", None, path)
    g = case.geometry

    expected = reference.forward(case.x, case.kernel, case.bias, g)
    size = magnitudes(reference.forward, case.x, case.kernel, case.bias, g)
    got = ops.forward(case.x, case.kernel, case.bias, g, options=options)
    assert_within(got, expected, rounding_of_chains(g.patch_size + 2, size))

    expected = reference.input_gradient(case.dy, case.kernel, g)
    size = magnitudes(reference.input_gradient, case.dy, case.kernel, g)
    got = ops.input_gradient(case.dy, case.kernel, g, options)
    assert_within(got, expected, rounding_of_chains(g.patch_size * g.filters + 2, size))

    expected = reference.kernel_gradient(case.x, case.dy, g)
    got = weight_layouts.vector_of_kernel(ops.kernel_gradient(case.x, case.dy, g, options), g)
    size = magnitudes(reference.kernel_gradient, case.x, case.dy, g)
    assert_within(
        got,
        weight_layouts.vector_of_kernel(expected, g),
        weight_layouts.vector_of_kernel(rounding_of_chains(len(case.x) + 2, size), g),
    )


# Families of rows of every size; receptive fields that overlap, touch, lie apart or are not
# contiguous; strips that are limited by their numbers and by their columns.
WIDE = {
    "slides": Geometry((90,), 1, 1, (3,), (1,)),
    "slides far": Geometry((900,), 1, 1, (20,), (1,)),
    "steps": Geometry((60,), 3, 1, (7,), (2,)),
    "apart": Geometry((1400,), 1, 4, (32,), (32,)),
    "most of a vector": Geometry((40,), 2, 11, (5,), (1,)),
    "vectors and a rest": Geometry((7, 9), 3, 37, (3, 2), (1, 1)),
    "channels first": Geometry((9, 23), 2, 5, (3, 3), (1, 1), "channels_first"),
    "many numbers": Geometry((6, 5), 40, 24, (3, 3), (1, 1)),
    "one long family": Geometry((1,), 300, 70, (1,), (1,)),
}


def in_csr_order(x, kernel, bias):
    """The product by numpy; with small integers it is exact in any order."""
    pattern, y = kernel.pattern, np.zeros((len(x), kernel.pattern.shape[0]))
    for o, (first, last) in enumerate(pairwise(pattern.starts)):
        y[:, o] = x[:, pattern.indices[first:last]] @ kernel.numbers[first:last] + bias[o]
    return y


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("prune", [False, True])
def test_every_branch_of_the_loops_gives_the_exact_integers(name, prune, path):
    geometry, random = WIDE[name], np.random.default_rng(3)
    vector = random.integers(-3, 4, geometry.connections).astype(np.float32)
    kernel = sparse.connected(geometry, vector, prune)
    bias = random.integers(-9, 9, geometry.bias_size).astype(np.float32)
    options, relu = ComputeOptions("sparse", None, path), Activation("relu")
    for rows in (1, 2, 3, 4, 15, 16, 17, 33, 64, 70):
        x = random.integers(-3, 4, (rows, *geometry.input_shape)).astype(np.float32)
        expected = in_csr_order(x.reshape(rows, -1), kernel, bias)
        y = ops.forward(x, kernel, bias, geometry, options=options)
        np.testing.assert_array_equal(y.reshape(rows, -1), expected)
        y = ops.forward(x, kernel, bias, geometry, relu, options=options)
        np.testing.assert_array_equal(y.reshape(rows, -1), np.maximum(expected, 0))
        dy = random.integers(-3, 4, (rows, *geometry.output_shape)).astype(np.float32)
        flat, matrix = dy.reshape(rows, -1), kernel.pattern.matrix(kernel.numbers)
        dx = ops.input_gradient(dy, kernel, geometry, options)
        np.testing.assert_array_equal(dx.reshape(rows, -1), flat @ matrix)
        whole = sparse.pattern_of(geometry)
        products = flat[:, whole.rows] * x.reshape(rows, -1)[:, whole.indices]
        dkernel = ops.kernel_gradient(x, dy, geometry, options)
        np.testing.assert_array_equal(dkernel, products.sum(0))


@pytest.mark.parametrize("name", WIDE)
@each_dtype
def test_a_row_has_the_same_bits_alone_and_in_a_batch(name, dtype, threads_for_any_work):
    geometry = WIDE[name]
    x = numbers((131, *geometry.input_shape), dtype, 1)
    kernel = sparse.connected(geometry, numbers(geometry.connections, dtype, 2))
    bias = numbers(geometry.bias_size, dtype, 3)
    fused = [path for path in PATHS if path != "generic"] or ["generic"]
    calls = [ComputeOptions("sparse", threads, path) for path in fused for threads in (1, 2, 3)]
    relu = Activation("elu", 0.7)
    y = ops.forward(x, kernel, bias, geometry, relu, options=calls[0])
    for options in calls:
        assert_same_bits(ops.forward(x, kernel, bias, geometry, relu, options=options), y)
        for first, last in [(0, 1), (5, 8), (7, 40), (130, 131)]:
            got = ops.forward(x[first:last], kernel, bias, geometry, relu, options=options)
            assert_same_bits(got, y[first:last])


@pytest.mark.parametrize(
    "name", ["7x3-1of3-s1-last", "4x5x3-7of3x2-s1x1-first", "8x1-17of5-s2-last-same"]
)
@each_dtype
def test_the_bits_depend_neither_on_batch_nor_threads_nor_path(name, dtype, threads_for_any_work):
    case = Problem(name, dtype, rows=150)
    g = case.geometry
    fused = [path for path in PATHS if path != "generic"] or ["generic"]
    answers = []
    for path in fused:
        for threads in (1, 2, 3):
            options = ComputeOptions("sparse", threads, path)
            answers.append(
                [
                    ops.forward(case.x, case.sparse, case.bias, g, options=options),
                    ops.input_gradient(case.dy, case.sparse, g, options),
                    ops.kernel_gradient(case.x, case.dy, g, options),
                ]
            )
    for answer in answers[1:]:
        for got, expected in zip(answer, answers[0], strict=True):
            assert_same_bits(got, expected)
    y, dx, _ = answers[0]
    options = ComputeOptions("sparse")
    for first, last in [(0, 1), (3, 20), (20, 90), (70, 150), (1, 66)]:
        got = ops.forward(case.x[first:last], case.sparse, case.bias, g, options=options)
        assert_same_bits(got, y[first:last])
        assert_same_bits(
            ops.input_gradient(case.dy[first:last], case.sparse, g, options), dx[first:last]
        )


def test_nan_and_infinity_reach_the_outputs_that_read_them():
    case = Problem("7x3-1of3-s1-last", "float32")
    x = case.x.copy()
    x[0, 2, 1], x[1, 4, 0] = np.nan, np.inf
    got = ops.forward(x, case.sparse, case.bias, case.geometry, options=ComputeOptions("sparse"))
    expected = reference.forward(x, case.kernel, case.bias, case.geometry)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(expected))


@every_same_geometry
def test_an_empty_batch_gives_empty_results(name):
    case = Problem(name, "float32", rows=0)
    options = ComputeOptions("sparse")
    assert (
        ops.forward(case.x, case.sparse, None, case.geometry, options=options).shape
        == case.dy.shape
    )
    assert ops.input_gradient(case.dy, case.sparse, case.geometry, options).shape == case.x.shape
    assert not ops.kernel_gradient(case.x, case.dy, case.geometry, options).any()


def test_pruning_changes_no_result():
    case = Problem("7x3-1of3-s1-last", "float64")
    pruned = sparse.connected(case.geometry, case.vector, prune=True)
    assert pruned.pattern.nnz == np.count_nonzero(case.vector) < len(case.vector)
    options = ComputeOptions("sparse")
    whole = ops.forward(case.x, case.sparse, None, case.geometry, options=options)
    np.testing.assert_array_equal(
        ops.forward(case.x, pruned, None, case.geometry, options=options), whole
    )
    dx = ops.input_gradient(case.dy, case.sparse, case.geometry, options)
    np.testing.assert_array_equal(ops.input_gradient(case.dy, pruned, case.geometry, options), dx)
    restored = pruned.vector(case.geometry.connections)
    np.testing.assert_array_equal(restored, case.vector)


def test_a_kernel_of_zeros_only_can_be_pruned_completely():
    geometry = Geometry((6,), 2, 3, (2,), (1,))
    nothing = sparse.connected(geometry, np.zeros(geometry.connections, "f4"), prune=True)
    x = np.ones((70, 6, 2), "f4")
    assert not ops.forward(x, nothing, None, geometry, options=ComputeOptions("sparse")).any()
    dy = np.ones((70, 5, 3), "f4")
    assert not ops.input_gradient(dy, nothing, geometry, ComputeOptions("sparse")).any()


def test_a_pattern_is_made_once_for_each_geometry():
    first = Geometry((6,), 2, 3, (2,), (1,))
    again = Geometry((6,), 2, 3, (2,), (1,))
    assert sparse.pattern_of(first) is sparse.pattern_of(again)


def test_a_row_beyond_32_bits_is_refused_before_anything_is_allocated():
    geometry = Geometry((2**31 - 1,), 2, 1, (1,), (2**30,))
    with pytest.raises(ValueError, match=str(2**32 - 2)):
        sparse.pattern_of(geometry)
