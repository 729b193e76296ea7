"""LocallyConnected1D and LocallyConnected2D: convolutions whose filters are not shared."""

from __future__ import annotations

from lcfast.layers.core import arguments
from lcfast.layers.locally_connected_base import LocallyConnected


class LocallyConnected1D(LocallyConnected):
    """Convolve a sequence with filters that are not shared between positions.

    Parameters
    ----------
    filters : int
        Filters at each position, F.
    kernel_size, strides : int or sequence of one int
        Length of the receptive field and the step between two of them, in time steps.
    padding : str
        "valid", or "same" with implementations 2 and 3: Keras's own rule for these layers, with
        `kernel_size // 2` zeros before the input, whatever the stride.
    data_format : str, optional
        "channels_last" (batch, steps, channels) or "channels_first" (batch, channels, steps);
        None takes `lcfast.image_data_format()`.
    activation : str, dict, callable or Layer, optional
        Name of an activation, a function of an array, or an activation layer without weights,
        such as LeakyReLU; None is linear.
    use_bias : bool
        Whether to add a bias.
    kernel_initializer, bias_initializer : str, dict or callable
        Initial values of the weights.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or callable, optional
        Penalties of the weights and the output, listed in `losses`; inference ignores them.
    kernel_constraint, bias_constraint : str, dict or callable, optional
        Projections used by `apply_constraints`; inference ignores them.
    implementation : int
        Layout of the stored weights, as in Keras.
        1: a kernel of shape (output steps, kernel_size * channels, F);
        2: a dense kernel of shape `(*input shape, *output shape)`; values without a
        connection are dropped and returned as 0;
        3: the connected weights as one vector.
    engine : str, optional
        "direct", "sparse" (CSR) or "auto"; None means direct for implementation 1, sparse for 2
        and 3.  Never part of the config.
    prune : bool
        For the sparse engine: leave out weights that are exactly zero.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights, dynamic.

    Raises
    ------
    ValueError
        If an argument is invalid.

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
        "valid", or "same" with implementations 2 and 3: Keras's own rule for these layers, with
        `kernel_size // 2` zeros before the input, whatever the stride.
    data_format : str, optional
        "channels_last" (batch, rows, columns, channels) or "channels_first" (batch, channels,
        rows, columns); None takes `lcfast.image_data_format()`.
    activation : str, dict, callable or Layer, optional
        Name of an activation, a function of an array, or an activation layer without weights,
        such as LeakyReLU; None is linear.
    use_bias : bool
        Whether to add a bias.
    kernel_initializer, bias_initializer : str, dict or callable
        Initial values of the weights.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or callable, optional
        Penalties of the weights and the output, listed in `losses`; inference ignores them.
    kernel_constraint, bias_constraint : str, dict or callable, optional
        Projections used by `apply_constraints`; inference ignores them.
    implementation : int
        Layout of the stored weights, as in Keras.
        1: a kernel of shape (output rows * columns, kernel rows *
        columns * channels, F); 2: a dense kernel of shape `(*input shape, *output
        shape)`; values without a connection are dropped and returned as 0; 3: the connected
        weights as one vector.
    engine : str, optional
        "direct", "sparse" (CSR) or "auto"; None means direct for implementation 1, sparse for 2
        and 3.  Never part of the config.
    prune : bool
        For the sparse engine: leave out weights that are exactly zero.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights, dynamic.

    Raises
    ------
    ValueError
        If an argument is invalid.

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
