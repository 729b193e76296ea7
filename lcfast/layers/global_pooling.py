"""Global pooling: the maximum or the average over all positions."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import numpy as np

from lcfast.convolution.reductions import row_geometry, sum_over
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.local_conv.geometry import CHANNELS_FIRST
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


class GlobalPooling(Layer, abc.ABC):
    """The shared base class of the four global pooling layers.

    Parameters
    ----------
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    keepdims : bool
        Whether to keep the spatial dimensions with size 1.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid, or the input has no positions.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GlobalMaxPool2D
    """

    spatial_dimensions: ClassVar[int]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.checked_data_format(data_format)
        self.keepdims = arguments.checked_flag(keepdims, "keepdims")

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong or there is no position."""
        self.compute_output_shape(shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if len(shape) != self.spatial_dimensions + 2:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of "
                f"{self.spatial_dimensions + 2} dimensions, the batch first. Received: {shape}."
            )
        axes = self._axes()
        if any(shape[axis] == 0 for axis in axes):
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) pools over all positions, but an "
                f"input of shape {shape} has none."
            )
        if self.keepdims:
            return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        return tuple(size for axis, size in enumerate(shape) if axis not in axes)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,c] = maximum or average over the positions p of x[n,p,c]."""
        return self._shaped(self._pool(inputs), inputs)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        shape = self.compute_output_shape((None, *x.shape))[1:]
        return program.reshaped(self._steps(program, x), [size or 0 for size in shape])

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        pooled = self._pool(inputs)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            return self._pull(inputs, pooled, dy.reshape(pooled.shape)), []

        return self._shaped(pooled, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }

    @abc.abstractmethod
    def _pool(self, inputs: np.ndarray) -> np.ndarray:
        """The output, with the spatial dimensions as axes of size 1."""

    @abc.abstractmethod
    def _steps(self, program: ProgramBuilder, x: Value) -> Value:
        """Record the steps of `_pool`."""

    @abc.abstractmethod
    def _pull(self, inputs: np.ndarray, pooled: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """The gradient of the input."""

    def _layout(self, x: Value) -> tuple[int, int, np.ndarray, int]:
        """Positions and channels; where each window starts, and the channels that it reads."""
        if self.data_format == CHANNELS_FIRST:
            channels, positions = x.shape[0], math.prod(x.shape[1:])
            return positions, channels, np.arange(channels) * positions, 1
        positions, channels = math.prod(x.shape[:-1]), x.shape[-1]
        return positions, channels, np.zeros(1, np.int64), channels

    def _axes(self) -> tuple[int, ...]:
        first = 2 if self.data_format == CHANNELS_FIRST else 1
        return tuple(range(first, first + self.spatial_dimensions))

    def _shaped(self, pooled: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return pooled.reshape([size or 0 for size in self.compute_output_shape(inputs.shape)])


class GlobalMaxPooling(GlobalPooling):
    """Maximum over all positions."""

    def _pool(self, inputs: np.ndarray) -> np.ndarray:
        # maximum(0.0, -0.0) may return either; adding 0.0 makes both 0.0.
        y: np.ndarray = inputs.max(axis=self._axes(), keepdims=True) + inputs.dtype.type(0)
        return y

    def _steps(self, program: ProgramBuilder, x: Value) -> Value:
        positions, channels, start, width = self._layout(x)
        step = channels if self.data_format != CHANNELS_FIRST else 1
        return program.pooled(x, (channels,), width, start, np.arange(positions) * step, None)

    def _pull(self, inputs: np.ndarray, pooled: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """All positions that hold the maximum share the gradient, as in TensorFlow."""
        here = (inputs == pooled).astype(inputs.dtype)
        with np.errstate(invalid="ignore"):  # NaN != NaN
            return here / sum_over(here, self._axes()) * dy  # type: ignore[no-any-return]


class GlobalAveragePooling(GlobalPooling):
    """Average over all positions."""

    def _pool(self, inputs: np.ndarray) -> np.ndarray:
        return sum_over(inputs, self._axes()) / self._count(inputs)  # type: ignore[no-any-return]

    def _steps(self, program: ProgramBuilder, x: Value) -> Value:
        positions, channels, _, _ = self._layout(x)
        if self.data_format != CHANNELS_FIRST:
            total = program.summed(x, positions)
        else:  # a product with ones sums in the same order
            rows = program.reshaped(x, (1, positions), x.rows_each * channels)
            ones = np.ones(positions, program.dtype)
            y = program.product(rows, ones, None, row_geometry(positions))
            total = program.reshaped(y, (channels,), x.rows_each)
        return program.divided(total, float(program.dtype.type(positions)))

    def _pull(self, inputs: np.ndarray, pooled: np.ndarray, dy: np.ndarray) -> np.ndarray:
        return np.broadcast_to(dy / self._count(inputs), inputs.shape).copy()

    def _count(self, inputs: np.ndarray) -> np.floating[Any]:
        count = math.prod(inputs.shape[axis] for axis in self._axes())
        return inputs.dtype.type(count)  # type: ignore[no-any-return]


@arguments.with_defaults(data_format="channels_last")
class GlobalMaxPooling1D(GlobalMaxPooling):
    """Maximum over all steps of a sequence.

    Parameters
    ----------
    data_format, keepdims, **kwargs
        As in `GlobalMaxPooling2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GlobalMaxPool1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GlobalMaxPooling1D()(np.ones((2, 9, 5))).shape
    (2, 5)
    """

    spatial_dimensions = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """Maximum over all pixels of an image.

    Parameters
    ----------
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    keepdims : bool
        Whether to keep rows and columns with size 1.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid, or the input has no pixels.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GlobalMaxPool2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GlobalMaxPooling2D(keepdims=True)(np.ones((2, 9, 8, 5))).shape
    (2, 1, 1, 5)
    """

    spatial_dimensions = 2


@arguments.with_defaults(data_format="channels_last")
class GlobalAveragePooling1D(GlobalAveragePooling):
    """Average over all steps of a sequence.

    Parameters
    ----------
    data_format, keepdims, **kwargs
        As in `GlobalMaxPooling2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GlobalAveragePooling1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GlobalAveragePooling1D()(np.array([[[1.0], [3.0]]]))
    array([[2.]], dtype=float32)
    """

    spatial_dimensions = 1


class GlobalAveragePooling2D(GlobalAveragePooling):
    """Average over all pixels of an image.

    Parameters
    ----------
    data_format, keepdims, **kwargs
        As in `GlobalMaxPooling2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/GlobalAveragePooling2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.GlobalAveragePooling2D("channels_first")(np.ones((2, 5, 9, 8))).shape
    (2, 5)
    """

    spatial_dimensions = 2
