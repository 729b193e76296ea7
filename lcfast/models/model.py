"""Model: a graph of layers that computes, scores in batches and pulls gradients back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lcfast.layers import calls
from lcfast.layers.base import Layer, apart
from lcfast.layers.input import InputLayer
from lcfast.layers.symbolic import Node, SymbolicTensor
from lcfast.local_conv import ops
from lcfast.models.execution import linearize, output_shapes, run
from lcfast.models.graph import Graph, trace
from lcfast.models.scoring import Scoring, as_rows
from lcfast.models.summary import summary_lines

ModelPullback = Callable[[Any], tuple[Any, list[np.ndarray]]]


class Model(Scoring):
    """The layers between symbolic inputs and outputs.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor or list of them
        What `lcfast.Input` returned, and what layers made of it.
    name : str, optional
        Name; "model" and a number where it is missing.

    Raises
    ------
    ValueError
        If an output depends on an input that is not given, or two layers have one name.

    References
    ----------
    https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> inputs = lcfast.Input((10, 32))
    >>> outputs = lcfast.Flatten()(lcfast.LocallyConnected1D(4, 3)(inputs))
    >>> model = lcfast.Model(inputs, outputs)
    >>> model.predict(np.ones((5, 10, 32))).shape
    (5, 32)
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self._takes_list = isinstance(inputs, list | tuple)
        self._gives_list = isinstance(outputs, list | tuple)
        self._set_graph(_as_list(inputs), _as_list(outputs))

    def _set_graph(
        self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
    ) -> None:
        self.inputs = _checked_tensors(inputs, "inputs")
        self.outputs = _checked_tensors(outputs, "outputs")
        self._graph: Graph | None = trace(self.inputs, self.outputs)
        self.built = True  # last: a thread that sees it may use the rest

    def _traced(self) -> Graph:
        if self._graph is None:
            raise ValueError(
                f"Model {self.name} is not built yet: give its first layer an input_shape, call "
                "`model.build(input_shape)`, or call the model on data."
            )
        return self._graph

    # ------------------------------------------------------------ structure

    def graph_of_layers(self) -> Graph:
        """The nodes and steps of the model; see `lcfast.models.graph`."""
        return self._traced()

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order."""
        return list(self._traced().layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name, or by its place in `layers`.

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
        shapes = [tensor.shape for tensor in self._built_tensors("inputs")]
        return shapes if len(shapes) > 1 else shapes[0]

    @property
    def output_shape(self) -> Any:
        """Shape of the output, batch first; a list where there are several outputs."""
        shapes = [tensor.shape for tensor in self._built_tensors("outputs")]
        return shapes if len(shapes) > 1 else shapes[0]

    def _built_tensors(self, side: str) -> list[SymbolicTensor]:
        self._traced()
        return self.inputs if side == "inputs" else self.outputs

    def summary(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print a table of the layers: name, class, output shape, number of parameters.

        Parameters
        ----------
        print_fn : callable, optional
            Called with each line; `print` where it is missing.
        """
        self._traced()
        for line in summary_lines(self):
            (print_fn or print)(line)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a model of its own, with layers of its own and the same weights."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        kept = {k: v for k, v in vars(self).items() if k not in ("inputs", "outputs", "_graph")}
        vars(twin).update(kept, _holders={}, _nodes=[], inputs=[], outputs=[], _graph=None)
        tensors: dict[Node, SymbolicTensor] = {}
        if self._graph is not None:
            given = [tensor.node for tensor in self.inputs]
            for node in self._graph.nodes:  # each after those that it needs
                layer = copy.deepcopy(node.layer, memo)
                taken = [tensors[tensor.node] for tensor in node.inputs if node not in given]
                if isinstance(layer, InputLayer):
                    tensors[node] = layer.tensor
                else:
                    tensors[node] = Node(layer, tuple(taken), node.output.shape).output
                    layer._nodes.append(tensors[node].node)
        for name, value in kept.items():
            if name not in ("_nodes", "_holders"):
                vars(twin)[name] = copy.deepcopy(value, memo)
        if self._graph is not None:
            Model._set_graph(
                twin,
                [tensors[tensor.node] for tensor in self.inputs],
                [tensors[tensor.node] for tensor in self.outputs],
            )
        return twin

    # ------------------------------------------------------------ computing

    def _connect(self, inputs: Any) -> SymbolicTensor:
        raise ValueError(
            f"Model {self.name} was called on a symbolic tensor; models inside models are not "
            "there yet: call its layers one by one."
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, batch first, for inputs of `input_shape`."""
        graph = self._traced()
        shapes = output_shapes(graph, input_shape if len(graph.inputs) > 1 else [input_shape])
        return shapes if self._gives_list else shapes[0]

    def forward(self, weights: Any, inputs: Any, training: bool = False, out: Any = None) -> Any:
        """The outputs: a list where the model was made with one."""
        outputs = run(self._traced(), weights, inputs, training, out)
        return outputs if self._gives_list else outputs[0]

    def __call__(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        out: Any = None,
        **call_arguments: Any,
    ) -> Any:
        """Compute on arrays, all rows at once; see `predict` for many rows.

        Parameters
        ----------
        inputs : array_like, shape (batch, ...)
            A list of them where the model has several inputs.
        training : bool, optional
            True only where no layer behaves differently; lcfast scores, it does not train.
        mask : None
            Masks are not supported.
        out : ndarray, optional
            Where the output goes, of the right shape and dtype; for models with one output.

        Returns
        -------
        ndarray, or list of ndarray where there are several outputs

        Raises
        ------
        TypeError, ValueError
            If an input or `out` has the wrong type, dtype, rank or shape.
        """
        if not self._gives_list:
            return super().__call__(inputs, training, mask, out, **call_arguments)
        if out is not None:
            raise ValueError(f"Model {self.name} has a list of outputs; `out` takes one array.")
        self.compute_mask(inputs, mask)
        arrays = self._arrays(inputs)
        with calls.counting_losses(self.flat_layers, inputs):
            outputs = self.forward(self.record(), arrays, training=bool(training))
        return [apart(y, [*arrays, *outputs[:i]]) for i, y in enumerate(outputs)]

    def _costs_nothing(self) -> bool:
        return False  # its layers may

    def vjp(self, inputs: Any) -> tuple[Any, ModelPullback]:
        """Compute the outputs and the function that pulls gradients back through the model.

        Nothing is kept in the model: the function may be called many times, from many threads.
        It refers to `inputs`, which must not be changed before its last call.

        Parameters
        ----------
        inputs : array_like, shape (batch, ...)
            A list of them where the model has several inputs.

        Returns
        -------
        y : ndarray or list of ndarray
            The outputs.
        pullback : callable
            ``dx, dweights = pullback(dy)``: the gradient of the input (a list where there are
            several), and those of the weights in the order of `trainable_weights`.
        """
        arrays = self._arrays(inputs)
        graph = self._traced()
        with calls.counting_losses(self.flat_layers, inputs):
            y, pull = linearize(graph, self.record(), arrays)
        trainable = self._trainable_places()

        def pullback(dy: Any) -> tuple[Any, list[np.ndarray]]:
            dys = list(dy) if self._gives_list else [dy]
            if len(dys) != len(y):
                raise ValueError(f"Model {self.name} has {len(y)} outputs; got {len(dys)} of dy.")
            checked = []
            for given, output in zip(dys, y, strict=True):
                array = ops.as_array(given, output.dtype, "the gradient of the output")
                if array.shape != output.shape:
                    raise ValueError(
                        f"A gradient of the output of model {self.name} has shape {array.shape}; "
                        f"expected {output.shape}, the output's."
                    )
                checked.append(array)
            dx, dweights = pull(checked)
            dx = [apart(part, [*checked, *dx[:i]]) for i, part in enumerate(dx)]
            return (dx if self._takes_list else dx[0]), [dweights[n][i] for n, i in trainable]

        # The caller may change its answers; the pullback goes on from these.
        answers = [output.copy() for output in y]
        return (answers if self._gives_list else answers[0]), pullback

    def _traced_for(self, inputs: Any) -> Graph:
        return self._traced()

    def _rows(self, inputs: Any) -> list[Any]:
        """The inputs as a list of sliceable arrays with the same number of rows."""
        graph = self._traced()
        given = inputs if len(graph.inputs) > 1 else [inputs]
        if len(graph.inputs) == 1 and isinstance(inputs, list | tuple) and self._takes_list:
            given = inputs
        if not isinstance(given, list | tuple) or len(given) != len(graph.inputs):
            raise ValueError(
                f"Model {self.name} takes a list of {len(graph.inputs)} inputs, in the order "
                f"{', '.join(tensor.name for tensor in self.inputs)}."
            )
        arrays = [as_rows(item) for item in given]
        if any(array.ndim == 0 for array in arrays):
            raise ValueError(f"An input of model {self.name} is a number; expected a batch.")
        if len(arrays) > 1 and len({len(array) for array in arrays}) > 1:
            counts = ", ".join(str(len(array)) for array in arrays)
            raise ValueError(
                f"The inputs of model {self.name} have different numbers of rows: {counts}."
            )
        return arrays

    def _arrays(self, inputs: Any) -> list[np.ndarray]:
        self._traced_for(inputs)
        arrays = []
        for tensor, value in zip(self.inputs, self._rows(inputs), strict=True):
            what = f"The input {tensor.name} of model {self.name}"
            array = ops.as_array(value, np.dtype(tensor.dtype), what)
            sizes = array.shape[1:]
            fits = sizes == tensor.shape[1:] or (
                array.ndim == len(tensor.shape)
                and all(a in (None, b) for a, b in zip(tensor.shape[1:], sizes, strict=True))
            )
            if not fits:
                expected = ", ".join(["batch", *map(str, tensor.shape[1:])])
                raise ValueError(f"{what} has shape {array.shape}; expected ({expected}).")
            arrays.append(array)
        return arrays


def _one_or_all(tensors: list[Any]) -> Any:
    return tensors if len(tensors) > 1 else tensors[0]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _checked_tensors(tensors: Sequence[Any], what: str) -> list[SymbolicTensor]:
    if not tensors or not all(isinstance(tensor, SymbolicTensor) for tensor in tensors):
        raise ValueError(
            f"The {what} of a model must be what lcfast.Input and layers called on it return, not "
            f"{list(tensors)!r}."
        )
    return list(tensors)
