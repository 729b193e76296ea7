"""Base class of the layers with a kernel: kernel, bias, activation and their config."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers import activation_argument
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import Geometry
from lcfast.vocabulary import constraints, initializers, regularizers
from lcfast.vocabulary.activations import ActivationFunction

_ARGUMENTS = (
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)


class LinearLayer(Layer):
    """A layer with a kernel, an optional bias and an activation, with Keras's arguments.

    A subclass defines the geometry of an input, and builds kernel and bias for it.
    """

    geometry: Geometry | None = None  # set if it is the same for every input

    def __init__(
        self,
        *,
        activation: Any,
        use_bias: Any,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        engine: str | None,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **layer_arguments)
        self.activation = activation_argument.resolve(activation, self)
        self.use_bias = arguments.checked_flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.engine = ops.checked_engine(engine)
        self._compute_options = ops.ComputeOptions(engine=self.chosen_engine())

    def chosen_engine(self) -> str:
        """The engine in use; Dense and Conv have no sparse engine."""
        if self.engine == "sparse":
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) has no sparse engine; leave `engine` "
                "out, or give 'direct'."
            )
        return "direct"

    def forward(
        self, weights: Any, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])."""
        assert self.geometry is not None, "only a built layer has a record"
        return self.activated_rows(weights, inputs, self.geometry, out)

    def cached_forward(self, inputs: np.ndarray, out: np.ndarray | None) -> np.ndarray | None:
        """The output by the cached fast path, or None: the caller then takes the checked path."""
        geometry, activation = self.geometry, self.activation
        if geometry is None or type(self).forward is not LinearLayer.forward:
            return None
        record = self.own_record()
        if not record or not isinstance(activation, ActivationFunction):
            return None
        bias = record[1] if self.use_bias else None
        return ops.cached_forward(
            inputs, record[0], bias, geometry, activation.kernel, out, self._compute_options
        )

    def plan(self, batch: int = 1) -> ops.Plan:
        """Return how a call on a batch is computed; `print(layer.plan(32))` describes it.

        A plan affects the speed only; the result is bit-identical.

        Parameters
        ----------
        batch : int
            Rows of the batch.

        Returns
        -------
        Plan
            With the attributes engine, regime, threads, path (SIMD), lanes and more.

        Raises
        ------
        ValueError
            If the layer is not built, or accepts inputs of any size, as Conv does.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.LocallyConnected1D(2, 3, implementation=3)
        >>> layer.build((None, 6, 1))
        >>> plan = layer.plan(32)
        >>> plan.engine, plan.threads
        ('sparse', 1)
        """
        rows = arguments.positive_int(batch, "batch")
        if self.geometry is None:
            raise ValueError(
                f"Layer {self.name} has no plan: it is not built, or accepts inputs of any size."
            )
        return ops.plan_of_forward(self.own_record()[0], self.geometry, rows, self._compute_options)

    def build_kernel_and_bias(
        self, kernel_shape: tuple[int, ...], bias_shape: tuple[int, ...]
    ) -> None:
        """Create the weights in the shapes that Keras stores."""
        kernel = WeightSlot(
            "kernel", kernel_shape, self.kernel_initializer, True,
            self.kernel_regularizer, self.kernel_constraint,
        )  # fmt: skip
        self.finish_build([kernel, *self.bias_slots(bias_shape)])

    def bias_slots(self, bias_shape: tuple[int, ...]) -> list[WeightSlot]:
        """The slot of the bias; empty without a bias."""
        if not self.use_bias:
            return []
        return [
            WeightSlot(
                "bias", bias_shape, self.bias_initializer, True,
                self.bias_regularizer, self.bias_constraint,
            )
        ]  # fmt: skip

    def forward_rows(
        self,
        weights: Record,
        x: np.ndarray,
        geometry: Geometry,
        activation: ops.Activation,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """The output for rows of `geometry.input_shape`."""
        bias = weights[1] if self.use_bias else None
        return ops.forward(x, weights[0], bias, geometry, activation, out, self._compute_options)

    def activated_rows(
        self, weights: Record, x: np.ndarray, geometry: Geometry, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The output for rows of `geometry.input_shape`, with the layer's activation."""
        activation = self.activation
        if isinstance(activation, ActivationFunction):
            bias = weights[1] if self.use_bias else None
            kernel = activation.kernel
            return ops.forward(x, weights[0], bias, geometry, kernel, out, self._compute_options)
        return activation_argument.activated(activation, self.product(weights, x, geometry), out)

    def product(
        self, weights: Record, x: np.ndarray, geometry: Geometry
    ) -> activation_argument.Product:
        """The product with the kernel, as a function of the activation applied to it."""
        return lambda kernel, out: self.forward_rows(weights, x, geometry, kernel, out)

    def pull_rows(
        self, weights: Record, x: np.ndarray, dz: np.ndarray, geometry: Geometry
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """(dx, [dkernel, dbias]) from the gradient of the activation's input."""
        kernel = weights[0]
        if isinstance(kernel, np.ndarray):
            kernel = kernel.reshape(geometry.kernel_shape)
        dx = ops.input_gradient(dz, kernel, geometry, self._compute_options)
        gradients = [ops.kernel_gradient(x, dz, geometry, self._compute_options)]
        if self.use_bias:
            # A shared bias is summed over the positions as well, treated as further rows.
            gradients.append(
                ops.sum_rows(dz.reshape(-1, geometry.bias_size), self._compute_options)
            )
        return dx, self.stored_gradients(gradients)

    def stored_gradients(self, gradients: list[np.ndarray]) -> list[np.ndarray]:
        """The gradients of kernel and bias in the shapes that Keras stores."""
        shapes = self.weight_shapes()
        return [dw.reshape(shape) for dw, shape in zip(gradients, shapes, strict=True)]

    def linearize_rows(
        self, weights: Record, x: np.ndarray, geometry: Geometry
    ) -> tuple[np.ndarray, Pullback]:
        """The output for rows of `geometry.input_shape`, and the pullback."""
        product = self.product(weights, x, geometry)
        y, pull = activation_argument.linearized(self.activation, product, self._compute_options)
        return y, lambda dy: self.pull_rows(weights, x, pull(dy), geometry)

    def linear_arguments(self) -> dict[str, Any]:
        """The arguments of every linear layer, as objects, since not all can be serialized."""
        return {name: getattr(self, name) for name in _ARGUMENTS}

    def linear_config(self) -> dict[str, Any]:
        """The config entries of every linear layer, in Keras's order."""
        return {
            "activation": activation_argument.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
