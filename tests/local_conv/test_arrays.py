"""The checked entry `ops`: accepted arrays, outputs, and the errors of all others."""

import re

import numpy as np
import pytest

from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from lcfast.local_conv.ops import Activation, ComputeOptions
from tests.support import reference
from tests.support.cases import (
    ACTIVATIONS,
    DTYPES,
    FEW,
    GEOMETRIES,
    LAYOUTS,
    PATHS,
    activation_id,
    assert_same_bits,
    assert_within,
    numbers,
    problem,
    rounding_of_chains,
)

every_path = pytest.mark.parametrize("path", PATHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=activation_id)
few_geometries = pytest.mark.parametrize("name", FEW)
fewer_geometries = pytest.mark.parametrize("name", FEW[:-1])  # the reference of a Dense is slow
both_formats = pytest.mark.parametrize("data_format", [CHANNELS_LAST, CHANNELS_FIRST])

SOFTMAX = Activation("softmax")


# ---------------------------------------------------------------- sizes 0 and 1


@every_dtype
@pytest.mark.parametrize("name", GEOMETRIES)
def test_an_empty_batch_gives_an_empty_result(name, dtype):
    geometry, x, kernel, bias, dy = problem(name, dtype)
    x, dy = x[:0], dy[:0]
    for activation in ACTIVATIONS:
        y = ops.forward(x, kernel, bias, geometry, activation)
        assert (y.shape, y.dtype) == ((0, *geometry.output_shape), dtype)
        z = ops.activate(y, activation)
        assert (z.shape, z.dtype) == (y.shape, dtype)
        dz = ops.activation_gradient(y, dy, activation)
        assert (dz.shape, dz.dtype) == (y.shape, dtype)
    dx = ops.input_gradient(dy, kernel, geometry)
    assert (dx.shape, dx.dtype) == ((0, *geometry.input_shape), dtype)
    dkernel = ops.kernel_gradient(x, dy, geometry)
    assert (dkernel.shape, dkernel.dtype) == (geometry.kernel_shape, dtype)
    assert not dkernel.any()
    total = ops.sum_rows(dy)
    assert (total.shape, total.dtype) == (geometry.output_shape, dtype)
    assert not total.any()


def test_an_empty_batch_returns_out():
    geometry, x, kernel, bias, _ = problem(FEW[0], "float32")
    out = np.empty((0, *geometry.output_shape), np.float32)
    assert ops.forward(x[:0], kernel, bias, geometry, out=out) is out


@every_dtype
def test_one_input_with_one_filter_is_one_product_and_one_sum(dtype):
    geometry = Geometry((1,), 1, 1, (1,), (1,))
    kernel, bias = np.full((1, 1, 1), 3, dtype), np.full(1, 5, dtype)
    assert ops.forward([[[2]]], kernel, bias, geometry).tolist() == [[[11]]]
    assert ops.input_gradient(np.full((1, 1, 1), 2), kernel, geometry).tolist() == [[[6]]]
    x, dy = np.full((1, 1, 1), 2, dtype), np.full((1, 1, 1), 7, dtype)
    assert ops.kernel_gradient(x, dy, geometry).tolist() == [[[14]]]
    assert ops.sum_rows(dy).tolist() == [[7]]


@every_dtype
@both_formats
@pytest.mark.parametrize("size", [(4,), (4, 5)], ids=["1d", "2d"])
def test_without_channels_the_output_is_the_bias(size, data_format, dtype):
    geometry = Geometry(size, 0, 3, (2,) * len(size), (1,) * len(size), data_format)
    bias = numbers(geometry.bias_size, dtype, 1)
    kernel = np.empty(geometry.kernel_shape, dtype)
    x = np.empty((2, *geometry.input_shape), dtype)
    y = ops.forward(x, kernel, bias, geometry)
    np.testing.assert_array_equal(y, np.stack([bias.reshape(geometry.output_shape)] * 2))
    dy = np.ones((2, *geometry.output_shape), dtype)
    assert ops.input_gradient(dy, kernel, geometry).shape == x.shape
    assert ops.kernel_gradient(x, dy, geometry).shape == geometry.kernel_shape


# ---------------------------------------------------------------- inputs of any kind


