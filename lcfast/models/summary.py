"""The table that `Model.summary` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lcfast.models.model import Model

HEADER = ("Layer (type)", "Output Shape", "Param #", "Connected to")


def summary_lines(model: Model) -> Iterator[str]:
    """The lines of the table; the last column only where the model is more than a chain."""
    rows = _rows(model)
    chain = all(len(row[3]) <= 1 for row in rows) and _is_chain(model)
    columns = 3 if chain else 4
    cells = [(*row[:3], ", ".join(row[3]))[:columns] for row in rows]
    table = [HEADER[:columns], *cells]
    widths = [max(len(line[i]) for line in table) for i in range(columns)]
    rule = "=" * (sum(widths) + 2 * (columns - 1))

    def line(row: tuple[str, ...]) -> str:
        aligned = [
            cell.rjust(width) if i == 2 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(aligned).rstrip()

    yield f'Model: "{model.name}" ({type(model).__name__})'
    yield rule
    yield line(HEADER[:columns])
    yield rule
    yield from map(line, cells)
    yield rule
    total = model.count_params()
    trainable = sum(weight.size for weight in model.trainable_weights)
    size = sum(weight.size * weight.dtype.itemsize for weight in model.weights)
    yield f"Total params: {total:,} ({_bytes(size)})"
    yield f"Trainable params: {trainable:,}"
    yield f"Non-trainable params: {total - trainable:,}"


def _rows(model: Model) -> list[tuple[str, str, str, list[str]]]:
    """(name and class, output shape, parameters, layers it takes from) of each layer."""
    graph = model.graph_of_layers()
    rows = []
    for layer in model.layers:
        nodes = [node for node in graph.nodes if node.layer is layer]
        shapes = [tensor.shape for tensor in nodes[0].outputs]
        shape = str(shapes if len(shapes) > 1 else shapes[0])
        sources = [tensor.name for node in nodes for tensor in node.inputs]
        title = f"{layer.name} ({type(layer).__name__})"
        rows.append((title, shape, f"{layer.count_params():,}", sources))
    return rows


def _is_chain(model: Model) -> bool:
    """Whether each value is used at most once, and there is one input and one output."""
    graph = model.graph_of_layers()
    used = [i for step in graph.steps for i in step.inputs]
    return len(used) == len(set(used)) and len(graph.inputs) == len(graph.outputs) == 1


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.2f} {unit}"
        amount /= 1024
    return f"{amount:.2f} GB"
