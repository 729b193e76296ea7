"""The symbolic side: tensors without numbers, and the nodes that record which layer made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lcfast.layers.base import Layer

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """What `lcfast.Input` and a layer called on it return: a shape, a dtype and where it is from.

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
        return self.node.layer.name


class Node:
    """One symbolic call of a layer: its inputs and its output."""

    def __init__(self, layer: Layer, inputs: tuple[SymbolicTensor, ...], shape: Shape) -> None:
        self.layer = layer
        self.inputs = inputs
        self.output = SymbolicTensor(shape, layer.dtype, self)


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
