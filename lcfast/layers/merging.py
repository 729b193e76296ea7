"""Layers with several inputs: Concatenate and the element-wise merges."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from lcfast.convolution.reductions import sum_to
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


class Merge(Layer, abc.ABC):
    """A layer that takes a list of inputs and has no weights."""

    takes_list = True

    def build(self, input_shape: Any) -> None:
        """Check that the shapes are compatible."""
        self.check_input_shape(input_shape)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless there is a list of compatible shapes."""
        if not isinstance(shape, list) or not shape:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) takes a list of one or more inputs. "
                f"Received: {shape!r}."
            )
        self.compute_output_shape(shape)


class ElementwiseMerge(Merge):
    """Layers that combine their inputs element by element, from the first to the last.

    Axes of size 1 are broadcast; an input with fewer axes gets axes of size 1 after the batch.
    """

    verb: ClassVar[str]
    operation: ClassVar[str]  # of `ProgramBuilder.combined`

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for inputs of the shapes in the list `input_shape`."""
        shapes = [arguments.checked_shape(shape, "input_shape") for shape in input_shape]
        problem = f"Layer {self.name} cannot {self.verb} inputs of shapes {shapes}."
        if not all(shapes):
            raise ValueError(problem)
        rank = max(len(shape) for shape in shapes)
        merged: list[int | None] = []
        for axis, sizes in enumerate(zip(*(_with_rank(s, rank) for s in shapes), strict=True)):
            # Sizes of 1 are broadcast, but never along the batch.
            known = {size for size in sizes if size is not None and (size != 1 or axis == 0)}
            if len(known) > 1:
                raise ValueError(problem)
            merged.append(known.pop() if known else None if None in sizes else 1)
        return tuple(merged)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = join(join(x[0], x[1]), x[2]) and so on."""
        return self._finish(self._partial_answers(inputs)[-1], len(inputs))

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if len({(value.shape, value.rows_each) for value in x}) > 1:
            return None  # axes are broadcast
        return self._finish_steps(program, program.combined(self.operation, x), len(x))

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (list of dx, [])."""
        aligned = _aligned(inputs)
        partial = self._partial_answers(inputs)

        def pullback(dy: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
            dx: list[np.ndarray] = []
            gradient = self._finish(dy, len(inputs))
            for so_far, x in zip(reversed(partial[:-1]), reversed(aligned[1:]), strict=True):
                first, second = self._pull(so_far, x, gradient)
                dx.append(sum_to(second, x.shape))
                gradient = sum_to(first, so_far.shape)
            dx.append(gradient)
            shaped = zip(reversed(dx), inputs, strict=True)
            return [part.reshape(x.shape) for part, x in shaped], []

        return self._finish(partial[-1], len(inputs)), pullback

    @abc.abstractmethod
    def _join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The result for two inputs."""

    @abc.abstractmethod
    def _pull(
        self, first: np.ndarray, second: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of both, before the sum over broadcast axes."""

    def _finish(self, total: np.ndarray, count: int) -> np.ndarray:
        """A linear operation on the result for `count` inputs."""
        return total

    def _finish_steps(self, program: ProgramBuilder, total: Value, count: int) -> Value:
        """Record the steps of `_finish`."""
        return total

    def _partial_answers(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results for the first input, the first two, and so on."""
        return list(itertools.accumulate(_aligned(inputs), self._join))


class Add(ElementwiseMerge):
    """The sum of the inputs, added in their order; axes of size 1 are broadcast.

    Parameters
    ----------
    **kwargs
        name, dtype, trainable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Add

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Add()([np.ones((1, 2)), np.ones((1, 2))])
    array([[2., 2.]], dtype=float32)
    """

    verb = "add"
    operation = "add"

    def _join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first + second  # type: ignore[no-any-return]

    def _pull(
        self, first: np.ndarray, second: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return dy, dy


class Subtract(ElementwiseMerge):
    """The first input minus the second; axes of size 1 are broadcast.

    Parameters
    ----------
    **kwargs
        name, dtype, trainable.

    Raises
    ------
    ValueError
        If there are not exactly two inputs.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Subtract

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Subtract()([np.ones((1, 2)), np.array([[1.0, 3.0]])])
    array([[ 0., -2.]], dtype=float32)
    """

    verb = "subtract"
    operation = "subtract"

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless there are two shapes, and they are compatible."""
        super().check_input_shape(shape)
        if len(shape) != 2:
            raise ValueError(
                "A `Subtract` layer should be called on exactly 2 inputs. "
                f"Received: input_shape={shape}."
            )

    def _join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first - second  # type: ignore[no-any-return]

    def _pull(
        self, first: np.ndarray, second: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return dy, -dy


class Multiply(ElementwiseMerge):
    """The product of the inputs, element by element; axes of size 1 are broadcast.

    Parameters
    ----------
    **kwargs
        name, dtype, trainable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Multiply

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Multiply()([np.array([[2.0, 3.0]]), np.array([[4.0]])])
    array([[ 8., 12.]], dtype=float32)
    """

    verb = "multiply"
    operation = "multiply"

    def _join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first * second  # type: ignore[no-any-return]

    def _pull(
        self, first: np.ndarray, second: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return dy * second, dy * first


class Average(Add):
    """The sum of the inputs, divided by their number; axes of size 1 are broadcast.

    Parameters
    ----------
    **kwargs
        name, dtype, trainable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Average

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Average()([np.array([[2.0, 3.0]]), np.array([[4.0, 4.0]])])
    array([[3. , 3.5]], dtype=float32)
    """

    verb = "average"

    def _finish(self, total: np.ndarray, count: int) -> np.ndarray:
        return total / total.dtype.type(count)  # type: ignore[no-any-return]

    def _finish_steps(self, program: ProgramBuilder, total: Value, count: int) -> Value:
        return program.divided(total, count)


class Maximum(ElementwiseMerge):
    """The largest of the inputs, element by element; axes of size 1 are broadcast.

    Parameters
    ----------
    **kwargs
        name, dtype, trainable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Maximum

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Maximum()([np.array([[2.0, 3.0]]), np.array([[4.0, 1.0]])])
    array([[4., 3.]], dtype=float32)
    """

    verb = "compare"
    operation = "maximum"

    def _join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        # maximum(0.0, -0.0) may return either; adding 0.0 makes both 0.0.
        return np.maximum(first, second) + first.dtype.type(0)  # type: ignore[no-any-return]

    def _pull(
        self, first: np.ndarray, second: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        taken = first >= second  # of equal numbers the first, as in TensorFlow
        return np.where(taken, dy, 0), np.where(taken, 0, dy)


class Minimum(ElementwiseMerge):
    """The smallest of the inputs, element by element; axes of size 1 are broadcast.

    Parameters
    ----------
    **kwargs
        name, dtype, trainable.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Minimum

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Minimum()([np.array([[2.0, 3.0]]), np.array([[4.0, 1.0]])])
    array([[2., 1.]], dtype=float32)
    """

    verb = "compare"
    operation = "minimum"

    def _join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.minimum(first, second) + first.dtype.type(0)  # type: ignore[no-any-return]

    def _pull(
        self, first: np.ndarray, second: np.ndarray, dy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        taken = first <= second  # of equal numbers the first, as in TensorFlow
        return np.where(taken, dy, 0), np.where(taken, 0, dy)


class Concatenate(Merge):
    """The inputs concatenated along one axis.

    Parameters
    ----------
    axis : int
        The axis, counted with the batch first; -1 is the last.
    **kwargs
        name, dtype, trainable.

    Raises
    ------
    ValueError
        If `axis` is not an integer, or the other sizes differ.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Concatenate

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Concatenate(axis=1)([np.ones((1, 2, 3)), np.ones((1, 4, 3))]).shape
    (1, 6, 3)
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = arguments.integer(axis, "axis")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for inputs of the shapes in the list `input_shape`."""
        shapes = [arguments.checked_shape(shape, "input_shape") for shape in input_shape]
        rank = len(shapes[0])
        problem = f"Layer {self.name} cannot join inputs of shapes {shapes} along axis {self.axis}."
        fits = -rank <= self.axis < rank and self.axis % rank != 0  # axis 0 is the batch
        if any(len(shape) != rank for shape in shapes) or not fits:
            raise ValueError(problem)
        joined: list[int | None] = []
        for axis, sizes in enumerate(zip(*shapes, strict=True)):
            known = [size for size in sizes if size is not None]
            if axis == self.axis % rank:
                joined.append(sum(known) if len(known) == len(sizes) else None)
            elif len(set(known)) > 1:
                raise ValueError(problem)
            else:
                joined.append(known[0] if known else None)
        return tuple(joined)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = concatenate(x, axis)."""
        return np.concatenate(inputs, axis=self.axis)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if len({value.rows_each for value in x}) > 1:
            return None
        rank = len(x[0].shape) + 1
        return program.concatenated(x, self.axis % rank - 1)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (list of dx, [])."""
        ends = np.cumsum([x.shape[self.axis] for x in inputs])[:-1]

        def pullback(dy: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
            parts = np.split(dy, ends, axis=self.axis)
            return [np.ascontiguousarray(part) for part in parts], []

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "axis": self.axis}


def _with_rank(shape: Shape, rank: int) -> Shape:
    """A shape padded to `rank` axes with axes of size 1 after the batch."""
    return (shape[0], *[1] * (rank - len(shape)), *shape[1:])


def _aligned(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The inputs with the same number of axes."""
    rank = max(x.ndim for x in inputs)
    return [x.reshape([size or 0 for size in _with_rank(x.shape, rank)]) for x in inputs]
