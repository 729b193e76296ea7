"""One digest over what 50 fixed cases answer both ways: the bits that every machine has to give.

What breaks it is a processor without fused multiply-add: it has the path generic alone, whose
digests are a column of their own.
"""

import csv
from pathlib import Path

import digest_cases
import digest_file
import digests
import numpy as np
import pytest

import lcfast
from lcfast.local_conv import dispatch
from tests.support.cases import PATHS

PACKAGE_FOLDER = Path(lcfast.__file__).parents[1]


@pytest.fixture(scope="module")
def computed():
    """SIMD path -> case -> digest; the processes compute side by side."""
    started = {path: digest_file.start(path, PACKAGE_FOLDER) for path in dispatch.PATHS}
    return {path: digest_file.finished(process, path) for path, process in started.items()}


@pytest.mark.parametrize("path", PATHS)
def test_outputs_and_gradients_have_the_digests_that_are_committed(path, computed):
    assert computed[path] == digest_file.committed(path)


def test_there_are_fifty_cases_of_every_regime_engine_and_kind_of_layer():
    with digest_file.FILE.open(newline="") as file:
        names = [row["case"] for row in csv.DictReader(file)]
    expected = [f"{name}-{d}" for name in digest_cases.CASES for d in digest_cases.DTYPES]
    assert names == [*expected, "all"]
    assert len(expected) == 50
    regimes = set()
    for case in digest_cases.CASES.values():
        subject = digests.built(case, "float32")
        if isinstance(subject, lcfast.LocallyConnected1D | lcfast.LocallyConnected2D):
            plan = subject.plan(case.rows)
            regimes.add(plan.regime)
        elif isinstance(subject, lcfast.Dense):
            regimes.add("packed" if subject.plan(case.rows).packed else "dense")
    assert regimes == {"filters", "batch", "positions", "sparse", "packed", "dense"}


def test_the_streamed_case_writes_more_than_the_caches_hold():
    case = digest_cases.CASES["local-1d-streaming"]
    outputs = case.rows * 128 * 64
    assert outputs * np.dtype("float32").itemsize > 1 << 25


@pytest.mark.parametrize("dtype", digest_cases.DTYPES)
def test_the_numbers_of_the_cases_are_exact_and_never_change(dtype):
    drawn = digest_cases.integers((3,), 0)
    assert drawn.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    numbers = digest_cases.numbers((1000,), dtype, 1)
    assert numbers.dtype == dtype
    assert 0 < np.abs(numbers).max() < 2
    scaled = np.ldexp(numbers, 26 if dtype == "float32" else 55)
    assert np.array_equal(scaled, np.rint(scaled))
