"""The symbolic side: tensors without numbers, and the nodes that record which layer made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lcfast.layers.core.layer import Layer

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
    """One symbolic call of a layer: its inputs and its outputs, one unless the layer is a model."""

    def __init__(
        self,
        layer: Layer,
        inputs: tuple[SymbolicTensor, ...],
        shape: Shape | list[Shape],
        dtypes: Sequence[str] | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        shapes = shape if isinstance(shape, list) else [shape]
        self.outputs = tuple(
            SymbolicTensor(one, dtype, self)
            for one, dtype in zip(shapes, dtypes or [layer.dtype] * len(shapes), strict=True)
        )

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the call returned: a list where there are several outputs."""
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
