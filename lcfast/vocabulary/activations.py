"""Activations by their Keras name.

Each one is computed by lcfast's own polynomials in C (see local_conv/c/activation.template.c),
so that its bits depend neither on the batch nor on how numpy was built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.local_conv import ops


@dataclass(frozen=True)
class ActivationFunction:
    """An activation: callable on arrays, and known to the kernels, which apply it by themselves.

    Parameters
    ----------
    name : str
        Keras's name.
    kernel : ops.Activation
        What the kernels compute.

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.relu([-1.0, 2.0])
    array([0., 2.], dtype=float32)
    """

    name: str
    kernel: ops.Activation

    def __call__(self, x: Any) -> np.ndarray:
        """Return the activation of `x`, float64 where `x` is a float64 array, else float32."""
        wide = isinstance(x, np.ndarray | np.generic) and x.dtype == np.float64
        z = ops.as_array(x, np.dtype(np.float64 if wide else np.float32), "x")
        self.check_input_shape(z.shape)
        return ops.activate(z, self.kernel)

    @property
    def over_last_axis(self) -> bool:
        """Whether a number of the output depends on others along the last axis."""
        return self.name == "softmax"

    def check_input_shape(self, shape: Sequence[Any]) -> None:
        """Raise ValueError where softmax has no axis beside the batch to run over."""
        if self.name == "softmax" and len(shape) < 2:
            raise ValueError(f"softmax needs at least 2 axes; its input has shape {tuple(shape)}.")


linear = ActivationFunction("linear", ops.LINEAR)
relu = ActivationFunction("relu", ops.Activation("relu"))
tanh = ActivationFunction("tanh", ops.Activation("tanh"))
sigmoid = ActivationFunction("sigmoid", ops.Activation("sigmoid"))
softmax = ActivationFunction("softmax", ops.Activation("softmax"))
elu = ActivationFunction("elu", ops.Activation("elu", 1.0))
selu = ActivationFunction("selu", ops.Activation("selu"))

_BY_NAME = {f.name: f for f in (linear, relu, tanh, sigmoid, softmax, elu, selu)}


def get(identifier: Any) -> ActivationFunction:
    """Return the activation of a Keras identifier.

    Parameters
    ----------
    identifier : str, dict, ActivationFunction or None
        A name, a dict as in a model file ({"class_name": "function", "config": "relu"}), an
        activation of this module; None means linear.

    Returns
    -------
    ActivationFunction

    Raises
    ------
    ValueError
        If it is none that lcfast has.

    References
    ----------
    https://www.tensorflow.org/api_docs/python/tf/keras/activations/get

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.get("tanh").name
    'tanh'
    """
    if identifier is None:
        return linear
    if isinstance(identifier, ActivationFunction):
        return identifier
    name = identifier
    if isinstance(identifier, dict):
        name = identifier.get("config")
        if isinstance(name, dict):
            name = name.get("name", identifier.get("class_name"))
        if not isinstance(name, str):
            name = identifier.get("class_name")
    if isinstance(name, str) and name in _BY_NAME:
        return _BY_NAME[name]
    raise ValueError(
        f"The activation {identifier!r} is not one of those that lcfast has: {', '.join(_BY_NAME)}."
    )


def serialize(activation: ActivationFunction) -> str:
    """Return the name by which Keras finds the activation.

    Parameters
    ----------
    activation : ActivationFunction
        One of this module.

    Returns
    -------
    str

    Examples
    --------
    >>> import lcfast
    >>> lcfast.activations.serialize(lcfast.activations.relu)
    'relu'
    """
    return activation.name


deserialize = get
