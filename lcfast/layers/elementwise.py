"""Element-wise layers: Activation, Masking, ActivityRegularization."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcfast.layers import activation_argument
from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.weights import Record
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import regularizers


class Activation(Layer):
    """An activation function as a layer.

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
        self.activation = activation_argument.resolve(activation, self)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the input lacks the axis of the activation."""
        self.activation.check_input_shape(shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = activation(x)."""
        return activation_argument.activated(self.activation, self._product(inputs), out)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return activation_argument.record_steps(
            self.activation, program, lambda activation: program.activated(x, activation)
        )

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        y, pull = activation_argument.linearized(self.activation, self._product(inputs))
        return y, lambda dy: (pull(dy), [])

    def _product(self, inputs: np.ndarray) -> activation_argument.Product:
        return lambda kernel, out: ops.activate(inputs, kernel, out)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "activation": activation_argument.serialize(self.activation),
        }


class Masking(Layer):
    """The input, with every step whose values all equal `mask_value` set to 0.

    Keras also passes a mask to later layers.  lcfast does not support masks: it refuses to create
    a model in which a later layer would use the mask.

    Parameters
    ----------
    mask_value : float
        The value that marks a masked step.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `mask_value` is not a number.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Masking

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Masking(9.0)(np.array([[[9.0, 9.0], [9.0, 1.0]]]))
    array([[[0., 0.],
            [9., 1.]]], dtype=float32)
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = arguments.number(mask_value, "mask_value")

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless there is an axis besides the batch."""
        if len(shape) < 2:
            raise ValueError(
                f"Layer {self.name} (Masking) needs an input of 2 or more dimensions. "
                f"Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x, or 0 where a whole step is the mask value."""
        y: np.ndarray = inputs * self._mask(inputs)
        return y

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        mask = self._mask(inputs)
        return inputs * mask, lambda dy: (dy * mask, [])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "mask_value": self.mask_value}

    def _mask(self, inputs: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # too large for float32: infinity
            value = inputs.dtype.type(self.mask_value)
        mask: np.ndarray = (inputs != value).any(axis=-1, keepdims=True)
        return mask.astype(inputs.dtype)


class ActivityRegularization(Layer):
    """The identity, with a penalty on the input in `losses`.

    Parameters
    ----------
    l1, l2 : float
        Factors of the absolute values and of the squares.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If a factor is not a number.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/ActivityRegularization

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> layer = lcfast.ActivityRegularization(l1=0.5)
    >>> layer(np.array([[1.0, 3.0]]))
    array([[1., 3.]], dtype=float32)
    >>> layer.losses
    [2.0]
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        self.l1 = arguments.number(l1, "l1")
        self.l2 = arguments.number(l2, "l2")
        super().__init__(activity_regularizer=regularizers.L1L2(l1=self.l1, l2=self.l2), **kwargs)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x."""
        return inputs  # type: ignore[no-any-return]

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return x  # type: ignore[no-any-return]

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        return inputs, lambda dy: (dy, [])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "l1": self.l1, "l2": self.l2}
