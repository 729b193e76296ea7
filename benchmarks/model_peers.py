"""One engine in its own process: reads cells as JSON lines, checks the scores, then times them.

    python -m benchmarks.model_peers NAME GIGABYTES

A line in: {"folder" (a described model), "rows", "seconds", "ways" (names, or null for all),
"memory" (true: lcfast only, instead of times)}.  The lines out are those of
benchmarks.peers.worker, with the largest difference of the scores from the expected ones.
"""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers import WrongAnswerError
from benchmarks.clock import timed
from benchmarks.model_engines import ENGINES, Engine, Makers, Score
from benchmarks.peers.worker import HOPELESS, limited_process, reason, serve

TOLERANCE = 1e-3
"""Largest difference of a score, as a share of the largest score."""


class Bench:
    """The cells of one engine; what was built for a cell is kept until the next cell."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cell: tuple[Path, int] | None = None
        self.offered: Makers = {}
        self.made: dict[str, Score | Exception] = {}

    def answers(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Check and time every way of a cell that was asked for, one after the other."""
        folder, rows = Path(request["folder"]), request["rows"]
        x = np.load(folder / f"x_{rows}.npy")
        expected = np.load(folder / f"y_{rows}.npy")
        if request.get("memory"):
            yield {"way": "memory", "bytes": scratch_bytes(folder, x, expected)}
            return
        if (folder, rows) != self.cell:
            self.offered, self.made = {}, {}
            gc.collect()
            self.offered, self.cell = self.engine.ways(folder, rows), (folder, rows)
        best = math.inf
        for name in request["ways"] or self.offered:
            try:
                score = self.way(name)
                worst = difference(score(x), expected)
                timing = timed(lambda: score(x), request["seconds"], HOPELESS * best)  # noqa: B023
                best = min(best, timing.best)
                found = {**timing._asdict(), "difference": worst}
            except Exception as error:  # an engine may fail with any error; the run continues
                found = {"failed": reason(error)}
            yield {"way": name, **found}

    def way(self, name: str) -> Score:
        """The way of this name, made once; a failure is remembered too."""
        if name not in self.made:
            try:
                self.made[name] = self.offered[name]()
            except Exception as error:
                self.made[name] = error
        made = self.made[name]
        if isinstance(made, Exception):
            raise made
        return made


def difference(scores: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected score.

    Raises
    ------
    WrongAnswerError
        If it is more than TOLERANCE, or a score is not finite.
    """
    apart = np.abs(scores.reshape(expected.shape) - expected)
    share = float(apart.max() / np.abs(expected).max())
    if not share <= TOLERANCE:
        raise WrongAnswerError(f"the scores differ by {share:.1e} of the largest")
    return share


def scratch_bytes(folder: Path, x: np.ndarray, expected: np.ndarray) -> int:
    """What `predict` holds at its peak beyond input, output and weights, as Linux reports it."""
    import lcfast
    from benchmarks.held_memory import status

    model = lcfast.load_model(folder / "model.h5")
    out = np.ones_like(expected)
    model.predict(x[:1])  # starts the threads and lays out the weights
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = status("VmRSS")
    model.predict(x, out=out)
    peak = status("VmHWM") - before
    difference(out, expected)
    return peak


def main() -> None:
    """Answer the lines of standard input."""
    name, gigabytes = sys.argv[1:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    replies = limited_process(gigabytes)
    engine = ENGINES[name]()
    serve(replies, {"versions": engine.versions(), "kinds": []}, Bench(engine).answers)


if __name__ == "__main__":
    main()
