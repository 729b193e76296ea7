"""Max and average pooling in 1D and 2D: over the elements of a window, in fixed order."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from lcfast.convolution import padding_rules
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.local_conv.geometry import CHANNELS_FIRST
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


class Pooling(Layer, abc.ABC):
    """The shared base class of the four pooling layers.

    Parameters
    ----------
    pool_size : int or sequence of ints
        Size of the window in each spatial dimension.
    strides : int or sequence of ints, optional
        Step between two windows; None means `pool_size`.
    padding : str
        "valid" or "same"; the padding is never part of a maximum or an average.
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/MaxPooling2D
    """

    spatial_dimensions: ClassVar[int]
    outside: ClassVar[float]  # value of the padding: neutral in the reduction

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        dimensions = self.spatial_dimensions
        self.pool_size = arguments.positive_ints(pool_size, dimensions, "pool_size")
        self.strides = (
            self.pool_size
            if strides is None
            else arguments.positive_ints(strides, dimensions, "strides")
        )
        self.padding = arguments.checked_padding(padding)
        self.data_format = arguments.checked_data_format(data_format)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = list(arguments.checked_shape(input_shape, "input_shape"))
        if len(shape) != self.spatial_dimensions + 2:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of "
                f"{self.spatial_dimensions + 2} dimensions, the batch first. "
                f"Received: {tuple(shape)}."
            )
        for axis, window, stride in self._axes():
            size = shape[axis]
            if size is None:
                continue
            shape[axis] = count = padding_rules.output_size(size, window, stride, self.padding)
            if count <= 0:
                raise ValueError(
                    f"The window of layer {self.name}, {self.pool_size}, does not fit into an "
                    f"input of shape {tuple(input_shape)}."
                )
        return tuple(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,p,c] = maximum or average over the elements of window p."""
        return self._pool(self._padded(inputs), inputs)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return self._windows(program, x)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        padded = self._padded(inputs)
        y = self._pool(padded, inputs)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dx = np.zeros_like(padded)
            self._pull(padded, y, dy, dx, inputs)
            return np.ascontiguousarray(dx[self._inside(inputs.shape)]), []

        return y, pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong or no window fits."""
        self.compute_output_shape(shape)

    @abc.abstractmethod
    def _pool(self, padded: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """The output."""

    def _windows(self, program: ProgramBuilder, x: Value) -> Value:
        """Record padding and pooling; -0 becomes 0, as in `_pool`."""
        rank, first = self.spatial_dimensions, 1 if self.data_format == CHANNELS_FIRST else 0
        shape, inside = list(x.shape), [slice(None)] * len(x.shape)
        for axis, (_, window, stride) in enumerate(self._axes(), first):
            size = x.shape[axis]
            before, after = padding_rules.pads(size, window, stride, self.padding)
            shape[axis] += before + after
            inside[axis] = slice(before, before + size)
        output = tuple(n or 0 for n in self.compute_output_shape((None, *x.shape))[1:])
        divisor = self._divisors((None, *output), (None, *x.shape), program.dtype)
        if tuple(shape) != x.shape:
            everything = [slice(None)] * len(shape)
            x = program.placed(x, shape, inside, everything, self.outside)
        numbers = np.arange(math.prod(shape)).reshape(shape)
        spatial = slice(first, first + rank)
        channels = 1 if first else shape[-1]
        corner = numbers if first else numbers[..., 0]
        windows = tuple(
            slice(0, (count - 1) * stride + 1, stride)
            for count, stride in zip(output[spatial], self.strides, strict=True)
        )
        start = corner[(slice(None),) * first + windows]
        tap = (corner[0] if first else corner)[tuple(map(slice, self.pool_size))]
        return program.pooled(x, output, channels, start, tap, divisor)

    def _divisors(self, output_shape: Any, shape: Any, dtype: np.dtype) -> np.ndarray | None:
        """What each window is divided by; None for a maximum."""
        return None

    @abc.abstractmethod
    def _pull(
        self, padded: np.ndarray, y: np.ndarray, dy: np.ndarray, dx: np.ndarray, inputs: np.ndarray
    ) -> None:
        """Add the gradient of the padded input to `dx`."""

    def _axes(self) -> list[tuple[int, int, int]]:
        """(axis, window, stride) of each spatial dimension."""
        first = 2 if self.data_format == CHANNELS_FIRST else 1
        sizes = zip(self.pool_size, self.strides, strict=True)
        return [(first + i, window, stride) for i, (window, stride) in enumerate(sizes)]

    def _inside(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """The slices of the input within the padded input."""
        inside = [slice(None)] * len(shape)
        for axis, window, stride in self._axes():
            before, _ = padding_rules.pads(shape[axis], window, stride, self.padding)
            inside[axis] = slice(before, before + shape[axis])
        return tuple(inside)

    def _padded(self, inputs: np.ndarray) -> np.ndarray:
        shape = list(inputs.shape)
        for axis, window, stride in self._axes():
            shape[axis] += sum(padding_rules.pads(shape[axis], window, stride, self.padding))
        if tuple(shape) == inputs.shape:
            return inputs
        padded = np.full(shape, self.outside, inputs.dtype)
        padded[self._inside(inputs.shape)] = inputs
        return padded

    def _taps(self, output_shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        """The slices of the padded input for each element of the window, row by row."""
        axes = self._axes()
        for tap in itertools.product(*(range(window) for _, window, _ in axes)):
            where = [slice(None)] * len(output_shape)
            for offset, (axis, _, stride) in zip(tap, axes, strict=True):
                last = offset + (output_shape[axis] - 1) * stride + 1
                where[axis] = slice(offset, last, stride)
            yield tuple(where)

    def _shape_of_output(self, inputs: np.ndarray) -> tuple[int, ...]:
        return tuple(n or 0 for n in self.compute_output_shape(inputs.shape))


class MaxPooling(Pooling):
    """Maximum over each window."""

    outside = -math.inf

    def _pool(self, padded: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        y = np.full(self._shape_of_output(inputs), -math.inf, inputs.dtype)
        for where in self._taps(y.shape):
            np.maximum(y, padded[where], out=y)
        # maximum(0.0, -0.0) may return either; adding 0.0 makes both 0.0.
        y += inputs.dtype.type(0)
        return y

    def _pull(
        self, padded: np.ndarray, y: np.ndarray, dy: np.ndarray, dx: np.ndarray, inputs: np.ndarray
    ) -> None:
        """The first element that holds the maximum gets the gradient, as in TensorFlow."""
        taken = np.zeros(y.shape, bool)
        for where in self._taps(y.shape):
            here = (padded[where] == y) & ~taken
            dx[where] += np.where(here, dy, 0)
            taken |= here


class AveragePooling(Pooling):
    """Average over the elements of each window, without padding."""

    outside = 0.0

    def _pool(self, padded: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        y = np.zeros(self._shape_of_output(inputs), inputs.dtype)
        for where in self._taps(y.shape):
            y += padded[where]
        y /= self._counts(y.shape, inputs.shape, inputs.dtype)
        return y

    def _divisors(self, output_shape: Any, shape: Any, dtype: np.dtype) -> np.ndarray | None:
        counts = self._counts(output_shape, shape, dtype)[0]
        if self.data_format == CHANNELS_FIRST:
            return np.broadcast_to(counts, output_shape[1:])
        return np.broadcast_to(counts[..., 0], output_shape[1:-1])

    def _pull(
        self, padded: np.ndarray, y: np.ndarray, dy: np.ndarray, dx: np.ndarray, inputs: np.ndarray
    ) -> None:
        share = dy / self._counts(y.shape, inputs.shape, inputs.dtype)
        for where in self._taps(y.shape):
            dx[where] += share

    def _counts(self, output_shape: Any, input_shape: Any, dtype: np.dtype) -> np.ndarray:
        """Elements of each window without padding, in a shape that broadcasts."""
        counts = np.ones((1,) * len(output_shape), dtype)
        for axis, window, stride in self._axes():
            size = input_shape[axis]
            before, _ = padding_rules.pads(size, window, stride, self.padding)
            start = np.arange(output_shape[axis]) * stride - before
            inside = np.minimum(start + window, size) - np.maximum(start, 0)
            shape = [1] * len(output_shape)
            shape[axis] = -1
            counts = counts * inside.astype(dtype).reshape(shape)
        return counts


@arguments.with_defaults(data_format="channels_last")
class MaxPooling1D(MaxPooling):
    """Maximum over windows of a sequence.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **kwargs
        As in `MaxPooling2D`, with one dimension.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/MaxPool1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.MaxPooling1D(2)(np.ones((2, 9, 5))).shape
    (2, 4, 5)
    """

    spatial_dimensions = 1


@arguments.with_defaults(pool_size=(2, 2))
class MaxPooling2D(MaxPooling):
    """Maximum over windows of an image.

    Parameters
    ----------
    pool_size : int or sequence of two ints
        Rows and columns of the window.
    strides : int or sequence of two ints, optional
        Step between two windows; None means `pool_size`.
    padding : str
        "valid" or "same".
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/MaxPool2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.MaxPooling2D(3, strides=2, padding="same")(np.ones((2, 9, 8, 5))).shape
    (2, 5, 4, 5)
    """

    spatial_dimensions = 2


@arguments.with_defaults(data_format="channels_last")
class AveragePooling1D(AveragePooling):
    """Average over windows of a sequence.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **kwargs
        As in `MaxPooling2D`, with one dimension.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/AveragePooling1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.AveragePooling1D(2, strides=1)(np.ones((2, 9, 5))).shape
    (2, 8, 5)
    """

    spatial_dimensions = 1


@arguments.with_defaults(pool_size=(2, 2))
class AveragePooling2D(AveragePooling):
    """Average over windows of an image.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **kwargs
        As in `MaxPooling2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/AveragePooling2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.AveragePooling2D((2, 3))(np.ones((2, 9, 9, 5))).shape
    (2, 4, 3, 5)
    """

    spatial_dimensions = 2
