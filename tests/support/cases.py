"""Difficult geometries, a generator of difficult arrays, and comparisons of results."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from lcfast.local_conv import _simd_paths, dispatch
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry, same_pads
from lcfast.local_conv.ops import Activation

DTYPES = ("float32", "float64")
UNSIGNED = {"float32": np.uint32, "float64": np.uint64}
BATCHES = (0, 1, 2, 5, 6, 7, 13, 48, 49, 97)
ROWS = max(BATCHES)

PATHS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name not in dispatch.PATHS, reason=f"this processor cannot run {name}"
        ),
    )
    for name in _simd_paths.PATH_NAMES
]

ACTIVATIONS = (
    Activation("linear"),
    Activation("relu"),
    Activation("tanh"),
    Activation("sigmoid"),
    Activation("elu", 1.0),
    Activation("elu", 0.3),
    Activation("selu"),
    Activation("softmax"),
)


def activation_id(activation):
    return f"{activation.name}-{activation.alpha}" if activation.alpha else activation.name


# ---------------------------------------------------------------- geometries

_LOCAL = (  # input size, channels, filters, kernel size, strides; in both data formats
    ((1,), 1, 1, (1,), (1,)),
    ((7,), 3, 1, (3,), (1,)),
    ((9,), 2, 3, (2,), (2,)),  # stride == kernel
    ((5,), 4, 7, (5,), (1,)),  # kernel == input
    ((8,), 1, 15, (3,), (1,)),
    ((7,), 2, 16, (1,), (3,)),  # inputs that no receptive field contains
    ((6,), 3, 17, (4,), (1,)),
    ((8,), 3, 31, (2,), (2,)),
    ((9,), 2, 33, (3,), (3,)),
    ((5,), 2, 64, (2,), (1,)),
    ((4,), 1, 81, (2,), (1,)),
    ((20,), 1, 1, (2,), (1,)),
    ((4, 5), 3, 7, (3, 2), (1, 1)),
    ((5, 6), 2, 16, (2, 3), (2, 1)),
    ((7, 5), 1, 33, (3, 3), (1, 2)),
    ((5, 5), 2, 15, (5, 5), (1, 1)),  # kernel == input
    ((6, 6), 3, 17, (2, 2), (2, 2)),  # stride == kernel
    ((7, 8), 2, 3, (1, 4), (3, 2)),
    ((1, 6), 3, 31, (1, 2), (1, 1)),
    ((6, 1), 3, 1, (5, 1), (1, 3)),
    ((4, 4), 2, 64, (2, 2), (1, 1)),
    ((4, 3), 1, 81, (2, 2), (1, 1)),
    # More than 256 taps, and a remainder of filters that fills no vector. A long reduction is split
    # into segments: within a run of more than 256, exactly at 512, between runs, at both.
    ((3,), 150, 17, (2,), (1,)),
    ((1,), 512, 5, (1,), (1,)),
    ((3, 3), 40, 7, (3, 3), (1, 1)),
    ((2, 3), 140, 3, (2, 2), (1, 1)),
    # One position that reads only some inputs: filters are laid out alike in both data formats,
    # channels are not.
    ((4,), 3, 3, (3,), (2,)),
    ((4, 5), 2, 5, (3, 3), (2, 3)),
    # Rows of the batch conflict in a cache set: the gradient of the kernel packs them, with vectors
    # along filters and along taps.
    ((8,), 16, 64, (3,), (1,)),
    ((8,), 32, 16, (3,), (1,)),
    # Two positions with more than 256 KB of kernel each: tasks share the filters of a position.
    ((2,), 520, 130, (1,), (1,)),
)
_SHARED = (  # ordinary convolutions; channels_last only
    ((7,), 3, 3, (3,), (1,)),
    ((9,), 2, 17, (2,), (2,)),
    ((5, 6), 3, 7, (3, 2), (1, 2)),
    ((4, 4), 2, 64, (2, 2), (1, 1)),
    ((3, 4), 30, 5, (3, 3), (1, 1)),
    ((5, 13), 2, 16, (2, 3), (2, 1)),  # rows of 8 or more positions are the rows of a tile
    ((29,), 1, 5, (3,), (2,)),
    ((3, 31), 1, 33, (2, 4), (1, 3)),
)
_DENSE = ((300, 70), (700, 200), (5, 1))


_SAME = (  # padding "same"; kernels even and odd, wider than the input, strides over 1
    ((7,), 2, 3, (3,), (1,)),
    ((6,), 3, 2, (4,), (1,)),
    ((5,), 1, 1, (2,), (2,)),
    ((7,), 2, 5, (3,), (3,)),
    ((3,), 2, 2, (7,), (2,)),
    ((8,), 1, 17, (5,), (2,)),
    ((6,), 2, 3, (1,), (3,)),  # inputs that no receptive field contains
    ((5, 4), 2, 3, (3, 2), (1, 1)),
    ((4, 6), 1, 16, (2, 4), (2, 1)),
    ((3, 5), 3, 2, (5, 3), (1, 3)),
    ((2, 2), 2, 3, (5, 6), (2, 1)),
)


def _name(geometry):
    kernel, size, strides = (
        "x".join(map(str, numbers))
        for numbers in (geometry.kernel_size, geometry.input_size, geometry.strides)
    )
    kind = "shared" if geometry.shared else geometry.data_format.removeprefix("channels_")
    return f"{size}x{geometry.channels}-{geometry.filters}of{kernel}-s{strides}-{kind}"


def _by_name():
    found = [Geometry(*row, data_format) for row in _LOCAL
             for data_format in (CHANNELS_LAST, CHANNELS_FIRST)]  # fmt: skip
    found += [Geometry(*row, shared=True) for row in _SHARED]
    found += [Geometry((1,), features, units, (1,), (1,)) for features, units in _DENSE]
    return {_name(geometry): geometry for geometry in found}


def _same(size, channels, filters, kernel_size, strides, data_format):
    pads = tuple(same_pads(n, k, s) for n, k, s in zip(size, kernel_size, strides, strict=True))
    return Geometry(size, channels, filters, kernel_size, strides, data_format, pads=pads)


GEOMETRIES = _by_name()
SAME_GEOMETRIES = {
    f"{_name(geometry)}-same": geometry
    for row in _SAME
    for geometry in (_same(*row, CHANNELS_LAST), _same(*row, CHANNELS_FIRST))
}
FEW = (  # for tests too slow for all of them: one of each kind
    "7x3-1of3-s1-last",
    "6x3-17of4-s1-first",
    "7x5x1-33of3x3-s1x2-last",
    "4x5x3-7of3x2-s1x1-first",
    "3x150-17of2-s1-last",
    "3x3x40-7of3x3-s1x1-first",
    "5x6x3-7of3x2-s1x2-shared",
    "5x13x2-16of2x3-s2x1-shared",
    "4x4x2-64of2x2-s1x1-last",
    "8x32-16of3-s1-last",
    "1x300-70of1-s1-last",
)


# ---------------------------------------------------------------- arrays


def numbers(shape, dtype, seed):
    """Normal random numbers of several magnitudes, including zeros of both signs; read-only."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape) * 2.0 ** generator.integers(-4, 2, shape)
    values[generator.random(shape) < 1 / 16] = 0.0
    values[generator.random(shape) < 1 / 16] = -0.0
    return frozen(values.astype(dtype))


