"""The reference for activations: numpy's long double, if it is wider than the type."""

import numpy as np
import pytest

from tests.support.cases import DTYPES, PATHS, UNSIGNED

ULPS = 4
"""The largest error of an activation of lcfast, in units in the last place."""
every_path = pytest.mark.parametrize("path", PATHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)

wider_than_float64 = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < np.finfo(np.float64).nmant + 8,
    reason="this machine's long double is hardly wider than float64",
)
each_dtype_with_a_wider_one = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=wider_than_float64)]
)


def wide(values):
    return np.asarray(values).astype(np.longdouble)


def numbers_of_all_sizes(dtype):
    """Finite numbers: every exponent of the type, and many where the functions curve."""
    unsigned = UNSIGNED[dtype]
    step = np.iinfo(unsigned).max // 100_000
    bits = np.arange(100_000, dtype=unsigned) * unsigned(step)
    z = [
        bits.view(dtype),
        np.linspace(-1, 1, 50_001),
        np.linspace(-30, 30, 50_001),
        np.linspace(-120, 120, 20_001),
        np.linspace(-800, 800, 20_001),
        [0.0, -0.0, np.finfo(dtype).max, np.finfo(dtype).min, np.finfo(dtype).smallest_subnormal],
    ]
    z = np.concatenate([np.asarray(part).astype(dtype) for part in z])
    return z[np.isfinite(z)]
