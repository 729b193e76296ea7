"""Runs a program on arrays: allocates the outputs, and sums the times of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lcfast.local_conv.arrays import as_output, may_overlap
from lcfast.program._program import Program
from lcfast.program.schedule import Schedule
from lcfast.program.steps import Steps, Value


class Runner:
    """A program, and what its steps were made from.

    Parameters
    ----------
    steps : Steps
        The steps.
    path : int
        SIMD path.
    results : dict
        For each label of the steps, the value that is its result.
    """

    def __init__(self, steps: Steps, path: int, results: Mapping[int, Value]) -> None:
        self.steps = steps
        self.program = Program(steps, path)
        self._results = results

    def __call__(
        self,
        inputs: Sequence[np.ndarray],
        out: np.ndarray | None,
        threads: int,
        timed: bool = False,
    ) -> tuple[list[np.ndarray], dict[int, float]]:
        """The outputs, in `out` where it fits, and if `timed` the seconds of each label."""
        dtype, rows = self.steps.dtype, len(inputs[0])
        inputs = [np.require(x, dtype, ["C", "A"]) for x in inputs]
        outputs = [as_output(None, (rows, *value.shape), dtype) for value in self.steps.outputs]
        if out is not None and self._fits(out, outputs[0], inputs):
            outputs[0] = out
        if rows == 0:
            return outputs, {}
        if not timed:
            self.program.run((*inputs, *outputs), rows, threads)
            return outputs, {}
        how = self.program.schedule(rows, threads)
        seconds = np.zeros((how.threads, len(self.steps.steps)))
        self.program.run((*inputs, *outputs), rows, threads, seconds)
        return outputs, self._by_label(seconds, how)

    def size_of(self, label: int) -> int:
        """Bytes of the result of a label, for each row of the batch."""
        return self._results[label].size * self.steps.dtype.itemsize

    def _by_label(self, seconds: np.ndarray, how: Schedule) -> dict[int, float]:
        # Threads that run blocks side by side each count a part of the time that passed.
        each = seconds.sum(axis=0) / (1 if how.within else how.threads)
        found = dict.fromkeys(self._results, 0.0)
        for step, time in zip(self.steps.steps, each, strict=True):
            found[step.label] += float(time)
        return found

    @staticmethod
    def _fits(out: np.ndarray, like: np.ndarray, inputs: Sequence[np.ndarray]) -> bool:
        as_output(out, like.shape, like.dtype)
        return (
            out.flags.c_contiguous
            and out.flags.aligned
            and out.flags.writeable
            and not any(may_overlap(out, x) for x in inputs)
        )
