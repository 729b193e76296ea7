"""What tests of several folders need and `cases` cannot hold: fixtures, OpenMP's environment."""

import itertools
import os
import signal

import pytest

# Threads that wait for work sleep: spinning, they would take the cores from other processes' tests.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Started in the background tests inherit that Ctrl-C is ignored; the commands they start must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from lcfast.local_conv import _fast_path, ops, threads
from lcfast.vocabulary import initializers


@pytest.fixture
def threads_for_any_work(monkeypatch):
    """Calls use all threads they are given, however little work there is; no cached fast path."""
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
    monkeypatch.setattr(ops, "cached_forward", lambda *arguments: None)
    monkeypatch.setattr(_fast_path, "remember", lambda *arguments: None)


@pytest.fixture(autouse=True)
def unseeded_draws_repeat(monkeypatch):
    """What is drawn without a seed differs from draw to draw, but not from run to run."""
    draws, generator = itertools.count(1000), initializers._generator
    monkeypatch.setattr(
        initializers,
        "_generator",
        lambda seed: generator(next(draws) if seed is None else seed),
    )
