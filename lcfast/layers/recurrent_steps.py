"""The arithmetic of recurrent cells on values of a program, which records it as steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value

MOST_STEPS = 256
"""Most time steps that are recorded, each with steps of its own."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A value of a program with the operators that cells use on arrays.

    Parameters
    ----------
    program : ProgramBuilder
        Records the steps.
    value : Value
        Of shape (columns,).
    """

    program: ProgramBuilder
    value: Value

    def __add__(self, other: Recorded) -> Recorded:
        return self._with("add", other)

    def __mul__(self, other: Recorded) -> Recorded:
        return self._with("multiply", other)

    def __rsub__(self, one: int) -> Recorded:
        """1 - x, as (x - 1) * -1 + 0."""
        ones = np.full(self.value.shape, one, self.program.dtype)
        y = self.program.affine(self.value, 0, ones, -np.ones_like(ones), np.zeros_like(ones))
        return Recorded(self.program, y)

    def columns(self, first: int, last: int) -> Recorded:
        """Some of the columns."""
        part = [slice(first, last)]
        y = self.program.placed(self.value, (last - first,), [slice(None)], part)
        return Recorded(self.program, y)

    def product(self, kernel: np.ndarray, bias: np.ndarray | None, geometry: Geometry) -> Recorded:
        """The product with a kernel (columns, filters)."""
        x = self.program.reshaped(self.value, geometry.input_shape)
        y = self.program.product(x, kernel, bias, geometry)
        return Recorded(self.program, self.program.reshaped(y, (geometry.filters,)))

    def activated(self, activation: ops.Activation) -> Recorded:
        """The activation of each number, or of each row."""
        return Recorded(self.program, self.program.activated(self.value, activation))

    def _with(self, operation: str, other: Recorded) -> Recorded:
        y = self.program.combined(operation, [self.value, other.value])
        return Recorded(self.program, y)


def zeros(program: ProgramBuilder, like: Value, columns: int) -> Recorded:
    """Zeros for each row of `like`."""
    nothing = [slice(0, 0)]
    row = program.reshaped(like, (like.shape[0] * like.shape[1],))
    return Recorded(program, program.placed(row, (columns,), nothing, nothing))
