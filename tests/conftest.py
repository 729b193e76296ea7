"""What tests of several folders need and `cases` cannot hold: fixtures, OpenMP's environment."""

import os

import pytest

# Threads that wait for work sleep: spinning, they would take the cores from other processes' tests.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from lcfast.local_conv import threads


@pytest.fixture
def threads_for_any_work(monkeypatch):
    """Calls use all the threads they are given, however small their work is."""
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
