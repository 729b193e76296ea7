"""Layers that look at each number by itself: Activation, ReLU and Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers import arguments
from lcfast.layers.base import Layer, Pullback
from lcfast.layers.weights import Record
from lcfast.local_conv import ops
from lcfast.vocabulary import activations


class Activation(Layer):
    """An activation as a layer of its own.

    Parameters
    ----------
    activation : str or dict
        Name of an activation.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If lcfast has no such activation.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Activation

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Activation("relu")(np.array([[-1.0, 2.0]]))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError where softmax has no axis beside the batch to run over."""
        self.activation.check_input_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = activation(x)."""
        return ops.activate(inputs, self.activation.kernel, out)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        y = self.forward(weights, inputs)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            return ops.activation_gradient(y, dy, self.activation.kernel), []

        return y, pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ReLU(Layer):
    """max_value above it, x from the threshold on, negative_slope * (x - threshold) below.

    Parameters
    ----------
    max_value : float, optional
        The largest output; None: no limit.
    negative_slope, threshold : float
        As above, 0 by default.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If a number is negative or is no number.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/ReLU

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.ReLU(max_value=6)(np.array([[-1.0, 2.0, 7.0]]))
    array([[0., 2., 6.]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = (
            None if max_value is None else arguments.number(max_value, "max_value", least=0)
        )
        self.negative_slope = arguments.number(negative_slope, "negative_slope", least=0)
        self.threshold = arguments.number(threshold, "threshold", least=0)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x >= threshold ? min(x, max_value) : negative_slope * (x - threshold)."""
        dtype = inputs.dtype.type
        below: Any = dtype(0)  # not -0, and not NaN of -infinity times 0
        if self.negative_slope:
            below = (inputs - dtype(self.threshold)) * dtype(self.negative_slope)
        y: np.ndarray = np.where(inputs < dtype(self.threshold), below, inputs)
        if self._limit(inputs) is not None:
            np.minimum(y, self._limit(inputs), out=y)
        return y

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            dtype = inputs.dtype.type
            slope = np.where(inputs > dtype(self.threshold), dtype(1), dtype(self.negative_slope))
            if self._limit(inputs) is not None:
                slope[inputs >= self._limit(inputs)] = 0
            return dy * slope, []

        return self.forward(weights, inputs), pullback

    def _limit(self, inputs: np.ndarray) -> Any:
        """The largest output, None where there is none or the dtype does not reach it."""
        if self.max_value is None or self.max_value > float(np.finfo(inputs.dtype).max):
            return None
        return inputs.dtype.type(self.max_value)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class Dropout(Layer):
    """The input as it is: dropout acts in training only.

    Parameters
    ----------
    rate : float
        Share that training would drop, from 0 up to 1.
    noise_shape, seed
        Kept with the layer; they matter in training only.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `rate` is no number from 0 to 1, or where the layer is called with training=True.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Dropout

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Dropout(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = arguments.number(rate, "rate", least=0)
        if self.rate > 1:
            raise ValueError(f"The `rate` argument must be from 0 to 1. Received: {rate!r}.")
        self.noise_shape = (
            None if noise_shape is None else arguments.checked_shape(noise_shape, "noise_shape")
        )
        self.seed = None if seed is None else arguments.integer(seed, "seed")

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x."""
        if training and self.rate:
            raise ValueError(
                f"Layer {self.name} was called with training=True; lcfast scores and drops nothing."
            )
        return inputs  # type: ignore[no-any-return]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            return dy, []

        return inputs, pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }
