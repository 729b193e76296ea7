"""Processes created after a parallel call: no deadlock, right results, on their own threads."""

import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import lcfast
from lcfast.local_conv import _openmp
from tests.support import answers

pytestmark = [
    pytest.mark.skipif(not _openmp.HAS_OPENMP, reason="built without OpenMP"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # Python 3.12 and later warn about threads at a fork, such as those of numpy's BLAS.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
FORKS, SECONDS = 200, 60
THREADS = 3


@pytest.fixture(autouse=True)
def after_a_parallel_region():
    """Start each test with a thread pool, for which a child could wait forever."""
    assert answers.answer(THREADS).is_right(THREADS)
    yield
    lcfast.set_num_threads(None)


class Child:
    """A forked process that runs `work` and reports whether it returned true."""

    def __init__(self, work, fork=os.fork):
        self.process = fork()
        if self.process == 0:
            status = 3
            try:
                status = 0 if work() else 1
            finally:
                os._exit(status)

    def status(self, end):
        """The exit status; a child that still runs at `end` is killed."""
        while time.monotonic() < end:
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        return "hung"


def answers_right(threads=THREADS):
    return answers.answer(threads).is_right(threads)


@pytest.mark.thorough
def test_two_hundred_forks_in_a_row_each_after_a_parallel_region():
    layer, x = answers.MODEL.layers[0], answers.X[:4]
    right = layer(x).tobytes()

    def child():
        return layer(x).tobytes() == right and answers.threads_of_this_process() >= THREADS

    end = time.monotonic() + SECONDS
    statuses = []
    for _ in range(FORKS):
        assert layer(x).tobytes() == right
        statuses.append(Child(child).status(end))
    assert statuses == [0] * FORKS


def test_a_fork_of_which_python_knows_nothing_is_guarded_too():
    # As a server in C does it; PyDLL holds the GIL, which the child needs.
    fork = ctypes.PyDLL(None).fork
    child = Child(answers_right, fork)
    assert child.status(time.monotonic() + SECONDS) == 0


def test_children_share_their_work_among_threads():
    end = time.monotonic() + SECONDS
    assert [Child(answers_right).status(end) for _ in range(5)] == [0] * 5


def test_children_that_run_together_and_their_own_children_are_right():
    end = time.monotonic() + SECONDS

    def child():
        return answers_right() and Child(answers_right).status(end) == 0 and answers_right()

    children = [Child(child) for _ in range(4)]
    assert answers_right()
    assert [one.status(end) for one in children] == [0] * 4


def test_a_child_is_right_whatever_other_threads_compute_while_it_is_forked():
    stop, wrong = threading.Event(), []

    def compute():
        while not stop.is_set():
            if answers.digest_of(answers.MODEL, answers.X) != answers.EXPECTED:
                wrong.append(threading.get_ident())

    others = [threading.Thread(target=compute) for _ in range(3)]
    for other in others:
        other.start()
    try:
        end = time.monotonic() + SECONDS
        statuses = [Child(answers_right).status(end) for _ in range(10)]
    finally:
        stop.set()
        for other in others:
            other.join()
    assert statuses == [0] * 10
    assert wrong == []


def test_a_child_forked_amid_set_weights_has_one_whole_set_and_can_set_another():
    made = answers.model()
    sets = [answers.weights_of(made, seed) for seed in (1, 2)]
    x, right = answers.X[:1], set()
    for one in sets:
        made.set_weights(one)
        right.add(made.predict(x).tobytes())
    assert len(right) == 2
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for one in sets:
                made.set_weights(one)

    def child():
        whole = made.predict(x).tobytes() in right
        made.set_weights(sets[0])
        return whole and made.predict(x).tobytes() in right

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        end = time.monotonic() + SECONDS
        statuses = [Child(child).status(end) for _ in range(50)]
    finally:
        stop.set()
        swapping.join()
    assert statuses == [0] * 50


def test_a_fork_waits_for_set_weights_so_that_the_child_has_no_half_of_it(monkeypatch):
    made, x = answers.model(), answers.X[:1]
    made.set_weights(answers.weights_of(made, 2))
    right = made.predict(x).tobytes()
    made.set_weights(answers.weights_of(made, 1))
    last, half_done = made.layers[-1], threading.Event()
    swap_of_last = last.swap_own_record

    def slow(record):
        half_done.set()
        time.sleep(0.2)
        swap_of_last(record)

    monkeypatch.setattr(last, "swap_own_record", slow)
    setting = threading.Thread(target=lambda: made.set_weights(answers.weights_of(made, 2)))
    setting.start()
    assert half_done.wait(SECONDS)
    child = Child(lambda: made.predict(x).tobytes() == right)
    assert child.status(time.monotonic() + SECONDS) == 0
    setting.join()


def test_a_layer_built_by_one_thread_can_be_built_in_a_child_forked_meanwhile():
    entered, go_on = threading.Event(), threading.Event()

    class Slow(lcfast.Layer):
        def build(self, input_shape):
            entered.set()
            go_on.wait(SECONDS)
            super().build(input_shape)

        def call(self, inputs):
            return inputs

    slow = Slow()
    building = threading.Thread(target=lambda: slow(np.ones((1, 2))))
    building.start()
    entered.wait(SECONDS)
    release = threading.Timer(0.1, go_on.set)
    release.start()
    status = Child(lambda: lcfast.Dense(2)(np.ones((1, 3))).shape == (1, 2)).status(
        time.monotonic() + SECONDS
    )
    building.join()
    assert status == 0


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_are_right(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        given = pool.map_async(answers.answer, [THREADS] * 4, chunksize=1).get(SECONDS)
    assert len(given) == 4
    assert all(answer.is_right(THREADS) and answer.process != os.getpid() for answer in given)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_process_pool_of_concurrent_futures_is_right(method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        given = list(pool.map(answers.answer, [THREADS] * 4, timeout=SECONDS))
    assert all(answer.is_right(THREADS) and answer.process != os.getpid() for answer in given)


def test_the_thread_pool_of_concurrent_futures_is_right():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(answers.digest_of, answers.MODEL, answers.X) for _ in range(16)]
        assert {call.result(SECONDS) for call in calls} == {answers.EXPECTED}


def test_a_command_that_is_started_by_subprocess_leaves_the_pool_as_it_is():
    def threads():
        return set(os.listdir("/proc/self/task"))

    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc")
    answers.MODEL.layers[0](answers.X)
    before = threads()
    subprocess.run([sys.executable, "-c", ""], check=True)  # no fork hook runs, and none is needed
    assert threads() == before
    assert answers_right()


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib_is_right(backend):
    joblib = pytest.importorskip("joblib")
    call = joblib.delayed(answers.answer)
    with joblib.parallel_config(backend=backend):
        given = joblib.Parallel(n_jobs=2, timeout=SECONDS)(call(THREADS) for _ in range(4))
    for answer in given:
        assert answer.digest == answers.EXPECTED
        if backend != "threading":
            assert answer.is_right(THREADS)
            assert answer.process != os.getpid()


@pytest.mark.thorough
@pytest.mark.parametrize("most", [1, 2])
def test_the_processes_of_joblib_use_the_threads_that_it_grants_them(most, monkeypatch):
    joblib = pytest.importorskip("joblib")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("LCFAST_NUM_THREADS", raising=False)
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown()  # processes of earlier tests have another environment
    with joblib.parallel_config(backend="loky", inner_max_num_threads=most):
        given = joblib.Parallel(n_jobs=2)(joblib.delayed(answers.limits)() for _ in range(4))
    get_reusable_executor().shutdown()
    assert given == [most] * 4
