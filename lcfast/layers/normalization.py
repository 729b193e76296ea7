"""BatchNormalization in inference: with the moving statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import constraints, initializers, regularizers

# Further arguments of Keras that would change the statistics.
_OF_TRAINING = ("renorm", "virtual_batch_size", "adjustment")


class BatchNormalization(Layer):
    """y = (x - moving_mean) / sqrt(moving_variance + epsilon) * gamma + beta, along one axis.

    Parameters
    ----------
    axis : int or list of one int
        The axis that keeps its own mean and variance per index; -1 is the last.
    momentum : float
        Stored in the config; only training uses it.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add beta, whether to multiply by gamma.
    beta_initializer, gamma_initializer, moving_mean_initializer, \
moving_variance_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint
        As in Keras.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights; renorm,
        virtual_batch_size and adjustment only if off; fused is ignored.

    Raises
    ------
    ValueError
        If an argument is invalid, or the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/BatchNormalization

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.BatchNormalization(epsilon=0.0)(np.ones((1, 3)))
    array([[1., 1., 1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("fused", None)
        others = {name: kwargs.pop(name, None) for name in _OF_TRAINING}
        super().__init__(**kwargs)
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        number = arguments.as_integer(axes[0]) if len(axes) == 1 else None
        if number is None:
            raise ValueError(f"Layer {self.name} needs one integer as `axis`. Received: {axis!r}.")
        missing = [f"{argument}={value!r}" for argument, value in others.items() if value]
        if missing:
            raise ValueError(
                f"Layer {self.name} (BatchNormalization) has {', '.join(missing)}, which lcfast "
                "does not support."
            )
        self.axis = number
        self._axis_in_config: int | list[int] = (
            [number] if isinstance(axis, list | tuple) else number
        )
        self.momentum = arguments.number(momentum, "momentum")
        self.epsilon = arguments.number(epsilon, "epsilon", least=0)
        self.center = arguments.checked_flag(center, "center")
        self.scale = arguments.checked_flag(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.size: int | None = None

    def build(self, input_shape: Any) -> None:
        """Make the weights: [gamma], [beta], moving_mean, moving_variance, each (axis size,)."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if not self._has_axis(shape):
            raise ValueError(
                f"Layer {self.name} normalises axis {self.axis}, which an input of shape {shape} "
                "does not have besides the batch."
            )
        self._axis_in_config = [self.axis % len(shape)]
        self.size = shape[self.axis]
        if not self.size:
            raise ValueError(
                f"Axis {self.axis} of the inputs to layer {self.name} should be defined and "
                f"positive, but the layer received the inputs shape {shape}."
            )
        slots = []
        if self.scale:
            slots.append(
                WeightSlot(
                    "gamma", (self.size,), self.gamma_initializer, True,
                    self.gamma_regularizer, self.gamma_constraint,
                )
            )  # fmt: skip
        if self.center:
            slots.append(
                WeightSlot(
                    "beta", (self.size,), self.beta_initializer, True,
                    self.beta_regularizer, self.beta_constraint,
                )
            )  # fmt: skip
        slots += [
            WeightSlot("moving_mean", (self.size,), self.moving_mean_initializer, False),
            WeightSlot("moving_variance", (self.size,), self.moving_variance_initializer, False),
        ]
        self.finish_build(slots)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the layer was built for this size of the axis."""
        if not self._has_axis(shape) or shape[self.axis] != self.size:
            raise ValueError(
                f"Layer {self.name} was built for inputs whose axis {self.axis} is {self.size}. "
                f"Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = (x - mean) * (gamma / sqrt(variance + epsilon)) + beta, element by element."""
        if training:
            raise ValueError(
                f"Layer {self.name} was called with training=True; lcfast uses the moving "
                "statistics and does not compute those of a batch."
            )
        mean, factor, beta = self._along_axis(weights, inputs.ndim)
        y: np.ndarray = inputs - mean
        y *= factor
        if beta is not None:
            y += beta
        return y

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        mean, factor, beta = self._along_axis(weights, len(x.shape) + 1)
        axis = self.axis % (len(x.shape) + 1) - 1
        return program.affine(x, axis, mean, factor, beta)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, gradients of all weights)."""
        mean, factor, _ = self._along_axis(weights, inputs.ndim)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            # y = (x - mean) gamma r + beta with r = (variance + epsilon)**-0.5
            by_centred = self._sum(dy * (inputs - mean))
            by_one = self._sum(dy)
            r = 1 / np.sqrt(weights[-1] + self.epsilon)
            gamma = weights[0] if self.scale else np.ones_like(r)
            gradients = []
            if self.scale:
                gradients.append(by_centred * r)
            if self.center:
                gradients.append(by_one)
            gradients += [-by_one * gamma * r, by_centred * gamma * (r * r * r) * -0.5]
            dtype = inputs.dtype
            return dy * factor, [gradient.astype(dtype, copy=False) for gradient in gradients]

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "axis": self._axis_in_config,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }

    def _has_axis(self, shape: Any) -> bool:
        """Whether inputs of `shape` have the axis and it is not the batch."""
        rank = len(shape)
        return rank > 1 and -rank <= self.axis < rank and self.axis % rank != 0

    def _along_axis(
        self, weights: Record, ndim: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Mean, factor and beta in a shape that broadcasts over an input of `ndim` axes."""
        shape = [1] * ndim
        shape[self.axis] = -1
        factor = 1 / np.sqrt(weights[-1] + np.asarray(self.epsilon, weights[-1].dtype))
        if self.scale:
            factor = factor * weights[0]
        beta = weights[1 if self.scale else 0].reshape(shape) if self.center else None
        return weights[-2].reshape(shape), factor.reshape(shape), beta

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """The sum over every axis but one, in ascending order for any batch."""
        rows = np.moveaxis(values, self.axis, -1).reshape(-1, values.shape[self.axis])
        return ops.sum_rows(rows)
