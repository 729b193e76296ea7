"""What every layer is: a configuration, a record of weights, and two pure functions.

`forward(weights, inputs)` and `linearize(weights, inputs)` read nothing that changes: the weights
come in as one immutable record, which a call takes once.  `set_weights` swaps the record, so a
call in another thread computes with the old weights or with the new ones, never with both.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from lcfast.layers.core import arguments, call_state
from lcfast.layers.core.execution import Computing, Pullback, apart
from lcfast.layers.core.symbolic import Node, Shape, SymbolicTensor, is_symbolic
from lcfast.layers.core.symbolic_api import SymbolicSide
from lcfast.layers.core.weights import lock_kept_at_forks
from lcfast.local_conv import ops

__all__ = ["BUILD_LOCK", "Layer", "Pullback", "apart", "numbered_name"]

# Two threads may make the first call together.  A fork takes this lock before SWAP_LOCK, as `build`
# does: the hooks before a fork run in reverse order.
BUILD_LOCK = lock_kept_at_forks()
# Keras numbers unnamed layers through the process: dense, dense_1, ...
_NAME_COUNTS: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


class Layer(Computing, SymbolicSide):
    """The base of all layers, with the arguments that every Keras layer takes.

    Parameters
    ----------
    name : str, optional
        Name; made from the class where it is missing.
    dtype : str or numpy.dtype, optional
        "float32" (the default) or "float64": of the weights, the computation and the output.
    trainable : bool
        Whether `trainable_weights` lists the weights.
    input_shape, batch_input_shape : tuple of int or None, optional
        Shape of the input without or with the batch, for the first layer of a Sequential.
    batch_size : int, optional
        The batch to go with `input_shape`.
    weights : list of ndarray, optional
        Values to set when the layer is built.
    activity_regularizer : str, dict or callable, optional
        Penalty of the output, one of `losses` after a call.
    dynamic : bool
        Kept for Keras's sake; everything here is computed eagerly.

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

    takes_list: bool = False
    takes_any_dtype: ClassVar[bool] = False  # inputs come in their own dtype, not in the layer's
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
        )
        self._dynamic = arguments.checked_flag(dynamic, "dynamic")
        self.activity_regularizer = activity_regularizer
        self._added = []
        self._added_for = []
        self.built = False
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
        self._nodes: list[Node] = []

    @classmethod
    def automatic_name(cls) -> str:
        """A name made from the class, as Keras makes it: locally_connected1d."""
        words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", cls.__name__)
        return numbered_name(re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower())

    @property
    def dynamic(self) -> bool:
        """The argument `dynamic` of the constructor, of the layer or of a sublayer."""
        return any(layer._dynamic for layer in self.flat_layers())

    # ------------------------------------------------------------ what a layer defines

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape; the batch, first, is None or a number.

        Parameters
        ----------
        input_shape : tuple of int or None
            Shape of the input, batch first; a list of shapes for layers that take several.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(2)
        >>> layer.build((None, 3))
        >>> layer.count_params()
        8
        """
        if type(self).build is Layer.build:
            self.complete_build()

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`.

        A layer that defines `call` alone is called on zeros to see it.

        Raises
        ------
        ValueError
            If such a layer has inputs of unknown sizes, or gives no row for each row.

        Examples
        --------
        >>> import lcfast
        >>> lcfast.LocallyConnected1D(64, 3).compute_output_shape((None, 10, 32))
        (None, 8, 64)
        """
        return self._shape_by_call(input_shape) if self._computes_by_call else tuple(input_shape)

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError where a built layer cannot take inputs of this shape."""

    def takes_as_it_is(self, inputs: Any) -> bool:
        """Whether the layer is built and `inputs` need no check and no copy; False is no harm."""
        return False

    def at_once(self, inputs: np.ndarray, out: np.ndarray | None) -> np.ndarray | None:
        """The output where a call like this one needs no check any more; None is no harm."""
        return None

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
            True only where the layer behaves the same; lcfast scores, it does not train.
        mask : None
            Masks are not supported, except by a subclass whose `call` takes one.
        out : ndarray, optional
            Where the output goes, of the right shape and dtype.
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
        if type(inputs) is np.ndarray:
            if mask is None and not call_arguments and self._costs_nothing():
                y = self.at_once(inputs, out)
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
        arrays = inputs if self.takes_as_it_is(inputs) else self._arrays(inputs)
        if not call_arguments and self._costs_nothing():
            # What `compute` comes to for a layer that holds no others and has no `call`.
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
        """Call the layer; another name of `__call__`.

        Examples
        --------
        >>> import numpy as np, lcfast
        >>> lcfast.ReLU().apply(np.array([[-1.0, 1.0]]))
        array([[0., 1.]], dtype=float32)
        """
        return self(inputs, *args, **kwargs)

    def vjp(self, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """Compute the output and the function that pulls gradients back through the layer.

        Nothing is kept in the layer: the function may be called many times, from many threads.
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
            ``dx, dweights = pullback(dy)``: the gradient of the input, None where it is taken as
            integers, and those of the weights in the order and shapes of `get_weights()`.
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
            if dx is None:  # of integers
                return dx, dweights
            if isinstance(dx, list):
                return [apart(part, [dy, *dx[:i]]) for i, part in enumerate(dx)], dweights
            return apart(dx, [dy]), dweights

        # The caller may change its answer; the pullback goes on from this one.
        return y.copy(), checked_pullback

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Return None; a mask raises TypeError, because no layer here supports one."""
        if mask is not None:
            raise TypeError(
                f"Layer {self.name} does not support masking, but was passed a mask: {mask!r}."
            )

    def _costs_nothing(self) -> bool:
        """Whether no call in this thread can leave a loss; then nothing needs to be kept."""
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

    def _take_list_if(self, given: bool) -> None:
        # A `call` may take a list: it is what the first call is made on.
        if self._computes_by_call and given and not self.takes_list and not self.built:
            self.takes_list = True

    def _arrays(self, inputs: Any) -> Any:
        """The inputs as arrays of the layer's dtype, after the layer was built for them."""
        dtype = None if self.takes_any_dtype else self.numpy_dtype
        self._take_list_if(
            isinstance(inputs, list | tuple)
            and len(inputs) > 0
            and all(isinstance(item, np.ndarray) for item in inputs)
        )
        if self.takes_list:
            if not isinstance(inputs, list | tuple):
                raise ValueError(f"Layer {self.name} takes a list of inputs, not one array.")
            arrays: Any = [ops.as_array(item, dtype, f"input {i}") for i, item in enumerate(inputs)]
            shapes: Any = [array.shape for array in arrays]
        else:
            arrays = ops.as_array(inputs, dtype, f"The input of layer {self.name}")
            if arrays.ndim == 0:
                raise ValueError(f"The input of layer {self.name} is a number; expected a batch.")
            shapes = arrays.shape
        if not self.built:
            with_any_batch = (None, *shapes[1:]) if not self.takes_list else shapes
            self._ensure_built(with_any_batch)
        self.check_input_shape(shapes)
        return arrays

    def _ensure_built(self, input_shape: Any) -> None:
        if self.built:
            return
        with BUILD_LOCK:
            if not self.built:
                self.build(input_shape)

    # ------------------------------------------------------------ configuration

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as tf_keras writes it; `from_config` makes the layer again."""
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
        """Make a layer from what `get_config` gave, or from the config in a model file.

        Raises
        ------
        TypeError
            If the config has a key that the layer does not take.
        ValueError
            If a value is not one that the layer takes.
        """
        return cls(**config)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a layer of its own with the same name, configuration and weights, not connected.

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
        # Records and slots cannot be changed, so both may have them.
        values.update(vars(self), _nodes=[], _weights={}, _holders=dict(vars(self)["_holders"]))
        memo.update((id(weight), twin.weight_of(slot)) for slot, weight in self._weights.items())
        for name, value in vars(self).items():
            if name not in _SHARED_BY_COPIES:
                values[name] = copy.deepcopy(value, memo)
        return twin

    def __repr__(self) -> str:
        return f"<lcfast.{type(self).__name__} {self.name}>"


# What a deep copy has anew, or in common with the layer, because nothing can change it.
_SHARED_BY_COPIES = frozenset({"_nodes", "_weights", "_holders", "_record", "_slots"})


def numbered_name(stem: str, first: int = 0) -> str:
    """The next of stem, stem_1, stem_2, ...; of stem_1, stem_2, ... where `first` is 1."""
    number = next(_NAME_COUNTS[stem]) + first
    return f"{stem}_{number}" if number else stem


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"The `name` argument must be a non-empty string. Received: {name!r}.")
    return name