def frozen(array):
    array.flags.writeable = False
    return array


class Problem(NamedTuple):
    geometry: Geometry
    x: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    dy: np.ndarray


@cache
def problem(name, dtype):
    """A geometry with 97 rows of numbers."""
    geometry = GEOMETRIES[name]
    return Problem(
        geometry,
        numbers((ROWS, *geometry.input_shape), dtype, 1),
        numbers(geometry.kernel_shape, dtype, 2),
        numbers(geometry.bias_size, dtype, 3),
        numbers((ROWS, *geometry.output_shape), dtype, 4),
    )


def _reversed(array):
    return array[(slice(None, None, -1),) * array.ndim].copy()[
        (slice(None, None, -1),) * array.ndim
    ]


def _every_second(array):
    wide = np.full(tuple(2 * size for size in array.shape), 77, array.dtype)
    wide[(slice(None, None, 2),) * array.ndim] = array
    return wide[(slice(None, None, 2),) * array.ndim]


def _misaligned(array):
    room = np.empty(array.nbytes + 1, np.uint8)
    moved = room[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


LAYOUTS = {
    "read-only": lambda array: frozen(array.copy()),
    "fortran": np.asfortranarray,
    "reversed": _reversed,
    "every-second": _every_second,
    "misaligned": _misaligned,
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "part-of-a-larger-array": lambda array: np.concatenate([array[:1], array, array[:1]])[1:-1],
}
"""Functions that return an array with the same values in another memory layout."""


# ---------------------------------------------------------------- comparisons


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    unsigned = UNSIGNED[got.dtype.name]
    different = np.ascontiguousarray(got).view(unsigned) != np.ascontiguousarray(expected).view(
        unsigned
    )
    assert not different.any(), (
        f"{different.sum()} of {got.size} differ, first at {np.argwhere(different)[0]}"
    )


def rounding_of_chains(length, magnitude):
    """Bound the rounding error of a sum of `length` products whose magnitudes sum to `magnitude`.

    A chain of n products and a bias has n + 1 roundings (without FMA, one more for each product),
    its reference one; eps is twice the unit roundoff. Below the normal range a rounding error is
    at most one subnormal.
    """
    limits = np.finfo(magnitude.dtype)
    wide = magnitude.astype(np.longdouble)
    return (length + 2) * (limits.eps * wide + np.longdouble(limits.smallest_subnormal))


def assert_within(got, expected, tolerance):
    """Assert that |got - expected| <= tolerance in every element, and that all are finite."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    error = np.abs(got.astype(np.longdouble) - expected.astype(np.longdouble))
    bad = ~(error <= tolerance)
    if bad.any():
        worst = tuple(np.argwhere(bad)[0])
        allowed = np.broadcast_to(tolerance, error.shape)[worst]
        raise AssertionError(
            f"{bad.sum()} of {got.size} are wrong; first at {worst}: {got[worst]}, expected "
            f"{expected[worst]} within {allowed}"
        )
