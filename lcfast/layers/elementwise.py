"""Activation and Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers import activating, arguments
from lcfast.layers.base import Layer, Pullback
from lcfast.layers.weights import Record
from lcfast.local_conv import ops


class Activation(Layer):
    """An activation as a layer of its own.

    Parameters
    ----------
    activation : str, dict, callable or Layer
        As in `LocallyConnected1D`.
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
        self.activation = activating.resolve(activation, self)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError where the activation has no axis to run over."""
        self.activation.check_input_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = activation(x)."""
        return activating.activated(self.activation, self._product(inputs), out)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        y, pull = activating.linearized(self.activation, self._product(inputs))
        return y, lambda dy: (pull(dy), [])

    def _product(self, inputs: np.ndarray) -> activating.Product:
        return lambda kernel, out: ops.activate(inputs, kernel, out)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "activation": activating.serialize(self.activation)}


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
