"""What a program consists of: values, and the steps that compute them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lcfast.local_conv.geometry import Geometry
from lcfast.local_conv.ops import Activation

WIDEST_VECTOR = 64
"""Bytes."""
MOST_COPIED_BYTES = 1 << 20
"""Most bytes of a kernel that is copied to be over-read."""


@dataclass(frozen=True)
class Value:
    """A value of a program: for each row of the batch, `rows_each` rows of `shape`.

    Values with the same slot are one array, read in different shapes.  A part of one has a
    `row_step`, the numbers from one of its rows to the next, and starts at number `start`.
    """

    slot: int
    shape: tuple[int, ...]
    rows_each: int = 1
    start: int = 0
    row_step: int | None = None

    @property
    def numbers_between_rows(self) -> int:
        """From a row to the next; there are `rows_each` for each row of the batch."""
        return math.prod(self.shape) if self.row_step is None else self.row_step

    @property
    def size(self) -> int:
        """Numbers for each row of the batch."""
        return math.prod(self.shape) * self.rows_each


@dataclass(frozen=True, eq=False)
class Product:
    """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f]); kernels of both engines."""

    kernel: Any
    bias: np.ndarray | None
    geometry: Geometry
    activation: Activation

    @property
    def overrun(self) -> bool:
        """Whether the kernel is copied, so that vector loads may over-read its last row."""
        partial = self.geometry.filters % (WIDEST_VECTOR // self.kernel.itemsize) != 0
        return bool(partial and self.kernel.nbytes <= MOST_COPIED_BYTES)

    @cached_property
    def with_slack(self) -> np.ndarray:
        """The kernel, in memory that goes on for a vector."""
        numbers = self.kernel.reshape(-1)
        room = np.zeros(numbers.size + WIDEST_VECTOR // numbers.itemsize, numbers.dtype)
        room[: numbers.size] = numbers
        return room


@dataclass(frozen=True, eq=False)
class Activate:
    """y[i] = activation(x[i])."""

    activation: Activation


@dataclass(frozen=True, eq=False)
class ActivateRows:
    """Softmax and the like over rows of `columns` numbers."""

    activation: Activation
    columns: int


@dataclass(frozen=True, eq=False)
class Affine:
    """y[i] = (x[i] - mean[i]) * factor[i] (+ beta[i]), the arrays repeated along a row."""

    mean: np.ndarray
    factor: np.ndarray
    beta: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Combine:
    """y[i] = a[i] (operation) b[i]: "add", "subtract", "multiply", "maximum", "minimum"."""

    operation: str


@dataclass(frozen=True, eq=False)
class Divide:
    """y[i] = x[i] / divisor."""

    divisor: float


@dataclass(frozen=True, eq=False)
class Pool:
    """y[p,c] = the maximum, or the sum / divisor[p], over t of x[start[p] + tap[t] + c]."""

    channels: int
    start: np.ndarray
    tap: np.ndarray
    divisor: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Depthwise:
    """y[p,c] = activation(sum over t of x[start[p] + tap[t] + c] kernel[t,c] + bias[c])."""

    channels: int
    start: np.ndarray
    tap: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray | None
    activation: Activation


@dataclass(frozen=True, eq=False)
class Sum:
    """y[c] = sum_p x[p,c], p < positions."""

    positions: int
    columns: int


@dataclass(frozen=True, eq=False)
class Copy:
    """y[y_start + i . y_steps] = x[x_start + i . x_steps] for all indices i below `sizes`.

    With `fill`, all of y is set to it first.
    """

    sizes: tuple[int, ...]
    x_start: int
    x_steps: tuple[int, ...]
    y_start: int
    y_steps: tuple[int, ...]
    fill: float | None = None


Operation = (
    Product | Activate | ActivateRows | Affine | Combine | Divide | Pool | Depthwise | Sum | Copy
)


@dataclass(frozen=True, eq=False)
class Step:
    """One operation: its inputs, its output, and the label of what it was made from."""

    operation: Operation
    inputs: tuple[Value, ...]
    output: Value
    label: int = 0


@dataclass(frozen=True, eq=False)
class Steps:
    """All steps of a program, in order, from its inputs to its outputs."""

    dtype: np.dtype
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    sizes: tuple[int, ...] = field(repr=False)  # of each slot, for each row of the batch

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of the kernels, which every block reads."""
        kernels = {id(kernel): kernel for kernel in self._kernels()}.values()
        return sum(numbers_of(kernel).nbytes for kernel in kernels)

    @cached_property
    def multiplications(self) -> int:
        """Multiplications of the products, for each row of the batch."""
        return sum(
            step.output.rows_each
            * (
                step.operation.geometry.multiplications
                if isinstance(step.operation.kernel, np.ndarray)
                else step.operation.kernel.numbers.size
            )
            for step in self.steps
            if isinstance(step.operation, Product)
        )

    @property
    def work(self) -> int:
        """Multiplications that a row counts for, with what is done element by element."""
        return self.multiplications + 4 * sum(self.sizes)

    def _kernels(self) -> list[Any]:
        operations = [step.operation for step in self.steps]
        return [operation.kernel for operation in operations if isinstance(operation, Product)]


def numbers_of(kernel: Any) -> np.ndarray:
    """The numbers of a kernel, of either engine."""
    numbers: np.ndarray = kernel if isinstance(kernel, np.ndarray) else kernel.numbers
    return numbers
