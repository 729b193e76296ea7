"""Dot: products of two inputs along an axis of each, row by row of the batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from lcfast.convolution.reductions import sum_over
from lcfast.errors import quoted
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.layers.merging import Merge
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry

LEAST_SQUARE = 1e-12  # as in TensorFlow: smaller squared norms are clamped to this


@lru_cache(maxsize=64)
def batch_geometry(rows: int, size: int, columns: int) -> Geometry:
    """One product per row of the batch: rows are positions, each with its own kernel."""
    return Geometry((rows,), size, columns, (1,), (1,))


class Dot(Merge):
    """Products of two inputs, summed along one axis of each, for each row of the batch.

    Parameters
    ----------
    axes : int or sequence of two ints
        The axis of both, or of each, counted with the batch first.
    normalize : bool
        Whether vectors along the axes are divided by their length first.
    **kwargs
        name, dtype, trainable.

    Raises
    ------
    TypeError, ValueError
        If `axes` is invalid, or the two axes of the inputs differ in size.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Dot

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Dot(axes=(2, 1))([np.ones((2, 3, 4)), np.ones((2, 4, 5))]).shape
    (2, 3, 5)
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        several = isinstance(axes, list | tuple)
        numbers = [arguments.as_integer(axis) for axis in (axes if several else [axes])]
        found = tuple(number for number in numbers if number is not None)
        if not several and not found:
            raise TypeError(
                "Invalid type for argument `axes`: it should be a list or an int. "
                f"Received: axes={quoted(axes)}."
            )
        if several and (len(found) != 2 or len(numbers) != 2):
            raise ValueError(
                "Invalid format for argument `axes`: it should contain two integers. "
                f"Received: axes={quoted(axes)}."
            )
        self.axes: int | tuple[int, ...] = found if several else found[0]
        self.normalize = arguments.checked_flag(normalize, "normalize")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for inputs of the two shapes in `input_shape`."""
        if len(input_shape) != 2:
            raise ValueError(
                "A `Dot` layer should be called on a list of 2 inputs. "
                f"Received: input_shape={input_shape}."
            )
        shapes = [arguments.checked_shape(shape, "input_shape") for shape in input_shape]
        axes = self._axes_of(shapes)
        batches = {shape[0] for shape in shapes} - {None}
        sizes = {shape[axis] for shape, axis in zip(shapes, axes, strict=True)} - {None}
        if len(batches) > 1 or len(sizes) > 1:
            raise ValueError(
                f"Layer {self.name} (Dot) needs inputs with the same number of rows, and axes "
                f"{axes} of the same size. Received: {shapes}."
            )
        first, second = ([*s[1:a], *s[a + 1 :]] for s, a in zip(shapes, axes, strict=True))
        return (batches.pop() if batches else None, *([*first, *second] or [1]))

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,i,j] = sum_k x0[n,i,k] x1[n,k,j]."""
        vectors = [self._vectors(x, axis)[0] for x, axis in self._with_axes(inputs)]
        return self._product(vectors, inputs)[0]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (list of dx, [])."""
        parts = [self._vectors(x, axis) for x, axis in self._with_axes(inputs)]
        y, pull_product = self._product([vectors for vectors, _ in parts], inputs)

        def pullback(dy: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
            gradients = zip(pull_product(dy), parts, strict=True)
            return [pull(gradient) for gradient, (_, pull) in gradients], []

        return y, pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}

    def _axes_of(self, shapes: Any) -> list[int]:
        """The non-negative axis of each input."""
        axes = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        ranks = [len(shape) for shape in shapes]
        if any(not -rank <= a < rank or a % rank == 0 for a, rank in zip(axes, ranks, strict=True)):
            raise ValueError(
                f"Layer {self.name} (Dot) uses axes {self.axes}, which inputs of shapes "
                f"{[tuple(shape) for shape in shapes]} do not have besides the batch."
            )
        return [axis % rank for axis, rank in zip(axes, ranks, strict=True)]

    def _with_axes(self, inputs: Any) -> list[tuple[np.ndarray, int]]:
        return list(zip(inputs, self._axes_of([x.shape for x in inputs]), strict=True))

    def _vectors(
        self, x: np.ndarray, axis: int
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """The vectors to multiply, (batch, vectors, size), and the pullback to `x`."""
        moved = np.moveaxis(x, axis, -1)
        vectors = moved.reshape(len(x), math.prod(moved.shape[1:-1]), x.shape[axis])
        if self.normalize:
            vectors, pull = _normalized(vectors)
        else:
            pull = None

        def pull_to_x(gradient: np.ndarray) -> np.ndarray:
            dx = gradient if pull is None else pull(gradient)
            return np.ascontiguousarray(np.moveaxis(dx.reshape(moved.shape), -1, axis))

        return vectors, pull_to_x

    def _product(
        self, vectors: list[np.ndarray], inputs: Any
    ) -> tuple[np.ndarray, Callable[[np.ndarray], list[np.ndarray]]]:
        """The output, and the function from its gradient to those of the vectors."""
        first, second = vectors
        geometry = batch_geometry(len(first), first.shape[2], second.shape[1])
        rows = np.ascontiguousarray(first.transpose(1, 0, 2))
        kernel = np.ascontiguousarray(second.transpose(0, 2, 1))
        empty = 0 in rows.shape or 0 in kernel.shape  # no sum has a term
        products = (
            np.zeros((len(rows), *geometry.output_shape), rows.dtype)
            if empty
            else ops.forward(rows, kernel, None, geometry)
        )
        shape = [size or 0 for size in self.compute_output_shape([x.shape for x in inputs])]

        def pull(dy: np.ndarray) -> list[np.ndarray]:
            if empty:
                return [np.zeros_like(first), np.zeros_like(second)]
            of_products = dy.reshape(len(first), len(rows), second.shape[1]).transpose(1, 0, 2)
            of_products = np.ascontiguousarray(of_products)
            of_rows = ops.input_gradient(of_products, kernel, geometry)
            of_kernel = ops.kernel_gradient(rows, of_products, geometry)
            return [of_rows.transpose(1, 0, 2), of_kernel.transpose(0, 2, 1)]

        return products.transpose(1, 0, 2).reshape(shape), pull


def _normalized(x: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Vectors along the last axis divided by their length, and the pullback."""
    least = x.dtype.type(LEAST_SQUARE)
    squares = sum_over(x * x, [-1])
    inverse = 1 / np.sqrt(np.maximum(squares, least))

    def pull(dy: np.ndarray) -> np.ndarray:
        along = sum_over(dy * x, [-1]) * inverse * inverse * inverse
        dx: np.ndarray = dy * inverse - np.where(squares >= least, along, 0) * x
        return dx

    return x * inverse, pull
