"""Conv1D and Conv2D: a local convolution whose positions share one kernel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from lcfast.layers import activating, arguments, windows
from lcfast.layers.base import Pullback
from lcfast.layers.linear import LinearLayer
from lcfast.layers.symbolic import Shape
from lcfast.layers.weights import Record
from lcfast.local_conv import ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry


@lru_cache(maxsize=256)
def shared_geometry(
    size: tuple[int, ...],
    channels: int,
    filters: int,
    kernel_size: tuple[int, ...],
    strides: tuple[int, ...],
) -> Geometry:
    """The geometry of a convolution on an input that is padded already, channels last."""
    return Geometry(size, channels, filters, kernel_size, strides, CHANNELS_LAST, shared=True)


class Convolution(LinearLayer):
    """The body that Conv1D and Conv2D share; it computes channels_last, zeros padded by a copy."""

    spatial_dimensions: ClassVar[int]

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
        self.padding = arguments.checked_padding(padding, ("valid", "same", "causal"))
        self.data_format = arguments.checked_data_format(data_format)
        self.dilation_rate = arguments.positive_ints(dilation_rate, dimensions, "dilation_rate")
        self.groups = arguments.positive_int(groups, "groups")
        missing = [
            f"{name}={value!r}"
            for name, value, supported in (
                ("padding", self.padding, self.padding != "causal"),
                ("dilation_rate", self.dilation_rate, set(self.dilation_rate) == {1}),
                ("groups", self.groups, self.groups == 1),
            )
            if not supported
        ]
        if missing:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) has {', '.join(missing)}, which "
                "lcfast does not have yet."
            )
        self.channels: int | None = None

    def build(self, input_shape: Any) -> None:
        """Make the weights: kernel (*kernel_size, channels, filters), bias (filters,)."""
        _, channels = self._split(input_shape)
        if not channels:
            raise ValueError(
                f"The channel dimension of the inputs to layer {self.name} should be defined and "
                f"positive, but the layer received the inputs shape {tuple(input_shape)}."
            )
        self.compute_output_shape(input_shape)
        self.channels = channels
        self.build_kernel_and_bias((*self.kernel_size, channels, self.filters), (self.filters,))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        size, _ = self._split(input_shape)
        sizes: Shape = tuple(
            None if n is None else windows.output_size(n, k, s, self.padding)
            for n, k, s in zip(size, self.kernel_size, self.strides, strict=True)
        )
        if any(n is not None and n <= 0 for n in sizes):
            raise ValueError(
                f"The kernel of layer {self.name}, {self.kernel_size}, does not fit into an input "
                f"of shape {tuple(input_shape)}."
            )
        if self.data_format == CHANNELS_FIRST:
            return (input_shape[0], self.filters, *sizes)
        return (input_shape[0], *sizes, self.filters)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless rank and channels are those that the layer was built for."""
        if self._split(shape)[1] != self.channels:
            raise ValueError(
                f"Layer {self.name} was built for inputs of {self.channels} channels. "
                f"Received: {tuple(shape)} ({self.data_format})."
            )
        self.compute_output_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """y[n,p,f] = activation(sum_k x[n,p,k] kernel[k,f] + bias[f])."""
        padded, geometry, _ = self._prepare(inputs)
        return activating.activated(self.activation, self.product(weights, padded, geometry), out)

    def product(self, weights: Record, x: np.ndarray, geometry: Geometry) -> activating.Product:
        """What an activation is applied to, as a function of the activation."""
        if self.data_format == CHANNELS_LAST:
            return super().product(weights, x, geometry)

        def channels_first(kernel: ops.Activation, out: np.ndarray | None) -> np.ndarray:
            z = self.forward_rows(weights, x, geometry, ops.LINEAR)
            return ops.activate(_to_channels_first(z), kernel, out, self._call)

        return channels_first

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dkernel, dbias])."""
        padded, geometry, inside = self._prepare(inputs)
        product = self.product(weights, padded, geometry)
        y, pull = activating.linearized(self.activation, product, self._call)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dz = pull(dy)
            if self.data_format == CHANNELS_LAST:
                dx, gradients = self.pull_rows(weights, padded, dz, geometry)
                return dx[inside], gradients
            dx, gradients = self.pull_rows(weights, padded, _to_channels_last(dz), geometry)
            return _to_channels_first(dx[inside]), gradients

        return y, pullback

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

    def _prepare(self, inputs: np.ndarray) -> tuple[np.ndarray, Geometry, tuple[slice, ...]]:
        """The input with channels last and zeros around it, and where in it the input lies."""
        x = inputs if self.data_format == CHANNELS_LAST else _to_channels_last(inputs)
        size = x.shape[1:-1]
        around = [
            windows.pads(n, k, s, self.padding)
            for n, k, s in zip(size, self.kernel_size, self.strides, strict=True)
        ]
        inside = (
            slice(None),
            *(slice(before, before + n) for n, (before, _) in zip(size, around, strict=True)),
        )
        padded_size = tuple(n + sum(pad) for n, pad in zip(size, around, strict=True))
        if padded_size != size:
            padded = np.zeros((len(x), *padded_size, x.shape[-1]), x.dtype)
            padded[inside] = x
            x = padded
        geometry = shared_geometry(
            padded_size, x.shape[-1], self.filters, self.kernel_size, self.strides
        )
        return x, geometry, inside

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


def _to_channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _to_channels_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


@arguments.with_defaults(data_format="channels_last")
class Conv1D(Convolution):
    """Convolve a sequence with one set of filters for all positions.

    Parameters
    ----------
    filters : int
        Filters, F.
    kernel_size, strides : int or sequence of one int
        Length of the receptive field and the step between two of them, in time steps.
    padding : str
        "valid" or "same" ("causal" comes later).
    data_format : str, optional
        "channels_last" (the default, as in Keras), "channels_first", or None, which takes
        `lcfast.image_data_format()`.
    dilation_rate, groups
        1; others come later.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine, **kwargs
        As in `LocallyConnected1D`.

    Raises
    ------
    ValueError
        If an argument is not one that the layer takes.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Conv1D

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Conv1D(4, 3, padding="same")(np.ones((2, 10, 5))).shape
    (2, 10, 4)
    """

    spatial_dimensions = 1


@arguments.with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class Conv2D(Convolution):
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
    dilation_rate, groups
        1; others come later.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, \
bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, engine, **kwargs
        As in `LocallyConnected2D`.

    Raises
    ------
    ValueError
        If an argument is not one that the layer takes.

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
