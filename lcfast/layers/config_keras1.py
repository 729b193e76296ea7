"""Translate the configs of locally connected layers from Keras 1 to Keras 2."""

from __future__ import annotations

from typing import Any

from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST

_RENAMED = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample_length": "strides",
    "subsample": "strides",
    "border_mode": "padding",
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
    "dim_ordering": "data_format",
    "input_dtype": "dtype",
}
_DATA_FORMATS = {"tf": CHANNELS_LAST, "th": CHANNELS_FIRST, "default": None}
_OF_SHAPE = ("input_dim", "input_length")


def in_keras_2(config: dict[str, Any], dimensions: int) -> dict[str, Any]:
    """Return a config with Keras 2's argument names; Keras 2 configs stay as they are.

    Parameters
    ----------
    config : dict
        The config of a LocallyConnected1D or LocallyConnected2D from any version of Keras.
    dimensions : int
        1 or 2. In Keras 1 and in TensorFlow before 1.13, a LocallyConnected1D without
        `data_format` is channels_last, whatever keras.json says.

    Returns
    -------
    dict
        A new dict.

    Raises
    ------
    ValueError
        If an argument is given under both names, or `dim_ordering` is unknown.
    """
    translated: dict[str, Any] = {}
    for old, value in config.items():
        if old in ("nb_row", "nb_col") or old in _OF_SHAPE:
            continue
        new = _RENAMED.get(old, old)
        if new in translated or (new != old and new in config):
            raise ValueError(f"The config has both `{new}` and its old name `{old}`; remove one.")
        translated[new] = _data_format(value) if old == "dim_ordering" else value
    if "nb_row" in config or "nb_col" in config:
        if "kernel_size" in translated:
            raise ValueError(
                "The config has both `kernel_size` and `nb_row`, `nb_col`; remove one."
            )
        translated["kernel_size"] = (config.get("nb_row"), config.get("nb_col"))
    if any(config.get(name) is not None for name in _OF_SHAPE):
        shape = (config.get("input_length"), config.get("input_dim"))
        translated.setdefault("batch_input_shape", (None, *shape))
    if dimensions == 1:
        translated.setdefault("data_format", CHANNELS_LAST)
    return translated


def _data_format(ordering: Any) -> str | None:
    if not isinstance(ordering, str) or ordering not in _DATA_FORMATS:
        raise ValueError(f"The `dim_ordering` must be tf, th or default. Received: {ordering!r}.")
    return _DATA_FORMATS[ordering]
