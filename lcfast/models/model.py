"""Model: a graph of layers that computes outputs and gradients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from lcfast.layers.core import call_state
from lcfast.layers.core.layer import Layer, apart
from lcfast.layers.core.symbolic import is_symbolic
from lcfast.layers.core.tracking import Composite
from lcfast.local_conv import ops
from lcfast.models import scoring
from lcfast.models.compiling import compiled_run, quick_answer, remember
from lcfast.models.execution import linearize, output_shapes, run
from lcfast.models.graph import Graph
from lcfast.models.inputs import as_arrays, in_order
from lcfast.models.structure import as_list, in_order_of_names
from lcfast.models.summary import summary_lines
from lcfast.models.writable import WritableModel

ModelPullback = Callable[[Any], tuple[Any, list[np.ndarray]]]


class Model(WritableModel):
    """The layers between symbolic inputs and outputs.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor or list of them
        What `lcfast.Input` and layers called on it returned; inputs may be a dict by their names,
        which are then sorted.
    name : str, optional
        Name; by default "model" and a number.

    Raises
    ------
    ValueError
        If an output depends on an input that is not given, or two layers have the same name.

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
        """The class name in files; None for a user's subclass, which cannot be saved."""
        return "Functional" if type(self) is Model else None

    def summary(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print a table of the layers: name, class, output shape, number of parameters.

        Parameters
        ----------
        print_fn : callable, optional
            Called with each line; by default `print`.
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

    def scoring_graph(self, record: Any) -> tuple[Graph, Any]:
        """The graph that scoring runs, and the records of its layers, from that of the model."""
        return self.graph_of_layers(), record

    def forward(self, weights: Any, inputs: Any, training: bool = False, out: Any = None) -> Any:
        """The outputs; a list if the model was made with a list of outputs."""
        graph, records = self.scoring_graph(weights)
        arrays = as_list(inputs)
        if training or any(layer.activity_regularizer is not None for layer in graph.layers):
            outputs = run(graph, records, arrays, training, out)
        else:
            outputs = compiled_run(graph, records, arrays, out)
            if not isinstance(weights, Composite):
                remember(self, weights, graph, records, arrays)
        return outputs if self._gives_list else outputs[0]

    def linearize(self, weights: Any, inputs: Any) -> tuple[Any, ModelPullback]:
        """The outputs, and the function (dy) -> (dx, gradients of all of `get_weights()`)."""
        y, pull = linearize(self.graph_of_layers(), weights, as_list(inputs))

        def pullback(dy: Any) -> tuple[Any, list[np.ndarray]]:
            dx, of_layers = pull(as_list(dy))
            gradients = self.gradients_by_ref(of_layers)
            dweights = [gradients[ref] for ref in self.weight_refs()]
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
        """Compute the outputs of arrays, all rows at once; see `predict` for many rows.

        Parameters
        ----------
        inputs : array_like, shape (batch, ...)
            A list of them where the model has several inputs, or a dict by their names.
        training : bool, optional
            True raises if a layer would behave differently; lcfast does not train.
        mask : None
            Masks are not supported, except by a subclass whose `call` takes one.
        out : ndarray, optional
            Array for the output, of its shape and dtype; for models with one output.
        **call_arguments
            Further arguments of the `call` of a subclass.

        Returns
        -------
        ndarray, or list of ndarray where there are several outputs

        Raises
        ------
        TypeError, ValueError
            If an input or `out` has the wrong type, dtype, rank or shape.
        """
        plain = mask is None and not training and not call_arguments
        if plain and type(inputs) is np.ndarray and type(self).forward is Model.forward:
            y = quick_answer(self, inputs, None, out, counts_losses=True)
            if y is not None:
                return y
        inputs = self._without_names(inputs)
        if self._gives_list and out is not None and not is_symbolic(inputs):
            raise ValueError(f"Model {self.name} has a list of outputs; `out` takes one array.")
        return super().__call__(inputs, training, mask, out, **call_arguments)

    def _arrays(self, inputs: Any) -> list[np.ndarray]:
        return as_arrays(self, in_order(self, inputs))

    def _compute_by_call(
        self, weights: Any, inputs: Any, training: bool | None, call_arguments: dict[str, Any]
    ) -> Any:
        if isinstance(inputs, list) and len(inputs) == 1 and not self._takes_list:
            inputs = inputs[0]
        return super()._compute_by_call(weights, inputs, training, call_arguments)

    def _checked_output(self, y: Any, dtype: str | None = None) -> Any:
        dtypes = [tensor.dtype for tensor in self.outputs]
        if not self._gives_list:
            return super()._checked_output(y, dtypes[0])
        if not isinstance(y, list | tuple) or len(y) != len(dtypes):
            raise ValueError(
                f"The `call` of model {self.name} ({type(self).__name__}) must return a list of "
                f"{len(dtypes)} arrays, one for each output."
            )
        return [Layer._checked_output(self, *pair) for pair in zip(y, dtypes, strict=True)]

    def _costs_nothing(self) -> bool:
        return False  # its layers may have losses

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int = 0,
        out: Any = None,
        num_threads: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Any:
        """Score rows in blocks; results are bit-identical for any `batch_size`.

        One block is read and converted at a time, so `x` and `out` may be larger than memory.

        Parameters
        ----------
        x : array_like, shape (rows, ...)
            Rows of any real dtype: an array, in memory or memory-mapped, or an object with a
            shape, a dtype and slices, such as an h5py dataset, a zarr array or a dask array.  A
            list of them where the model has several inputs, or a dict by the names of its input
            layers.  Or an iterator of blocks of rows, each an array, or a tuple of one array for
            each input.
        batch_size : int, optional
            Rows of a block.  By default as many as fill 8 MiB with the values that the layers
            pass on, or as many bytes as the weights where those are more, but at most 256 MiB
            and 16,384 rows.
        verbose : int
            1 shows a progress bar.
        out : ndarray, h5py.Dataset, zarr.Array, list of them, or sink, optional
            Where the output is written; a list where there are several outputs.  A sink is an
            object with a method ``write(outputs)``.  It is called after each block with a list of
            one array for each output, which it must not keep.
        num_threads : int, optional
            Maximum number of threads of this call; by default `lcfast.get_num_threads()`.
        progress : callable, optional
            Called with the number of rows after each block.

        Returns
        -------
        ndarray, or list of ndarray where there are several outputs
            `out`, where it is given.

        Raises
        ------
        TypeError, ValueError
            If an input or `out` has the wrong type, dtype, rank or shape.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#predict

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
        >>> model.predict(np.zeros((4, 3)))
        array([[0., 0.],
               [0., 0.],
               [0., 0.],
               [0., 0.]], dtype=float32)

        Blocks of rows that are made, or read, while they are scored:

        >>> model.predict(np.full((2, 3), n, np.int8) for n in range(3)).shape
        (6, 2)
        """
        return scoring.predict(self, x, batch_size, verbose, out, num_threads, progress)

    def predict_on_batch(self, x: Any) -> Any:
        """Score rows as a single block; see `predict`.

        Parameters
        ----------
        x : array_like, shape (rows, ...)
            A list of them where the model has several inputs, or a dict by their names.

        Returns
        -------
        ndarray, or list of ndarray where there are several outputs

        Raises
        ------
        TypeError, ValueError
            If an input has the wrong type, dtype, rank or shape.

        References
        ----------
        https://www.tensorflow.org/versions/r2.15/api_docs/python/tf/keras/Model#predict_on_batch

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> model = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))])
        >>> model.predict_on_batch(np.zeros((1, 3)))
        array([[0., 0.]], dtype=float32)
        """
        return self.predict(x, batch_size=sys.maxsize)

    def vjp(self, inputs: Any) -> tuple[Any, ModelPullback]:
        """Compute the outputs and the pullback, which computes gradients from theirs.

        The model keeps no state: the pullback may be called repeatedly and from many threads.
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
            several, None for an integer input), and those of `trainable_weights`, in that order.

        Raises
        ------
        TypeError, ValueError
            If an input has the wrong type, dtype, rank or shape.
        """
        if not self._linearize_fits:  # a `call` of a subclass computes something else
            self._lacks_linearize()
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
            return (dx if self._takes_list else dx[0]), [gradients[ref] for ref in trainable]

        # Copies: the caller may change them, and the pullback uses the originals.
        copies = [output.copy() for output in y]
        return (copies if self._gives_list else copies[0]), pullback


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
