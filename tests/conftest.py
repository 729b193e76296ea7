"""Options, test tiers, fixtures of several folders and OpenMP's environment."""

import itertools
import os
import signal

import pytest
from hypothesis import settings

# Threads that wait for work sleep; busy waiting would take the cores from other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A background shell job ignores SIGINT; the commands that tests start must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from lcfast.local_conv import _fast_path, ops, threads
from lcfast.vocabulary import initializers
from tests.support import tiers


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run every case, not a few of each test")


def runs_every_case(config):
    """With --full, or where tests are chosen by -k or by node id."""
    chosen = config.option.keyword or any("::" in argument for argument in config.args)
    return bool(config.option.full or chosen)


def pytest_configure(config):
    examples = 150 if runs_every_case(config) else 15
    settings.register_profile("lcfast", max_examples=examples, deadline=None, derandomize=True)
    settings.load_profile("lcfast")


def pytest_report_header(config):
    if runs_every_case(config):
        return "tier: full, every case"
    return "tier: fast, a few cases of each test; pytest --full runs every case"


def pytest_collection_modifyitems(config, items):
    if not runs_every_case(config):
        left_out = tiers.left_out(items)
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def threads_for_any_work(monkeypatch):
    """Calls use all threads they are given, however little work there is; no cached fast path."""
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
    monkeypatch.setattr(ops, "cached_forward", lambda *arguments: None)
    monkeypatch.setattr(_fast_path, "remember", lambda *arguments: None)


@pytest.fixture(autouse=True)
def unseeded_draws_repeat(monkeypatch):
    """Draws without a seed differ within a run, but every run draws the same."""
    draws, generator = itertools.count(1000), initializers._generator
    monkeypatch.setattr(
        initializers,
        "_generator",
        lambda seed: generator(next(draws) if seed is None else seed),
    )
