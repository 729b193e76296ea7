"""Layer, the base of all layers: a configuration, a record of weights, and two pure functions.

`forward(weights, inputs)` and `linearize(weights, inputs)` depend on their arguments and on
immutable attributes only.  A call takes the record of weights once; `set_weights` replaces it.  So
a call in another thread computes with the old weights or with the new ones, never with a mixture.

Layer is defined in steps, each a base class of the next: `SymbolicCalls` (symbolic.py),
`WeightHolder` (tracking.py), `LossHolder` (losses.py), `Computing` (execution.py), `Layer`.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lcfast.layers.core import arguments, call_state
from lcfast.layers.core.execution import Computing, Pullback, apart
from lcfast.layers.core.symbolic import Node, Shape, SymbolicTensor, is_symbolic
from lcfast.layers.core.weights import BUILD_LOCK
from lcfast.local_conv import ops

__all__ = ["BUILD_LOCK", "Layer", "Pullback", "apart", "numbered_name"]

# Keras numbers unnamed layers, for the whole process: dense, dense_1, ...
_NAME_COUNTS: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


class Layer(Computing):
    """The base of all layers, with the arguments that every Keras layer takes.

    Parameters
    ----------
    name : str, optional
        By default made from the class and numbered.
    dtype : str or numpy.dtype, optional
        "float32" (the default) or "float64": of the weights, the computation and the output.
    trainable : bool
        Whether `trainable_weights` lists the weights.
    input_shape, batch_input_shape : tuple of int or None, optional
        Shape of the input without or with the batch, for the first layer of a Sequential.
    batch_size : int, optional
        Size of the batch, with `input_shape`.
    weights : list of ndarray, optional
        Values to set when the layer is built.
    activity_regularizer : str, dict or callable, optional
        Penalty of the output, one of `losses` after a call.
    dynamic : bool
        Accepted as in Keras, without effect: all calls are eager.

    References
    ----------
    https://www.tensorflow.org/api_docs/python/tf/keras/layers/Layer

    Examples
    --------
    >>> import lcfast
    >>> layer = lcfast.Dense(2, name="scores", dtype="float64", input_shape=(3,))
    >>> layer.name, layer.dtype, layer.batch_input_shape
    ('scores', 'float64', (None, 3))
    """

    checked_dtype = staticmethod(arguments.checked_dtype)

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        input_shape: Any = None,
        batch_input_shape: Any = None,
        batch_size: int | None = None,
        weights: Sequence[Any] | None = None,
        dynamic: bool = False,
        activity_regularizer: Any = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            names = ", ".join(repr(key) for key in unknown)
            raise TypeError(f"{type(self).__name__} does not take these arguments: {names}.")
        super().__init__(
            _checked_name(name) if name is not None else self.automatic_name(),
            self.checked_dtype(dtype).name,
            arguments.checked_flag(trainable, "trainable"),
            weights,
            activity_regularizer,
        )
        self._dynamic = arguments.checked_flag(dynamic, "dynamic")
        if batch_input_shape is None and input_shape is not None:
            batch_input_shape = (
                None if batch_size is None else arguments.positive_int(batch_size, "batch_size"),
                *arguments.checked_shape(input_shape, "input_shape"),
            )
        self.batch_input_shape: Shape | None = (
            None
            if batch_input_shape is None
            else arguments.checked_shape(batch_input_shape, "batch_input_shape")
        )

    @classmethod
    def automatic_name(cls) -> str:
        """A name made from the class, as Keras makes it: locally_connected1d."""
        words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", cls.__name__)
        return numbered_name(re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower())

    @property
    def dynamic(self) -> bool:
        """Whether the layer or a sublayer was constructed with `dynamic=True`."""
        return any(layer._dynamic for layer in self.flat_layers())

    # ------------------------------------------------------------ calling

    def __call__(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        out: np.ndarray | None = None,
        **call_arguments: Any,
    ) -> Any:
        """Compute on arrays, or record a node on symbolic tensors.

        Parameters
        ----------
        inputs : array_like or SymbolicTensor, shape (batch, ...)
            A list of them for layers that merge.
        training : bool, optional
            True is refused by layers that behave differently in training; lcfast does not train.
        mask : None
            Masks are not supported, except by a subclass whose `call` takes one.
        out : ndarray, optional
            Array for the output, of its shape and dtype.
        **call_arguments
            Further arguments of the `call` of a subclass.

        Returns
        -------
        ndarray or SymbolicTensor

        Raises
        ------
        TypeError, ValueError
            If the input or `out` has the wrong type, dtype, rank or shape, or a mask is given.
        """
        plain = mask is None and not call_arguments and self._costs_nothing()
        if type(inputs) is np.ndarray:
            if plain:
                y = self.cached_forward(inputs, out)
                if y is not None:
                    return y
        elif is_symbolic(inputs):
            if call_arguments:
                raise TypeError(f"A symbolic call takes no {', '.join(call_arguments)}.")
            return self._connect(inputs)
        if mask is not None:
            if self._computes_by_call and "mask" in self._call_takes:
                call_arguments["mask"] = mask
            else:
                self.compute_mask(inputs, mask)
        arrays = self._arrays(inputs)
        if plain:
            # The same as `compute`, for a layer without sublayers and `call`.
            training = call_state.THREAD.training if training is None else training
            y = self.forward(self.own_record(), arrays, bool(training), out)
        else:
            with call_state.counting_losses(self.flat_layers, inputs):
                y = self.compute(self.record(), arrays, training, out, **call_arguments)
        if out is None:
            return apart(y, arrays)
        if y is out and out.flags.writeable:
            return out
        target = ops.as_output(out, y.shape, y.dtype)
        target[...] = y
        return target

    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer, as `__call__` does.

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> lcfast.ReLU().apply(np.array([[-1.0, 1.0]]))
        array([[0., 1.]], dtype=float32)
        """
        return self(inputs, *args, **kwargs)

    def vjp(self, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """Compute the output and its pullback, the function that gives gradients.

        The layer keeps no state of it: the pullback may be called many times, from many threads.
        It refers to `inputs`, which must not be changed before its last call.

        Parameters
        ----------
        inputs : array_like, shape (batch, ...)
            The input; a list of them for layers that merge.

        Returns
        -------
        y : ndarray
            The output.
        pullback : callable
            ``dx, dweights = pullback(dy)``: the gradient of the input, None for an integer input,
            and those of the weights in the order and shapes of `get_weights()`.
        """
        arrays = self._arrays(inputs)
        with call_state.counting_losses(self.flat_layers, inputs):
            y, pullback = self.compute_linearized(self.record(), arrays)

        def checked_pullback(dy: Any) -> tuple[Any, list[np.ndarray]]:
            dy = ops.as_array(dy, y.dtype, "the gradient of the output")
            if dy.shape != y.shape:
                raise ValueError(
                    f"The gradient of the output of layer {self.name} has shape {dy.shape}; "
                    f"expected {y.shape}, the output's."
                )
            dx, dweights = pullback(dy)
            if dx is None:  # of an integer input
                return dx, dweights
            if isinstance(dx, list):
                return [apart(part, [dy, *dx[:i]]) for i, part in enumerate(dx)], dweights
            return apart(dx, [dy]), dweights

        # The caller may change the returned array; the pullback keeps its own.
        return y.copy(), checked_pullback

    def _costs_nothing(self) -> bool:
        """Whether a call can leave no losses, so that it needs no call state."""
        plain = not (self._computes_by_call or self._activity_regularizer or self._holders)
        return plain and not call_state.THREAD.has_losses

    def _connect(self, inputs: Any) -> SymbolicTensor:
        tensors = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
        self._take_list_if(isinstance(inputs, list | tuple))
        if not self.takes_list and len(tensors) != 1:
            raise ValueError(f"Layer {self.name} takes one input. Received: {len(tensors)}.")
        shapes = [tensor.shape for tensor in tensors]
        shape = shapes if self.takes_list else shapes[0]
        self._ensure_built(shape)
        self.check_input_shape(shape)
        node = Node(self, tensors, self.shape_of_output(shape))
        self._nodes.append(node)
        return node.outputs[0]

    # ------------------------------------------------------------ configuration

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as tf_keras writes it; `from_config` makes a layer of it."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype,
        }
        if self.batch_input_shape is not None:
            config["batch_input_shape"] = self.batch_input_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from the result of `get_config`, or from the config in a model file.

        Raises
        ------
        TypeError
            If the layer does not take a key of the config.
        ValueError
            If the layer does not take a value of the config.
        """
        return cls(**config)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return an independent layer with the same name, configuration and weights, not connected.

        Examples
        --------
        >>> import copy, lcfast
        >>> layer = lcfast.Dense(2, name="scores", input_shape=(3,))
        >>> copy.deepcopy(layer).name
        'scores'
        """
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        values = vars(twin)
        # Records and slots are immutable: the copy shares them.
        values.update(vars(self), _nodes=[], _weights={}, _holders=dict(vars(self)["_holders"]))
        memo.update((id(weight), twin.weight_of(slot)) for slot, weight in self._weights.items())
        for name, value in vars(self).items():
            if name not in _SHARED_BY_COPIES:
                values[name] = copy.deepcopy(value, memo)
        return twin

    def __repr__(self) -> str:
        return f"<lcfast.{type(self).__name__} {self.name}>"


# Attributes that a deep copy has anew, or shares with the layer because they are immutable.
_SHARED_BY_COPIES = frozenset({"_nodes", "_weights", "_holders", "_record", "_slots"})


def numbered_name(stem: str, first: int = 0) -> str:
    """The next of stem, stem_1, stem_2, ...; of stem_1, stem_2, ... where `first` is 1."""
    number = next(_NAME_COUNTS[stem]) + first
    return f"{stem}_{number}" if number else stem


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"The `name` argument must be a non-empty string. Received: {name!r}.")
    return name
