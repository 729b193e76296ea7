"""Runs a program on arrays, stage by stage: allocates the outputs, sums the times of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lcfast.local_conv.arrays import as_output, may_overlap
from lcfast.program._program import Program
from lcfast.program.schedule import SHARED_BYTES, Schedule
from lcfast.program.stages import stages
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
        self.programs = [Program(stage, path) for stage in stages(steps)]
        self._results = results
        wanted = {value.slot for value in steps.outputs}
        between = {
            value.slot: value.size * steps.dtype.itemsize
            for program in self.programs[:-1]
            for value in program.steps.outputs
            if value.slot not in wanted
        }
        self._bytes_between = sum(between.values())

    @property
    def program(self) -> Program | None:
        """The program, where it is a single stage."""
        return self.programs[0] if len(self.programs) == 1 else None

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
        if out is not None and _fits(out, outputs[0], inputs):
            outputs[0] = out
        seconds = dict.fromkeys(self._results, 0.0)
        # Values between stages are arrays: of so many rows that they do not fill the memory.
        most = rows
        if self._bytes_between:
            most = max(threads * SHARED_BYTES // self._bytes_between, 1)
        for start in range(0, rows, max(most, 1)):
            chunk = slice(start, start + most)
            arrays = dict(zip(self._slots(self.steps.inputs), inputs, strict=True))
            arrays.update(zip(self._slots(self.steps.outputs), outputs, strict=True))
            arrays = {slot: array[chunk] for slot, array in arrays.items()}
            for program in self.programs:
                self._run(program, arrays, min(most, rows - start), threads, timed, seconds)
        return outputs, seconds if timed else {}

    def size_of(self, label: int) -> int:
        """Bytes of the result of a label, for each row of the batch."""
        return self._results[label].size * self.steps.dtype.itemsize

    @staticmethod
    def _slots(values: Sequence[Value]) -> list[int]:
        return [value.slot for value in values]

    def _run(
        self,
        program: Program,
        arrays: dict[int, np.ndarray],
        rows: int,
        threads: int,
        timed: bool,
        seconds: dict[int, float],
    ) -> None:
        steps = program.steps
        for value in steps.outputs:
            if value.slot not in arrays:
                arrays[value.slot] = as_output(None, (rows, value.size), steps.dtype)
        taken = tuple(arrays[value.slot] for value in (*steps.inputs, *steps.outputs))
        if not timed:
            program.run(taken, rows, threads)
            return
        how = program.schedule(rows, threads)
        times = np.zeros((how.threads, len(steps.steps)))
        program.run(taken, rows, threads, times)
        for step, time in zip(steps.steps, _passed(times, how), strict=True):
            seconds[step.label] += float(time)


def _passed(times: np.ndarray, how: Schedule) -> np.ndarray:
    """The time of each step: of threads that run blocks side by side, each counts a part."""
    passed: np.ndarray = times.sum(axis=0) / (1 if how.within else how.threads)
    return passed


def _fits(out: np.ndarray, like: np.ndarray, inputs: Sequence[np.ndarray]) -> bool:
    """Whether an output can be computed into `out`, which is checked."""
    as_output(out, like.shape, like.dtype)
    return (
        out.flags.c_contiguous
        and out.flags.aligned
        and out.flags.writeable
        and not any(may_overlap(out, x) for x in inputs)
    )
