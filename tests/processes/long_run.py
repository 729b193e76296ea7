"""Run mixed work for a given time: memory must not grow and no descriptor may stay open.

    python -m tests.processes.long_run [SECONDS]

Threads score with one model and compute gradients while its weights are set, files are loaded,
written and refused, and children are forked. The script fails if a result is wrong, a child hangs,
a descriptor stays open, or memory grows by more than 1 %.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import lcfast
from tests.support import answers

CALLERS = 3
GOLDENS = Path(__file__).parents[1] / "golden"
FILES = tuple(
    GOLDENS / f"model_{name}.h5"
    for name in ("sequential_2d", "functional_branches", "deepface_small")
)
SECONDS_FOR_A_CHILD = 60
ROUNDS = 20
MOST_GROWTH = 0.01
ALLOCATOR = ctypes.CDLL(None)
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""For glibc: threads get random arenas, and several arenas hold up to 10 % more memory."""
SAY = functools.partial(print, flush=True)


class Mixture:
    """The work, in steps that can run in any thread; a wrong result raises AssertionError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = answers.model()
        self.sets = [answers.weights_of(self.model, seed) for seed in (1, 2)]
        self.x = answers.X[:8]
        self.right = set()
        for one in self.sets:
            self.model.set_weights(one)
            self.right.add(answers.digest_of_call(self.model, self.x))
        assert len(self.right) == 2
        self.damaged = folder / "damaged.h5"
        self.damaged.write_bytes(FILES[0].read_bytes()[:3000])
        self.steps = [self.predict, self.pull_back, self.set_weights, self.predict, self.load]
        self.steps += [self.refuse, self.fork]
        self.turns = [2 * caller for caller in range(CALLERS)]  # each starts with a different step
        for step in self.steps:  # create now whatever is created once
            step(0)

    def predict(self, turn: int) -> None:
        """Score in one block or in several."""
        y = self.model.predict(self.x, batch_size=(None, 3)[turn % 2])
        assert np.isfinite(y).all()

    def pull_back(self, turn: int) -> None:
        """Compute outputs and gradients; they must belong to one complete set of weights."""
        assert answers.digest_of_call(self.model, self.x) in self.right

    def set_weights(self, turn: int) -> None:
        """Set the other set of weights."""
        self.model.set_weights(self.sets[turn % 2])

    def load(self, turn: int) -> None:
        """Load a file, score rows, write it and load the copy."""
        made = lcfast.load_model(FILES[turn % len(FILES)])
        inputs = made.inputs if isinstance(made.inputs, list) else [made.inputs]
        x = [np.full((2, *one.shape[1:]), 0.5, np.float32) for one in inputs]
        y = made.predict(x if len(x) > 1 else x[0])
        copy = self.folder / f"{threading.get_ident()}.h5"
        made.save(copy)
        again = lcfast.load_model(copy).predict(x if len(x) > 1 else x[0])
        for one, other in zip(
            *(a if isinstance(a, list) else [a] for a in (y, again)), strict=True
        ):
            assert np.array_equal(one, other)

    def refuse(self, turn: int) -> None:
        """Load a damaged file, which must raise and leave nothing open."""
        try:
            lcfast.load_model(self.damaged)
        except lcfast.ModelFileError:
            return
        raise AssertionError("a damaged file was loaded")

    def fork(self, turn: int) -> None:
        """Fork a child that computes on its own threads while other threads of the parent run."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                right = answers.digest_of_call(self.model, self.x) in self.right
                status = 0 if right and lcfast.load_model(FILES[0]) else 1
            finally:
                os._exit(status)
        end = time.monotonic() + SECONDS_FOR_A_CHILD
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert status == 0, "a child gave a wrong answer"
                return
            time.sleep(0.001)
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise AssertionError("a child hung")


def work(mixture: Mixture, seconds: float) -> Counter[str]:
    """Run the steps in several threads; return how often each step ran."""
    end = time.monotonic() + seconds
    done: list[Counter[str]] = [Counter() for _ in range(CALLERS)]
    errors: list[BaseException] = []

    def go_on(caller: int) -> None:
        try:
            while time.monotonic() < end and not errors:
                turn = mixture.turns[caller]
                step = mixture.steps[turn % len(mixture.steps)]
                step(turn)
                done[caller][step.__name__] += 1
                mixture.turns[caller] += 1
        except BaseException as error:
            errors.append(error)

    callers = [threading.Thread(target=go_on, args=(i,)) for i in range(CALLERS)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    if errors:
        raise errors[0]
    return sum(done, Counter())


def memory() -> int:
    """Resident bytes of this process, after the allocator has returned free memory."""
    gc.collect()
    if hasattr(ALLOCATOR, "malloc_trim"):  # of glibc
        ALLOCATOR.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """The number of open files, pipes and sockets."""
    return len(os.listdir("/proc/self/fd"))


def growth(samples: Sequence[int]) -> float:
    """Growth of the median from the second to the last quarter of the samples.

    The first quarter is warm-up: caches and the allocator's pools fill.
    """
    quarter = len(samples) // 4
    return (
        statistics.median(samples[-quarter:]) / statistics.median(samples[quarter:][:quarter]) - 1
    )


def run(seconds: float, say: Callable[[str], object] = SAY) -> None:
    """Run the work for some seconds; raise AssertionError on growth or an open descriptor."""
    with tempfile.TemporaryDirectory() as folder:
        mixture, done = Mixture(Path(folder)), Counter[str]()
        sizes, opened = [], []
        for number in range(1, ROUNDS + 1):
            done += work(mixture, seconds / ROUNDS)
            sizes.append(memory())
            opened.append(descriptors())
            steps = ", ".join(f"{count:,} {name}" for name, count in sorted(done.items()))
            say(f"{number:2d}/{ROUNDS}  {sizes[-1] / 1e6:7.1f} MB  {opened[-1]} open  {steps}")
    say(f"memory grew by {growth(sizes):+.2%} after the first quarter")
    assert set(done) == {step.__name__ for step in mixture.steps}, "a step was never taken"
    assert growth(sizes) <= MOST_GROWTH, f"memory grew by {growth(sizes):.2%}: {sizes}"
    assert opened[-1] <= opened[ROUNDS // 4], f"descriptors were left open: {opened}"


if __name__ == "__main__":
    if not ONE_ARENA.items() <= os.environ.items():  # read only when a process starts
        again = [sys.executable, "-m", "tests.processes.long_run", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, **ONE_ARENA})
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0)
