"""Symbolic tensors, nodes that record symbolic calls, and the members of a layer about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lcfast.layers.core import arguments

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """What `lcfast.Input`, or a layer called on it, returns: a shape, a dtype and its call.

    Parameters
    ----------
    shape : tuple of int or None
        Shape with the batch first, which is None where it is not fixed.
    dtype : str
        Such as "float32".
    node : Node
        The call that made it.
    """

    shape: Shape
    dtype: str
    node: Node = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the layer that made it."""
        return str(self.node.layer.name)


class Node:
    """One symbolic call of a layer: its inputs and its outputs, one unless the layer is a model."""

    def __init__(
        self,
        layer: SymbolicCalls,
        inputs: tuple[SymbolicTensor, ...],
        shape: Shape | list[Shape],
        dtypes: Sequence[str] | None = None,
    ) -> None:
        self.layer: Any = layer  # a Layer, which is defined on top of this module
        self.inputs = inputs
        shapes = shape if isinstance(shape, list) else [shape]
        self.outputs = tuple(
            SymbolicTensor(one, dtype, self)
            for one, dtype in zip(shapes, dtypes or [layer.dtype] * len(shapes), strict=True)
        )

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the call returned; a list where there are several outputs."""
        return list(self.outputs) if len(self.outputs) > 1 else self.outputs[0]


def is_symbolic(inputs: Any) -> bool:
    """Whether `inputs` is a symbolic tensor or a list of them.

    Raises
    ------
    TypeError
        If a list mixes symbolic tensors with arrays.
    """
    if isinstance(inputs, SymbolicTensor):
        return True
    if not isinstance(inputs, list | tuple):
        return False
    symbolic = [isinstance(item, SymbolicTensor) for item in inputs]
    if any(symbolic) and not all(symbolic):
        raise TypeError("A layer was called on symbolic tensors and arrays in one list; use one.")
    return any(symbolic)


Tensors = SymbolicTensor | list[SymbolicTensor]


class SymbolicCalls:
    """The base of a layer: its name, its dtype, and its symbolic calls.

    Parameters
    ----------
    name : str
        Name of the layer.
    dtype : str
        Such as "float32".
    """

    def __init__(self, name: str, dtype: str) -> None:
        self._name = name
        self._dtype = dtype
        self.numpy_dtype = np.dtype(dtype)
        self._nodes: list[Node] = []

    @property
    def name(self) -> str:
        """The name of the layer."""
        return self._name

    @property
    def dtype(self) -> str:
        """The dtype of the weights, the computation and the output: "float32" or "float64"."""
        return self._dtype

    @property
    def scope_name(self) -> str:
        """The first part of the names of the weights: the layer's name."""
        return self.name

    @property
    def graph(self) -> Any:
        """Raises AttributeError: there is no TensorFlow graph.

        Raises
        ------
        AttributeError
            Always.
        """
        raise AttributeError(
            f"Layer {self.name} has no `graph`: lcfast computes on numpy arrays and has no "
            "TensorFlow graph."
        )

    @property
    def input(self) -> Any:
        """The symbolic tensor that the layer was called on; a list where it takes several.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or on different ones.
        """
        inputs = [given for given, _ in self._symbolic_calls()]
        return self._common(inputs, "input", self._not_connected())

    @property
    def output(self) -> Any:
        """The symbolic tensor that the layer returned.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or more than once.
        """
        outputs = [returned for _, returned in self._symbolic_calls()]
        return self._common(outputs, "output", self._no_nodes())

    @property
    def input_mask(self) -> None:
        """None, because masks are not supported.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor.
        """
        self._common([None for _ in self._symbolic_calls()], "input mask", self._not_connected())

    @property
    def output_mask(self) -> None:
        """None, because masks are not supported.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor.
        """
        self._common([None for _ in self._symbolic_calls()], "output mask", self._no_nodes())

    @property
    def input_shape(self) -> Any:
        """Shape of the symbolic input, batch first; a list of shapes where there are several.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or on ones of different shapes.
        """
        shapes = [_shape(given) for given, _ in self._symbolic_calls()]
        return self._common(shapes, "input shape", self._never_called("input shape"))

    @property
    def output_shape(self) -> Any:
        """Shape of the symbolic output, batch first.

        Raises
        ------
        AttributeError
            If the layer was never called on a symbolic tensor, or on ones of different shapes.
        """
        shapes = [_shape(returned) for _, returned in self._symbolic_calls()]
        return self._common(shapes, "output shape", self._never_called("output shape"))

    def get_input_at(self, node_index: int) -> Tensors:
        """Return the symbolic tensor of one call of the layer; a list where it takes several.

        Parameters
        ----------
        node_index : int
            0 is the first symbolic call.

        Returns
        -------
        SymbolicTensor or list of SymbolicTensor

        Raises
        ------
        RuntimeError
            If the layer was never called on a symbolic tensor.
        ValueError
            If there are fewer calls.

        References
        ----------
        https://www.tensorflow.org/versions/r1.15/api_docs/python/tf/keras/layers/Layer

        Examples
        --------
        >>> import lcfast
        >>> layer, x = lcfast.Dense(2), lcfast.Input((3,))
        >>> y = layer(x)
        >>> layer.get_input_at(0) is x, layer.get_output_at(0) is y
        (True, True)
        """
        return self._call_at(node_index, "input")[0]

    def get_output_at(self, node_index: int) -> Tensors:
        """Return the symbolic tensor that one call of the layer returned; see `get_input_at`."""
        return self._call_at(node_index, "output")[1]

    def get_input_shape_at(self, node_index: int) -> Any:
        """Return the shape of the input of one call of the layer; see `get_input_at`.

        Examples
        --------
        >>> import lcfast
        >>> layer = lcfast.Dense(2)
        >>> y = layer(lcfast.Input((3,)))
        >>> layer.get_input_shape_at(0), layer.get_output_shape_at(0)
        ((None, 3), (None, 2))
        """
        return _shape(self._call_at(node_index, "input shape")[0])

    def get_output_shape_at(self, node_index: int) -> Any:
        """Return the shape of the output of one call of the layer; see `get_input_at`."""
        return _shape(self._call_at(node_index, "output shape")[1])

    def get_input_mask_at(self, node_index: int) -> None:
        """Return None, because masks are not supported; raises what `get_input_at` raises."""
        self._call_at(node_index, "input mask")

    def get_output_mask_at(self, node_index: int) -> None:
        """Return None, because masks are not supported; raises what `get_input_at` raises."""
        self._call_at(node_index, "output mask")

    def _symbolic_calls(self) -> list[tuple[Tensors, Tensors]]:
        """Input and output of each symbolic call; of an InputLayer both are its tensor."""
        calls: list[tuple[Tensors, Tensors]] = []
        for node in self._nodes:
            several = list(node.inputs or node.outputs)
            calls.append((several if len(several) > 1 else several[0], node.output))
        return calls

    def _call_at(self, node_index: int, what: str) -> tuple[Tensors, Tensors]:
        """Input and output of one symbolic call; errors say `what` was asked for."""
        calls = self._symbolic_calls()
        if not calls:
            raise RuntimeError(self._never_called(what))
        number = arguments.as_integer(node_index)
        if number is None:
            raise TypeError(f"The `node_index` must be an integer. Received: {node_index!r}.")
        if not -len(calls) <= number < len(calls):
            raise ValueError(
                f"Asked to get {what} at node {number}, but the layer has only {len(calls)} "
                "inbound nodes."
            )
        return calls[number]

    def _common(self, of_calls: list[Any], what: str, missing: str) -> Any:
        """The value that is the same for all symbolic calls; `missing` is the error for no call."""
        if not of_calls:
            raise AttributeError(missing)
        if any(other != of_calls[0] for other in of_calls[1:]):
            raise AttributeError(
                f'The layer "{self.name}" has multiple inbound nodes, with different {what}s. '
                f'Hence the notion of "{what}" is ill-defined for the layer. Use '
                f"`get_{what.replace(' ', '_')}_at(node_index)` instead."
            )
        return of_calls[0]

    def _not_connected(self) -> str:
        return f"Layer {self.name} is not connected, no input to return."

    def _no_nodes(self) -> str:
        return f"Layer {self.name} has no inbound nodes."

    def _never_called(self, what: str) -> str:
        return f"The layer {self.name} has never been called and thus has no defined {what}."


def _shape(tensors: Tensors) -> Any:
    return [t.shape for t in tensors] if isinstance(tensors, list) else tensors.shape
