"""One peer in its own process: reads cells as JSON lines, checks the result, then times it.

    python -m benchmarks.peers.worker NAME GIGABYTES

A line in: {"case", "batch", "gradients", "seconds", "ways" (names, or null for all)}.
A line out for each way: {"way", "best", "median", "repeats"} or {"way", "failed": reason}; then
{"done": true}.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import math
import os
import resource
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import IO, Any

import numpy as np

from benchmarks.answers import (
    Weights,
    check_gradients,
    check_outputs,
    input_of,
    output_gradient_of,
    weights_of,
)
from benchmarks.cases import Case, case_named
from benchmarks.clock import timed
from benchmarks.peers.contract import NotOffered, Way

HOPELESS = 8
"""A way that needs this many times as long as the best one before it is not timed for long."""


class Bench:
    """The cells of one peer; what was built for a case is kept until the next case."""

    def __init__(self, peer: ModuleType) -> None:
        self.peer = peer
        self.case: Case | None = None
        self.weights: Weights | None = None
        self.ways: dict[tuple[str, bool], Way | str] = {}

    def answers(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Time every way of a cell that was asked for, one after the other."""
        case, gradients = case_named(request["case"]), request["gradients"]
        if case is not self.case:
            self.ways.clear()
            self.weights = None
            gc.collect()
            self.case, self.weights = case, weights_of(case)
        assert self.weights is not None
        offered = getattr(self.peer, "gradients" if gradients else "forward")(case, self.weights)
        arrays = [input_of(case, request["batch"])]
        if gradients:
            arrays.append(output_gradient_of(case, request["batch"]))
        best = math.inf
        for name in request["ways"] or offered:
            if name not in offered:
                continue
            try:
                way = self.way(offered, name, gradients)
                found = self.time(way, arrays, request["seconds"], HOPELESS * best)
                best = min(best, found["best"])
            except Exception as error:  # a peer may fail with any error; the run continues
                found = {"failed": reason(error)}
            yield {"way": name, **found}

    def way(self, offered: Any, name: str, gradients: bool) -> Way:
        """The way of this name, made once for a case; a refusal is remembered too."""
        key = name, gradients
        if key not in self.ways:
            try:
                self.ways[key] = offered[name]()
            except NotOffered as refusal:
                self.ways[key] = str(refusal)
        way = self.ways[key]
        if isinstance(way, str):
            raise NotOffered(way)
        return way

    def time(
        self, way: Way, arrays: list[np.ndarray], seconds: float, hopeless: float
    ) -> dict[str, Any]:
        """Check a way's answers block by block, then time it on all of them."""
        assert self.case is not None
        assert self.weights is not None
        batch = len(arrays[0])
        rows = self.case.block_rows(batch) if way.in_blocks else batch
        blocks = [[a[at : at + rows] for a in arrays] for at in range(0, batch, rows)]
        prepared = []
        for block in blocks:
            prepared.append(way.prepare(*block))
            answer = way.arrays(way.run(prepared[-1]))
            if len(arrays) == 1:
                check_outputs(self.case, self.weights, block[0], answer)
            else:
                check_gradients(self.case, self.weights, block[0], block[1], answer)
            del answer
        run = way.run
        if len(prepared) == 1:
            only = prepared[0]
            timing = timed(lambda: run(only), seconds, hopeless)
        elif len(arrays) == 1:
            timing = timed(lambda: [run(block) for block in prepared], seconds, hopeless)
        else:
            timing = timed(lambda: _summed(run, prepared), seconds, hopeless)
        return {**timing._asdict(), "blocks": len(prepared)}


def _summed(run: Any, prepared: list[Any]) -> list[Any]:
    """The gradients of all blocks: those of the weights add up."""
    inputs, *total = run(prepared[0])
    dx = [inputs]
    for block in prepared[1:]:
        inputs, *more = run(block)
        dx.append(inputs)
        total = [a + b for a, b in zip(total, more, strict=True)]
    return [dx, *total]


def main() -> None:
    """Answer the lines of standard input."""
    name, gigabytes = sys.argv[1:]
    replies = limited_process(gigabytes)
    peer = importlib.import_module(f"benchmarks.peers.{name}")
    kinds = [kind for kind in ("forward", "gradients") if hasattr(peer, kind)]
    serve(replies, {"versions": peer.versions(), "kinds": kinds}, Bench(peer).answers)


def limited_process(gigabytes: str) -> IO[str]:
    """Limit the memory of this process; nothing but what is returned reaches standard output."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit = int(float(gigabytes) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return replies


def serve(
    replies: IO[str],
    hello: dict[str, Any],
    answers: Callable[[dict[str, Any]], Iterator[dict[str, Any]]],
) -> None:
    """Say what this peer is, then answer each line of standard input."""
    print(json.dumps(hello), file=replies, flush=True)
    for line in sys.stdin:
        for answer in answers(json.loads(line)):
            print(json.dumps(answer), file=replies, flush=True)
        give_memory_back()
        print(json.dumps({"done": True}), file=replies, flush=True)


def reason(error: Exception) -> str:
    """One line that says why a way has no time."""
    if isinstance(error, NotOffered):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def give_memory_back() -> None:
    """Return memory that the allocator keeps after a large cell; the next peer may need it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main()
