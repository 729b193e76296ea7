"""SeparableConv1D and SeparableConv2D: a depthwise convolution, then one that mixes channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.convolution import conv_ops
from lcfast.convolution.conv_geometry import conv_geometry
from lcfast.layers import activation_argument, conv_steps
from lcfast.layers.convolution_base import Convolution, Pull
from lcfast.layers.core import arguments
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import constraints, initializers, regularizers


class SeparableConv(Convolution):
    """The shared base class of SeparableConv1D and SeparableConv2D."""

    filters: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        engine: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters=arguments.positive_int(filters, "filters"),
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            engine=engine,
            **kwargs,
        )
        self.depth_multiplier = arguments.positive_int(depth_multiplier, "depth_multiplier")
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        """Make the weights: depthwise kernel, pointwise kernel, bias (filters,)."""
        self.channels = self.checked_channels(input_shape)
        ones = (1,) * self.spatial_dimensions
        depthwise = WeightSlot(
            "depthwise_kernel", (*self.kernel_size, self.channels, self.depth_multiplier),
            self.depthwise_initializer, True, self.depthwise_regularizer, self.depthwise_constraint,
        )  # fmt: skip
        pointwise = WeightSlot(
            "pointwise_kernel", (*ones, self.channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer, True, self.pointwise_regularizer, self.pointwise_constraint,
        )  # fmt: skip
        self.finish_build([depthwise, pointwise, *self.bias_slots((self.filters,))])

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        ones = (1,) * self.spatial_dimensions

        def convolved(last: Value, activation: ops.Activation) -> Value:
            channels = last.shape[-1]
            depth = channels * self.depth_multiplier
            own = self.conv(last.shape[:-1], channels, depth, channels)
            mixing = conv_geometry(own.output_size, depth, self.filters, ones, ones, ones)
            between = conv_steps.forward(program, last, weights[0], None, own)
            bias = self.bias_of(weights)
            return conv_steps.forward(program, between, weights[1], bias, mixing, activation)

        return self.steps_in_own_format(program, x, convolved)

    def linear_part(
        self, weights: Record, x: np.ndarray
    ) -> tuple[activation_argument.Product, Pull]:
        """Both convolutions and their pullback."""
        channels, options = x.shape[-1], self._compute_options
        depth, ones = channels * self.depth_multiplier, (1,) * self.spatial_dimensions
        own = self.conv(x.shape[1:-1], channels, depth, channels)
        mixing = conv_geometry(own.output_size, depth, self.filters, ones, ones, ones)
        depthwise, pointwise, bias = weights[0], weights[1], self.bias_of(weights)
        between = conv_ops.forward(x, depthwise, None, own, options=options)

        def product(activation: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            return conv_ops.forward(between, pointwise, bias, mixing, activation, out, options)

        def pull(dz: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dpointwise = conv_ops.kernel_gradient(between, dz, mixing, options)
            dbetween = conv_ops.input_gradient(dz, pointwise, mixing, options)
            ddepthwise = conv_ops.kernel_gradient(x, dbetween, own, options)
            dx = conv_ops.input_gradient(dbetween, depthwise, own, options)
            return dx, [ddepthwise, dpointwise, *self.bias_gradients(dz)]

        return product, pull

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from a config of `get_config`, or one that uses Keras 1's argument names."""
        if "init" in config:  # Keras 1 has one argument for both kernels
            config = dict(config)
            first = config.pop("init")
            config.update(depthwise_initializer=first, pointwise_initializer=first)
        return super().from_config(config)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "pointwise_initializer": initializers.serialize(self.pointwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "pointwise_regularizer": regularizers.serialize(self.pointwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
            "pointwise_constraint": constraints.serialize(self.pointwise_constraint),
        }


class SeparableConv1D(SeparableConv):
    """Convolve each channel of a sequence with its own filters, then mix the channels.

    Parameters
    ----------
    filters, kernel_size, strides, dilation_rate, data_format
        As in `SeparableConv2D`, with one dimension.
    padding : str
        "valid", "same", or "causal": an output reads no later input.
    depth_multiplier, activation, use_bias, depthwise_initializer, pointwise_initializer, \
bias_initializer, depthwise_regularizer, pointwise_regularizer, bias_regularizer, \
activity_regularizer, depthwise_constraint, pointwise_constraint, bias_constraint, engine, **kwargs
        As in `SeparableConv2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/SeparableConv1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.SeparableConv1D(4, 3, depth_multiplier=2)(np.ones((2, 10, 5))).shape
    (2, 8, 4)
    """

    spatial_dimensions = 1
    takes_causal = True


@arguments.with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class SeparableConv2D(SeparableConv):
    """Convolve each channel of an image with its own filters, then mix the channels.

    Parameters
    ----------
    filters : int
        Filters that mix the channels, F.
    kernel_size, strides : int or sequence of two ints
        Rows and columns of the receptive field, and the steps between two of them, in pixels.
    padding : str
        "valid" or "same".
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    dilation_rate : int or sequence of two ints
        Steps between two pixels of a receptive field; more than 1 only with strides of 1.
    depth_multiplier : int
        Filters of each channel, before the channels are mixed.
    depthwise_initializer, depthwise_regularizer, depthwise_constraint
        Initial values, penalty and constraint of the depthwise kernel.
    pointwise_initializer, pointwise_regularizer, pointwise_constraint
        The same for the pointwise kernel.
    activation, use_bias, bias_initializer, bias_regularizer, activity_regularizer, \
bias_constraint, engine, **kwargs
        As in `LocallyConnected2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/SeparableConv2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.SeparableConv2D(4, 3, padding="same")(np.ones((2, 9, 9, 3))).shape
    (2, 9, 9, 4)
    """

    spatial_dimensions = 2
