"""How many threads a call uses, and that forked children compute correctly."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import lcfast
from lcfast.local_conv import _openmp, cores, ops, threads
from lcfast.local_conv.ops import ComputeOptions
from tests.support.cases import assert_same_bits, problem

needs_openmp = pytest.mark.skipif(not _openmp.HAS_OPENMP, reason="built without OpenMP")
CORES = cores.usable_cores()
NAME = "5x6x2-16of2x3-s2x1-last"


@pytest.fixture
def environment(monkeypatch):
    """A function that sets the two variables and resets the number of threads."""

    def set_variables(lcfast_num_threads=None, omp_num_threads=None):
        for variable, value in (
            ("LCFAST_NUM_THREADS", lcfast_num_threads), ("OMP_NUM_THREADS", omp_num_threads),
        ):  # fmt: skip
            if value is None:
                monkeypatch.delenv(variable, raising=False)
            else:
                monkeypatch.setenv(variable, value)
        lcfast.set_num_threads(None)

    yield set_variables
    monkeypatch.undo()
    lcfast.set_num_threads(None)


# ---------------------------------------------------------------- the number


@needs_openmp
@pytest.mark.parametrize(
    ("lcfast_num_threads", "omp_num_threads", "expected"),
    [
        ("3", None, 3),
        ("3", "5", 3),
        (None, "5", 5),
        ("", "5", 5),
        ("  ", " 5 ", 5),
        (None, "4,2", 4),  # OpenMP's list for nested regions: the outermost counts
        ("1", "8", 1),
        ("4096", None, 4096),
        ("5000", None, 4096),
        (None, None, CORES),
        ("", "", CORES),
    ],
)
def test_the_environment_sets_the_number_of_threads(
    environment, lcfast_num_threads, omp_num_threads, expected
):
    environment(lcfast_num_threads, omp_num_threads)
    assert lcfast.get_num_threads() == expected


@needs_openmp
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", "2 3", "0x2", "+2", "²"])
@pytest.mark.parametrize("variable", ["LCFAST_NUM_THREADS", "OMP_NUM_THREADS"])
def test_an_environment_without_a_positive_number_is_an_error(environment, variable, value):
    environment(**{variable.lower(): value})
    for _ in range(2):  # the wrong value is not cached
        with pytest.raises(ValueError, match=f"{variable}.*{re.escape(repr(value))}"):
            lcfast.get_num_threads()
    lcfast.set_num_threads(2)
    assert lcfast.get_num_threads() == 2


@needs_openmp
def test_a_number_that_is_set_overrides_the_environment_until_none_is_set(environment):
    environment("3")
    lcfast.set_num_threads(7)
    assert lcfast.get_num_threads() == 7
    lcfast.set_num_threads(np.int64(2))
    assert lcfast.get_num_threads() == 2
    assert type(lcfast.get_num_threads()) is int
    lcfast.set_num_threads(None)
    assert lcfast.get_num_threads() == 3


@pytest.mark.skipif(_openmp.HAS_OPENMP, reason="built with OpenMP")
def test_without_openmp_there_is_one_thread(environment):
    environment("3")
    lcfast.set_num_threads(7)
    assert lcfast.get_num_threads() == 1


@pytest.mark.parametrize("count", [0, -1, 4097, np.int32(0)], ids=["0", "-1", "4097", "int32-0"])
def test_a_number_out_of_range_is_a_value_error_and_sets_nothing(environment, count):
    environment("3")
    before = lcfast.get_num_threads()
    with pytest.raises(ValueError, match=f"4096.* {int(count)}\\b"):
        lcfast.set_num_threads(count)
    with pytest.raises(ValueError, match=f"4096.* {int(count)}\\b"):
        threads.threads_for(100, count)
    assert lcfast.get_num_threads() == before


@pytest.mark.parametrize(
    "count",
    [1.5, 2.0, True, False, "2", [2], np.float64(2)],
    ids=["1.5", "2.0", "true", "false", "str", "list", "float64"],
)
def test_a_number_that_is_not_an_integer_is_a_type_error_and_sets_nothing(environment, count):
    environment("3")
    before = lcfast.get_num_threads()
    with pytest.raises(TypeError, match=re.escape(repr(count))):
        lcfast.set_num_threads(count)
    with pytest.raises(TypeError, match=re.escape(repr(count))):
        threads.threads_for(100, count)
    assert lcfast.get_num_threads() == before


@needs_openmp
def test_a_call_uses_no_more_threads_than_its_work_is_worth(environment):
    enough = threads.MULTIPLICATIONS_PER_THREAD
    environment("4")
    for work, expected in (
        (0, 1), (1, 1), (enough, 1), (2 * enough - 1, 1), (2 * enough, 2), (3 * enough, 3),
        (4 * enough, 4), (100 * enough, 4),
    ):  # fmt: skip
        assert threads.threads_for(work) == expected
        assert threads.threads_for(work, 2) == min(expected, 2)
    assert threads.threads_for(100 * enough, 8) == 8


# ---------------------------------------------------------------- the threads themselves


def threads_of_this_process():
    return len(os.listdir("/proc/self/task"))


def threads_once_let_go():
    """Threads of this process after a fork has ended the pool, which takes a moment."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    end, counts = time.monotonic() + 10, []
    while len(counts) < 20 or (len(set(counts[-20:])) > 1 and time.monotonic() < end):
        time.sleep(0.002)
        counts.append(threads_of_this_process())
    return counts[-1]


