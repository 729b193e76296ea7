"""LocallyConnected1D and LocallyConnected2D: convolutions whose filters are not shared.

The two classes differ in the number of spatial dimensions alone, and share one body.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lcfast.layers import arguments
from lcfast.layers.base import Pullback
from lcfast.layers.linear import LinearLayer
from lcfast.layers.symbolic import Shape
from lcfast.layers.weights import Record
from lcfast.local_conv import layouts
from lcfast.local_conv.geometry import CHANNELS_FIRST, Geometry, valid_output_size


class LocallyConnected(LinearLayer):
    """The body that LocallyConnected1D and LocallyConnected2D share."""

    spatial_dimensions: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        engine: str | None = None,
        **kwargs: Any,
    ) -> None:
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
        dimensions = self.spatial_dimensions
        self.filters = arguments.positive_int(filters, "filters")
        self.kernel_size = arguments.positive_ints(kernel_size, dimensions, "kernel_size")
        self.strides = arguments.positive_ints(strides, dimensions, "strides")
        self.padding = arguments.checked_padding(padding)
        if self.padding != "valid" and implementation == 1:
            raise ValueError(
                f"Invalid border mode for {type(self).__name__} "
                f'(only "valid" is supported if implementation is 1): {padding}'
            )
        self.data_format = arguments.checked_data_format(data_format)
        # Any other value is Keras's to refuse, in `build`.
        number = arguments.as_integer(implementation)
        self.implementation: Any = implementation if number is None else number
        self.geometry: Geometry | None = None

    def build(self, input_shape: Any) -> None:
        """Make the weights for an input of this shape.

        Parameters
        ----------
        input_shape : tuple of int or None
            The batch (None where it is not fixed), then the sizes of `data_format`.

        Raises
        ------
        ValueError
            If the rank is wrong, a size is unknown, the kernel does not fit into the input, or
            the implementation is none of Keras's or is not there yet.
        """
        if self.implementation not in (1, 2, 3) or isinstance(self.implementation, bool):
            raise ValueError(f"Unrecognized implementation mode: {self.implementation}.")
        if self.implementation != 1:
            raise ValueError(
                f"Layer {self.name} has implementation={self.implementation}, which lcfast does "
                "not have yet; implementation=1 computes the same from other weights."
            )
        size, channels = self._checked_sizes(input_shape)
        self.geometry = Geometry(
            size, channels, self.filters, self.kernel_size, self.strides, self.data_format
        )
        self._check_output_size(self.geometry.output_size, input_shape)
        self.build_kernel_and_bias(
            layouts.stored_kernel_shape(self.geometry), layouts.stored_bias_shape(self.geometry)
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        size, _ = self._split(input_shape)
        output_size: Shape = tuple(
            None if n is None else valid_output_size(n, k, s)
            for n, k, s in zip(size, self.kernel_size, self.strides, strict=True)
        )
        self._check_output_size(output_size, input_shape)
        return self._join(input_shape[0], output_size)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless `shape` is the one that the layer was built for."""
        assert self.geometry is not None
        if tuple(shape[1:]) != self.geometry.input_shape:
            expected = ", ".join(["batch", *map(str, self.geometry.input_shape)])
            raise ValueError(
                f"Layer {self.name} was built for inputs of shape ({expected}). "
                f"Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,p,f] = activation(sum_k x[n,p,k] kernel[p,k,f] + bias[p,f])."""
        assert self.geometry is not None
        return self.activated_rows(weights, inputs, self.geometry, out)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dkernel, dbias])."""
        assert self.geometry is not None
        return self.linearize_rows(weights, inputs, self.geometry)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            **self.linear_config(),
            "implementation": self.implementation,
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

    def _join(self, batch: int | None, size: Shape) -> Shape:
        if self.data_format == CHANNELS_FIRST:
            return (batch, self.filters, *size)
        return (batch, *size, self.filters)

    def _checked_sizes(self, input_shape: Any) -> tuple[tuple[int, ...], int]:
        size, channels = self._split(input_shape)
        if None in size:
            raise ValueError(
                f"The spatial dimensions of the inputs to a {type(self).__name__} layer should "
                f"be fully-defined, but layer {self.name} received the inputs shape "
                f"{tuple(input_shape)}."
            )
        if not channels:
            raise ValueError(
                f"The channel dimension of the inputs to layer {self.name} should be defined and "
                f"positive, but the layer received the inputs shape {tuple(input_shape)}."
            )
        return tuple(n for n in size if n is not None), channels

    def _check_output_size(self, output_size: Shape, input_shape: Any) -> None:
        if any(n is not None and n <= 0 for n in output_size):
            raise ValueError(
                "One of the dimensions in the output is <= 0 due to downsampling in "
                f"{self.name}. Consider increasing the input size. Received input shape "
                f"{tuple(input_shape)} which would produce output shape with a zero or negative "
                "value in a dimension."
            )


class LocallyConnected1D(LocallyConnected):
    """Convolve a sequence with filters that are not shared between positions.

    Parameters
    ----------
    filters : int
        Filters at each position, F.
    kernel_size, strides : int or sequence of one int
        Length of the receptive field and the step between two of them, in time steps.
    padding : str
        "valid".
    data_format : str, optional
        "channels_last" (batch, steps, channels) or "channels_first" (batch, channels, steps);
        None takes `lcfast.image_data_format()`.
    activation : str, dict, callable or Layer, optional
        Name of an activation, a function of an array, or an activation layer without weights,
        such as LeakyReLU; None is linear.
    use_bias : bool
        Whether a bias is added.
    kernel_initializer, bias_initializer : str, dict or callable
        First values of the weights.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or callable, optional
        Kept with the layer; scoring does not depend on them.
    kernel_constraint, bias_constraint : str, dict or callable, optional
        Likewise.
    implementation : int
        1: kernel of shape (output steps, kernel_size * channels, F). Keras's 2 and 3 come later.
    engine : str, optional
        "direct" (the default) or "reference", the naive loops; never part of the config.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights, dynamic.

    Raises
    ------
    ValueError
        If an argument is not one that the layer takes.

    References
    ----------
    https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/keras/layers/LocallyConnected1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> layer = lcfast.LocallyConnected1D(64, 3)
    >>> layer(np.ones((2, 10, 32))).shape
    (2, 8, 64)
    """

    spatial_dimensions = 1


@arguments.with_defaults(strides=(1, 1))
class LocallyConnected2D(LocallyConnected):
    """Convolve an image with filters that are not shared between positions.

    Parameters
    ----------
    filters : int
        Filters at each position, F.
    kernel_size, strides : int or sequence of two ints
        Rows and columns of the receptive field, and the steps between two of them, in pixels.
    padding : str
        "valid".
    data_format : str, optional
        "channels_last" (batch, rows, columns, channels) or "channels_first" (batch, channels,
        rows, columns); None takes `lcfast.image_data_format()`.
    activation : str, dict, callable or Layer, optional
        Name of an activation, a function of an array, or an activation layer without weights,
        such as LeakyReLU; None is linear.
    use_bias : bool
        Whether a bias is added.
    kernel_initializer, bias_initializer : str, dict or callable
        First values of the weights.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or callable, optional
        Kept with the layer; scoring does not depend on them.
    kernel_constraint, bias_constraint : str, dict or callable, optional
        Likewise.
    implementation : int
        1: kernel of shape (output rows * columns, kernel rows * columns * channels, F). Keras's
        2 and 3 come later.
    engine : str, optional
        "direct" (the default) or "reference", the naive loops; never part of the config.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights, dynamic.

    Raises
    ------
    ValueError
        If an argument is not one that the layer takes.

    References
    ----------
    https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/keras/layers/LocallyConnected2D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> layer = lcfast.LocallyConnected2D(64, (3, 3), activation="relu")
    >>> layer(np.ones((2, 32, 32, 3))).shape
    (2, 30, 30, 64)
    >>> layer.count_params()
    1612800
    """

    spatial_dimensions = 2
