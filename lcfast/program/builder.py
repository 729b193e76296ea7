"""Records the steps of a program; layers call it, in the order of the computation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lcfast.local_conv._activation import ELEMENTWISE
from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.ops import LINEAR, Activation
from lcfast.program.steps import (
    Activate,
    ActivateRows,
    Affine,
    Combine,
    Copy,
    Depthwise,
    Divide,
    Operation,
    Pool,
    Product,
    Step,
    Steps,
    Sum,
    Value,
)

PERIOD = 256
"""Least length of the arrays of an affine step: short loops cost more than they compute."""
LONGEST_WINDOW = 512
"""Most taps of a depthwise step: a sum of more would have to be cut."""
MOST_COPIED_AXES = 5
"""Most axes of a copy."""


class ProgramBuilder:
    """Records steps.

    Parameters
    ----------
    dtype : numpy.dtype
        Of all values: float32 or float64.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.label = 0  # of the steps that are recorded next
        self._inputs: list[Value] = []
        self._steps: list[Step] = []
        self._sizes: list[int] = []

    def input(self, shape: Sequence[int]) -> Value:
        """The next input of the program, of this shape without the batch."""
        value = self._new(tuple(shape), 1)
        self._inputs.append(value)
        return value

    def finished(self, outputs: Sequence[Value]) -> Steps:
        """The steps up to these values."""
        made = {step.output.slot for step in self._steps}
        wanted: list[Value] = []
        for value in outputs:
            # Each output is an array of its own, and none is an input.
            if value.slot not in made or value.slot in {other.slot for other in wanted}:
                value = self._copied(value)
            value = self._whole(value)
            wanted.append(value)
        return Steps(
            self.dtype, tuple(self._inputs), tuple(wanted), tuple(self._steps), tuple(self._sizes)
        )

    def mark(self) -> tuple[int, int, int]:
        """The present state, for `undo`."""
        return len(self._inputs), len(self._steps), len(self._sizes)

    def undo(self, mark: tuple[int, int, int]) -> None:
        """Forget what was recorded since `mark`."""
        for recorded, count in zip((self._inputs, self._steps, self._sizes), mark, strict=True):
            del recorded[count:]  # type: ignore[attr-defined]

    # ------------------------------------------------------------ views

    def reshaped(self, x: Value, shape: Sequence[int], rows_each: int | None = None) -> Value:
        """The same numbers in another shape."""
        if rows_each not in (None, x.rows_each):
            x = self._whole(x)
        value = replace(
            x, shape=tuple(shape), rows_each=x.rows_each if rows_each is None else rows_each
        )
        assert value.size == x.size, (x, value)
        return value

    # ------------------------------------------------------------ products

    def product(
        self,
        x: Value,
        kernel: Any,
        bias: np.ndarray | None,
        geometry: Geometry,
        activation: Activation = LINEAR,
    ) -> Value:
        """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])."""
        fused = activation if activation.name in ELEMENTWISE else LINEAR
        if isinstance(kernel, np.ndarray) and geometry.padded is not geometry:
            target, source = geometry.overlap()
            x = self.placed(x, geometry.padded.input_shape, target, source)
            geometry = geometry.padded
        if not isinstance(kernel, np.ndarray):
            x = self._whole(x)
        y = self._add(
            Product(kernel, bias, geometry, fused), (x,), geometry.output_shape, x.rows_each
        )
        return y if fused is activation else self.activated(y, activation)

    # ------------------------------------------------------------ element by element

    def activated(self, x: Value, activation: Activation) -> Value:
        """An activation: element by element, or over the last axis."""
        if activation.name == "linear":
            return x
        operation: Operation = (
            Activate(activation)
            if activation.name in ELEMENTWISE
            else ActivateRows(activation, x.shape[-1])
        )
        return self._add(operation, (x,), x.shape, x.rows_each)

    def affine(
        self, x: Value, axis: int, mean: np.ndarray, factor: np.ndarray, beta: np.ndarray | None
    ) -> Value:
        """Y = (x - mean) * factor (+ beta), the arrays along one axis of the shape."""
        inner = math.prod(x.shape[axis + 1 :])
        length = x.shape[axis] * inner
        repeats = -(-PERIOD // length) if length else 1

        def along_row(numbers: np.ndarray) -> np.ndarray:
            return np.tile(np.repeat(numbers.reshape(-1), inner), repeats)

        operation = Affine(
            along_row(mean), along_row(factor), None if beta is None else along_row(beta)
        )
        return self._add(operation, (x,), x.shape, x.rows_each)

    def combined(self, operation: str, values: Sequence[Value]) -> Value:
        """Values of one shape, combined from the first to the last."""
        y = values[0]
        for value in values[1:]:
            y = self._add(Combine(operation), (y, value), y.shape, y.rows_each)
        return y

    def divided(self, x: Value, divisor: float) -> Value:
        """Y = x / divisor."""
        return self._add(Divide(divisor), (x,), x.shape, x.rows_each)

    # ------------------------------------------------------------ windows and sums

    def pooled(
        self,
        x: Value,
        shape: Sequence[int],
        channels: int,
        start: np.ndarray,
        tap: np.ndarray,
        divisor: np.ndarray | None,
    ) -> Value:
        """The maximum of each window, or with `divisor` the sum / divisor of the window."""
        operation = Pool(
            channels,
            np.ascontiguousarray(start, np.int64).reshape(-1),
            np.ascontiguousarray(tap, np.int64).reshape(-1),
            None if divisor is None else np.ascontiguousarray(divisor, self.dtype).reshape(-1),
        )
        return self._add(operation, (x,), tuple(shape), x.rows_each)

    def depthwise(
        self,
        x: Value,
        shape: Sequence[int],
        windows: tuple[np.ndarray, np.ndarray],
        kernel: np.ndarray,
        bias: np.ndarray | None,
        activation: Activation,
    ) -> Value:
        """Weighted sums over the taps of each window, a kernel (taps, channels) for all windows."""
        start, tap = (np.ascontiguousarray(part, np.int64).reshape(-1) for part in windows)
        fused = activation if activation.name in ELEMENTWISE else LINEAR
        operation = Depthwise(shape[-1], start, tap, kernel, bias, fused)
        y = self._add(operation, (x,), tuple(shape), x.rows_each)
        return y if fused is activation else self.activated(y, activation)

    def summed(self, x: Value, positions: int) -> Value:
        """The sum over the first `positions` rows of (positions, columns)."""
        columns = math.prod(x.shape) // positions
        return self._add(Sum(positions, columns), (x,), (columns,), x.rows_each)

    # ------------------------------------------------------------ copies

    def placed(
        self,
        x: Value,
        shape: Sequence[int],
        target: Sequence[slice],
        source: Sequence[slice],
        fill: float = 0.0,
    ) -> Value:
        """A value of `shape`, filled, with y[target] = x[source]: padding and cropping.

        No step is needed where the result is a contiguous part of each row.
        """
        to, come = _steps_of(shape), _steps_of(x.shape)
        bounds = [
            (t.indices(n)[:2], s.indices(m)[0])
            for t, s, n, m in zip(target, source, shape, x.shape, strict=True)
        ]
        sizes = tuple(max(last - first, 0) for (first, last), _ in bounds)
        copy = _simplified(
            sizes,
            sum(begin * step for (_, begin), step in zip(bounds, come, strict=True)),
            come,
            sum(first * step for ((first, _), _), step in zip(bounds, to, strict=True)),
            to,
            None if sizes == tuple(shape) else fill,
        )
        if copy.fill is None and copy.x_steps == (1,):
            start = x.start + copy.x_start
            return Value(x.slot, tuple(shape), x.rows_each, start, x.numbers_between_rows)
        return self._add(copy, (x,), tuple(shape), x.rows_each)

    def transposed(self, x: Value, axes: Sequence[int]) -> Value:
        """The axes of the shape in another order."""
        shape = tuple(x.shape[axis] for axis in axes)
        if _order(x.shape, axes) == sorted(_order(x.shape, axes)):
            return self.reshaped(x, shape)  # only axes of size 1 moved
        steps = _steps_of(x.shape)
        copy = _simplified(shape, 0, tuple(steps[axis] for axis in axes), 0, _steps_of(shape), None)
        return self._add(copy, (x,), shape, x.rows_each)

    def concatenated(self, values: Sequence[Value], axis: int) -> Value:
        """The values one after the other along an axis of their shapes."""
        shape = list(values[0].shape)
        shape[axis] = sum(value.shape[axis] for value in values)
        y = self._new(tuple(shape), values[0].rows_each)
        to, done = _steps_of(shape), 0
        for value in values:
            steps = _steps_of(value.shape)
            copy = _simplified(value.shape, 0, steps, done * to[axis], to, None)
            self._steps.append(Step(copy, (value,), y, self.label))
            done += value.shape[axis]
        return y

    def repeated(self, x: Value, shape: Sequence[int], steps: Sequence[int]) -> Value:
        """y[i] = x[i . steps]; a step of 0 repeats."""
        copy = _simplified(tuple(shape), 0, tuple(steps), 0, _steps_of(shape), None)
        return self._add(copy, (x,), tuple(shape), x.rows_each)

    def enlarged(self, x: Value, axis: int, factor: int) -> Value:
        """Each index of an axis of the shape repeated."""
        steps = _steps_of(x.shape)
        split = (*x.shape[: axis + 1], factor, *x.shape[axis + 1 :])
        y = self.repeated(x, split, (*steps[: axis + 1], 0, *steps[axis + 1 :]))
        shape = (*x.shape[:axis], x.shape[axis] * factor, *x.shape[axis + 1 :])
        return self.reshaped(y, shape)

    # ------------------------------------------------------------ recording

    def _copied(self, x: Value) -> Value:
        """A copy, in an array of its own."""
        copy = Copy((math.prod(x.shape),), 0, (1,), 0, (1,))
        y = self._new(x.shape, x.rows_each)
        self._steps.append(Step(copy, (x,), y, self.label))
        return y

    def _whole(self, x: Value) -> Value:
        """The value; a copy of a part of another."""
        return x if x.row_step is None else self._copied(x)

    def _add(
        self, operation: Operation, inputs: tuple[Value, ...], shape: tuple[int, ...], rows: int
    ) -> Value:
        if not isinstance(operation, Product | Combine | Copy):  # the others take no parts
            inputs = tuple(self._whole(x) for x in inputs)
        y = self._new(tuple(shape), rows)
        self._steps.append(Step(operation, inputs, y, self.label))
        return y

    def _new(self, shape: tuple[int, ...], rows_each: int) -> Value:
        value = Value(len(self._sizes), shape, rows_each)
        self._sizes.append(value.size)
        return value


def _steps_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Numbers from an index to the next along each axis of a contiguous array."""
    steps = [1]
    for size in reversed(shape[1:]):
        steps.append(steps[-1] * size)
    return tuple(reversed(steps))[: len(shape)] if shape else ()


def _order(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    return [axis for axis in axes if shape[axis] != 1]


def _simplified(
    sizes: Sequence[int],
    x_start: int,
    x_steps: Sequence[int],
    y_start: int,
    y_steps: Sequence[int],
    fill: float | None,
) -> Copy:
    """The copy with as few axes as possible: axes that are contiguous in both are joined."""
    joined: list[list[int]] = []  # size, step in x, step in y
    for size, of_x, of_y in zip(sizes, x_steps, y_steps, strict=True):
        if size == 1:
            continue
        if joined and joined[-1][1] == of_x * size and joined[-1][2] == of_y * size:
            joined[-1] = [joined[-1][0] * size, of_x, of_y]
        else:
            joined.append([size, of_x, of_y])
    joined = joined or [[1, 1, 1]]
    if len(joined) > MOST_COPIED_AXES:
        raise ValueError(f"a copy over {len(joined)} axes; at most {MOST_COPIED_AXES}")
    return Copy(
        tuple(axis[0] for axis in joined),
        x_start,
        tuple(axis[1] for axis in joined),
        y_start,
        tuple(axis[2] for axis in joined),
        fill,
    )
