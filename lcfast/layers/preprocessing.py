"""Preprocessing layers: Rescaling and Normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lcfast.convolution.reductions import sum_over
from lcfast.errors import quoted
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value

LEAST_ROOT = 1e-7  # Keras's backend.epsilon(): lower bound of the standard deviation


class Rescaling(Layer):
    """x * scale + offset.

    Parameters
    ----------
    scale : float or sequence of float
        Factor, or one for each index of the last axis.
    offset : float or sequence of float
        Added after scaling; shape as `scale`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If an argument is not numeric, or does not broadcast to the input.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Rescaling

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Rescaling(1 / 127.5, offset=-1)(np.array([[0, 255]]))
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = numbers(scale, "scale")
        self.offset = numbers(offset, "offset")

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if scale or offset do not broadcast to the input."""
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if np.ndim(value) > len(shape) - 1 or not _repeats_to(np.shape(value), shape):
                raise ValueError(
                    f"The `{name}` of layer {self.name} (Rescaling) has shape {np.shape(value)}, "
                    f"which does not broadcast to rows of shape {tuple(shape)[1:]}."
                )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x * scale + offset."""
        y: np.ndarray = inputs * self._as_array(self.scale) + self._as_array(self.offset)
        return y

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        factor, beta = self._as_array(self.scale), self._as_array(self.offset)
        if factor.ndim or beta.ndim:
            return None
        # x - 0 is x
        zero = np.zeros((), factor.dtype)
        mean, factor, beta = (np.full(x.shape[-1], value) for value in (zero, factor, beta))
        return program.affine(x, len(x.shape) - 1, mean, factor, beta)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        return self.forward(weights, inputs), lambda dy: (dy * self._as_array(self.scale), [])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}

    def _as_array(self, value: Any) -> np.ndarray:
        return np.asarray(value, self.numpy_dtype)


class Normalization(Layer):
    """(x - mean) / sqrt(variance), from Keras's `adapt` or from the arguments.

    Parameters
    ----------
    axis : int, sequence of int or None
        The axes that keep their own mean and variance per index; None: one for all.
    mean, variance : float or sequence of float, optional
        Constants instead of the weights mean, variance and count; give both or neither.
    invert : bool
        Whether to compute the inverse: x * sqrt(variance) + mean.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights.

    Raises
    ------
    ValueError
        If an argument is invalid, or does not broadcast to the input.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Normalization

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Normalization(mean=3.0, variance=4.0)(np.array([[1.0], [7.0]]))
    array([[-1.],
           [ 2.]], dtype=float32)
    """

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        several = list(axis) if isinstance(axis, list | tuple) else [axis]
        self.axis = () if axis is None else tuple(arguments.integer(a, "axis") for a in several)
        if (mean is None) != (variance is None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. Got mean: "
                f"{quoted(mean)} and variance: {quoted(variance)}"
            )
        self.mean: Any = None if mean is None else numbers(mean, "mean")
        self.variance: Any = None if variance is None else numbers(variance, "variance")
        self.invert = arguments.checked_flag(invert, "invert")
        self.kept: dict[int, int] = {}  # the size along each axis of `axis`

    def build(self, input_shape: Any) -> None:
        """Make the weights: mean and variance with the sizes of the axes, count ()."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        rank = len(shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ValueError(
                "All `axis` values must be in the range [-ndim, ndim). Found "
                f"ndim: `{rank}`, axis: {self.axis}"
            )
        axes = sorted({axis % rank for axis in self.axis})
        sizes = {axis: shape[axis] for axis in axes}
        if 0 in axes or None in sizes.values():
            raise ValueError(
                "All `axis` values to be kept must have known shape, and none may be the batch. "
                f"Got axis: {self.axis}, input shape: {shape}."
            )
        self.kept = {axis: size or 0 for axis, size in sizes.items()}
        weight_shape = tuple(self.kept.values())
        if self.mean is None:
            self.finish_build(
                [
                    WeightSlot("mean", weight_shape, np.zeros, False),
                    WeightSlot("variance", weight_shape, np.ones, False),
                    WeightSlot("count", (), np.zeros, False, dtype=np.dtype(np.int64)),
                ]
            )
            return
        for name, value in (("mean", self.mean), ("variance", self.variance)):
            if not _repeats_to(np.shape(value), weight_shape):
                raise ValueError(
                    f"The `{name}` of layer {self.name} (Normalization) has shape "
                    f"{np.shape(value)}; expected {weight_shape}."
                )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first: that of the input."""
        return arguments.checked_shape(input_shape, "input_shape")

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the layer was built for these sizes of the axes."""
        if any(axis >= len(shape) or shape[axis] != size for axis, size in self.kept.items()):
            raise ValueError(
                f"Layer {self.name} was built for inputs with the sizes {self.kept} along its "
                f"axes. Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = (x - mean) / root, or mean + x * root, with root = sqrt(variance), at least 1e-7."""
        mean, variance = self._statistics(weights, inputs.ndim)
        root = np.maximum(np.sqrt(variance), variance.dtype.type(LEAST_ROOT))
        y: np.ndarray = mean + inputs * root if self.invert else (inputs - mean) / root
        return y

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, gradients of all weights)."""
        mean, variance = self._statistics(weights, inputs.ndim)
        least = variance.dtype.type(LEAST_ROOT)
        root = np.maximum(np.sqrt(variance), least)
        others = [axis for axis in range(inputs.ndim) if axis not in self.kept]

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dx = dy * root if self.invert else dy / root
            if self.mean is not None:
                return dx, []
            # Derivative by root: x for x * root, -(x - mean) / root**2 for (x - mean) / root.
            by_root = dy * inputs if self.invert else -dx * (inputs - mean) / root
            by_mean = dy if self.invert else -dx
            slope = np.where(root > least, 0.5 / root, 0)
            gradients = [sum_over(by_mean, others), sum_over(by_root, others) * slope]
            shape = tuple(self.kept.values())
            count = np.zeros((), inputs.dtype)
            return dx, [*(gradient.reshape(shape) for gradient in gradients), count]

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": self.mean,
            "variance": self.variance,
        }

    def _statistics(self, weights: Record, ndim: int) -> list[np.ndarray]:
        """Mean and variance in a shape that broadcasts over an input of `ndim` axes."""
        given: Sequence[Any] = weights if self.mean is None else (self.mean, self.variance)
        shape = [self.kept.get(axis, 1) for axis in range(ndim)]
        kept = tuple(self.kept.values())
        return [
            (np.asarray(value, self.numpy_dtype) * np.ones(kept, self.numpy_dtype)).reshape(shape)
            for value in given[:2]
        ]


def numbers(value: Any, name: str) -> Any:
    """A number as a float; a sequence or an array as nested tuples of floats."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return arguments.number(value, name)
    found = tuple(numbers(item, name) for item in value)
    if len({np.shape(item) for item in found}) > 1:
        raise ValueError(
            f"The `{name}` argument must be a number or an array of numbers. "
            f"Received: {quoted(value)}."
        )
    return found


def _repeats_to(shape: tuple[int, ...], target: Any) -> bool:
    """Whether `shape` broadcasts to `target`."""
    sizes = (1,) * (len(shape) - len(target)) + tuple(target)
    sizes = sizes[len(sizes) - len(shape) :]
    return all(own in (1, size) for own, size in zip(shape, sizes, strict=True))
