"""Cuts a program with large weights into stages that need different schedules.

Steps that read large kernels are computed on as many rows as possible, because each block of rows
reads all weights.  Steps before or after them with much larger values, such as the convolutions of
a face recogniser, are computed on a few rows, which stay in the caches.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from lcfast.program.schedule import MOST_CACHED_WEIGHTS, bytes_of_row
from lcfast.program.steps import Product, Step, Steps, Value, numbers_of

HEAVY_BYTES = 4 << 20
"""Bytes of a kernel from which on few rows are not enough."""
MUCH_LARGER = 2
"""Values that are so many times larger than those of the steps with large kernels are cut off."""


def stages(steps: Steps) -> list[Steps]:
    """The stages of a program, mostly itself alone."""
    heavy = [n for n, step in enumerate(steps.steps) if _kernel_bytes(step) >= HEAVY_BYTES]
    if steps.weight_bytes <= MOST_CACHED_WEIGHTS or not heavy:
        return [steps]
    first, last = heavy[0], heavy[-1] + 1
    middle = _part(steps, first, last)
    cuts = [0]
    for start, end, cut in ((0, first, first), (last, len(steps.steps), last)):
        if start < end:
            part = _part(steps, start, end)
            if _all_bytes(part) > MUCH_LARGER * _all_bytes(middle):
                cuts.append(cut)
    cuts.append(len(steps.steps))
    return [_part(steps, *pair) for pair in pairwise(cuts)]


def _all_bytes(steps: Steps) -> int:
    """Bytes of the values of a row, inputs and outputs included."""
    ends = sum(value.size for value in (*steps.inputs, *steps.outputs))
    return bytes_of_row(steps) + ends * steps.dtype.itemsize


def _kernel_bytes(step: Step) -> int:
    if not isinstance(step.operation, Product):
        return 0
    return numbers_of(step.operation.kernel).nbytes


def _part(steps: Steps, start: int, end: int) -> Steps:
    """Some of the steps, as a program of its own."""
    chosen = steps.steps[start:end]
    made = {step.output.slot for step in chosen}
    read: dict[int, Value] = {}
    for step in chosen:
        for value in step.inputs:
            if value.slot not in made:
                read.setdefault(value.slot, value)
    wanted = {value.slot for value in steps.outputs}
    wanted |= {value.slot for step in steps.steps[end:] for value in step.inputs}
    outputs = {step.output.slot: step.output for step in chosen if step.output.slot in wanted}
    return replace(
        steps, inputs=tuple(read.values()), outputs=tuple(outputs.values()), steps=chosen
    )
