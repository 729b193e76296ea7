"""Conv1D and Conv2D: one kernel shared by all positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.convolution import conv_ops
from lcfast.layers import activation_argument, conv_steps
from lcfast.layers.convolution_base import Convolution, Pull
from lcfast.layers.core import arguments
from lcfast.layers.core.weights import Record
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value

MOST_GROUPS_OF_STEPS = 64
"""Most groups that are computed by steps of a program, one product for each."""


class Conv(Convolution):
    """The shared base class of Conv1D and Conv2D."""

    takes_groups = True
    filters: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
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
        super().__init__(
            filters=arguments.positive_int(filters, "filters"),
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
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
        if self.filters % self.groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. "
                f"Received: groups={self.groups}, filters={self.filters}"
            )

    def build(self, input_shape: Any) -> None:
        """Make the weights: kernel (*kernel_size, channels // groups, filters), bias (filters,)."""
        channels = self.checked_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. "
                f"Received groups={self.groups}, but the input has {channels} channels (full "
                f"input shape is {tuple(input_shape)})."
            )
        self.channels = channels
        kernel_shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.build_kernel_and_bias(kernel_shape, (self.filters,))

    def linear_part(
        self, weights: Record, x: np.ndarray
    ) -> tuple[activation_argument.Product, Pull]:
        """The convolution and its pullback."""
        where = self.conv(x.shape[1:-1], x.shape[-1], self.filters, self.groups)
        kernel, bias, options = weights[0], self.bias_of(weights), self._compute_options

        def product(activation: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            return conv_ops.forward(x, kernel, bias, where, activation, out, options)

        def pull(dz: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dkernel = conv_ops.kernel_gradient(x, dz, where, options)
            dx = conv_ops.input_gradient(dz, kernel, where, options)
            return dx, [dkernel, *self.bias_gradients(dz)]

        return product, pull

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if self.groups > MOST_GROUPS_OF_STEPS:
            return None
        return self.steps_in_own_format(
            program,
            x,
            lambda last, activation: conv_steps.forward(
                program,
                last,
                weights[0],
                self.bias_of(weights),
                self.conv(last.shape[:-1], last.shape[-1], self.filters, self.groups),
                activation,
            ),
        )


@arguments.with_defaults(data_format="channels_last")
class Conv1D(Conv):
    """Convolve a sequence with one set of filters for all positions.

    Parameters
    ----------
    filters : int
        Filters, F.
    kernel_size, strides : int or sequence of one int
        Length of the receptive field and the step between two of them, in time steps.
    padding : str
        "valid", "same", or "causal": an output reads no later input.
    data_format : str, optional
        "channels_last" (the default, as in Keras), "channels_first", or None, which takes
        `lcfast.image_data_format()`.
    dilation_rate : int or sequence of one int
        Step between two inputs of a receptive field; more than 1 only with strides of 1.
    groups : int
        Groups of channels, each with its own filters; divides the channels and the filters.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine, **kwargs
        As in `LocallyConnected1D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Conv1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Conv1D(4, 3, padding="causal", dilation_rate=2)(np.ones((2, 10, 5))).shape
    (2, 10, 4)
    """

    spatial_dimensions = 1
    takes_causal = True


@arguments.with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class Conv2D(Conv):
    """Convolve an image with one set of filters for all positions.

    Parameters
    ----------
    filters : int
        Filters, F.
    kernel_size, strides : int or sequence of two ints
        Rows and columns of the receptive field, and the steps between two of them, in pixels.
    padding : str
        "valid" or "same".
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    dilation_rate : int or sequence of two ints
        Steps between two pixels of a receptive field; more than 1 only with strides of 1.
    groups : int
        Groups of channels, each with its own filters; divides the channels and the filters.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine, **kwargs
        As in `LocallyConnected2D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Conv2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Conv2D(4, (3, 3), strides=2)(np.ones((2, 9, 9, 3))).shape
    (2, 4, 4, 4)
    """

    spatial_dimensions = 2
