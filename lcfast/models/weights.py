"""The weights of a model: those of its layers, taken and replaced together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lcfast.layers import calls
from lcfast.layers.base import Layer
from lcfast.layers.weights import SWAP_LOCK, Weight, own
from lcfast.models.execution import linearize
from lcfast.models.graph import Graph


class LayersOfGraph(Layer):
    """The part of a model that holds the weights of the layers of its graph."""

    _graph: Graph | None

    if TYPE_CHECKING:  # what Model defines

        def _traced(self) -> Graph: ...

    def record(self) -> tuple[Any, ...]:
        """The records of all layers, taken together: never half of a `set_weights`."""
        with SWAP_LOCK:
            return tuple(layer.record() for layer in self._traced().layers)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the weights of all layers, in Keras's order."""
        layers = self._traced().layers
        records = zip(layers, self.record(), strict=True)
        return [own(value) for layer, record in records for value in layer.stored(record)]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights of all layers, all at once, from arrays as `get_weights()` orders them.

        Raises
        ------
        ValueError
            If their number or a shape is wrong; then nothing is changed.
        """
        values = list(weights)
        layers = self._traced().layers
        expected = sum(len(layer.weight_shapes()) for layer in layers)
        if len(values) != expected:
            raise ValueError(
                f"Model {self.name} expects {expected} weights, but {len(values)} were given."
            )
        records = []
        for layer in layers:
            count = len(layer.weight_shapes())
            records.append(layer.checked_record(values[:count]))
            values = values[count:]
        with SWAP_LOCK:
            for layer, record in zip(layers, records, strict=True):
                layer.swap_record(record)

    @property
    def weights(self) -> list[Weight]:
        """The weights of all layers, layer by layer."""
        return [weight for layer in self._traced().layers for weight in layer.weights]

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training would change, layer by layer."""
        layers = self._traced().layers if self.trainable else ()
        return [weight for layer in layers for weight in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The weights that training would leave alone, layer by layer."""
        layers = self._traced().layers
        if not self.trainable:
            return self.weights
        return [weight for layer in layers for weight in layer.non_trainable_weights]

    def sublayers(self) -> list[Any]:
        """The layers of the model; [] before it is built."""
        return list(self._graph.layers) if self._graph is not None else []

    def regularization_gradients(self, x: Any = None) -> list[np.ndarray]:
        """Return the gradients of the regularizers, to be added to those of the loss.

        Parameters
        ----------
        x : array_like, optional
            The input of the step; where it is given, activity regularizers count too.

        Returns
        -------
        list of ndarray
            In the order of `trainable_weights`, as those of `vjp` are.

        Raises
        ------
        TypeError
            If a regularizer of the user's has no method `gradient`.

        Examples
        --------
        >>> import lcfast
        >>> dense = lcfast.Dense(1, "linear", False, "ones", kernel_regularizer="l2")
        >>> model = lcfast.Sequential([lcfast.InputLayer((2,)), dense])
        >>> model.regularization_gradients()
        [array([[0.02],
               [0.02]], dtype=float32)]
        """
        graph, record = self._traced(), self.record()
        penalties = [
            layer.weight_penalties(own) for layer, own in zip(graph.layers, record, strict=True)
        ]
        if x is not None and any(layer.activity_regularizer for layer in graph.layers):
            with calls.without_losses():
                outputs, pull = linearize(graph, record, self._arrays(x))
                _, of_activity = pull([np.zeros_like(y) for y in outputs], with_activity=True)
            penalties = [
                [a + b for a, b in zip(own, more, strict=True)]
                for own, more in zip(penalties, of_activity, strict=True)
            ]
        return [penalties[number][i] for number, i in self._trainable_places()]

    def _trainable_places(self) -> list[tuple[int, int]]:
        """(number of the layer, which of its weights) of each trainable weight."""
        return [
            (number, i)
            for number, layer in enumerate(self._traced().layers)
            for i in (layer.trainable_slots() if self.trainable else [])
        ]

    def count_params(self) -> int:
        """Return how many numbers the weights hold.

        Raises
        ------
        ValueError
            If the model is not built yet.
        """
        return sum(layer.count_params() for layer in self._traced().layers)
