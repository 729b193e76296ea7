"""Fold BatchNormalization into the linear layer before it, for scoring.

    y = (W x + b - mean) r gamma + beta  =  (r gamma W) x + ((b - mean) r gamma + beta)

with r = (variance + epsilon)**-0.5, computed in float64 and rounded once.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from lcfast.layers import (
    BatchNormalization,
    Conv1D,
    Conv2D,
    Dense,
    Layer,
    LocallyConnected1D,
    LocallyConnected2D,
)
from lcfast.layers.linear_base import LinearLayer
from lcfast.layers.locally_connected_base import LocallyConnected
from lcfast.local_conv.geometry import CHANNELS_FIRST
from lcfast.local_conv.sparse import SparseKernel
from lcfast.models.graph import Graph
from lcfast.models.model import Model
from lcfast.models.structure import Form

# Exactly these classes: a user's subclass may compute something else.
_LINEAR = (Conv1D, Conv2D, Dense, LocallyConnected1D, LocallyConnected2D)


class FoldedModel(Model):
    """A view of a model that scores with its BatchNormalization folded into the layers before it.

    `predict` and calls use the folded weights, which the view keeps beside those of the model. The
    layers and weights of both are the same objects: `set_weights` of either changes both, and
    `get_weights`, `save`, `vjp`, `summary` and `losses` are those of the model. Folding changes
    results by rounding errors only; they are bit-identical for any batch size and number of
    threads. Layers that are added to the model later are not part of the view.

    Parameters
    ----------
    original : Model
        The model, built.

    Attributes
    ----------
    original : Model
        The model itself.
    folds : tuple of (str, str)
        The names of the folded layers: (linear layer, BatchNormalization).

    See Also
    --------
    folded : creates the view.
    """

    def __init__(self, original: Model) -> None:
        super().__init__(original.inputs, original.outputs, original.name, original.trainable)
        self._takes_list, self._gives_list = original._takes_list, original._gives_list
        self.original = original
        graph = self.graph_of_layers()
        self._pairs = foldable_pairs(graph)
        self.folds = tuple((graph.layers[i].name, graph.layers[j].name) for i, j in self._pairs)
        self._folded_graph = _folded_graph(graph, self._pairs)
        # (records of the pairs, folded records), in one tuple: no thread may see a mixture.
        self._last: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None

    quick_key = "quick folded"

    def scoring_graph(self, record: Any) -> tuple[Graph, Any]:
        """The graph without the normalizations, and the records of its layers."""
        return self._folded_graph, self._folded_record(record)

    def forward(self, weights: Any, inputs: Any, training: bool = False, out: Any = None) -> Any:
        """The outputs: a list where the model was made with one."""
        if training:  # the normalization raises
            return self.original.forward(weights, inputs, training, out)
        return super().forward(weights, inputs, training, out)

    def _folded_record(self, weights: Any) -> Any:
        taken = tuple(weights[number] for pair in self._pairs for number in pair)
        last = self._last
        # Records are immutable, so the same objects contain the same numbers.
        if last is None or any(a is not b for a, b in zip(last[0], taken, strict=True)):
            layers = self.graph_of_layers().layers
            joined = (_joined(layers[i], weights[i], layers[j], weights[j]) for i, j in self._pairs)
            last = self._last = (taken, tuple(joined))
        record = list(weights)
        for (linear, _), joined_record in zip(self._pairs, last[1], strict=True):
            record[linear] = joined_record
        return record

    @property
    def layers(self) -> list[Layer]:
        """The layers of the original model."""
        return self.original.layers

    @property
    def class_name_in_files(self) -> str | None:
        """The class of the original model, which is saved."""
        return self.original.class_name_in_files

    def config_in(self, form: Form) -> dict[str, Any]:
        """The configuration of the original model."""
        return self.original.config_in(form)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a view of a copy of the model."""
        return FoldedModel(copy.deepcopy(self.original, memo))


def folded(model: Model) -> FoldedModel:
    """Return a view of a model that scores with BatchNormalization folded where possible.

    It is possible directly after a LocallyConnected, Conv or Dense layer that has no activation
    and whose output is not used elsewhere. The axis of the normalization must be the channels;
    after LocallyConnected it may be any axis.

    Parameters
    ----------
    model : Model
        The model, built.

    Returns
    -------
    FoldedModel
        `folds` lists the folded layers.

    Examples
    --------
    >>> import lcfast
    >>> layers = [lcfast.Dense(2, input_shape=(3,), name="a"), lcfast.BatchNormalization(name="b")]
    >>> model = folded(lcfast.Sequential(layers))
    >>> model.folds
    (('a', 'b'),)
    >>> len(model.get_weights())
    6
    """
    return FoldedModel(model)


