"""Base class of all convolutions: sizes, data formats, bias and activation."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from lcfast.convolution import padding_rules
from lcfast.convolution.conv_geometry import ConvGeometry, conv_geometry
from lcfast.layers import activation_argument
from lcfast.layers.config_keras1 import in_keras_2
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Pullback
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.layers.linear_base import LinearLayer
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST
from lcfast.program.builder import LONGEST_WINDOW, ProgramBuilder
from lcfast.program.steps import Value

# dz -> (dx, gradients of the weights), all channels_last
Pull = Callable[[np.ndarray], tuple[np.ndarray, list[np.ndarray]]]


class Convolution(LinearLayer, abc.ABC):
    """Any convolution; it computes in channels_last, whatever its data format.

    A subclass defines the weights, the product and its pullback.
    """

    spatial_dimensions: ClassVar[int]
    takes_causal: ClassVar[bool] = False
    takes_groups: ClassVar[bool] = False

    def __init__(
        self,
        *,
        filters: int | None,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        groups: int = 1,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **linear_arguments: Any,
    ) -> None:
        super().__init__(
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            **linear_arguments,
        )
        dimensions = self.spatial_dimensions
        self.filters = None if filters is None else arguments.positive_int(filters, "filters")
        self.kernel_size = arguments.positive_ints(kernel_size, dimensions, "kernel_size")
        self.strides = arguments.positive_ints(strides, dimensions, "strides")
        self.padding = arguments.checked_padding(padding, ("valid", "same", "causal"))
        self.data_format = arguments.checked_data_format(data_format)
        self.dilation_rate = arguments.positive_ints(dilation_rate, dimensions, "dilation_rate")
        self.groups = arguments.positive_int(groups, "groups")
        self.channels: int | None = None
        if self.padding == "causal" and not self.takes_causal:
            raise ValueError(
                "Causal padding is only supported for `Conv1D` and `SeparableConv1D`. "
                f"Layer {self.name} is a {type(self).__name__}."
            )
        if self.groups > 1 and not self.takes_groups:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) does not support groups, only Conv1D "
                f"and Conv2D do. Received: groups={self.groups}."
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. "
                f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )

    # ------------------------------------------------------------ what a subclass defines

    @abc.abstractmethod
    def linear_part(
        self, weights: Record, x: np.ndarray
    ) -> tuple[activation_argument.Product, Pull]:
        """The product with the kernel, and its pullback; channels_last."""

    def output_channels(self, channels: int | None) -> int | None:
        """Channels of the output for an input of `channels` channels; None if unknown."""
        return self.filters

    def output_size(self, size: Shape) -> Shape:
        """Positions along each spatial dimension; None where unknown."""
        return tuple(
            None if n is None else padding_rules.output_size(n, k, s, self.padding, d)
            for n, k, s, d in zip(
                size, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )

    # ------------------------------------------------------------ shapes

    def checked_channels(self, input_shape: Any) -> int:
        """The number of channels of an input, checked."""
        _, channels = self._split(input_shape)
        if not channels:
            raise ValueError(
                f"The channel dimension of the inputs to layer {self.name} should be defined and "
                f"positive, but the layer received the inputs shape {tuple(input_shape)}."
            )
        self.compute_output_shape(input_shape)
        return channels

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        size, channels = self._split(input_shape)
        output_size = self.output_size(size)
        if any(n is not None and n <= 0 for n in output_size):
            dilated = f", dilated by {self.dilation_rate}," if max(self.dilation_rate) > 1 else ","
            raise ValueError(
                f"The kernel of layer {self.name}, {self.kernel_size}{dilated} does not fit into "
                f"an input of shape {tuple(input_shape)}."
            )
        if self.data_format == CHANNELS_FIRST:
            return (input_shape[0], self.output_channels(channels), *output_size)
        return (input_shape[0], *output_size, self.output_channels(channels))

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless rank and channels match those that the layer was built for."""
        if self._split(shape)[1] != self.channels:
            raise ValueError(
                f"Layer {self.name} was built for inputs of {self.channels} channels. "
                f"Received: {tuple(shape)} ({self.data_format})."
            )
        self.compute_output_shape(shape)

    def conv(self, size: tuple[int, ...], channels: int, filters: int, groups: int) -> ConvGeometry:
        """The geometry of the layer's kernel on an input."""
        how = self.kernel_size, self.strides, self.dilation_rate, groups, self.padding
        return conv_geometry(size, channels, filters, *how)

    # ------------------------------------------------------------ computing

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,p,f] = activation(sum_k x[n,p,k] kernel[k,f] + bias[f]), in `data_format`."""
        product, _ = self.linear_part(weights, self._with_channels_last(inputs))
        return activation_argument.activated(self.activation, self._in_own_format(product), out)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, gradients of the weights)."""
        product, pull_product = self.linear_part(weights, self._with_channels_last(inputs))
        y, pull = activation_argument.linearized(
            self.activation, self._in_own_format(product), self._compute_options
        )

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dx, gradients = pull_product(self._with_channels_last(pull(dy)))
            if self.data_format == CHANNELS_FIRST:
                dx = _to_channels_first(dx)
            return dx, self.stored_gradients(gradients)

        return y, pullback

    def steps_in_own_format(
        self,
        program: ProgramBuilder,
        x: Value,
        convolved: Callable[[Value, ops.Activation], Value],
    ) -> Value | None:
        """Record a convolution in channels_last and the activation in the layer's data format."""
        if math.prod(self.kernel_size) > LONGEST_WINDOW:
            return None  # depthwise sums are not cut
        rank = len(x.shape)
        last = self.data_format == CHANNELS_LAST
        given = x if last else program.transposed(x, (*range(1, rank), 0))

        def product(activation: ops.Activation) -> Value:
            if last:
                return convolved(given, activation)
            z = program.transposed(convolved(given, ops.LINEAR), (rank - 1, *range(rank - 1)))
            return program.activated(z, activation)

        return activation_argument.record_steps(self.activation, program, product)

    def bias_of(self, weights: Record) -> np.ndarray | None:
        """The bias (the last weight), or None."""
        return weights[-1] if self.use_bias else None

    def bias_gradients(self, dz: np.ndarray) -> list[np.ndarray]:
        """The gradient of the bias, summed over rows and positions; empty without a bias."""
        if not self.use_bias:
            return []
        return [ops.sum_rows(dz.reshape(-1, dz.shape[-1]), self._compute_options)]

    def _with_channels_last(self, array: np.ndarray) -> np.ndarray:
        if self.data_format == CHANNELS_LAST:
            return array
        return np.ascontiguousarray(np.moveaxis(array, 1, -1))

    def _in_own_format(self, product: activation_argument.Product) -> activation_argument.Product:
        """The product in the layer's data format, whose last axis softmax uses."""
        if self.data_format == CHANNELS_LAST:
            return product

        def channels_first(kernel: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            z = _to_channels_first(product(ops.LINEAR, None))
            return ops.activate(z, kernel, out, self._compute_options)

        return channels_first

    # ------------------------------------------------------------ configuration

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from a config of `get_config`, or one that uses Keras 1's argument names."""
        return super().from_config(in_keras_2(config, cls.spatial_dimensions))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            **self.linear_config(),
        }

    def _split(self, shape: Any) -> tuple[Shape, int | None]:
        """Spatial sizes and channels of a shape with the batch first."""
        checked = arguments.checked_shape(shape, "input_shape")
        if len(checked) != self.spatial_dimensions + 2:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) needs an input of "
                f"{self.spatial_dimensions + 2} dimensions, the batch first. Received: {checked}."
            )
        if self.data_format == CHANNELS_FIRST:
            return checked[2:], checked[1]
        return checked[1:-1], checked[-1]


def _to_channels_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))
