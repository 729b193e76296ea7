"""DepthwiseConv1D and DepthwiseConv2D: a convolution with as many groups as channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.convolution import conv_ops
from lcfast.layers import activation_argument, conv_steps
from lcfast.layers.convolution_base import Convolution, Pull
from lcfast.layers.core import arguments
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import constraints, initializers, regularizers


class DepthwiseConv(Convolution):
    """The shared base class of DepthwiseConv1D and DepthwiseConv2D."""

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        engine: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters=None,
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
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: Any) -> None:
        """Make the weights: kernel (*kernel_size, channels, multiplier), bias (outputs,)."""
        self.channels = self.checked_channels(input_shape)
        kernel = WeightSlot(
            "depthwise_kernel", (*self.kernel_size, self.channels, self.depth_multiplier),
            self.depthwise_initializer, True, self.depthwise_regularizer, self.depthwise_constraint,
        )  # fmt: skip
        bias = self.bias_slots((self.channels * self.depth_multiplier,))
        self.finish_build([kernel, *bias])

    def output_channels(self, channels: int | None) -> int | None:
        """Channels of the output of an input of `channels` channels; None if unknown."""
        return None if channels is None else channels * self.depth_multiplier

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return self.steps_in_own_format(
            program,
            x,
            lambda last, activation: conv_steps.forward(
                program,
                last,
                weights[0],
                self.bias_of(weights),
                self.conv(
                    last.shape[:-1],
                    last.shape[-1],
                    last.shape[-1] * self.depth_multiplier,
                    last.shape[-1],
                ),
                activation,
            ),
        )

    def linear_part(
        self, weights: Record, x: np.ndarray
    ) -> tuple[activation_argument.Product, Pull]:
        """The convolution of each channel and its pullback."""
        channels = x.shape[-1]
        filters = channels * self.depth_multiplier
        where = self.conv(x.shape[1:-1], channels, filters, channels)
        kernel, bias, options = weights[0], self.bias_of(weights), self._compute_options

        def product(activation: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            return conv_ops.forward(x, kernel, bias, where, activation, out, options)

        def pull(dz: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dkernel = conv_ops.kernel_gradient(x, dz, where, options)
            dx = conv_ops.input_gradient(dz, kernel, where, options)
            return dx, [dkernel, *self.bias_gradients(dz)]

        return product, pull

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        config = super().get_config()
        for name in ("filters", "kernel_initializer", "kernel_regularizer", "kernel_constraint"):
            del config[name]
        return {
            **config,
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
        }


class DepthwiseConv1D(DepthwiseConv):
    """Convolve each channel of a sequence with its own filters.

    Parameters
    ----------
    kernel_size, strides, padding, dilation_rate, data_format
        As in `DepthwiseConv2D`, with one dimension.
    depth_multiplier, activation, use_bias, depthwise_initializer, bias_initializer, \
depthwise_regularizer, bias_regularizer, activity_regularizer, depthwise_constraint, \
bias_constraint, engine, **kwargs
        As in `DepthwiseConv2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/DepthwiseConv1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.DepthwiseConv1D(3, depth_multiplier=2)(np.ones((2, 10, 5))).shape
    (2, 8, 10)
    """

    spatial_dimensions = 1


@arguments.with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class DepthwiseConv2D(DepthwiseConv):
    """Convolve each channel of an image with its own filters.

    Parameters
    ----------
    kernel_size, strides : int or sequence of two ints
        Rows and columns of the receptive field, and the steps between two of them, in pixels.
    padding : str
        "valid" or "same".
    depth_multiplier : int
        Filters of each channel; output `c * depth_multiplier + m` is filter m of channel c.
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    dilation_rate : int or sequence of two ints
        Steps between two pixels of a receptive field; more than 1 only with strides of 1.
    depthwise_initializer, depthwise_regularizer, depthwise_constraint
        Initial values, penalty and constraint of the kernel.
    activation, use_bias, bias_initializer, bias_regularizer, activity_regularizer, \
bias_constraint, engine, **kwargs
        As in `LocallyConnected2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/DepthwiseConv2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.DepthwiseConv2D(3, strides=2, padding="same")(np.ones((2, 9, 9, 5))).shape
    (2, 5, 5, 5)
    """

    spatial_dimensions = 2
