"""Where the values of a program lie: slots of an arena, shared by values that never meet."""

from __future__ import annotations

from lcfast.program.steps import Activate, ActivateRows, Affine, Combine, Divide, Steps

ALIGNMENT = 64
"""Bytes: a cache line and the widest vector."""
ARENA = 0
"""The base of the slots in the arena; then come the inputs, then the outputs."""

_IN_PLACE = (Activate, ActivateRows, Affine, Combine, Divide)


def places(steps: Steps) -> tuple[list[tuple[int, int]], int]:
    """(base, offset) of each slot, and the arena's bytes; both for each row of a block."""
    found: dict[int, tuple[int, int]] = {}
    for i, value in enumerate(steps.inputs):
        found[value.slot] = (1 + i, 0)
    for i, value in enumerate(steps.outputs):
        found[value.slot] = (1 + len(steps.inputs) + i, 0)
    last_use = {value.slot: n for n, step in enumerate(steps.steps) for value in step.inputs}
    arena = _Arena()
    for number, step in enumerate(steps.steps):
        dying = {
            value.slot
            for value in step.inputs
            if last_use[value.slot] == number and found[value.slot][0] == ARENA
        }
        slot = step.output.slot
        if slot not in found:
            size = steps.sizes[slot] * steps.dtype.itemsize
            heirs = (s for s in sorted(dying) if steps.sizes[s] == steps.sizes[slot])
            heir = next(heirs, None) if isinstance(step.operation, _IN_PLACE) else None
            if heir is None:
                found[slot] = (ARENA, arena.taken(size))
            else:
                found[slot] = found[heir]
                dying.remove(heir)
            if slot not in last_use:  # nothing reads it
                dying.add(slot)
        for dead in dying:
            arena.give_back(found[dead][1], steps.sizes[dead] * steps.dtype.itemsize)
    return [found.get(slot, (ARENA, 0)) for slot in range(len(steps.sizes))], arena.bytes


class _Arena:
    """Free ranges, by first fit."""

    def __init__(self) -> None:
        self.bytes = 0
        self._free: list[tuple[int, int]] = []  # (start, end), ascending, apart

    def taken(self, size: int) -> int:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        for i, (start, end) in enumerate(self._free):
            if end - start >= size:
                self._free[i : i + 1] = [(start + size, end)] if end - start > size else []
                return start
        if self._free and self._free[-1][1] == self.bytes:
            start = self._free.pop()[0]
        else:
            start = self.bytes
        self.bytes = start + size
        return start

    def give_back(self, start: int, size: int) -> None:
        ranges = sorted([*self._free, (start, start + -(-size // ALIGNMENT) * ALIGNMENT)])
        self._free = []
        for begin, end in ranges:
            if self._free and self._free[-1][1] == begin:
                self._free[-1] = (self._free[-1][0], end)
            elif end > begin:
                self._free.append((begin, end))
