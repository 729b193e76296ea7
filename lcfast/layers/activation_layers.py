"""Activation layers with parameters: ReLU, LeakyReLU, PReLU and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lcfast.layers.core import arguments
from lcfast.layers.core.layer import Layer, Pullback
from lcfast.layers.core.weights import Record, WeightSlot
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import constraints, initializers, regularizers
from lcfast.vocabulary.activations import as_rows, leaky, rectified, rectified_slope


def rounded(value: Any, name: str, dtype: str, least: float = -np.inf) -> float:
    """A parameter rounded to the layer's dtype, as Keras writes it."""
    with np.errstate(over="ignore"):
        return float(np.dtype(dtype).type(arguments.number(value, name, least)))


class KernelActivation(Layer):
    """Base class of layers that apply an activation of the kernels, with a parameter."""

    kernel: ops.Activation

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = activation(x)."""
        return ops.activate(inputs, self.kernel, out)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        return program.activated(x, self.kernel)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        y = ops.activate(inputs, self.kernel)
        value = inputs if self.kernel.gradient_from_input else y
        return y, lambda dy: (ops.activation_gradient(value, dy, self.kernel), [])


class ReLU(Layer):
    """max_value above it, x above the threshold, negative_slope * (x - threshold) below.

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
        If a number is negative or not a number.

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
        """Y = x > threshold ? min(x, max_value) : negative_slope * (x - threshold)."""
        return rectified(inputs, self.negative_slope, self.max_value, self.threshold)

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        if self.max_value is not None or self.threshold != 0:
            return None
        return program.activated(x, leaky(self.negative_slope))

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            slope = rectified_slope(inputs, self.negative_slope, self.max_value, self.threshold)
            return dy * slope, []

        return self.forward(weights, inputs), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(KernelActivation):
    """x where it is positive, alpha * x where it is not.

    Parameters
    ----------
    alpha : float
        Slope below 0; 0.3 by default (the activation "leaky_relu" has 0.2).
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `alpha` is not a number.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/LeakyReLU

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.LeakyReLU(0.5)(np.array([[-1.0, 2.0]]))
    array([[-0.5,  2. ]], dtype=float32)
    """

    def __init__(self, alpha: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = rounded(alpha, "alpha", self.dtype)
        self.kernel = leaky(self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "alpha": self.alpha}


class ELU(KernelActivation):
    """x where it is positive, alpha * (exp(x) - 1) where it is not.

    Parameters
    ----------
    alpha : float
        The output tends to -alpha as x tends to -infinity.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `alpha` is negative or not a number.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/ELU

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.ELU()(np.array([[-100.0, 2.0]]))
    array([[-1.,  2.]], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = rounded(alpha, "alpha", self.dtype, least=0)
        self.kernel = ops.Activation("elu", self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(Layer):
    """exp(x) divided by its sum along one axis, or along several axes jointly.

    Parameters
    ----------
    axis : int or sequence of int
        The axis or axes; -1 is the last.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `axis` is not an integer or a sequence of distinct ones, or the input lacks the axis.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/Softmax

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.Softmax()(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    kernel = ops.Activation("softmax")

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        several = isinstance(axis, list | tuple)
        self._axes = [arguments.integer(item, "axis") for item in (axis if several else [axis])]
        if not self._axes:
            raise ValueError(f"The `axis` argument must name an axis. Received: {axis!r}.")
        self.axis: int | list[int] = self._axes if several else self._axes[0]

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the input has the axes, and two or more in all."""
        rank = len(shape)
        inside = all(-rank <= axis < rank for axis in self._axes)
        if rank < 2 or not inside or len({axis % rank for axis in self._axes}) < len(self._axes):
            raise ValueError(
                f"Layer {self.name} runs over axis {self.axis}, which an input of shape "
                f"{tuple(shape)} does not have."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = exp(x) / sum exp(x)."""
        rows, back = as_rows(inputs, self._axes)
        return back(ops.activate(rows, self.kernel))

    def record_steps(self, program: ProgramBuilder, weights: Record, x: Any) -> Value | None:
        """Record the steps of `forward`."""
        rank = len(x.shape) + 1
        return program.activated(x, self.kernel) if self._axes in ([-1], [rank - 1]) else None

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        rows, back = as_rows(inputs, self._axes)
        y = ops.activate(rows, self.kernel)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            return back(ops.activation_gradient(y, as_rows(dy, self._axes)[0], self.kernel)), []

        return back(y), pullback

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "axis": self.axis}


class ThresholdedReLU(Layer):
    """x where it is above theta, 0 where it is not.

    Parameters
    ----------
    theta : float
        The threshold.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size.

    Raises
    ------
    ValueError
        If `theta` is negative or not a number.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/ThresholdedReLU

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.ThresholdedReLU()(np.array([[1.0, 2.0]]))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = rounded(theta, "theta", self.dtype, least=0)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x > theta ? x : 0."""
        return rectified(inputs, 0, None, self.theta)

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [])."""
        slope = rectified_slope(inputs, 0, None, self.theta)
        return self.forward(weights, inputs), lambda dy: (dy * slope, [])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {**super().get_config(), "theta": self.theta}


class PReLU(Layer):
    """x where it is positive, alpha * x where it is not; alpha is a weight per element of a row.

    Parameters
    ----------
    alpha_initializer, alpha_regularizer, alpha_constraint
        As in Keras.
    shared_axes : int or sequence of int, optional
        Axes along which alpha is shared; the batch is axis 0.
    **kwargs
        name, dtype, trainable, input_shape, batch_input_shape, batch_size, weights.

    Raises
    ------
    ValueError
        If an argument is invalid.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/layers/PReLU

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> lcfast.PReLU(alpha_initializer="ones", shared_axes=[1])(-np.ones((1, 3, 2))).shape
    (1, 3, 2)
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        several = isinstance(shared_axes, Sequence) and not isinstance(shared_axes, str)
        given = shared_axes if several else [] if shared_axes is None else [shared_axes]
        axes = [arguments.positive_int(axis, "shared_axes") for axis in given]
        self.shared_axes: list[int] | None = None if shared_axes is None else axes

    def build(self, input_shape: Any) -> None:
        """Create the weight alpha, with the shape of a row and size 1 along shared axes."""
        shape = list(arguments.checked_shape(input_shape, "input_shape"))
        for axis in self.shared_axes or ():
            if axis >= len(shape):
                raise ValueError(
                    f"Layer {self.name} shares axis {axis}, which an input of shape "
                    f"{tuple(shape)} does not have."
                )
            shape[axis] = 1
        sizes = tuple(size for size in shape[1:] if size is not None)
        if len(sizes) < len(shape) - 1:
            raise ValueError(
                f"Layer {self.name} needs every size of its input except the batch and the "
                f"shared axes. Received: {tuple(input_shape)}."
            )
        self.finish_build([WeightSlot("alpha", sizes, self.alpha_initializer, True)])

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError unless the input has the shape of alpha, except along shared axes."""
        sizes = self.weight_shapes()[0]
        shared = self.shared_axes or ()
        fits = len(shape) == len(sizes) + 1 and all(
            axis in shared or size == sizes[axis - 1] for axis, size in enumerate(shape) if axis
        )
        if not fits:
            raise ValueError(
                f"Layer {self.name} was built for inputs with alpha of shape {sizes}. "
                f"Received: {tuple(shape)}."
            )

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Y = x < 0 ? alpha * x : x."""
        y: np.ndarray = np.where(inputs < 0, weights[0] * inputs, inputs)
        return y

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """The output, and the function (dy) -> (dx, [dalpha])."""

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
            # The gradient at 0 is 0, as in Keras.
            slope = np.where(inputs < 0, weights[0], (inputs > 0).astype(inputs.dtype))
            return dy * slope, [self._sum_where_shared(dy * np.minimum(inputs, 0))]

        return self.forward(weights, inputs), pullback

    def _sum_where_shared(self, values: np.ndarray) -> np.ndarray:
        """The sum over the batch and the shared axes, in ascending order, for each alpha."""
        shared = sorted({0, *(self.shared_axes or ())})
        rows = np.moveaxis(values, shared, range(len(shared)))
        count = int(np.prod(rows.shape[: len(shared)]))
        kept = rows.shape[len(shared) :]
        total = ops.sum_rows(rows.reshape(count, int(np.prod(kept))))
        return total.reshape(self.weight_shapes()[0])

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it."""
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }
