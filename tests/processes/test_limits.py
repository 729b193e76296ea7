"""Calls respect OpenMP's thread limit of the calling thread, as set by threadpoolctl."""

import concurrent.futures
import ctypes
import os
import subprocess
import sys

import pytest

import lcfast
from lcfast.local_conv import _openmp
from lcfast.local_conv.threads import limited_threads
from tests.support import answers

pytestmark = pytest.mark.skipif(not _openmp.HAS_OPENMP, reason="built without OpenMP")
# OpenMP reads its environment when it is loaded, so each case runs in a new interpreter.
BEGIN = (
    "import ctypes, threading, lcfast\n"
    "from lcfast.local_conv import _openmp\n"
    "openmp = ctypes.PyDLL(_openmp.__file__)\n"
)


def python(code, **environment):
    """The output of `code` in a new interpreter."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_NUM_THREADS", "LCFAST_NUM_THREADS")
    }
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_what_openmp_is_limited_to_in_a_thread_limits_the_calls_of_that_thread():
    code = """
openmp.omp_set_num_threads(2)
print(lcfast.get_num_threads())
other = threading.Thread(target=lambda: print(lcfast.get_num_threads()))
other.start(); other.join()
lcfast.set_num_threads(3)
print(lcfast.get_num_threads())
openmp.omp_set_num_threads(4)
print(lcfast.get_num_threads())
"""
    assert python(code, OMP_NUM_THREADS="4") == ["2", "4", "2", "3"]


def test_a_limit_from_before_the_first_call_counts_too():
    code = "openmp.omp_set_num_threads(1)\nprint(lcfast.get_num_threads())"
    assert python(code, OMP_NUM_THREADS="4") == ["1"]


@pytest.mark.parametrize("more", ["8", "4"])
def test_openmp_gives_no_more_threads_than_lcfast_was_given(more):
    code = f"openmp.omp_set_num_threads({more})\nprint(lcfast.get_num_threads())"
    assert python(code, OMP_NUM_THREADS="4", LCFAST_NUM_THREADS="3") == ["3"]


def test_what_lcfast_was_given_beyond_what_openmp_began_with_counts():
    code = """
print(lcfast.get_num_threads())
lcfast.set_num_threads(7)
print(lcfast.get_num_threads())
"""
    assert python(code, OMP_NUM_THREADS="1", LCFAST_NUM_THREADS="5") == ["5", "7"]


def test_a_limit_holds_in_a_forked_child_and_after_the_fork():
    code = """
import os
openmp.omp_set_num_threads(2)
child = os.fork()
if child:
    os.waitpid(child, 0)  # or both might write at once
print(lcfast.get_num_threads(), flush=True)
if child == 0:
    os._exit(0)
"""
    assert python(code, OMP_NUM_THREADS="4") == ["2", "2"]


def test_the_threads_of_a_call_of_predict_are_limited_too():
    code = """
openmp.omp_set_num_threads(2)
from lcfast.local_conv.threads import limited_threads
for most in (1, 3):
    with limited_threads(most):
        print(lcfast.get_num_threads())
"""
    assert python(code, OMP_NUM_THREADS="4") == ["1", "2"]


def test_threadpoolctl_sees_the_pool_and_limits_it():
    pytest.importorskip("threadpoolctl")
    code = """
import threadpoolctl
from tests.support import answers
pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "openmp"]
print(len(pools), pools[0]["num_threads"])
lcfast.set_num_threads(4)
with threadpoolctl.threadpool_limits(1, user_api="openmp"):
    given = answers.answer_by_default()
    print(lcfast.get_num_threads(), given.digest == answers.EXPECTED, given.elsewhere < 0.1)
given = answers.answer_by_default()
print(lcfast.get_num_threads(), given.is_right(4))
"""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), os.getcwd()]))
    printed = python(code, OMP_NUM_THREADS="4", OMP_WAIT_POLICY="passive", PYTHONPATH=path)
    assert printed == ["1", "4", "1", "True", "True", "4", "True"]


def test_where_no_thread_can_be_started_the_limit_of_this_one_counts(monkeypatch):
    from lcfast.local_conv import threads

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_of_openmp", None)
    monkeypatch.setattr(threads.threading.Thread, "start", refuse)
    with limited_threads(3):
        assert lcfast.get_num_threads() == 3
    assert threads._of_openmp is None


def test_calls_in_a_pool_of_threads_keep_the_limits_of_their_own():
    limits = ctypes.PyDLL(_openmp.__file__)
    began_with = limits.omp_get_max_threads()

    def limited(most):
        limits.omp_set_num_threads(most)
        return limits.omp_get_max_threads(), answers.digest_of(answers.MODEL, answers.X)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        given = list(pool.map(limited, [1, 2, 3, 4]))
    assert given == [(most, answers.EXPECTED) for most in (1, 2, 3, 4)]
    assert limits.omp_get_max_threads() == began_with
