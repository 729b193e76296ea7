"""Dense: a local convolution with one position that reads all features."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from lcfast.layers import activation_argument
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.layers.linear_base import LinearLayer
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value


@lru_cache(maxsize=256)
def dense_geometry(features: int, units: int) -> Geometry:
    """One position that reads all features."""
    return Geometry((1,), features, units, (1,), (1,))


class Dense(LinearLayer):
    """y = activation(x @ kernel + bias) over the last axis.

    Parameters
    ----------
    units : int
        Size of the last axis of the output.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine
        As in `LocallyConnected1D`.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights, dynamic;
        input_dim, the number of features, as a short form of input_shape.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Dense

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Dense(10, activation="softmax")(np.ones((2, 5))).shape
    (2, 10)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        engine: str | None = None,
        **kwargs: Any,
    ) -> None:
        if "input_dim" in kwargs and "input_shape" not in kwargs:
            kwargs["input_shape"] = (kwargs.pop("input_dim"),)
        super().__init__(
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            engine=engine,
            **kwargs,
        )
        self.units = arguments.positive_int(units, "units")
        self.features: int | None = None

    def build(self, input_shape: Any) -> None:
        """Make the weights: kernel (features, units), bias (units,)."""
        shape = arguments.checked_shape(input_shape, "input_shape")
        if len(shape) < 2 or not shape[-1]:
            raise ValueError(
                f"Layer {self.name} (Dense) needs an input of 2 or more dimensions whose last one "
                f"is defined and positive. Received: {shape}."
            )
        self.features = shape[-1]
        self.geometry = dense_geometry(self.features, self.units)
        self.build_kernel_and_bias((self.features, self.units), (self.units,))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        return (*input_shape[:-1], self.units)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the last axis has the size that the layer was built for."""
        if len(shape) < 2 or shape[-1] != self.features:
            raise ValueError(
                f"Layer {self.name} was built for inputs whose last axis is {self.features}. "
                f"Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,u] = activation(sum_k x[n,k] kernel[k,u] + bias[u])."""
        return activation_argument.activated(self.activation, self._product(weights, inputs), out)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        geometry, bias = self._geometry(), weights[1] if self.use_bias else None
        leading = x.shape[:-1]
        rows = program.reshaped(x, geometry.input_shape, x.rows_each * math.prod(leading))

        def product(activation: ops.Activation) -> Value:
            y = program.product(rows, weights[0], bias, geometry, activation)
            return program.reshaped(y, (*leading, self.units), x.rows_each)

        return activation_argument.record_steps(self.activation, program, product)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dkernel, dbias])."""
        product = self._product(weights, inputs)
        y, pull = activation_argument.linearized(self.activation, product, self._compute_options)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dz = pull(dy).reshape(-1, 1, self.units)
            dx, gradients = self.pull_rows(weights, self._as_rows(inputs), dz, self._geometry())
            return dx.reshape(inputs.shape), gradients

        return y, pullback

    def _product(self, weights: Record, inputs: np.ndarray) -> activation_argument.Product:
        shape = (*inputs.shape[:-1], self.units)
        on_rows = self.product(weights, self._as_rows(inputs), self._geometry())

        def product(kernel: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            if out is not None and ops.as_output(out, shape, inputs.dtype).flags.c_contiguous:
                on_rows(kernel, out.reshape(math.prod(shape[:-1]), 1, self.units))
                return out
            return on_rows(kernel, None).reshape(shape)

        return product

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "units": self.units, **self.linear_config()}

    def _geometry(self) -> Geometry:
        assert self.geometry is not None
        return self.geometry

    def _as_rows(self, inputs: np.ndarray) -> np.ndarray:
        assert self.features is not None
        rows = inputs.size // self.features
        return inputs.reshape(rows, 1, self.features)