@every_dtype
@pytest.mark.parametrize(
    "kind", ["int8", "uint8", "int16", "int64", "uint64", "bool", "float16", "float32", "float64"]
)
@fewer_geometries
def test_real_numbers_of_any_dtype_are_converted_to_that_of_the_kernel(name, kind, dtype):
    # Small integers: every sum is exact, so there is one right answer.
    geometry, _, kernel, _, _ = problem(name, dtype)
    generator = np.random.default_rng(1)
    kernel = generator.integers(-3, 4, kernel.shape).astype(dtype)
    x = generator.integers(0, 2 if kind == "bool" else 100, (5, *geometry.input_shape))
    if np.dtype(kind).kind in "if":
        x = x - 50
    y = ops.forward(x.astype(kind), kernel, None, geometry)
    exact = reference.forward(x.astype(np.float64), kernel.astype(np.float64), None, geometry)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, exact)
    dy = generator.integers(0, 2, (5, *geometry.output_shape))
    dx = ops.input_gradient(dy.astype(kind), kernel, geometry)
    exact = reference.input_gradient(dy.astype(np.float64), kernel.astype(np.float64), geometry)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, exact)


@every_dtype
@few_geometries
def test_lists_of_numbers_are_accepted(name, dtype):
    geometry, x, kernel, bias, dy = problem(name, dtype)
    x, dy = x[:3], dy[:3]
    assert_same_bits(
        ops.forward(x.tolist(), kernel, bias, geometry), ops.forward(x, kernel, bias, geometry)
    )
    assert_same_bits(
        ops.input_gradient(dy.tolist(), kernel, geometry), ops.input_gradient(dy, kernel, geometry)
    )


@every_dtype
@pytest.mark.parametrize("layout", ["contiguous", *LAYOUTS])
def test_no_operation_modifies_its_arguments(layout, dtype):
    geometry, x, kernel, bias, dy = problem(FEW[3], dtype)
    rows = LAYOUTS.get(layout, np.array)
    given = {
        "x": rows(x[:5]), "kernel": kernel.copy(), "bias": bias.copy(), "dy": rows(dy[:5]),
        "y": rows(ops.activate(dy[:5], SOFTMAX)),
    }  # fmt: skip
    before = {what: array.tobytes() for what, array in given.items()}
    x, kernel, bias, dy, y = given.values()
    ops.input_gradient(dy, kernel, geometry)
    ops.kernel_gradient(x, dy, geometry)
    ops.sum_rows(dy)
    for activation in ACTIVATIONS:
        ops.forward(x, kernel, bias, geometry, activation)
        ops.activate(dy, activation)
        ops.activation_gradient(y, dy, activation)
    assert {what: array.tobytes() for what, array in given.items()} == before


@every_dtype
@few_geometries
def test_arrays_that_were_checked_are_not_checked_again(name, dtype, monkeypatch):
    geometry, x, kernel, bias, _ = problem(name, dtype)
    options, expected = ComputeOptions(), ops.forward(x[:5], kernel, bias, geometry, SOFTMAX)
    x = ops.as_batch(x[:5].tolist(), kernel.dtype, geometry.input_shape, "the input")
    for check in ("as_batch", "as_array", "cached_forward"):
        monkeypatch.delattr(ops, check)
    y = ops.forward_checked(x, kernel, bias, geometry, SOFTMAX, None, options)
    assert_same_bits(y, expected)
    out = np.empty_like(y)
    assert ops.forward_checked(x, kernel, bias, geometry, SOFTMAX, out, options) is out
    assert_same_bits(out, expected)
    with pytest.raises(ValueError, match=re.escape(str(out[1:].shape))):
        ops.forward_checked(x, kernel, bias, geometry, SOFTMAX, out[1:], options)


# ---------------------------------------------------------------- NaN, infinities, denormals

SPECIAL = {"nan": np.nan, "inf": np.inf, "minus-inf": -np.inf}


