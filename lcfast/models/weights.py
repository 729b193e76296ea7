"""The weights of a model: those of its layers, read and replaced together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lcfast.layers.core import call_state
from lcfast.layers.core.tracking import Composite, WeightRef
from lcfast.layers.core.weights import SWAP_LOCK, Weight
from lcfast.models.execution import linearize
from lcfast.models.graph import Graph, LayerWithGraph


class LayersOfGraph(LayerWithGraph):
    """The part of a model that holds the weights of the layers of its graph."""

    _graph: Graph | None

    def record(self) -> tuple[Any, ...]:
        """The records of all layers, taken atomically with respect to `set_weights`."""
        with SWAP_LOCK:
            return tuple(layer.record() for layer in self.graph_of_layers().layers)

    def records_of(self, record: Any) -> dict[Any, Any]:
        """The own records of the model and of all its layers, for a `call` of a subclass."""
        if isinstance(record, Composite):
            return dict(record.of)
        records = {self: record}
        for layer, part in zip(self.graph_of_layers().layers, record, strict=True):
            records.update(layer.records_of(part))
        return records

    def stored(self, record: Any) -> Sequence[np.ndarray]:
        """The arrays of `get_weights()` in a record, read-only."""
        arrays: dict[WeightRef, np.ndarray] = {}
        for layer, part in zip(self.graph_of_layers().layers, record, strict=True):
            arrays.update(zip(layer.weight_refs(), layer.stored(part), strict=True))
        return [arrays[ref] for ref in self.weight_refs()]

    def checked_record(self, weights: Sequence[Any], copy: bool = True) -> Any:
        """Return the record that `set_weights` swaps in, or raise its errors."""
        layers, refs, values = self.graph_of_layers().layers, self.weight_refs(), list(weights)
        if len(values) != len(refs):
            raise ValueError(
                f"Model {self.name} expects {len(refs)} weights, but {len(values)} were given."
            )
        given = dict(zip(refs, values, strict=True))
        holders = dict.fromkeys(part for layer in layers for part in layer.flat_layers())
        return Composite(
            {
                layer: layer.own_checked_record(
                    [given[layer, i] for i in range(len(layer._slots))], copy
                )
                for layer in holders
            }
        )

    def weight_refs(self) -> list[WeightRef]:
        """The layer and index of each of `get_weights()`: layer by layer, each once."""
        layers = self.graph_of_layers().listed
        return list(dict.fromkeys(ref for layer in layers for ref in layer.weight_refs()))

    @property
    def weights(self) -> list[Weight]:
        """The weights of all layers, layer by layer."""
        return [layer.weight_of(layer._slots[i]) for layer, i in self.weight_refs()]

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training would change, layer by layer."""
        self.graph_of_layers()
        return super().trainable_weights

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training would not change, layer by layer."""
        self.graph_of_layers()
        return super().non_trainable_weights

    def sublayers(self) -> list[Any]:
        """The layers of the model; [] before it is built."""
        return list(self._graph.listed) if self._graph is not None else []

    def await_weights(self) -> None:
        """Let all layers be built without values of their weights, which come from a file."""
        for layer in self.sublayers():
            layer.await_weights()

    def initialize_weights(self) -> None:
        """Set all weights of all layers to new values from their initializers."""
        for layer in self.graph_of_layers().layers:
            layer.initialize_weights()

    def regularization_gradients(self, x: Any = None) -> list[np.ndarray]:
        """Return the gradients of the regularizers, to be added to those of the loss.

        Parameters
        ----------
        x : array_like, optional
            The input of the training step; includes activity regularizers.

        Returns
        -------
        list of ndarray
            In the order of `trainable_weights`, as the gradients of `vjp`.

        Raises
        ------
        TypeError
            If a user's regularizer has no method `gradient`, or `x` is given and a layer inside
            another layer has an activity regularizer.

        Examples
        --------
        >>> import lcfast
        >>> dense = lcfast.Dense(1, "linear", False, "ones", kernel_regularizer="l2")
        >>> model = lcfast.Sequential([lcfast.InputLayer((2,)), dense])
        >>> model.regularization_gradients()
        [array([[0.02],
               [0.02]], dtype=float32)]
        """
        graph, record = self.graph_of_layers(), self.record()
        held = [part for layer in graph.layers for part in layer.flat_layers()[1:]]
        if x is not None and any(part.activity_regularizer for part in held):
            names = ", ".join(part.name for part in held if part.activity_regularizer)
            raise TypeError(
                f"The activity_regularizer of {names}, inside another layer, has no gradient; move "
                "it to a layer of the model."
            )
        penalties: dict[WeightRef, np.ndarray] = {}
        for layer, part in zip(graph.layers, record, strict=True):
            penalties.update(zip(layer.weight_refs(), layer.weight_penalties(part), strict=True))
        if x is not None and any(layer.activity_regularizer for layer in graph.layers):
            with call_state.without_losses():
                outputs, pull = linearize(graph, record, self._arrays(x))
                _, of_activity = pull([np.zeros_like(y) for y in outputs], with_activity=True)
            for ref, gradient in self.gradients_by_ref(of_activity).items():
                penalties[ref] = penalties[ref] + gradient
        return [penalties[ref] for ref in self.split_weight_refs()[0]]

    def gradients_by_ref(
        self, of_layers: Iterable[Sequence[np.ndarray]]
    ) -> dict[WeightRef, np.ndarray]:
        """The gradient of each weight from those of all layers; summed for shared weights."""
        gradients: dict[WeightRef, np.ndarray] = {}
        for layer, of_layer in zip(self.graph_of_layers().layers, of_layers, strict=True):
            for ref, gradient in zip(layer.weight_refs(), of_layer, strict=True):
                earlier = gradients.get(ref)
                gradients[ref] = gradient if earlier is None else earlier + gradient
        return gradients

    def count_params(self) -> int:
        """Return the number of parameters.

        Raises
        ------
        ValueError
            If the model is not built yet.
        """
        return sum(weight.size for weight in self.weights)
