"""The symbolic side of a model: its graph, its layers, and its calls as part of other models."""

from __future__ import annotations

import abc
import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from lcfast.layers.core.layer import Layer
from lcfast.layers.core.symbolic import Node, Shape, SymbolicTensor
from lcfast.layers.input import InputLayer
from lcfast.models.execution import output_shapes
from lcfast.models.graph import Graph, trace
from lcfast.models.weights import LayersOfGraph

Form = Literal["plain", "hdf5", "keras"]  # of a config; see `lcfast.models.configs`


class ModelStructure(LayersOfGraph):
    """The part of a model that holds its graph."""

    inputs: list[SymbolicTensor]
    outputs: list[SymbolicTensor]
    quick_key: ClassVar[str] = "quick"  # in the programs of a graph; see `models.compiling`
    # Whether inputs come, and outputs are returned, in a list, even where there is one alone.
    _takes_list: bool
    _gives_list: bool

    @property
    @abc.abstractmethod
    def class_name_in_files(self) -> str | None:
        """The class name in files; None for a user's subclass, which cannot be saved."""

    @abc.abstractmethod
    def scoring_graph(self, record: Any) -> tuple[Graph, Any]:
        """The graph that scoring runs, and the records of its layers, from that of the model."""

    @abc.abstractmethod
    def config_in(self, form: Form) -> dict[str, Any]:
        """The configuration in one of the forms of `lcfast.models.configs`."""

    def _set_graph(
        self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
    ) -> None:
        self.inputs = _checked_tensors(inputs, "inputs")
        self.outputs = _checked_tensors(outputs, "outputs")
        self._graph: Graph | None = trace(self.inputs, self.outputs)
        self.built = True  # last: other threads may use the model from here on

    def graph_of_layers(self) -> Graph:
        """The nodes and steps of the model; see `lcfast.models.graph`.

        Raises
        ------
        ValueError
            If the model is not built yet.
        """
        if self._graph is None:
            raise ValueError(
                f"Model {self.name} is not built yet: give its first layer an input_shape, call "
                "`model.build(input_shape)`, or call the model on data."
            )
        return self._graph

    # ------------------------------------------------------------ structure

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order."""
        return list(self.graph_of_layers().listed)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name, or by its index in `layers`.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        layers = self.layers
        if index is not None and -len(layers) <= index < len(layers):
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(f"No such layer: {name if index is None else index}. There are: {names}.")

    @property
    def input_names(self) -> list[str]:
        """Names of the input layers, in the order of `inputs`.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model

        Examples
        --------
        >>> import lcfast
        >>> inputs = [lcfast.Input((3,), name="left"), lcfast.Input((3,), name="right")]
        >>> lcfast.Model(inputs, lcfast.Add()(inputs)).input_names
        ['left', 'right']
        """
        return [tensor.name for tensor in self._built_tensors("inputs")]

    @property
    def output_names(self) -> list[str]:
        """Names of the output layers, in the order of `outputs`; repeated ones are numbered.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model

        Examples
        --------
        >>> import lcfast
        >>> inputs = lcfast.Input((3,))
        >>> scores = lcfast.Dense(2, name="scores")(inputs)
        >>> lcfast.Model(inputs, [scores, scores]).output_names
        ['scores', 'scores_1']
        """
        names: list[str] = []
        for tensor in self._built_tensors("outputs"):
            numbered = (f"{tensor.name}_{number}" for number in itertools.count(1))
            candidates = itertools.chain([tensor.name], numbered)
            names.append(next(name for name in candidates if name not in names))
        return names

    @property
    def input(self) -> Any:
        """The symbolic input; a list where there are several."""
        return _one_or_all(self._built_tensors("inputs"))

    @property
    def output(self) -> Any:
        """The symbolic output; a list where there are several."""
        return _one_or_all(self._built_tensors("outputs"))

    def _symbolic_calls(self) -> list[tuple[Any, Any]]:
        if self._graph is None:
            return []
        return [(_one_or_all(self.inputs), _one_or_all(self.outputs)), *super()._symbolic_calls()]

    @property
    def input_shape(self) -> Any:
        """Shape of the input, batch first; a list where there are several inputs."""
        return _one_or_all([tensor.shape for tensor in self._built_tensors("inputs")])

    @property
    def output_shape(self) -> Any:
        """Shape of the output, batch first; a list where there are several outputs."""
        return _one_or_all([tensor.shape for tensor in self._built_tensors("outputs")])

    def _built_tensors(self, side: str) -> list[SymbolicTensor]:
        self.graph_of_layers()
        return self.inputs if side == "inputs" else self.outputs

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return an independent copy of the model, with copies of its layers."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        kept = {k: v for k, v in vars(self).items() if k not in ("inputs", "outputs", "_graph")}
        vars(twin).update(kept, _holders={}, _nodes=[], inputs=[], outputs=[], _graph=None)
        tensors: dict[SymbolicTensor, SymbolicTensor] = {}
        if self._graph is not None:
            given = [tensor.node for tensor in self.inputs]
            for node in self._graph.nodes:  # in topological order
                layer = copy.deepcopy(node.layer, memo)
                taken = [tensors[tensor] for tensor in node.inputs if node not in given]
                if isinstance(layer, InputLayer):
                    tensors[node.outputs[0]] = layer.tensor
                    continue
                shapes = [tensor.shape for tensor in node.outputs]
                dtypes = [tensor.dtype for tensor in node.outputs]
                twin_node = Node(layer, tuple(taken), shapes, dtypes)
                layer._nodes.append(twin_node)
                tensors.update(zip(node.outputs, twin_node.outputs, strict=True))
        for name, value in kept.items():
            if name not in ("_nodes", "_holders"):
                vars(twin)[name] = copy.deepcopy(value, memo)
        if self._graph is not None:
            ModelStructure._set_graph(
                twin,
                [tensors[tensor] for tensor in self.inputs],
                [tensors[tensor] for tensor in self.outputs],
            )
        return twin

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError if the model cannot take an input, or a list of them, of this shape.

        Raises
        ------
        ValueError
            If a size differs, or is None where the model needs a number.
        """
        shapes = shape if isinstance(shape, list) else [shape]
        if len(shapes) != len(self.inputs):
            raise ValueError(
                f"Model {self.name} takes {len(self.inputs)} inputs. Received: {len(shapes)}."
            )
        for wanted, given in zip(self.inputs, shapes, strict=True):
            if not may_fit(wanted.shape[1:], given[1:]):
                raise ValueError(
                    f"The input {wanted.name} of model {self.name} has shape {tuple(given)}; "
                    f"expected {wanted.shape}."
                )

    def _connect(self, inputs: Any) -> Any:
        tensors = tuple(as_list(self._without_names(inputs)))
        if self._computes_by_call and (len(self.inputs) > 1 or self._gives_list):
            raise ValueError(
                f"Model {self.name} ({type(self).__name__}) defines `call` and has several inputs "
                "or a list of outputs, so it cannot be part of another model."
            )
        graph = self._graph_for_shape(tensors[0].shape)
        given = [tensor.shape for tensor in tensors]
        self.check_input_shape(given)
        shapes = output_shapes(graph, given)
        node = Node(self, tensors, shapes, [tensor.dtype for tensor in self.outputs])
        self._nodes.append(node)
        return node.output

    def _graph_for(self, inputs: Any) -> Graph:
        if self._graph is not None or isinstance(inputs, Mapping):
            return self.graph_of_layers()
        return self._graph_for_shape(np.shape(inputs))

    def _graph_for_shape(self, shape: Any) -> Graph:
        return self.graph_of_layers()

    def _without_names(self, inputs: Any) -> Any:
        """The inputs; those of a dict by the names of the inputs in the model's order."""
        if not isinstance(inputs, Mapping):
            return inputs
        names = [tensor.name for tensor in self._built_tensors("inputs")]
        if set(inputs) != set(names):
            raise ValueError(
                f"Model {self.name} takes a dict of the inputs {', '.join(names)}. Received: "
                f"{', '.join(map(str, inputs)) or 'an empty dict'}."
            )
        return _one_or_all([inputs[name] for name in names])


