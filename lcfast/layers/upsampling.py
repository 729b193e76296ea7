"""UpSampling in 1D and 2D: repeat each position, or interpolate linearly."""

from __future__ import annotations

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

INTERPOLATIONS = ("nearest", "bilinear")


class UpSampling1D(Layer):
    """Each step of a sequence repeated.

    Parameters
    ----------
    size : int
        Number of repetitions.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `size` is not a positive integer.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/UpSampling1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.UpSampling1D(2)(np.array([[[1.0], [2.0]]])).ravel()
    array([1., 1., 2., 2.], dtype=float32)
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = arguments.positive_int(size, "size")

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong."""
        self.compute_output_shape(shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        return _enlarged(self, input_shape, {1: self.size}, 3)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,i,c] = x[n,i // size,c]."""
        return np.repeat(inputs, self.size, axis=1)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return program.enlarged(x, 0, self.size)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        return self.forward(weights, inputs), lambda dy: (pull_repeat(dy, self.size, 1), [])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "size": self.size}


class UpSampling2D(Layer):
    """Each pixel of an image repeated, or linear interpolation between pixels.

    Parameters
    ----------
    size : int or sequence of two ints
        Factors of rows and columns.
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    interpolation : str
        "nearest" or "bilinear"; Keras's other modes are not supported. With dtype float64 lcfast
        interpolates in float64, Keras in float32.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/UpSampling2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.UpSampling2D((2, 3))(np.ones((1, 4, 5, 2))).shape
    (1, 8, 15, 2)
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.checked_data_format(data_format)
        self.size = arguments.positive_ints(size, 2, "size")
        if not isinstance(interpolation, str) or interpolation.lower() not in INTERPOLATIONS:
            raise ValueError(
                f"Layer {self.name} (UpSampling2D) supports interpolation='nearest' or 'bilinear'. "
                f"Received: interpolation={quoted(interpolation)}."
            )
        self.interpolation = interpolation.lower()

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the rank is wrong."""
        self.compute_output_shape(shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        return _enlarged(self, input_shape, self._factors(), 4)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,i,j,c] = x[n,i // size,j // size,c], or an average of the pixels around."""
        enlarge = np.repeat if self.interpolation == "nearest" else interpolate
        y = inputs
        for axis, factor in reversed(self._factors().items()):  # columns first, as in TensorFlow
            y = enlarge(y, factor, axis)
        return y  # type: ignore[no-any-return]

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if self.interpolation != "nearest":
            return None
        for axis, factor in self._factors().items():
            x = program.enlarged(x, axis - 1, factor)
        return x  # type: ignore[no-any-return]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        pull = pull_repeat if self.interpolation == "nearest" else pull_interpolate

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            for axis, factor in self._factors().items():
                dy = pull(dy, factor, axis)
            return dy, []

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }

    def _factors(self) -> dict[int, int]:
        """The factor of each axis."""
        first = 2 if self.data_format == CHANNELS_FIRST else 1
        return {first: self.size[0], first + 1: self.size[1]}


def pull_repeat(dy: np.ndarray, count: int, axis: int) -> np.ndarray:
    """The gradient of x from that of np.repeat(x, count, axis)."""
    shape = (*dy.shape[:axis], dy.shape[axis] // count, count, *dy.shape[axis + 1 :])
    return sum_over(dy.reshape(shape), [axis + 1]).squeeze(axis + 1)


def interpolate(x: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """Linear interpolation along an axis, at the centres of `factor` parts of each position."""
    lower, upper, weight = _neighbours(x.shape[axis], factor, x.dtype)
    shape = [1] * x.ndim
    shape[axis] = -1
    below, above = x.take(lower, axis), x.take(upper, axis)
    y: np.ndarray = below + (above - below) * weight.reshape(shape)
    return y


def pull_interpolate(dy: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """The gradient of x from that of interpolate(x, factor, axis)."""
    rows = np.moveaxis(dy, axis, 0)
    lower, upper, weight = _neighbours(len(rows) // factor, factor, dy.dtype)
    weight = weight.reshape(-1, *[1] * (dy.ndim - 1))
    dx = np.zeros((len(rows) // factor, *rows.shape[1:]), dy.dtype)
    np.add.at(dx, lower, rows * (1 - weight))
    np.add.at(dx, upper, rows * weight)
    return np.ascontiguousarray(np.moveaxis(dx, 0, axis))


def _neighbours(
    size: int, factor: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lower and upper neighbour of each new position, and its distance from the lower."""
    scale = dtype.type(1) / dtype.type(factor)
    coordinate = (np.arange(size * factor).astype(dtype) + dtype.type(0.5)) * scale - dtype.type(
        0.5
    )
    floor = np.floor(coordinate)
    lower = np.maximum(floor.astype(np.int64), 0)
    upper = np.minimum(np.ceil(coordinate).astype(np.int64), size - 1)
    return lower, upper, coordinate - floor


def _enlarged(layer: Layer, input_shape: Any, factors: dict[int, int], rank: int) -> Shape:
    """`input_shape` with some axes multiplied by a factor."""
    shape = arguments.checked_shape(input_shape, "input_shape")
    if len(shape) != rank:
        raise ValueError(
            f"Layer {layer.name} ({type(layer).__name__}) needs an input of {rank} dimensions, the "
            f"batch first. Received: {shape}."
        )
    return tuple(
        None if size is None else size * factors.get(axis, 1) for axis, size in enumerate(shape)
    )
