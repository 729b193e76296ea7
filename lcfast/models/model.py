"""Model: a graph of layers that computes, scores in batches and pulls gradients back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lcfast.layers.core import call_state
from lcfast.layers.core.layer import apart
from lcfast.layers.core.symbolic import is_symbolic
from lcfast.local_conv import ops
from lcfast.models.execution import linearize, output_shapes, run
from lcfast.models.graph import Graph
from lcfast.models.scoring import Scoring, as_rows
from lcfast.models.structure import as_list, in_order_of_names, may_fit
from lcfast.models.summary import summary_lines
from lcfast.models.writable import WritableModel

ModelPullback = Callable[[Any], tuple[Any, list[np.ndarray]]]


class Model(Scoring, WritableModel):
    """The layers between symbolic inputs and outputs.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor or list of them
        What `lcfast.Input` returned, and what layers made of it; inputs may be a dict by their
        names, which is put in the order of the names.
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
        if isinstance(inputs, dict):
            inputs = in_order_of_names(inputs)
        self._takes_list = isinstance(inputs, list | tuple)
        self._gives_list = isinstance(outputs, list | tuple)
        self._set_graph(as_list(inputs), as_list(outputs))

    @property
    def class_name_in_files(self) -> str | None:
        """The class that a file names; None for a class of the user's, which no file can hold."""
        return "Functional" if type(self) is Model else None

    def summary(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print a table of the layers: name, class, output shape, number of parameters.

        Parameters
        ----------
        print_fn : callable, optional
            Called with each line; `print` where it is missing.
        """
        self.graph_of_layers()
        for line in summary_lines(self):
            (print_fn or print)(line)

    # ------------------------------------------------------------ computing

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, batch first, for inputs of `input_shape`."""
        graph = self.graph_of_layers()
        shapes = output_shapes(graph, input_shape if len(graph.inputs) > 1 else [input_shape])
        return shapes if self._gives_list else shapes[0]

    def scored(self, weights: Any) -> tuple[Graph, Any]:
        """The graph that scoring runs, and the records of its layers, of those of the model."""
        return self.graph_of_layers(), weights

    def forward(self, weights: Any, inputs: Any, training: bool = False, out: Any = None) -> Any:
        """The outputs: a list where the model was made with one."""
        outputs = run(*self.scored(weights), as_list(inputs), training, out)
        return outputs if self._gives_list else outputs[0]

    def linearize(self, weights: Any, inputs: Any) -> tuple[Any, ModelPullback]:
        """The outputs, and the function (dy) -> (dx, gradients of all of `get_weights()`)."""
        y, pull = linearize(self.graph_of_layers(), weights, as_list(inputs))

        def pullback(dy: Any) -> tuple[Any, list[np.ndarray]]:
            dx, of_layers = pull(as_list(dy))
            gradients = self.gradients_by_ref(of_layers)
            dweights = [gradients[place] for place in self.weight_refs()]
            return (dx if isinstance(inputs, list | tuple) else dx[0]), dweights

        return (y if self._gives_list else y[0]), pullback

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
            A list of them where the model has several inputs, or a dict by their names.
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
        inputs = self._without_names(inputs)
        if not self._gives_list or is_symbolic(inputs):
            return super().__call__(inputs, training, mask, out, **call_arguments)
        if out is not None:
            raise ValueError(f"Model {self.name} has a list of outputs; `out` takes one array.")
        self.compute_mask(inputs, mask)
        arrays = self._arrays(inputs)
        with call_state.counting_losses(self.flat_layers, inputs):
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
            A list of them where the model has several inputs, or a dict by their names.

        Returns
        -------
        y : ndarray or list of ndarray
            The outputs.
        pullback : callable
            ``dx, dweights = pullback(dy)``: the gradient of the input (a list where there are
            several, None for an integer one), and those of the weights in the order of
            `trainable_weights`.
        """
        inputs = self._without_names(inputs)
        arrays = self._arrays(inputs)
        graph = self.graph_of_layers()
        with call_state.counting_losses(self.flat_layers, inputs):
            y, pull = linearize(graph, self.record(), arrays)
        trainable = self.split_weight_refs()[0]

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
            dx, of_layers = pull(checked)
            dx = [  # None of an integer input
                None if part is None else apart(part, [*checked, *filter(_is_array, dx[:i])])
                for i, part in enumerate(dx)
            ]
            gradients = self.gradients_by_ref(of_layers)
            return (dx if self._takes_list else dx[0]), [gradients[place] for place in trainable]

        # The caller may change its answers; the pullback goes on from these.
        answers = [output.copy() for output in y]
        return (answers if self._gives_list else answers[0]), pullback

    def _rows(self, inputs: Any) -> list[Any]:
        """The inputs as a list of sliceable arrays with the same number of rows."""
        graph = self.graph_of_layers()
        inputs = self._without_names(inputs)
        given = inputs if len(graph.inputs) > 1 else [inputs]
        if len(graph.inputs) == 1 and isinstance(inputs, list | tuple) and self._takes_list:
            given = inputs
        if not isinstance(given, list | tuple) or len(given) != len(graph.inputs):
            raise ValueError(
                f"Model {self.name} takes a list of {len(graph.inputs)} inputs, in the order "
                f"{', '.join(tensor.name for tensor in self.inputs)}."
            )
        arrays = [
            as_rows(item, f"The input {tensor.name} of model {self.name}")
            for tensor, item in zip(self.inputs, given, strict=True)
        ]
        if any(array.ndim == 0 for array in arrays):
            raise ValueError(f"An input of model {self.name} is a number; expected a batch.")
        if len(arrays) > 1 and len({len(array) for array in arrays}) > 1:
            counts = ", ".join(str(len(array)) for array in arrays)
            raise ValueError(
                f"The inputs of model {self.name} have different numbers of rows: {counts}."
            )
        return arrays

    def _arrays(self, inputs: Any) -> list[np.ndarray]:
        self._graph_for(inputs)
        arrays = []
        for tensor, value in zip(self.inputs, self._rows(inputs), strict=True):
            what = f"The input {tensor.name} of model {self.name}"
            dtype = np.dtype(tensor.dtype)
            if dtype.kind in "iu":
                _check_in_range(value, dtype, what)
            array = ops.as_array(value, dtype, what)
            sizes = array.shape[1:]
            if sizes != tensor.shape[1:] and not may_fit(tensor.shape[1:], sizes):
                expected = ", ".join(["batch", *map(str, tensor.shape[1:])])
                raise ValueError(f"{what} has shape {array.shape}; expected ({expected}).")
            arrays.append(array)
        return arrays


def _check_in_range(value: Any, dtype: np.dtype, what: str) -> None:
    """Raise ValueError where a cast to integers would wrap numbers around, or make them of NaN."""
    given = ops.as_array(value, None, what)
    if not given.size or np.can_cast(given.dtype, dtype):
        return
    least, most = given.min().item(), given.max().item()
    if not (least >= np.iinfo(dtype).min and most <= np.iinfo(dtype).max):
        raise ValueError(f"{what} has numbers from {least} to {most}, which {dtype} cannot hold.")


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
