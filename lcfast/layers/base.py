"""What every layer is: a configuration, a record of weights, and two pure functions.

`forward(weights, inputs)` and `linearize(weights, inputs)` read nothing that changes: the weights
come in as one immutable record, which a call takes once.  `set_weights` swaps the record, so a
call in another thread computes with the old weights or with the new ones, never with both.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from lcfast.layers import arguments
from lcfast.layers.symbolic import Node, Shape, SymbolicTensor, is_symbolic
from lcfast.layers.weights import Record, WeightHolder
from lcfast.local_conv import ops

Pullback = Callable[[Any], tuple[Any, list[np.ndarray]]]

BUILD_LOCK = threading.RLock()  # two threads may make the first call together
# Keras numbers unnamed layers through the process: dense, dense_1, ...
_NAME_COUNTS: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


class Layer(WeightHolder):
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

    takes_list: ClassVar[bool] = False

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
        **unknown: Any,
    ) -> None:
        if unknown:
            names = ", ".join(repr(key) for key in unknown)
            raise TypeError(f"{type(self).__name__} does not take these arguments: {names}.")
        super().__init__(weights)
        self.name = _checked_name(name) if name is not None else self.automatic_name()
        self.dtype = checked_dtype(dtype).name
        self.trainable = arguments.checked_flag(trainable, "trainable")
        self.dynamic = arguments.checked_flag(dynamic, "dynamic")
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

    # ------------------------------------------------------------ what a layer defines

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of this shape; the batch, first, is None or a number."""
        self.finish_build(())

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first, for an input of `input_shape`."""
        return tuple(input_shape)

    def forward(
        self, weights: Record, inputs: Any, training: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the output; `out` may be used for it, or left alone."""
        raise TypeError(f"Layer {self.name} ({type(self).__name__}) does not define `forward`.")

    def linearize(self, weights: Record, inputs: Any) -> tuple[np.ndarray, Pullback]:
        """Return the output and the function (dy) -> (dx, dweights)."""
        raise TypeError(f"Layer {self.name} ({type(self).__name__}) does not define `linearize`.")

    def check_input_shape(self, shape: Any) -> None:
        """Raise ValueError where a built layer cannot take inputs of this shape."""

    # ------------------------------------------------------------ calling

    def __call__(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        out: np.ndarray | None = None,
    ) -> Any:
        """Compute on arrays, or record a node on symbolic tensors.

        Parameters
        ----------
        inputs : array_like or SymbolicTensor, shape (batch, ...)
            A list of them for layers that merge.
        training : bool, optional
            True only where the layer behaves the same; lcfast scores, it does not train.
        mask : None
            Masks are not supported.
        out : ndarray, optional
            Where the output goes, of the right shape and dtype.

        Returns
        -------
        ndarray or SymbolicTensor

        Raises
        ------
        TypeError, ValueError
            If the input or `out` has the wrong type, dtype, rank or shape, or a mask is given.
        """
        if is_symbolic(inputs):
            return self._connect(inputs)
        self.compute_mask(inputs, mask)
        arrays = self._arrays(inputs)
        y = self.forward(self.record(), arrays, training=bool(training), out=out)
        if out is None:
            return apart(y, arrays)
        target = ops.as_output(out, y.shape, y.dtype)
        if y is not target:
            target[...] = y
        return target

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
            ``dx, dweights = pullback(dy)``: the gradient of the input, and those of the weights
            in the order and shapes of `get_weights()`.
        """
        arrays = self._arrays(inputs)
        y, pullback = self.linearize(self.record(), arrays)

        def checked_pullback(dy: Any) -> tuple[Any, list[np.ndarray]]:
            dy = ops.as_array(dy, y.dtype, "the gradient of the output")
            if dy.shape != y.shape:
                raise ValueError(
                    f"The gradient of the output of layer {self.name} has shape {dy.shape}; "
                    f"expected {y.shape}, the output's."
                )
            dx, dweights = pullback(dy)
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

    def _connect(self, inputs: Any) -> SymbolicTensor:
        tensors = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
        if not self.takes_list and len(tensors) != 1:
            raise ValueError(f"Layer {self.name} takes one input. Received: {len(tensors)}.")
        shapes = [tensor.shape for tensor in tensors]
        shape = shapes if self.takes_list else shapes[0]
        self._ensure_built(shape)
        self.check_input_shape(shape)
        node = Node(self, tensors, self.compute_output_shape(shape))
        self._nodes.append(node)
        return node.output

    def _arrays(self, inputs: Any) -> Any:
        """The inputs as arrays of the layer's dtype, after the layer was built for them."""
        dtype = np.dtype(self.dtype)
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

    def __repr__(self) -> str:
        return f"<lcfast.{type(self).__name__} {self.name}>"


def checked_dtype(dtype: Any) -> np.dtype:
    """Return float32 or float64 of a name, a numpy dtype or a Keras dtype policy; None: float32."""
    named = dtype
    if isinstance(dtype, dict):  # {"class_name": "Policy", "config": {"name": "float32"}}
        config = dtype.get("config")
        named = config.get("name") if isinstance(config, dict) else dtype
    if named is None:
        return np.dtype(np.float32)
    if isinstance(named, str | type | np.dtype):
        with contextlib.suppress(TypeError, ValueError, SyntaxError):
            checked = np.dtype(named)
            if checked in ops.REAL_DTYPES and checked.isnative:
                return checked
    raise ValueError(f"The `dtype` argument must be float32 or float64. Received: {dtype!r}.")


def apart(array: np.ndarray, others: Any) -> np.ndarray:
    """`array`, or a copy where it may lie in the memory of the others."""
    others = others if isinstance(others, list) else [others]
    shared = any(np.may_share_memory(array, other) for other in others)
    return array.copy() if shared else array


def numbered_name(stem: str, first: int = 0) -> str:
    """The next of stem, stem_1, stem_2, ...; of stem_1, stem_2, ... where `first` is 1."""
    number = next(_NAME_COUNTS[stem]) + first
    return f"{stem}_{number}" if number else stem


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"The `name` argument must be a non-empty string. Received: {name!r}.")
    return name