def in_order_of_names(inputs: dict[Any, Any]) -> list[Any]:
    """The inputs in a dict that a model is made of, in the order of Keras: by name."""
    for name, tensor in inputs.items():
        if isinstance(tensor, SymbolicTensor) and tensor.name != name:
            raise ValueError(
                f"The input {tensor.name} of a model has the key {name!r} in the dict of inputs; "
                "use its name as the key."
            )
    return [inputs[name] for name in sorted(inputs)]


def may_fit(wanted: Shape, given: Sequence[int | None]) -> bool:
    """Whether the given sizes are the wanted ones; a wanted None is any size."""
    return len(wanted) == len(given) and all(
        size is None or size == other for size, other in zip(wanted, given, strict=True)
    )


def _one_or_all(tensors: list[Any]) -> Any:
    return tensors if len(tensors) > 1 else tensors[0]


def as_list(value: Any) -> list[Any]:
    """The value in a list, unless it is a list or tuple already."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _checked_tensors(tensors: Sequence[Any], what: str) -> list[SymbolicTensor]:
    if not tensors or not all(isinstance(tensor, SymbolicTensor) for tensor in tensors):
        raise ValueError(
            f"The {what} of a model must be what lcfast.Input and layers called on it return, not "
            f"{list(tensors)!r}."
        )
    return list(tensors)
