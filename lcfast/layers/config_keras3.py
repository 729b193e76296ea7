"""Translate the configs of layers from Keras 3 to Keras 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Arguments that only Keras 3 has, with the value that has no effect.
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
# Arguments without effect on the result: of a feature that is off, or of speed.
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
    """Return the config of a layer, initializer, ... with Keras 2's argument names.

    Parameters
    ----------
    class_name : str
        Class of the layer, initializer, regularizer, ...
    config : dict
        The config from any version of Keras; Keras 2 names stay as they are.
    is_keras_3 : bool
        Whether Keras 3 wrote the config; its hard_sigmoid is a different function.

    Returns
    -------
    dict
        A new dict.

    Raises
    ------
    ValueError
        If an argument is given under both names, the dtype is neither float32 nor float64, or
        an activation is a different function in Keras 2.

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
            raise ValueError(
                f"The config has both `{new}` and Keras 3's name `{name}`; remove one."
            )
        if name == "dtype":
            _check_policy(value)
        if is_keras_3 and name.endswith("activation"):
            _check_activation(name, value)
        translated[new] = _inner_in_keras_2(value, is_keras_3)
    return translated


def _inner_in_keras_2(value: Any, is_keras_3: bool) -> Any:
    """Translate a nested {"class_name": ..., "config": {...}}; plain values stay."""
    match value:
        case {"class_name": str(kind), "config": dict(config)}:
            return {**value, "config": in_keras_2(kind, config, is_keras_3)}
    return value


def _check_policy(dtype: Any) -> None:
    match dtype:
        case {"class_name": str(kind), "config": {"name": str(name)}}:
            if kind not in _POLICIES or name not in _COMPUTED_IN:
                raise ValueError(
                    f"The dtype policy is {name} ({kind}); lcfast supports float32 and float64. "
                    "Build the model in Keras with float32, set the weights and save it again."
                )


def _check_activation(name: str, value: Any) -> None:
    named = value.get("config") if isinstance(value, Mapping) else value
    if named == "hard_sigmoid":
        raise ValueError(
            f"The `{name}` is hard_sigmoid, which is clip(x / 6 + 0.5, 0, 1) in Keras 3, but "
            "clip(0.2 * x + 0.5, 0, 1) in Keras 2 and in lcfast; train with another activation."
        )
