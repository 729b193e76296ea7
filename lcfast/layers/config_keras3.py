"""The configs of layers that Keras 3 wrote, in the names of Keras 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What Keras 3 writes down and Keras 2 does not have, with the value that changes nothing.
_ADDED: dict[str, Any] = {
    "quantization_config": None,
    "input_axes": None,  # of an initializer
    "output_axes": None,
    "rms_scaling": False,
}
_RENAMED = {
    "InputLayer": {"batch_shape": "batch_input_shape"},
    "LeakyReLU": {"negative_slope": "alpha"},
}
# What is said of a property that is switched off, or of speed alone.
_VOID = {
    "BatchNormalization": ("renorm_clipping", "renorm_momentum"),
    "LSTM": ("use_cudnn", "seed"),
    "GRU": ("use_cudnn", "seed"),
    "SimpleRNN": ("seed",),
    "ZeroPadding1D": ("data_format",),
}
_POLICIES = ("DTypePolicy", "Policy")
_COMPUTED_IN = ("float32", "float64")


def in_keras_2(class_name: str, config: Mapping[str, Any], is_keras_3: bool) -> dict[str, Any]:
    """Return the config of a layer, or of what it is configured with, in Keras 2's names.

    Parameters
    ----------
    class_name : str
        Of the layer, initializer, regularizer, ...
    config : dict
        Of any version of Keras; what is in Keras 2's names already stays as it is.
    is_keras_3 : bool
        Whether Keras 3 wrote it, in which hard_sigmoid is another function.

    Returns
    -------
    dict
        A new one.

    Raises
    ------
    ValueError
        If an argument is there in both names, the numbers are neither float32 nor float64, or
        an activation means something else in Keras 2.

    Examples
    --------
    >>> in_keras_2("InputLayer", {"batch_shape": [None, 3], "dtype": "float32"}, True)
    {'batch_input_shape': [None, 3], 'dtype': 'float32'}
    """
    renamed = _RENAMED.get(class_name, {})
    void: tuple[str, ...] = _VOID.get(class_name, ())
    if class_name == "BatchNormalization" and config.get("renorm"):
        void = ()
    if class_name == "ZeroPadding1D" and config.get("data_format") == "channels_first":
        void = ()
    translated: dict[str, Any] = {}
    for name, value in config.items():
        if name in void or (name in _ADDED and value == _ADDED[name]):
            continue
        new = renamed.get(name, name)
        if new != name and new in config:
            raise ValueError(f"The config gives `{new}` twice, as `{name}` too.")
        if name == "dtype":
            _check_policy(value)
        if is_keras_3 and name.endswith("activation"):
            _check_activation(name, value)
        translated[new] = _inner_in_keras_2(value, is_keras_3)
    return translated


def _inner_in_keras_2(value: Any, is_keras_3: bool) -> Any:
    """What a layer is configured with: {"class_name": ..., "config": {...}}, or a plain value."""
    match value:
        case {"class_name": str(kind), "config": dict(config)}:
            return {**value, "config": in_keras_2(kind, config, is_keras_3)}
    return value


def _check_policy(dtype: Any) -> None:
    match dtype:
        case {"class_name": str(kind), "config": {"name": str(name)}}:
            if kind not in _POLICIES or name not in _COMPUTED_IN:
                raise ValueError(
                    f"The dtype policy is {name} ({kind}), which lcfast does not compute in; set "
                    "it to float32 in Keras, give that model the weights and save it again."
                )


def _check_activation(name: str, value: Any) -> None:
    named = value.get("config") if isinstance(value, Mapping) else value
    if named == "hard_sigmoid":
        raise ValueError(
            f"The `{name}` is hard_sigmoid, which is clip(x / 6 + 0.5, 0, 1) in Keras 3, but "
            "clip(0.2 * x + 0.5, 0, 1) in Keras 2 and in lcfast; train with another activation."
        )
