"""Kernels larger than the caches, which few rows read a few taps at a time."""

import numpy as np
import pytest

from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.ops import Activation, ComputeOptions
from tests.support.cases import DTYPES, PATHS, assert_same_bits

TAPS, FILTERS = 2100, 1003  # no multiples of a block


@pytest.fixture(scope="module", params=DTYPES)
def wide(request):
    rng = np.random.default_rng(5)
    geometry = Geometry((1,), TAPS, FILTERS, (1,), (1,))
    arrays = (rng.standard_normal(n) for n in ((8, 1, TAPS), (1, TAPS, FILTERS), (FILTERS,)))
    return geometry, *(array.astype(request.param) for array in arrays)


@pytest.mark.parametrize("path", PATHS)
def test_few_rows_have_the_bits_of_many(wide, path):
    geometry, x, kernel, bias = wide
    assert TAPS * FILTERS >= 1 << 21
    tanh = Activation("tanh")
    whole = ops.forward(x, kernel, bias, geometry, tanh, options=ComputeOptions(kernel_path=path))
    for rows in (1, 2, 5):
        for threads in (1, 2, 3):
            options = ComputeOptions(threads=threads, kernel_path=path)
            part = ops.forward(x[2 : 2 + rows], kernel, bias, geometry, tanh, options=options)
            assert_same_bits(part, whole[2 : 2 + rows])


def test_few_rows_agree_with_numpy(wide):
    geometry, x, kernel, bias = wide
    exact = x[:3, 0].astype(np.float64) @ kernel[0].astype(np.float64) + bias
    size = np.abs(x[:3, 0]).astype(np.float64) @ np.abs(kernel[0]).astype(np.float64) + 1
    y = ops.forward(x[:3], kernel, bias, geometry)[:, 0]
    assert (np.abs(y - exact) <= TAPS * np.finfo(x.dtype).eps * size).all()