def assert_same_nonfinite(got, expected, tolerance):
    """NaN and infinities at the same indices, all other numbers within the tolerance."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(expected))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    finite = np.isfinite(expected)
    assert_within(np.where(finite, got, 0), np.where(finite, expected, 0), tolerance)


def finite_magnitude(*arrays):
    return [np.where(np.isfinite(array), np.abs(array), 0) for array in arrays]


@every_path
@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
@fewer_geometries
def test_nan_and_infinities_are_those_of_the_reference(name, special, dtype, path):
    geometry, x, kernel, bias, dy = problem(name, dtype)
    x, kernel, bias, dy = x[:7].copy(), kernel.copy(), bias.copy(), dy[:7].copy()
    for array in (x, dy, kernel, bias):
        generator = np.random.default_rng(array.size)
        array.flat[generator.integers(0, array.size, 2)] = SPECIAL[special]
    options = ComputeOptions("direct", 2, path)
    with np.errstate(invalid="ignore"):
        expected = reference.forward(x, kernel, bias, geometry)
        magnitude = reference.forward(*finite_magnitude(x, kernel, bias), geometry)
        tolerance = rounding_of_chains(geometry.patch_size, magnitude)
        assert_same_nonfinite(
            ops.forward(x, kernel, bias, geometry, options=options), expected, tolerance
        )

        expected = reference.input_gradient(dy, kernel, geometry)
        magnitude = reference.input_gradient(*finite_magnitude(dy, kernel), geometry)
        tolerance = rounding_of_chains(geometry.positions * geometry.filters, magnitude)
        assert_same_nonfinite(
            ops.input_gradient(dy, kernel, geometry, options), expected, tolerance
        )

        expected = reference.kernel_gradient(x, dy, geometry)
        magnitude = reference.kernel_gradient(*finite_magnitude(x, dy), geometry)
        tolerance = rounding_of_chains(len(x) * geometry.positions, magnitude)
        assert_same_nonfinite(ops.kernel_gradient(x, dy, geometry, options), expected, tolerance)

        expected = reference.sum_rows(dy)
        tolerance = rounding_of_chains(len(dy), reference.sum_rows(*finite_magnitude(dy)))
        assert_same_nonfinite(ops.sum_rows(dy, options), expected, tolerance)


@every_path
@every_dtype
@fewer_geometries
def test_subnormal_numbers_are_not_flushed_to_zero(name, dtype, path):
    # Small multiples of the least number times small integers: every sum is exact.
    geometry, x, kernel, _, dy = problem(name, dtype)
    generator = np.random.default_rng(1)
    least = np.finfo(dtype).smallest_subnormal
    kernel = generator.integers(-3, 4, kernel.shape).astype(dtype)
    x = (generator.integers(-5, 6, x[:5].shape) * least).astype(dtype)
    dy = (generator.integers(-5, 6, dy[:5].shape) * least).astype(dtype)
    ones = generator.integers(-3, 4, dy.shape).astype(dtype)
    options = ComputeOptions("direct", 2, path)
    pairs = [
        (ops.forward(x, kernel, None, geometry, options=options),
         reference.forward(x, kernel, None, geometry)),
        (ops.input_gradient(dy, kernel, geometry, options),
         reference.input_gradient(dy, kernel, geometry)),
        (ops.kernel_gradient(x, ones, geometry, options),
         reference.kernel_gradient(x, ones, geometry)),
        (ops.sum_rows(dy, options), reference.sum_rows(dy)),
    ]  # fmt: skip
    for got, expected in pairs:
        assert expected.any()
        np.testing.assert_array_equal(got, expected)


# ---------------------------------------------------------------- out


def _every_second_column(shape, dtype):
    return np.full((*shape[:-1], 2 * shape[-1]), 77, dtype)[..., ::2]


OUTS = {
    "contiguous": lambda shape, dtype: np.full(shape, 77, dtype),
    "fortran": lambda shape, dtype: np.full(shape, 77, dtype, "F"),
    "every-second-column": _every_second_column,
    "reversed": lambda shape, dtype: np.full(shape, 77, dtype)[::-1, ..., ::-1],
    "misaligned": lambda shape, dtype: LAYOUTS["misaligned"](np.full(shape, 77, dtype)),
}
every_out = pytest.mark.parametrize("kind", OUTS)


@every_dtype
@every_out
@few_geometries
def test_the_output_is_written_to_out_and_out_is_returned(name, kind, dtype):
    geometry, x, kernel, bias, _ = problem(name, dtype)
    for activation in (Activation("tanh"), SOFTMAX):
        expected = ops.forward(x[:5], kernel, bias, geometry, activation)
        out = OUTS[kind](expected.shape, dtype)
        assert ops.forward(x[:5], kernel, bias, geometry, activation, out) is out
        assert_same_bits(out, expected)

        expected = ops.activate(x[:5], activation)
        out = OUTS[kind](expected.shape, dtype)
        assert ops.activate(x[:5], activation, out) is out
        assert_same_bits(out, expected)


@few_geometries
def test_nothing_around_out_is_written(name):
    geometry, x, kernel, bias, _ = problem(name, "float32")
    shape = (5, *geometry.output_shape)
    around = np.full((7, *geometry.output_shape[:-1], 2 * shape[-1]), 77, np.float32)
    out = around[1:-1, ..., ::2]
    ops.forward(x[:5], kernel, bias, geometry, out=out)
    assert_same_bits(out, ops.forward(x[:5], kernel, bias, geometry))
    assert (around[[0, -1]] == 77).all()
    assert (around[..., 1::2] == 77).all()


SQUARE = {  # the output has the shape of the input
    "1d-last": Geometry((6,), 5, 5, (1,), (1,)),
    "1d-first": Geometry((6,), 5, 5, (1,), (1,), CHANNELS_FIRST),
    "2d-last": Geometry((3, 4), 17, 17, (1, 1), (1, 1)),
    "dense": Geometry((1,), 33, 33, (1,), (1,)),
}


@every_dtype
@pytest.mark.parametrize("geometry", SQUARE.values(), ids=SQUARE)
def test_out_may_be_the_input_itself(geometry, dtype):
    x = numbers((7, *geometry.input_shape), dtype, 1)
    kernel = numbers(geometry.kernel_shape, dtype, 2)
    for activation in (Activation("linear"), SOFTMAX):
        expected = ops.forward(x, kernel, None, geometry, activation)
        both = x.copy()
        assert ops.forward(both, kernel, None, geometry, activation, both) is both
        assert_same_bits(both, expected)

        expected = ops.activate(x, activation)
        both = x.copy()
        assert ops.activate(both, activation, both) is both
        assert_same_bits(both, expected)


@every_dtype
@pytest.mark.parametrize("shift", [-40, -5, -1, 1, 5, 40])
@few_geometries
def test_out_may_overlap_the_input(name, shift, dtype):
    geometry, x, kernel, bias, _ = problem(name, dtype)
    x, shape = x[:7], (7, *geometry.output_shape)
    room = np.empty(max(x.size, int(np.prod(shape))) + 80, dtype)

    def views(out_shape):
        here = room[40 : 40 + x.size].reshape(x.shape)
        here[...] = x
        return here, room[40 + shift :][: int(np.prod(out_shape))].reshape(out_shape)

    expected = ops.forward(x, kernel, bias, geometry)
    here, out = views(shape)
    assert ops.forward(here, kernel, bias, geometry, out=out) is out
    assert_same_bits(out, expected)

    expected = ops.activate(x, Activation("tanh"))
    here, out = views(x.shape)
    assert ops.activate(here, Activation("tanh"), out) is out
    assert_same_bits(out, expected)


def test_out_may_be_the_reversed_input():
    geometry = SQUARE["1d-last"]
    x = numbers((7, *geometry.input_shape), "float32", 1)
    kernel = numbers(geometry.kernel_shape, "float32", 2)
    expected = ops.forward(x, kernel, None, geometry)
    both = x.copy()
    ops.forward(both, kernel, None, geometry, out=both[::-1])
    assert_same_bits(both[::-1], expected)


def _read_only(shape):
    out = np.empty(shape, np.float32)
    out.flags.writeable = False
    return out


WRONG_OUTS = {
    "list": (lambda shape: [[0.0]], TypeError, "list"),
    "float": (lambda shape: 1.0, TypeError, "float"),
    "wider": (lambda shape: np.empty(shape, np.float64), TypeError, "float64"),
    "integers": (lambda shape: np.empty(shape, np.int32), TypeError, "int32"),
    "big-endian": (lambda shape: np.empty(shape, ">f4"), TypeError, ">f4"),
    "more-rows": (
        lambda shape: np.empty((shape[0] + 1, *shape[1:]), np.float32), ValueError, "(6, 5, 1)",
    ),
    "flat": (lambda shape: np.empty(25, np.float32), ValueError, "(25,)"),
    "read-only": (_read_only, ValueError, "read-only"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_OUTS)
def test_an_out_that_does_not_fit_is_an_error(kind):
    geometry, x, kernel, bias, _ = problem(FEW[0], "float32")
    make, error, datum = WRONG_OUTS[kind]
    y = ops.forward(x[:5], kernel, bias, geometry)
    with pytest.raises(error, match=f"out .*{re.escape(datum)}"):
        ops.forward(x[:5], kernel, bias, geometry, out=make(y.shape))
    with pytest.raises(error, match=f"out .*{re.escape(datum)}"):
        ops.activate(y, Activation("tanh"), make(y.shape))


# ---------------------------------------------------------------- errors

UNREAL = {
    "complex": (np.zeros((2, 7, 3), complex), "complex128"),
    "objects": (np.zeros((2, 7, 3), object), "object"),
    "strings": (np.full((2, 7, 3), "1"), "<U1"),
    "bytes": (np.full((2, 7, 3), b"1"), "|S1"),
    "dates": (np.zeros((2, 7, 3), "datetime64[s]"), "datetime64[s]"),
    "durations": (np.zeros((2, 7, 3), "timedelta64[s]"), "timedelta64[s]"),
    "records": (np.zeros((2, 7, 3), [("a", "f4")]), "[('a', '<f4')]"),
    "none": (None, "object"),
    "string": ("12", "<U2"),
    "huge-integers": ([[[2**70] * 3] * 7] * 2, "object"),
}


@pytest.mark.parametrize("kind", UNREAL)
def test_an_array_without_real_numbers_is_a_type_error(kind):
    geometry, x, kernel, _, dy = problem(FEW[0], "float32")
    value, dtype = UNREAL[kind]
    dtype = re.escape(dtype)
    with pytest.raises(TypeError, match=f"the input .*{dtype}"):
        ops.forward(value, kernel, None, geometry)
    with pytest.raises(TypeError, match=f"the gradient of the output .*{dtype}"):
        ops.input_gradient(value, kernel, geometry)
    with pytest.raises(TypeError, match=f"the input .*{dtype}"):
        ops.kernel_gradient(value, dy[:2], geometry)
    with pytest.raises(TypeError, match=f"the gradient of the output .*{dtype}"):
        ops.activation_gradient(x[:2], value, SOFTMAX)


def test_a_ragged_list_is_a_type_error():
    geometry, _, kernel, _, _ = problem(FEW[0], "float32")
    with pytest.raises(TypeError, match="the input"):
        ops.forward([[1, 2], [3]], kernel, None, geometry)
    with pytest.raises(TypeError, match="the gradient of the output"):
        ops.input_gradient([[1, 2], [3]], kernel, geometry)


@pytest.mark.parametrize(
    "shape", [(), (7,), (7, 3), (2, 3, 7), (2, 7, 4), (2, 21), (2, 7, 3, 1), (0, 3, 7)], ids=str
)
def test_an_input_of_another_shape_is_a_value_error(shape):
    geometry, _, kernel, _, _ = problem("7x3-1of3-s1-last", "float32")
    datum = f"the input .*{re.escape(str(shape))}"
    with pytest.raises(ValueError, match=datum):
        ops.forward(np.zeros(shape), kernel, None, geometry)
    with pytest.raises(ValueError, match=datum):
        ops.kernel_gradient(np.zeros(shape), np.zeros((2, 5, 1), np.float32), geometry)


@pytest.mark.parametrize("shape", [(), (5,), (2, 1, 5), (2, 5, 2), (2, 5), (0, 1, 5)], ids=str)
def test_a_gradient_of_another_shape_is_a_value_error(shape):
    geometry, x, kernel, _, dy = problem("7x3-1of3-s1-last", "float32")
    datum = f"the gradient of the output .*{re.escape(str(shape))}"
    wrong = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=datum):
        ops.input_gradient(wrong, kernel, geometry)
    with pytest.raises(ValueError, match=datum):
        ops.kernel_gradient(x[:2], wrong, geometry)
    with pytest.raises(ValueError, match=datum):
        ops.activation_gradient(dy[:2], wrong, SOFTMAX)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_gradients_need_as_many_rows_as_the_input_has(rows):
    geometry, x, _, _, dy = problem("7x3-1of3-s1-last", "float32")
    datum = f"the gradient of the output .*{rows} rows"
    with pytest.raises(ValueError, match=datum):
        ops.kernel_gradient(x[:2], dy[:rows], geometry)
    with pytest.raises(ValueError, match=datum):
        ops.activation_gradient(dy[:2], dy[:rows], SOFTMAX)


def test_only_known_engines_are_accepted():
    assert ops.checked_engine(None) is None
    for engine in ops.ENGINES:
        assert ops.checked_engine(engine) == engine
    for unknown in ("gpu", "reference"):
        with pytest.raises(ValueError, match=repr(unknown)):
            ops.checked_engine(unknown)
