"""Inputs as callers give them: put in the model's order, and converted into checked arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lcfast.local_conv import ops
from lcfast.models.structure import ModelStructure, may_fit


def in_order(model: ModelStructure, inputs: Any) -> list[Any]:
    """One value for each input of the model, each with a shape, a dtype and slices.

    A Sequential that does not know its input shape yet is built.
    """
    graph = model._graph_for(inputs)
    inputs = model._without_names(inputs)
    is_list = isinstance(inputs, list | tuple)
    several = len(graph.inputs) > 1 or (model._takes_list and is_list)
    given = inputs if several else [inputs]
    if not isinstance(given, list | tuple) or len(given) != len(graph.inputs):
        raise ValueError(
            f"Model {model.name} takes a list of {len(graph.inputs)} inputs, in the order "
            f"{', '.join(tensor.name for tensor in model.inputs)}."
        )
    values = [
        _as_sliceable(value, f"The input {tensor.name} of model {model.name}")
        for tensor, value in zip(model.inputs, given, strict=True)
    ]
    if any(value.ndim == 0 for value in values):
        raise ValueError(f"An input of model {model.name} is a number; expected a batch.")
    if len(values) > 1 and len({len(value) for value in values}) > 1:
        counts = ", ".join(str(len(value)) for value in values)
        raise ValueError(
            f"The inputs of model {model.name} have different numbers of rows: {counts}."
        )
    return values


def as_arrays(model: ModelStructure, values: Sequence[Any]) -> list[np.ndarray]:
    """The values of `in_order`, or slices of them, as arrays that the layers take."""
    arrays = []
    for tensor, value in zip(model.inputs, values, strict=True):
        what = f"The input {tensor.name} of model {model.name}"
        dtype = np.dtype(tensor.dtype)
        if dtype.kind in "iu":
            value = ops.as_array(value, None, what)
            _check_in_range(value, dtype, what)
        array = ops.as_array(value, dtype, what)
        sizes = array.shape[1:]
        if sizes != tensor.shape[1:] and not may_fit(tensor.shape[1:], sizes):
            expected = ", ".join(["batch", *map(str, tensor.shape[1:])])
            raise ValueError(f"{what} has shape {array.shape}; expected ({expected}).")
        arrays.append(array)
    return arrays


def is_sliceable(value: Any) -> bool:
    """Whether a value has a shape, a dtype and slices as an array has."""
    # What has `iloc` is of pandas, whose slices are something else.
    has_all = all(hasattr(value, name) for name in ("shape", "ndim", "dtype", "__getitem__"))
    return has_all and not hasattr(value, "iloc") and not isinstance(value, np.generic)


def _as_sliceable(value: Any, what: str) -> Any:
    if isinstance(value, np.ndarray) or is_sliceable(value):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise TypeError(f"{what} cannot be made into an array: {error}.") from None


def _check_in_range(array: np.ndarray, dtype: np.dtype, what: str) -> None:
    """Raise ValueError where a cast to integers would wrap numbers around, or make them of NaN."""
    if not array.size or np.can_cast(array.dtype, dtype):
        return
    least, most = array.min().item(), array.max().item()
    if not (least >= np.iinfo(dtype).min and most <= np.iinfo(dtype).max):
        raise ValueError(f"{what} has numbers from {least} to {most}, which {dtype} cannot hold.")