def foldable_pairs(graph: Graph) -> list[tuple[int, int]]:
    """(index of the linear layer, index of the normalization) of each pair to be folded."""
    calls_of = Counter(step.layer for step in graph.steps)
    uses_of = Counter(i for step in graph.steps for i in step.inputs) + Counter(graph.outputs)
    made_by = {step.output: step.layer for step in graph.steps}
    pairs = []
    for step in graph.steps:
        source = made_by.get(step.inputs[0])
        if source is None or uses_of[step.inputs[0]] > 1:
            continue
        linear, normalization = graph.layers[source], graph.layers[step.layer]
        once = calls_of[source] == calls_of[step.layer] == 1
        if once and _fits(linear, normalization, len(graph.values[step.output].shape)):
            pairs.append((source, step.layer))
    return pairs


def _fits(linear: Layer, normalization: Layer, rank: int) -> bool:
    if type(normalization) is not BatchNormalization or type(linear) not in _LINEAR:
        return False
    assert isinstance(linear, LinearLayer)
    plain = getattr(linear.activation, "name", None) == "linear"
    # The penalty of an output needs the output.
    penalised = linear.activity_regularizer or normalization.activity_regularizer
    if not plain or penalised or linear.dtype != normalization.dtype:
        return False
    if isinstance(linear, LocallyConnected):
        return True
    axis = normalization.axis % rank
    first = getattr(linear, "data_format", None) == CHANNELS_FIRST
    return axis == (1 if first else rank - 1)


def _folded_graph(graph: Graph, pairs: list[tuple[int, int]]) -> Graph:
    """The graph in which the linear layers compute the values of the normalizations."""
    layers = list(graph.layers)
    normalization_of = dict(pairs)
    output_of = {step.layer: step.output for step in graph.steps}
    for i, _ in pairs:
        twin: Any = copy.deepcopy(layers[i])
        twin.use_bias = True
        layers[i] = twin
    normalizations = set(normalization_of.values())
    steps = [
        replace(step, output=output_of[normalization_of[step.layer]])
        if step.layer in normalization_of
        else step
        for step in graph.steps
        if step.layer not in normalizations
    ]
    return replace(graph, layers=tuple(layers), steps=tuple(steps))


def _joined(
    linear: Any, record: Any, normalization: Any, statistics: Any
) -> tuple[Any, np.ndarray]:
    """The record of a linear layer, kernel and bias, that computes what both layers do."""
    *affine, mean, variance = (array.astype(np.float64) for array in statistics)
    factor = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        factor = factor * affine[0]
    shift = affine[-1] if normalization.center else np.zeros_like(mean)
    kernel, *biases = record
    bias = biases[0].astype(np.float64) if biases else np.zeros(())
    if not isinstance(linear, LocallyConnected):
        bias = (bias - mean) * factor + shift
        return _rounded(kernel * factor, linear), _rounded(bias, linear)
    geometry = linear.geometry
    assert geometry is not None
    axis = normalization.axis % (len(geometry.output_shape) + 1) - 1
    # One number per output, in the order of the flattened output, as in the bias.
    mean, factor, shift = (
        _along(each, axis, geometry.output_shape) for each in (mean, factor, shift)
    )
    bias = (bias.reshape(-1) - mean) * factor + shift
    bias = bias.reshape(*geometry.output_size, geometry.filters)
    return _scaled(kernel, factor, linear), _rounded(bias, linear)


def _scaled(kernel: Any, factor: np.ndarray, layer: LocallyConnected) -> Any:
    """The kernel of a LocallyConnected layer, the weights of each output scaled by its factor."""
    if isinstance(kernel, SparseKernel):
        return replace(
            kernel, numbers=_rounded(kernel.numbers * factor[kernel.pattern.rows], layer)
        )
    geometry = layer.geometry
    assert geometry is not None
    positions, _, filters = kernel.shape
    if geometry.channels_first:
        by_position = factor.reshape(filters, positions).T
    else:
        by_position = factor.reshape(positions, filters)
    return _rounded(kernel * by_position[:, None, :], layer)


def _along(array: np.ndarray, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """One number per index of an axis, broadcast to `shape` and flattened."""
    sizes = [1] * len(shape)
    sizes[axis] = -1
    return np.broadcast_to(array.reshape(sizes), shape).reshape(-1)


def _rounded(array: np.ndarray, layer: Layer) -> np.ndarray:
    """`array` in the dtype of the layer, read-only."""
    rounded = np.ascontiguousarray(array, dtype=layer.numpy_dtype)
    rounded.flags.writeable = False
    return rounded
