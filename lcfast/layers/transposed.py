"""Conv1DTranspose and Conv2DTranspose: the gradient of the input of a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.convolution import conv_ops, padding_rules
from lcfast.convolution.conv_geometry import ConvGeometry
from lcfast.layers import activation_argument
from lcfast.layers.convolution_base import Convolution, Pull
from lcfast.layers.core import arguments
from lcfast.layers.core.symbolic import Shape
from lcfast.layers.core.weights import Record
from lcfast.local_conv import ops


class ConvTranspose(Convolution):
    """The shared base class of Conv1DTranspose and Conv2DTranspose.

    The transposed convolution maps the layer's output to its input.
    """

    filters: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        self.output_padding = _checked_output_padding(output_padding, self.spatial_dimensions)
        if self.output_padding is not None and any(
            more >= stride for more, stride in zip(self.output_padding, self.strides, strict=True)
        ):
            raise ValueError(
                "Strides must be greater than output padding. Received "
                f"strides={self.strides}, output_padding={self.output_padding}."
            )

    def build(self, input_shape: Any) -> None:
        """Make the weights: kernel (*kernel_size, filters, channels), bias (filters,)."""
        self.channels = self.checked_channels(input_shape)
        kernel_shape = (*self.kernel_size, self.filters, self.channels)
        self.build_kernel_and_bias(kernel_shape, (self.filters,))

    def output_size(self, size: Shape) -> Shape:
        """Positions of the output along each spatial dimension; None is unknown.

        Raises
        ------
        ValueError
            If no convolution maps such an output to an input of that size.
        """
        more = self.output_padding or (None,) * len(size)
        output: Shape = tuple(
            None if n is None else padding_rules.transposed_size(n, k, s, self.padding, p, d)
            for n, k, s, p, d in zip(
                size, self.kernel_size, self.strides, more, self.dilation_rate, strict=True
            )
        )
        if any(
            after is not None and (after <= 0 or before != before_again)
            for before, after, before_again in zip(
                size, output, super().output_size(output), strict=True
            )
        ):
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) has output_padding "
                f"{self.output_padding}, which gives output size {output} for input size {size}; "
                f"no convolution with padding {self.padding!r} and strides {self.strides} "
                "maps that back. Omit `output_padding`, or change it."
            )
        return output

    def linear_part(
        self, weights: Record, x: np.ndarray
    ) -> tuple[activation_argument.Product, Pull]:
        """The transposed convolution, and its pullback, which is a convolution."""
        where = self._transposed_geometry(x)
        kernel, bias, options = weights[0], self.bias_of(weights), self._compute_options

        def product(activation: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            z = conv_ops.input_gradient(x, kernel, where, options)
            if bias is not None:
                z += bias
            return z if activation == ops.LINEAR else ops.activate(z, activation, z, options)

        def pull(dz: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dkernel = conv_ops.kernel_gradient(dz, x, where, options)
            dx = conv_ops.forward(dz, kernel, None, where, options=options)
            return dx, [dkernel, *self.bias_gradients(dz)]

        return product, pull

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "output_padding": self.output_padding}

    def _transposed_geometry(self, x: np.ndarray) -> ConvGeometry:
        size = tuple(n or 0 for n in self.output_size(x.shape[1:-1]))
        return self.conv(size, self.filters, x.shape[-1], 1)


def _checked_output_padding(value: Any, dimensions: int) -> tuple[int, ...] | None:
    """None, or one integer >= 0 for each dimension."""
    if value is None:
        return None
    alone = arguments.as_integer(value)
    items: list[int | None] = [alone] * dimensions
    if alone is None:
        try:
            items = [arguments.as_integer(item) for item in value]
        except TypeError:
            items = []
    checked = tuple(item for item in items if item is not None and item >= 0)
    if isinstance(value, str | bytes) or not len(items) == len(checked) == dimensions:
        wanted = "one integer" if dimensions == 1 else f"one integer or {dimensions} integers"
        raise ValueError(
            f"The `output_padding` argument must be None or {wanted}, each at least 0. "
            f"Received: {value!r}."
        )
    return checked


class Conv1DTranspose(ConvTranspose):
    """Transposed convolution of a sequence.

    Parameters
    ----------
    filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate
        As in `Conv2DTranspose`, with one dimension.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine, **kwargs
        As in `LocallyConnected1D`.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Conv1DTranspose

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Conv1DTranspose(4, 3, strides=2)(np.ones((2, 10, 5))).shape
    (2, 21, 4)
    """

    spatial_dimensions = 1


@arguments.with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class Conv2DTranspose(ConvTranspose):
    """Transposed convolution of an image.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, strides : int or sequence of two ints
        Rows and columns of the receptive field of the convolution that is transposed, and the
        steps between two of them, in pixels of the output.
    padding : str
        "valid" or "same", of that convolution.
    output_padding : int or sequence of two ints, optional
        Pixels added to the smallest output that the convolution maps to the input, less than
        the strides; None follows Keras's rule: size * stride for "same".
    data_format : str, optional
        "channels_last" or "channels_first"; None takes `lcfast.image_data_format()`.
    dilation_rate : int or sequence of two ints
        Steps between two pixels of a receptive field; more than 1 only with strides of 1.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine, **kwargs
        As in `LocallyConnected2D`.

    Raises
    ------
    ValueError
        If an argument is invalid, or no output has the size that
        `output_padding` asks for.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Conv2DTranspose

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Conv2DTranspose(4, 3, strides=2, padding="same")(np.ones((2, 5, 6, 3))).shape
    (2, 10, 12, 4)
    """

    spatial_dimensions = 2
