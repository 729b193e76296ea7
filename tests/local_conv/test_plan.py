"""Plans: what they depend on, their cache, their description and their scratch memory."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from lcfast.local_conv import dispatch, ops, plan, sparse, threads
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.ops import ComputeOptions
from tests.support.cases import (
    DTYPES,
    GEOMETRIES,
    PATHS,
    SAME_GEOMETRIES,
    assert_same_bits,
    numbers,
    problem,
)

ALL = {**GEOMETRIES, **SAME_GEOMETRIES}
MAKERS = (plan.forward_plan, plan.input_gradient_plan, plan.kernel_gradient_plan)
BATCHES = (1, 2, 7, 8, 16, 47, 48, 49, 1000, 10**6)
SCRATCH = 64 << 20
every_maker = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
every_path = pytest.mark.parametrize("path", PATHS)
WITH_LARGE_ONES = {
    **GEOMETRIES,
    "long": Geometry((100_000,), 32, 2, (3,), (1,)),
    "deep": Geometry((64, 64), 64, 8, (3, 3), (1, 1)),
}


@every_maker
@every_path
@pytest.mark.parametrize("name", ALL)
def test_there_is_a_plan_for_every_geometry(name, path, make):
    index = dispatch.path_index(path)
    for dtype in map(np.dtype, DTYPES):
        for rows in BATCHES:
            made = make(ALL[name].padded, dtype, rows, 3, index)
            assert (made.threads, made.path, made.engine) == (3, path, "direct")
            assert made.lanes in (2, 4, 8, 16)
            assert (made.vectors > 0) == (made.regime in ("batch", "positions"))
            assert (made.splits > 0) == (made.regime == "batch")


@every_maker
def test_a_plan_depends_on_its_arguments_alone_and_is_made_once(make):
    dtype = np.dtype("f4")
    for geometry in GEOMETRIES.values():
        other = Geometry(**{name: getattr(geometry, name) for name in Geometry.__match_args__})
        for rows in (1, 16, 100):
            made = make(geometry, dtype, rows, 2, 0)
            assert make(geometry, dtype, rows, 2, 0) is made
            make(other, dtype, rows + 1, 1, 0)  # earlier calls make no difference
            assert make(other, dtype, rows, 2, 0) == made


def test_a_geometry_caches_a_limited_number_of_plans():
    geometry = Geometry((9,), 2, 3, (2,), (1,))
    for rows in range(1, 3 * plan.CACHED_PLANS):
        plan.forward_plan(geometry, np.dtype("f4"), rows, 1, 0)
        assert len(geometry.plans) <= plan.CACHED_PLANS


def inputs_of_widest_range(geometry, splits):
    starts = geometry.receptive_field_starts()
    bounds = [k * len(starts) // splits for k in range(splits + 1)]
    ranges = [(low, high - 1) for low, high in itertools.pairwise(bounds) if low < high]
    return max(int(starts[last] - starts[first]) for first, last in ranges) + geometry.span


@pytest.mark.parametrize("geometry", WITH_LARGE_ONES.values(), ids=WITH_LARGE_ONES)
@pytest.mark.parametrize("count", [1, 2, 64])
def test_the_panels_of_a_forward_call_fit_into_the_scratch_whatever_the_batch(geometry, count):
    for dtype in map(np.dtype, DTYPES):
        for rows in BATCHES:
            made = plan.forward_plan(geometry, dtype, rows, count, 0)
            if made.regime == "batch":
                width = made.vectors * made.lanes * dtype.itemsize
                panel = inputs_of_widest_range(geometry, made.splits) * width
                sums = max(64, geometry.filters * made.lanes) * width
                assert count * (panel + sums) <= SCRATCH


def test_gradients_that_fill_the_scratch_for_one_pixel_are_computed_pixel_by_pixel():
    geometry = Geometry((3, 4), 1, 10**7, (2, 2), (1, 1))
    made = plan.input_gradient_plan(geometry, np.dtype("f4"), 100, 2, 0)
    assert (made.regime, made.vectors, made.splits) == ("batch", 1, 12)


# ---------------------------------------------------------------- printed plans


def kernel_of(name):
    geometry, _, kernel, _, _ = problem(name, "float32")
    return geometry, kernel


@every_path
def test_a_printed_plan_names_regime_engine_threads_and_path(path):
    for name in GEOMETRIES:
        geometry, kernel = kernel_of(name)
        for rows in (1, 48):
            made = ops.plan_of_forward(kernel, geometry, rows, ComputeOptions("direct", 1, path))
            words = str(made)
            vectors = "rows, up to" if made.regime == "batch" else f"{made.lanes} {made.regime}"
            assert vectors in words
            wide = geometry.positions == 1 and geometry.filters >= 128 and rows > 1
            weights = {"positions": "of a group unzipped"}.get(made.regime, "as they are stored")
            assert f"weights {'packed' if wide else weights}" in words
            assert words.endswith(f"; 1 thread, {path}")


def test_a_printed_plan_along_filters_names_the_size_of_a_task():
    geometry = Geometry((15,), 21, 64, (3,), (1,))
    kernel = numbers(geometry.kernel_shape, "float32", 1)
    made = ops.plan_of_forward(kernel, geometry, 100, ComputeOptions("direct", 1, "generic"))
    assert made.regime == "filters"
    assert made.block == (13, 64, 48)
    assert "tasks of 13 positions x 64 filters x 48 rows" in str(made)


def test_a_printed_plan_names_the_sparse_engine():
    geometry, _ = kernel_of("7x3-1of3-s1-last")
    held = sparse.connected(geometry, np.zeros(geometry.connections, np.float32))
    made = ops.plan_of_forward(held, geometry, 5, ComputeOptions("sparse", 1, "generic"))
    assert (made.engine, made.regime, made.threads) == ("sparse", "sparse", 1)
    assert str(made).startswith("sparse engine: a matrix in CSR form, vectors of ")
    assert str(made).endswith("; 1 thread, generic")


# ---------------------------------------------------------------- threads


def test_a_single_row_gets_more_threads_than_its_multiplications_alone_would():
    small, large = Geometry((15,), 21, 8, (3,), (1,)), Geometry((64, 64), 3, 16, (5, 5), (1, 1))
    assert threads.threads_for(ops.work_of_forward(small, 1), 2) == 1
    assert threads.threads_for(ops.work_of_forward(small, 256), 2) == 1
    assert threads.threads_for(ops.work_of_forward(small, 1024), 2) == 2
    assert threads.threads_for(ops.work_of_forward(large, 1), 2) == 2


# ---------------------------------------------------------------- copies of a geometry


def test_a_geometry_that_computed_can_be_copied_and_pickled():
    geometry, x, kernel, bias, _ = problem("5x6x2-16of2x3-s2x1-last", "float32")
    expected = ops.forward(x, kernel, bias, geometry)
    for twin in (
        copy.copy(geometry), copy.deepcopy(geometry), pickle.loads(pickle.dumps(geometry)),
    ):  # fmt: skip
        assert twin is not geometry
        assert twin == geometry
        assert_same_bits(ops.forward(x, kernel, bias, twin), expected)