def libgomp_is_in_proc():
    maps = Path("/proc/self/maps")
    return maps.exists() and "libgomp" in maps.read_text()


def forward(count):
    geometry, x, kernel, bias, _ = problem(NAME, "float32")
    return ops.forward(x, kernel, bias, geometry, options=ComputeOptions("direct", count))


@needs_openmp
@pytest.mark.skipif(
    not libgomp_is_in_proc(), reason="threads are counted in /proc; clang's libomp keeps its own"
)
@pytest.mark.usefixtures("threads_for_any_work")
def test_a_call_runs_on_as_many_threads_as_it_is_given_and_a_fork_ends_them():
    alone = threads_once_let_go()
    for count in (1, 2, 3):
        forward(count)
        assert threads_of_this_process() == alone + count - 1
    assert threads_once_let_go() == alone
    forward(3)
    assert threads_of_this_process() == alone + 2


@pytest.mark.usefixtures("threads_for_any_work")
def test_concurrent_calls_from_many_threads_give_the_same_bits():
    expected = forward(1)
    answers = [[] for _ in range(4)]

    def call_often(into):
        into.extend(forward(count) for count in (1, 2, 3) * 5)

    callers = [threading.Thread(target=call_often, args=(into,)) for into in answers]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for into in answers:
        assert len(into) == 15
        for answer in into:
            assert_same_bits(answer, expected)


# ---------------------------------------------------------------- fork

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# Other libraries' threads (numpy's BLAS) make Python 3.12 and later warn.
may_warn_of_fork = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)
SECONDS_FOR_A_CHILD = 20


def exit_status_of_a_child(work):
    """Fork; the child exits with 0 if `work` returns true.  Kills it and fails if it hangs."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    end = time.monotonic() + SECONDS_FOR_A_CHILD
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


@needs_fork
@may_warn_of_fork
@pytest.mark.usefixtures("threads_for_any_work")
def test_a_child_forked_after_a_parallel_call_computes_the_same_bits_and_so_does_the_parent():
    expected = forward(1)
    for _ in range(20):
        assert_same_bits(forward(3), expected)
        assert exit_status_of_a_child(lambda: forward(3).tobytes() == expected.tobytes()) == 0
    assert_same_bits(forward(3), expected)


@needs_fork
@may_warn_of_fork
@pytest.mark.usefixtures("threads_for_any_work")
def test_a_grandchild_computes_the_same_bits():
    expected = forward(1)

    def child():
        return (
            forward(2).tobytes() == expected.tobytes()
            and exit_status_of_a_child(lambda: forward(3).tobytes() == expected.tobytes()) == 0
        )

    forward(3)
    assert exit_status_of_a_child(child) == 0


@needs_fork
@may_warn_of_fork
@pytest.mark.usefixtures("threads_for_any_work")
def test_a_child_forked_by_another_thread_computes_the_same_bits():
    expected = forward(1)
    forward(3)
    statuses = []

    def fork_some():
        for _ in range(5):
            forward(2)
            statuses.append(
                exit_status_of_a_child(lambda: forward(3).tobytes() == expected.tobytes())
            )

    forker = threading.Thread(target=fork_some)
    forker.start()
    while forker.is_alive():  # this thread's own parallel calls go on all the while
        assert_same_bits(forward(3), expected)
    forker.join()
    assert statuses == [0] * 5
