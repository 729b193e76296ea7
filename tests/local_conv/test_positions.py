"""Regime "positions" is bit-identical to the others, and plans choose it where it is faster."""

import numpy as np
import pytest

from lcfast.local_conv import _simd_paths, dispatch, ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from lcfast.local_conv.ops import Activation, ComputeOptions
from lcfast.local_conv.plan import Plan, forward_plan, input_gradient_plan, kernel_gradient_plan
from tests.support.cases import (
    ACTIVATIONS,
    DTYPES,
    GEOMETRIES,
    PATHS,
    SAME_GEOMETRIES,
    activation_id,
    assert_same_bits,
    numbers,
)

every_path = pytest.mark.parametrize("path", PATHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
pytestmark = pytest.mark.usefixtures("threads_for_any_work")

ROWS = 70
TANH = Activation("tanh")

_LONG = (  # input size, channels, filters, kernel size, strides
    ((70,), 1, 1, (3,), (1,)),
    ((66,), 1, 1, (3,), (1,)),  # whole vectors
    ((18,), 1, 1, (3,), (1,)),  # one vector
    ((50,), 1, 2, (3,), (1,)),
    ((160,), 1, 4, (8,), (8,)),  # stride == kernel
    ((640,), 1, 4, (32,), (32,)),
    ((163,), 1, 3, (5,), (8,)),  # inputs that no position reads
    ((331,), 1, 9, (10,), (20,)),
    ((100,), 1, 5, (9,), (3,)),  # the last slot of inputs is not full
    ((90,), 2, 5, (4,), (3,)),
    ((70,), 3, 6, (1,), (1,)),
    ((33,), 20, 3, (1,), (1,)),
    ((41,), 1, 12, (10,), (1,)),
    ((400,), 1, 1, (300,), (1,)),
    ((5, 40), 2, 2, (2, 3), (2, 1)),
    ((20, 30), 1, 1, (6, 10), (1, 1)),
    ((9, 40), 2, 3, (3, 4), (2, 3)),
    ((9, 20), 1, 1, (2, 2), (3, 1)),  # rows of pixels that no position reads
)
LONG = {
    f"{g.input_size}x{g.channels}-{g.filters}of{g.kernel_size}-s{g.strides}-{g.data_format}": g
    for row in _LONG
    for g in (Geometry(*row, CHANNELS_LAST), Geometry(*row, CHANNELS_FIRST))
}
LOCAL = {name: g for name, g in {**GEOMETRIES, **SAME_GEOMETRIES}.items() if not g.shared}
ALL = {**LONG, **LOCAL}


def lanes_of(dtype, path):
    return _simd_paths.vector_bytes(dispatch.path_index(path)) // np.dtype(dtype).itemsize


def takes_input_gradient(geometry, lanes):
    """Whether a row of pixels has at least as many column steps as a vector has lanes."""
    padded = geometry.padded
    inputs = padded.input_size[-1] * (1 if padded.channels_first else padded.channels)
    return -(-inputs // padded.window_steps[1]) >= lanes


@pytest.fixture
def regime(monkeypatch):
    """A function that makes the direct engine compute in one regime."""

    def use(name, lanes, vectors=0):
        def plan(geometry, dtype, rows, threads, path):
            return Plan(name, threads, _simd_paths.PATH_NAMES[path], lanes, vectors)

        def batch_plan(geometry, dtype, rows, threads, path):
            return Plan("batch", threads, _simd_paths.PATH_NAMES[path], lanes, vectors=1, splits=1)

        for operation in ("forward", "input_gradient", "kernel_gradient"):
            monkeypatch.setattr(ops, f"{operation}_plan", plan)
        if name == "filters":  # which has no gradient of the input
            monkeypatch.setattr(ops, "input_gradient_plan", batch_plan)

    return use


class Problem:
    """A geometry with weights, rows and a gradient of the output."""

    def __init__(self, geometry, dtype, rows=ROWS):
        self.geometry = geometry
        self.x = numbers((rows, *geometry.input_shape), dtype, 1)
        self.kernel = numbers(geometry.kernel_shape, dtype, 2)
        self.bias = numbers(geometry.bias_size, dtype, 3)
        self.dy = numbers((rows, *geometry.output_shape), dtype, 4)

    def results(self, rows, options, lanes, activation=TANH):
        """What the regime can compute, by name."""
        g, x, dy, found = self.geometry, self.x[rows], self.dy[rows], {}
        if g.output_columns >= lanes:
            found["forward"] = ops.forward(
                x, self.kernel, self.bias, g, activation, options=options
            )
            found["no bias"] = ops.forward(x, self.kernel, None, g, options=options)
            found["kernel gradient"] = ops.kernel_gradient(x, dy, g, options)
        if takes_input_gradient(g, lanes):
            found["input gradient"] = ops.input_gradient(dy, self.kernel, g, options)
        return found


def assert_same_results(got, expected):
    for what, result in expected.items():
        try:
            assert_same_bits(got[what], result)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None


@every_path
@every_dtype
@pytest.mark.parametrize("name", ALL)
def test_the_bits_are_those_of_the_other_regimes(name, dtype, path, regime):
    case, lanes = Problem(ALL[name], dtype), lanes_of(dtype, path)
    for rows in (1, 2, 8, 13):
        regime("filters", lanes)
        expected = case.results(slice(rows), ComputeOptions("direct", 1, path), lanes)
        for threads, vectors in ((1, 1), (2, 2), (3, 1), (1, 50)):
            regime("positions", lanes, vectors)
            got = case.results(slice(rows), ComputeOptions("direct", threads, path), lanes)
            assert_same_results(got, expected)


@every_path
@every_dtype
@pytest.mark.parametrize("name", list(LONG)[::5])
def test_the_bits_do_not_depend_on_the_batch_or_the_regime(name, dtype, path, regime):
    case, lanes, options = (
        Problem(ALL[name], dtype),
        lanes_of(dtype, path),
        ComputeOptions("direct", 2, path),
    )
    regime("filters", lanes)
    whole = case.results(slice(ROWS), options, lanes)
    whole.pop("kernel gradient", None)
    regime("positions", lanes, 2)
    for rows in range(1, ROWS + 1):
        some = {what: result[:rows] for what, result in whole.items()}
        assert_same_results(case.results(slice(rows), options, lanes), some)


@every_path
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=activation_id)
@pytest.mark.parametrize("name", list(LONG)[::9])
def test_every_activation_has_the_same_bits(name, activation, path, regime):
    case, lanes = Problem(ALL[name], "float32", 9), lanes_of("float32", path)
    options = ComputeOptions("direct", 2, path)
    regime("filters", lanes)
    expected = case.results(slice(9), options, lanes, activation)
    regime("positions", lanes, 1)
    assert_same_results(case.results(slice(9), options, lanes, activation), expected)


@every_path
@every_dtype
@pytest.mark.parametrize("name", LONG)
def test_other_rows_do_not_affect_a_row(name, dtype, path, regime):
    case, lanes = Problem(LONG[name], dtype, 11), lanes_of(dtype, path)
    options = ComputeOptions("direct", 1, path)
    regime("positions", lanes, 2)
    expected = case.results(slice(11), options, lanes)
    for row in (0, 4, 10):
        poisoned = Problem(LONG[name], dtype, 11)
        poisoned.x, poisoned.dy = np.full_like(case.x, np.nan), np.full_like(case.dy, np.inf)
        poisoned.x[row], poisoned.dy[row] = case.x[row], case.dy[row]
        got = poisoned.results(slice(11), options, lanes)
        for what in got.keys() - {"kernel gradient"}:
            assert_same_bits(got[what][row], expected[what][row])


@every_path
@every_dtype
def test_a_gradient_that_underflows_to_minus_zero_keeps_its_sign(dtype, path, regime):
    # An input at an end is read by fewer positions than one in the middle; zeros added for the
    # missing ones must not turn -0.0 into 0.0.
    geometry, lanes = Geometry((70,), 1, 2, (3,), (1,)), lanes_of(dtype, path)
    least = np.finfo(dtype).smallest_normal
    kernel = np.full(geometry.kernel_shape, least, dtype)
    dy = np.full((3, *geometry.output_shape), -least, dtype)
    dy[:, 1:-1] = 0.0
    options = ComputeOptions("direct", 1, path)
    regime("filters", lanes)
    expected = ops.input_gradient(dy, kernel, geometry, options)
    if path != "generic":  # which rounds the product before it adds to 0.0
        assert np.signbit(expected[:, 0]).all()
    regime("positions", lanes, 1)
    assert_same_bits(ops.input_gradient(dy, kernel, geometry, options), expected)


@pytest.mark.skipif("avx512" not in dispatch.PATHS, reason="the sizes are those of 16 lanes")
def test_few_filters_with_short_receptive_fields_are_computed_along_positions():
    path, float32 = dispatch.path_index("avx512"), np.dtype(np.float32)
    genomics = Geometry((44314,), 1, 1, (3,), (1,))
    disjoint = Geometry((64000,), 1, 4, (32,), (32,))
    for plan in (forward_plan, input_gradient_plan, kernel_gradient_plan):
        for rows in (1, 64, 512):
            assert plan(genomics, float32, rows, 2, path).regime == "positions"
        assert plan(disjoint, float32, 4, 2, path).regime == "positions"
    assert kernel_gradient_plan(disjoint, float32, 64, 2, path).regime == "positions"
    plan = forward_plan(genomics, float32, 64, 2, path)
    words = "vectors of 16 positions, up to 256 in a group; weights of a group unzipped; 2 threads"
    assert str(plan) == f"{words}, avx512"
    shared = Geometry((44314,), 1, 1, (3,), (1,), shared=True)
    many = Geometry((44314,), 1, 64, (3,), (1,))
    flat = Geometry((44314,), 1, 1, (44314,), (1,))
    for geometry in (shared, many, flat):
        assert forward_plan(geometry, float32, 1, 2, path).regime != "positions"
