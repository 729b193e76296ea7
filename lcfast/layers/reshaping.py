"""Layers that only rearrange elements: Flatten, Reshape, Permute and RepeatVector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lcfast.convolution.reductions import sum_over
from lcfast.errors import quoted
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.local_conv.geometry import CHANNELS_FIRST
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


class Flatten(Layer):
    """All axes except the batch joined into one, in channels_last order.

    Parameters
    ----------
    data_format : str, optional
        "channels_first" moves the channels to the end first; None takes
        `lcfast.image_data_format()`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Flatten

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.checked_data_format(data_format)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        sizes = [size for size in input_shape[1:] if size is not None]
        known = len(sizes) == len(input_shape) - 1
        return (input_shape[0], math.prod(sizes) if known else None)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n, i] = x[n, ...] in the order of a contiguous channels_last array."""
        moved = self._moved(inputs)
        return moved.reshape(len(inputs), math.prod(moved.shape[1:]))

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if self.data_format == CHANNELS_FIRST and len(x.shape) > 1:
            x = program.transposed(x, (*range(1, len(x.shape)), 0))
        return program.reshaped(x, (math.prod(x.shape),))

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        moved = self._moved(inputs)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dx = dy.reshape(moved.shape)
            if moved is not inputs:
                dx = np.moveaxis(dx, -1, 1)
            return np.ascontiguousarray(dx), []

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "data_format": self.data_format}

    def _moved(self, inputs: np.ndarray) -> np.ndarray:
        if self.data_format == CHANNELS_FIRST and inputs.ndim > 2:
            return np.moveaxis(inputs, 1, -1)
        return inputs


class Reshape(Layer):
    """The input in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Shape without the batch; one entry may be -1.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If the number of elements does not match the shape.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Reshape

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Reshape((4, -1))(np.ones((2, 3, 8))).shape
    (2, 4, 6)
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = list(target_shape) if isinstance(target_shape, list | tuple) else [target_shape]
        free = [size for size in sizes if size == -1]
        fixed = [arguments.positive_int(size, "target_shape") for size in sizes if size != -1]
        if len(free) > 1:
            raise ValueError(
                f"The `target_shape` argument may hold one -1. Received: {target_shape!r}."
            )
        self.target_shape = tuple(int(size) for size in sizes)
        self._fixed = math.prod(fixed)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        sizes = input_shape[1:]
        if None in sizes:
            free = tuple(None if size == -1 else size for size in self.target_shape)
            return (input_shape[0], *free)
        count = math.prod(sizes)
        fits = count % self._fixed == 0 if -1 in self.target_shape else count == self._fixed
        if not fits:
            raise ValueError(
                f"Layer {self.name} cannot reshape inputs of shape {tuple(input_shape)} to "
                f"{self.target_shape}: the number of elements differs."
            )
        return (
            input_shape[0],
            *(count // self._fixed if size == -1 else size for size in self.target_shape),
        )

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the number of elements does not match."""
        self.compute_output_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = reshape(x)."""
        shape = self.compute_output_shape(inputs.shape)
        y: np.ndarray = inputs.reshape([size or 0 for size in shape])
        return y

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        shape = self.compute_output_shape((None, *x.shape))[1:]
        return program.reshaped(x, [size or 0 for size in shape])

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            return dy.reshape(inputs.shape), []

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """The input with its axes permuted.

    Parameters
    ----------
    dims : sequence of int
        The input axis of each output axis, counted from 1, without the batch.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `dims` does not hold each of 1, 2, ... once.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Permute

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Permute((2, 1))(np.ones((5, 3, 8))).shape
    (5, 8, 3)
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        given = list(dims) if isinstance(dims, list | tuple) else [dims]
        numbers = [arguments.as_integer(number) for number in given]
        known = [number for number in numbers if number is not None]
        if len(known) != len(given) or sorted(known) != list(range(1, len(given) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in "
                "`dims` must be consecutive and start from 1. "
                f"Received dims={quoted(dims)}"
            )
        self.dims = tuple(known)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if len(shape) != len(self.dims) + 1:
            raise ValueError(
                f"Layer {self.name} (Permute) needs an input of {len(self.dims) + 1} dimensions, "
                f"the batch first. Received: {shape}."
            )
        return tuple(shape[axis] for axis in (0, *self.dims))

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong."""
        self.compute_output_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x, transposed."""
        return np.ascontiguousarray(inputs.transpose(0, *self.dims))

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return program.transposed(x, [axis - 1 for axis in self.dims])

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        back = np.argsort((0, *self.dims))
        return self.forward(weights, inputs), lambda dy: (
            np.ascontiguousarray(dy.transpose(back)),
            [],
        )

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """A vector repeated as the steps of a sequence.

    Parameters
    ----------
    n : int
        Number of steps.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If it is not positive.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/RepeatVector

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.RepeatVector(3)(np.ones((2, 5))).shape
    (2, 3, 5)
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if arguments.as_integer(n) is None:
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        self.n = arguments.positive_int(n, "n")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if len(shape) != 2:
            raise ValueError(
                f"Layer {self.name} (RepeatVector) needs an input of 2 dimensions, the batch "
                f"first. Received: {shape}."
            )
        return (shape[0], self.n, shape[1])

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong."""
        self.compute_output_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,i,c] = x[n,c]."""
        return np.repeat(inputs[:, np.newaxis], self.n, axis=1)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return program.repeated(x, (self.n, *x.shape), (0, 1))

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        return self.forward(weights, inputs), lambda dy: (sum_over(dy, [1]).squeeze(1), [])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "n": self.n}
