"""Sequential: a model that is a chain of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lcfast.layers.core.layer import BUILD_LOCK, Layer
from lcfast.layers.core.symbolic import SymbolicTensor
from lcfast.layers.input import InputLayer
from lcfast.models import configs
from lcfast.models.graph import Graph
from lcfast.models.model import Model
from lcfast.models.structure import Form


class Sequential(Model):
    """Layers one after the other.

    Parameters
    ----------
    layers : sequence of Layer, optional
        The first may have an `input_shape`; otherwise the first call or `build` sets it.
    name : str, optional
        Name; by default "sequential" and a number.

    Raises
    ------
    TypeError
        If an item is not a layer.
    ValueError
        If a layer cannot take the output of the previous one, or two have the same name.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Sequential

    Examples
    --------
    >>> import lcfast
    >>> model = lcfast.Sequential()
    >>> model.add(lcfast.LocallyConnected1D(64, 3, input_shape=(10, 32)))
    >>> model.output_shape
    (None, 8, 64)
    """

    def __init__(
        self, layers: Sequence[Layer] | None = None, name: str | None = None, trainable: bool = True
    ) -> None:
        self._chain: list[Layer] = []
        super().__init__((), (), name=name, trainable=trainable)
        for layer in layers or ():
            self.add(layer)

    def _set_graph(
        self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
    ) -> None:
        self._takes_list = self._gives_list = False
        if inputs:
            super()._set_graph(inputs, outputs)
        else:
            self.inputs, self.outputs, self._graph = [], [], None

    def add(self, layer: Layer) -> None:
        """Append a layer.

        Parameters
        ----------
        layer : Layer
            The layer, which is built if the shape of its input is known.

        Raises
        ------
        TypeError
            If it is not a layer.
        ValueError
            If it cannot take the output of the previous layer, or its name is in use.
        """
        if isinstance(layer, SymbolicTensor) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer  # Sequential([lcfast.Input(...), ...])
        if not isinstance(layer, Layer):
            raise TypeError(f"The added layer must be an instance of Layer. Received: {layer!r}.")
        if any(other.name == layer.name for other in self._chain):
            raise ValueError(
                f"All layers added to a Sequential model should have unique names. Name "
                f"{layer.name!r} is already the name of a layer in this model."
            )
        self._check_alone()
        if self.built:
            self._set_graph(self.inputs, [_one(layer, layer(self.outputs[0]))])
        elif isinstance(layer, InputLayer):
            if self._chain:
                raise ValueError(f"InputLayer {layer.name} must be the first layer of a model.")
            self._set_graph([layer.tensor], [layer.tensor])
        elif not self._chain and (shape := _own_input_shape(layer)) is not None:
            self._begin(shape, [layer])
        self._chain.append(layer)

    def pop(self) -> None:
        """Remove the last layer.

        Raises
        ------
        TypeError
            If there are no layers.
        """
        if not self._chain:
            raise TypeError("There are no layers in the model.")
        self._check_alone()
        self._chain.pop()
        if not self.built:
            return
        start, output = self.inputs[0], self.outputs[0]
        self.built = False
        self._set_graph((), ())
        if self._chain:
            self._set_graph([start], [output.node.inputs[0]])

    def build(self, input_shape: Any) -> None:
        """Build all layers for inputs of this shape, batch first."""
        with BUILD_LOCK:
            if not self.built:
                self._begin(tuple(input_shape), self._chain)

    def sublayers(self) -> list[Any]:
        """The layers, also before the model is built."""
        return list(self._graph.listed) if self._graph is not None else list(self._chain)

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the InputLayer."""
        return [layer for layer in self._chain if not isinstance(layer, InputLayer)]

    def _begin(self, batch_input_shape: Any, layers: Sequence[Layer]) -> None:
        if not layers:
            raise ValueError(f"Model {self.name} has no layers; add one first.")
        name = f"{layers[0].name}_input"
        first = layers[0]
        dtype = first.inputs[0].dtype if isinstance(first, Model) and first.built else first.dtype
        tensor = InputLayer(batch_input_shape=batch_input_shape, dtype=dtype, name=name).tensor
        output = tensor
        for layer in layers:
            output = _one(layer, layer(output))
        self._set_graph([tensor], [output])

    def _graph_for_shape(self, shape: Any) -> Graph:
        if not self.built:
            self.build((None, *shape[1:]))
        return self.graph_of_layers()

    def _check_alone(self) -> None:
        if self._nodes:
            raise ValueError(
                f"Model {self.name} is part of another model and cannot be changed; change it "
                "before it is called on a symbolic tensor."
            )

    @property
    def class_name_in_files(self) -> str | None:
        """The class name in files; None for a user's subclass, which cannot be saved."""
        return "Sequential" if type(self) is Sequential else None

    def config_in(self, form: Form) -> dict[str, Any]:
        """The configuration in one of the forms of `lcfast.models.configs`."""
        return configs.sequential_config(self, form)


def _own_input_shape(layer: Layer) -> Any:
    """The input shape of the first layer, which may be a model; None where it is not known."""
    if isinstance(layer, Model) and layer.built:
        return layer.inputs[0].shape if len(layer.inputs) == 1 else None
    return layer.batch_input_shape


def _one(layer: Layer, output: Any) -> SymbolicTensor:
    if not isinstance(output, SymbolicTensor):
        raise ValueError(
            f"All layers in a Sequential model should have a single output; {layer.name} has "
            f"{len(output)}. Use lcfast.Model."
        )
    return output
