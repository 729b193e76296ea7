"""The table that `Model.summary` prints, and its data for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from lcfast.layers.core.layer import Layer
from lcfast.layers.linear_base import LinearLayer
from lcfast.models.blocks import rows_at_once, weight_bytes
from lcfast.models.structure import ModelStructure

KERAS_COLUMNS = ("Layer (type)", "Output Shape", "Param #", "Connected to")
OUR_COLUMNS = ("Implementation", "Engine", "Plan")


def summary_lines(model: ModelStructure) -> Iterator[str]:
    """The lines of the table: Keras's columns, then those of ours that are not empty.

    "Connected to" is left out where the model is a chain.
    """
    data = summary_data(model)
    header = (*KERAS_COLUMNS, *OUR_COLUMNS)
    rows = [_cells(layer) for layer in data["layers"]]
    chain = _is_chain(model) and all(len(layer["connected_to"]) <= 1 for layer in data["layers"])
    shown = [
        i
        for i, title in enumerate(header)
        if i < 3 or (not chain if title == "Connected to" else any(row[i] for row in rows))
    ]
    table = [header, *rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    rule = "=" * (sum(widths[i] for i in shown) + 2 * (len(shown) - 1))

    def line(row: tuple[str, ...]) -> str:
        aligned = [
            row[i].rjust(widths[i]) if header[i] in ("Param #", "Implementation")
            else row[i].ljust(widths[i])
            for i in shown
        ]  # fmt: skip
        return "  ".join(aligned).rstrip()

    yield f'Model: "{model.name}" ({type(model).__name__})'
    yield rule
    yield line(header)
    yield rule
    yield from map(line, rows)
    yield rule
    parameters = data["parameters"]
    yield f"Total params: {parameters['total']:,} ({_bytes(parameters['bytes'])})"
    yield f"Trainable params: {parameters['trainable']:,}"
    yield f"Non-trainable params: {parameters['non_trainable']:,}"


def summary_data(model: ModelStructure) -> dict[str, Any]:
    """The data of the table and the full plans, as numbers, strings, lists and dicts.

    Plans are for the blocks that `predict` scores; they may differ between machines.
    """
    graph = model.graph_of_layers()
    total = model.count_params()
    trainable = sum(weight.size for weight in model.trainable_weights)
    rows = _rows_of_a_block(model)
    layers = []
    for layer in model.layers:
        nodes = [node for node in graph.nodes if node.layer is layer]
        shapes = [list(tensor.shape) for tensor in nodes[0].outputs]
        layers.append(
            {
                "name": layer.name,
                "class": type(layer).__name__,
                "output_shape": shapes if len(shapes) > 1 else shapes[0],
                "parameters": layer.count_params(),
                "weight_bytes": weight_bytes(layer.record()),
                "connected_to": [tensor.name for node in nodes for tensor in node.inputs],
                "implementation": getattr(layer, "implementation", None),
                "engine": _engine(layer),
                "plan": _plan(layer, rows),
            }
        )
    return {
        "name": model.name,
        "class": type(model).__name__,
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "rows_at_once": rows,
        "layers": layers,
        "parameters": {
            "total": total,
            "trainable": trainable,
            "non_trainable": total - trainable,
            "bytes": sum(weight.size * weight.dtype.itemsize for weight in model.weights),
        },
    }


def _cells(layer: dict[str, Any]) -> tuple[str, ...]:
    plan, implementation = layer["plan"], layer["implementation"]
    return (
        f"{layer['name']} ({layer['class']})",
        _shape(layer["output_shape"]),
        f"{layer['parameters']:,}",
        ", ".join(layer["connected_to"]),
        "" if implementation is None else str(implementation),
        layer["engine"] or "",
        "" if plan is None or plan["regime"] == plan["engine"] else f"by {plan['regime']}",
    )


def _shape(sizes: list[Any]) -> str:
    """One shape, or a list of them, as Keras writes it."""
    several = sizes and isinstance(sizes[0], list)
    return str([tuple(each) for each in sizes] if several else tuple(sizes))


def _rows_of_a_block(model: ModelStructure) -> int | None:
    """Rows of a block of `predict`; None where the sizes of the inputs are not known."""
    shapes = [tensor.shape for tensor in model.inputs]
    if any(None in shape[1:] for shape in shapes):
        return None
    return rows_at_once(model.graph_of_layers(), model.record(), shapes)


def _engine(layer: Layer) -> str | None:
    return layer.chosen_engine() if isinstance(layer, LinearLayer) else None


def _plan(layer: Layer, rows: int | None) -> dict[str, Any] | None:
    """The plan of a layer for a block of rows; None where it has none."""
    if not isinstance(layer, LinearLayer) or layer.geometry is None or rows is None:
        return None
    plan = layer.plan(rows)
    return {**dataclasses.asdict(plan), "rows": rows, "in_words": str(plan)}


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}


def _is_chain(model: ModelStructure) -> bool:
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
