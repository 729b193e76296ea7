"""The `activation` argument of a layer: a name, a function or an activation layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lcfast.layers.activation_layers import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from lcfast.layers.core.layer import Layer
from lcfast.local_conv import ops
from lcfast.program.builder import ProgramBuilder
from lcfast.program.steps import Value
from lcfast.vocabulary import activations
from lcfast.vocabulary.activations import ActivationFunction, CustomActivation

AnyActivation = ActivationFunction | CustomActivation | Layer
# (activation, out) -> activation(z), for the activations that the kernels implement
Product = Callable[[ops.Activation, np.ndarray | None], np.ndarray]

ACTIVATION_LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU)
}


def resolve(identifier: Any, owner: Layer) -> AnyActivation:
    """Return the activation that `identifier` denotes for the layer `owner`.

    Raises
    ------
    ValueError
        If lcfast has no such activation, or `owner` cannot apply it.
    TypeError
        If `identifier` has a type that cannot denote an activation.
    """
    kind: Any = identifier
    config: Any = {}
    if isinstance(identifier, Mapping):
        kind, config = identifier.get("class_name"), identifier.get("config") or {}
    if isinstance(identifier, Layer):
        layer = identifier
    elif isinstance(kind, str) and kind in ACTIVATION_LAYERS and isinstance(config, Mapping):
        layer = ACTIVATION_LAYERS[kind].from_config({"dtype": owner.dtype, **config})
    else:
        return activations.get(identifier)
    kind = type(layer).__name__
    if isinstance(layer, PReLU) or kind not in ACTIVATION_LAYERS:
        raise ValueError(
            f"Layer {owner.name} cannot have a {kind} as its activation; call it as a "
            "separate layer on the output."
        )
    if layer.dtype != owner.dtype:
        raise ValueError(
            f"Layer {owner.name} computes in {owner.dtype}, but its activation, {layer.name}, in "
            f"{layer.dtype}."
        )
    return layer


def runs_over_an_axis(activation: AnyActivation) -> bool:
    """Whether an output element may depend on more than one input element."""
    if isinstance(activation, ActivationFunction):
        return activation.name in ("softmax", "log_softmax")
    return isinstance(activation, Softmax | CustomActivation)


def activated(
    activation: AnyActivation, product: Product, out: np.ndarray | None = None
) -> np.ndarray:
    """Y = activation(z), z = product(LINEAR)."""
    if isinstance(activation, ActivationFunction):
        return product(activation.kernel, out)
    z = product(ops.LINEAR, None)
    activation.check_input_shape(z.shape)
    y = activation.forward((), z) if isinstance(activation, Layer) else activation(z)
    if out is None:
        return y
    target = ops.as_output(out, y.shape, y.dtype)
    target[...] = y
    return target


def record_steps(
    activation: AnyActivation, program: ProgramBuilder, product: Callable[[ops.Activation], Value]
) -> Value | None:
    """The steps of `activated`; None for a user's function."""
    if isinstance(activation, ActivationFunction):
        return product(activation.kernel)
    if isinstance(activation, CustomActivation) or not activation._steps_fit:
        return None
    z = product(ops.LINEAR)
    activation.check_input_shape((None, *z.shape))
    return activation.record_steps(program, (), z)


def linearized(
    activation: AnyActivation, product: Product, options: ops.ComputeOptions = ops.DEFAULT_OPTIONS
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Y = activation(z), and the function dy -> dz; y is bit-identical to that of `activated`."""
    if isinstance(activation, CustomActivation):
        raise TypeError(
            f"The activation {activation.name} is a custom function, so its gradient is unknown."
        )
    if isinstance(activation, Layer):
        z = product(ops.LINEAR, None)
        activation.check_input_shape(z.shape)
        y, pullback = activation.linearize((), z)
        return y, lambda dy: pullback(dy)[0]
    kernel = activation.kernel
    if kernel.gradient_from_input:
        value = product(ops.LINEAR, None)
        y = ops.activate(value, kernel, None, options)
    else:
        value = y = product(kernel, None)
    return y, lambda dy: ops.activation_gradient(value, dy, kernel, options)


def serialize(activation: AnyActivation) -> Any:
    """Return what tf_keras writes into a config: a name, or the dict of a layer."""
    if not isinstance(activation, Layer):
        return activations.serialize(activation)
    return {
        "module": "keras.layers",
        "class_name": type(activation).__name__,
        "config": activation.get_config(),
        "registered_name": None,
    }
