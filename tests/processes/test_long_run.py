"""A short version of the long run, and its definition of growth."""

import os
import subprocess
import sys
from pathlib import Path

import long_run
import pytest


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([100] * 20, 0),
        ([10, 30, 60, 90, 95, *[100] * 15], 0),  # warm-up is not growth
        ([*[100] * 15, *[102] * 5], 0.02),
        ([100 + i for i in range(20)], 117 / 107 - 1),
        ([*[100] * 15, *[99] * 5], -0.01),
        ([*[100] * 12, 500, 100, 100, 100, 300, 100, 100, 100], 0),  # peaks are not growth
    ],
)
def test_growth_is_that_from_the_second_quarter_to_the_last(samples, expected):
    assert long_run.growth(samples) == pytest.approx(expected)


def test_a_step_that_goes_wrong_ends_the_work(tmp_path, monkeypatch):
    mixture = long_run.Mixture(tmp_path)
    monkeypatch.setattr(mixture, "right", set())
    with pytest.raises(AssertionError):
        long_run.work(mixture, 30)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="memory is read in /proc")
def test_memory_stays_flat_and_no_descriptor_is_left_open():
    done = subprocess.run(
        [sys.executable, "-m", "tests.processes.long_run", "60"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "LCFAST_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "memory grew by" in done.stdout
