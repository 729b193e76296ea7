"""LayerNormalization: normalise each row by its own mean and variance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lcfast.convolution.reductions import sum_over
from lcfast.errors import quoted
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.vocabulary import constraints, initializers, regularizers


class LayerNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with the row's own statistics.

    Parameters
    ----------
    axis : int or sequence of int
        The axes that mean and variance are taken over; gamma and beta have their sizes.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add beta, whether to multiply by gamma.
    beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, \
gamma_constraint
        As in Keras.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the input has no such axes.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/LayerNormalization

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        several = isinstance(axis, list | tuple)
        numbers = [arguments.as_integer(number) for number in (axis if several else [axis])]
        self._axes = tuple(number for number in numbers if number is not None)
        if len(self._axes) != len(numbers) or not numbers:
            raise TypeError(
                "Expected an int or a list/tuple of ints for the argument 'axis', but received: "
                f"{quoted(axis)}"
            )
        self._written_as_list = several
        self.epsilon = arguments.number(epsilon, "epsilon", least=0)
        self.center = arguments.checked_flag(center, "center")
        self.scale = arguments.checked_flag(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.sizes: tuple[int, ...] = ()

    @property
    def axis(self) -> int | list[int]:
        """The axes; a list of non-negative integers once the layer is built."""
        return list(self._axes) if self._written_as_list else self._axes[0]

    def build(self, input_shape: Any) -> None:
        """Make the weights: [gamma], [beta], each with the sizes of the axes."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        self._axes = self._axes_of(shape)
        self._written_as_list = True
        sizes = [shape[axis] for axis in self._axes]
        self.sizes = tuple(size for size in sizes if size)
        if len(self.sizes) != len(sizes):
            raise ValueError(
                f"The axes {self.axis} of the inputs to layer {self.name} should be defined and "
                f"positive, but the layer received the inputs shape {shape}."
            )
        slots = []
        if self.scale:
            slots.append(
                WeightSlot(
                    "gamma", self.sizes, self.gamma_initializer, True,
                    self.gamma_regularizer, self.gamma_constraint,
                )
            )  # fmt: skip
        if self.center:
            slots.append(
                WeightSlot(
                    "beta", self.sizes, self.beta_initializer, True,
                    self.beta_regularizer, self.beta_constraint,
                )
            )  # fmt: skip
        self.finish_build(slots)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the axes have the sizes that the layer was built for."""
        found = tuple(shape[axis] for axis in self._axes if axis < len(shape))
        if found != self.sizes:
            raise ValueError(
                f"Layer {self.name} was built for inputs whose axes {self.axis} are {self.sizes}. "
                f"Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
        return self._scaled(weights, self._normalized(inputs)[0])

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dgamma], [dbeta])."""
        normalized, inverse = self._normalized(inputs)
        others = [axis for axis in range(inputs.ndim) if axis not in self._axes]

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            gradients = []
            if self.scale:
                gradients.append(sum_over(dy * normalized, others))
            if self.center:
                gradients.append(sum_over(dy, others))
            dz = dy * self._along_axes(weights[0], inputs.ndim) if self.scale else dy
            # Mean and variance depend on x too, so their terms are subtracted from the gradient.
            dx = dz - self._mean(dz) - normalized * self._mean(dz * normalized)
            return dx * inverse, [gradient.reshape(self.sizes) for gradient in gradients]

        return self._scaled(weights, normalized), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }

    def _axes_of(self, shape: Any) -> tuple[int, ...]:
        """The non-negative axes of an input of `shape`."""
        rank = len(shape)
        inside = all(-rank <= axis < rank for axis in self._axes)
        axes = tuple(axis % rank for axis in self._axes) if inside else ()
        if not axes or 0 in axes or len(set(axes)) < len(axes):
            raise ValueError(
                f"Layer {self.name} normalises the axes {self.axis}, which an input of shape "
                f"{tuple(shape)} does not have besides the batch."
            )
        return axes

    def _mean(self, values: np.ndarray) -> np.ndarray:
        mean: np.ndarray = sum_over(values, self._axes) / values.dtype.type(math.prod(self.sizes))
        return mean

    def _normalized(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x - mean) / sqrt(variance + epsilon), and 1 / sqrt(variance + epsilon)."""
        centred = inputs - self._mean(inputs)
        variance = self._mean(centred * centred)
        inverse = 1 / np.sqrt(variance + inputs.dtype.type(self.epsilon))
        return centred * inverse, inverse

    def _scaled(self, weights: Record, normalized: np.ndarray) -> np.ndarray:
        y = normalized
        if self.scale:
            y = y * self._along_axes(weights[0], y.ndim)
        if self.center:
            y = y + self._along_axes(weights[-1], y.ndim)
        return y

    def _along_axes(self, weight: np.ndarray, ndim: int) -> np.ndarray:
        """A weight in a shape that broadcasts; its elements keep their order, as in Keras."""
        sizes = dict(zip(self._axes, self.sizes, strict=True))
        return weight.reshape([sizes.get(axis, 1) for axis in range(ndim)])
