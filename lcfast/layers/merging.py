"""Layers with several inputs: Add and Concatenate."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers import arguments
from lcfast.layers.base import Layer, Pullback
from lcfast.layers.symbolic import Shape
from lcfast.layers.weights import Record


class Merge(Layer):
    """A layer that takes a list of inputs and has no weights."""

    takes_list = True

    def build(self, input_shape: Any) -> None:
        """Check that the shapes go together."""
        self.check_input_shape(input_shape)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless there are shapes, and they go together."""
        if not isinstance(shape, list) or not shape:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) takes a list of one or more inputs. "
                f"Received: {shape!r}."
            )
        self.compute_output_shape(shape)


class Add(Merge):
    """The sum of the inputs, added in their order; sizes of 1 are broadcast.

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

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the sum of inputs of the shapes in the list `input_shape`."""
        shapes = [arguments.checked_shape(shape, "input_shape") for shape in input_shape]
        rank = len(shapes[0])
        if any(len(shape) != rank for shape in shapes):
            raise ValueError(f"Layer {self.name} cannot add inputs of shapes {shapes}.")
        merged: list[int | None] = []
        for axis, sizes in enumerate(zip(*shapes, strict=True)):
            # Sizes of 1 are broadcast, but never along the batch.
            known = {size for size in sizes if size is not None and (size != 1 or axis == 0)}
            if len(known) > 1:
                raise ValueError(f"Layer {self.name} cannot add inputs of shapes {shapes}.")
            merged.append(known.pop() if known else None if None in sizes else 1)
        return tuple(merged)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x[0] + x[1] + ..."""
        total: np.ndarray = inputs[0].copy()
        for x in inputs[1:]:
            total = total + x
        return total

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (list of dx, [])."""
        shapes = [x.shape for x in inputs]

        def pullback(dy: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
            return [_unbroadcast(dy, shape) for shape in shapes], []

        return self.forward(weights, inputs), pullback


class Concatenate(Merge):
    """The inputs one after the other along one axis.

    Parameters
    ----------
    axis : int
        The axis, counted with the batch first; -1 is the last.
    **kwargs
        name, dtype, trainable.

    Raises
    ------
    ValueError
        If `axis` is no integer, or the other sizes differ.

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
        """Return the shape of the joined inputs of the shapes in the list `input_shape`."""
        shapes = [arguments.checked_shape(shape, "input_shape") for shape in input_shape]
        rank = len(shapes[0])
        problem = f"Layer {self.name} cannot join inputs of shapes {shapes} along axis {self.axis}."
        fits = -rank <= self.axis < rank and self.axis % rank != 0  # rows are never joined to rows
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
        """Y = the inputs side by side."""
        return np.concatenate(inputs, axis=self.axis)

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


def _unbroadcast(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of `dy` over the axes along which an input of `shape` was repeated."""
    for axis, size in enumerate(shape):
        if size != dy.shape[axis]:
            dy = np.add.accumulate(dy, axis=axis).take([-1], axis=axis)  # one ascending chain
    return dy
