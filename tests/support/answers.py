"""A digest of results computed on several threads, for tests with several processes.

A separate module, because a spawned process imports the function it runs.
"""

import hashlib
import os
import sys
import time
from typing import NamedTuple

import numpy as np

import lcfast

ROWS = 32


class Answer(NamedTuple):
    """A digest of the results, and how they were computed."""

    digest: str
    process: int
    threads: int
    elsewhere: float  # share of the CPU time that other threads than the caller's used

    def is_right(self, threads):
        """Whether the digest is right, and `threads` threads shared the work."""
        shared = threads == 1 or self.elsewhere > 0.2
        return self.digest == EXPECTED and self.threads >= threads and shared


def model():
    """A locally connected model; one row is enough work for a few threads."""
    layers = [
        lcfast.LocallyConnected2D(16, 3, activation="tanh", input_shape=(34, 34, 8)),
        lcfast.Flatten(),
        lcfast.Dense(32, activation="softmax"),
    ]
    made = lcfast.Sequential(layers, name="shared")
    made.set_weights(weights_of(made, 1))
    return made


def weights_of(made, seed):
    """A complete set of weights, different for each seed."""
    draw = np.random.default_rng(seed)
    return [draw.standard_normal(w.shape, np.float32) / 8 for w in made.weights]


def rows(count=ROWS, seed=2):
    """Inputs of `model`."""
    return np.random.default_rng(seed).standard_normal((count, 34, 34, 8), np.float32)


def digest_of(made, x):
    """A digest of the outputs, computed twice, and of all gradients."""
    return digest_of_call(made, x, made.predict(x))


def digest_of_call(made, x, *others):
    """A digest of one call's outputs and gradients, and of further arrays."""
    digest = hashlib.sha256()
    y, pullback = made.vjp(x)
    dx, dweights = pullback(np.ones_like(y) - 2 * y)
    for array in (*others, y, dx, *dweights):
        digest.update(array)
    return digest.hexdigest()


MODEL, X = model(), rows()


def answer(threads):
    """The answer of this process, on a given number of threads."""
    lcfast.set_num_threads(threads)
    return answer_by_default()


def answer_by_default():
    """The answer of this process, on its default number of threads."""
    before, here = time.process_time(), time.thread_time()
    digest = digest_of(MODEL, X)
    MODEL.layers[0](X)  # the pool keeps as many threads as the last call used
    here, everywhere = time.thread_time() - here, time.process_time() - before
    threads = threads_of_this_process()
    return Answer(digest, os.getpid(), threads, (everywhere - here) / everywhere)


def threads_of_this_process():
    """How many threads this process has; a large number if the system does not report it."""
    tasks = "/proc/self/task"
    return len(os.listdir(tasks)) if os.path.isdir(tasks) else sys.maxsize


def limits():
    """The default number of threads of a call in this process."""
    lcfast.set_num_threads(None)
    return lcfast.get_num_threads()


def expected():
    """The digest of one thread's results."""
    before = lcfast.get_num_threads()
    lcfast.set_num_threads(1)
    digest = digest_of(MODEL, X)
    lcfast.set_num_threads(before)
    return digest


EXPECTED = expected()
