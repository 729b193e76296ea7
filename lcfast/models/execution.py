"""Run a graph: pure functions of its steps, a record of weights and the inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lcfast.models.graph import Graph, Step

PullAll = Callable[..., tuple[list[np.ndarray | None], list[list[np.ndarray]]]]
Observer = Callable[[int, float, int], object]
"""Called for each step: its number, the seconds it took and the bytes of its output."""


def output_shapes(graph: Graph, input_shapes: Sequence[Any]) -> list[Any]:
    """The shape of each output for inputs of these shapes, batch first."""
    shapes: list[Any] = [None] * len(graph.values)
    for i, shape in zip(graph.inputs, input_shapes, strict=True):
        shapes[i] = tuple(shape)
    for step in graph.steps:
        layer = graph.layers[step.layer]
        taken = [shapes[i] for i in step.inputs]
        shapes[step.output] = layer.shape_of_output(taken if layer.takes_list else taken[0])
    return [shapes[i] for i in graph.outputs]


def _taken(graph: Graph, step: Step, values: Sequence[Any]) -> Any:
    """The inputs of a step, one value or a list, in the dtype of its layer."""
    layer = graph.layers[step.layer]
    if layer.takes_any_dtype:
        return values[step.inputs[0]]
    dtype = layer.numpy_dtype
    if layer.takes_list:
        return [values[i].astype(dtype, copy=False) for i in step.inputs]
    value = values[step.inputs[0]]
    return value if value.dtype is dtype else value.astype(dtype, copy=False)


def run(
    graph: Graph,
    weights: Sequence[Any],
    inputs: Sequence[np.ndarray],
    training: bool = False,
    out: np.ndarray | None = None,
    observe: Observer | None = None,
) -> list[np.ndarray]:
    """The outputs; `out` is passed to the step that computes a lone one."""
    values: list[Any] = [None] * len(graph.values)
    for i, x in zip(graph.inputs, inputs, strict=True):
        values[i] = x
    last = graph.outputs[0] if len(graph.outputs) == 1 else None
    for number, step in enumerate(graph.steps):
        target = out if step.output == last else None
        run_step(graph, weights, number, values, target, observe, training)
    return [values[i] for i in graph.outputs]


def run_step(
    graph: Graph,
    weights: Sequence[Any],
    number: int,
    values: list[Any],
    out: np.ndarray | None = None,
    observe: Observer | None = None,
    training: bool = False,
) -> None:
    """Compute one step by its layer, in `values`."""
    step = graph.steps[number]
    start = 0.0 if observe is None else time.perf_counter()
    taken = _taken(graph, step, values)
    layer = graph.layers[step.layer]
    y = layer.compute(weights[step.layer], taken, training=training, out=out)
    values[step.output] = y
    if observe is not None:
        observe(number, time.perf_counter() - start, y.nbytes)
    for i in step.last_use_of:
        values[i] = None  # free the memory of what is not needed any more


def linearize(
    graph: Graph, weights: Sequence[Any], inputs: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], PullAll]:
    """The outputs, and the function (dys) -> (dx of each input, dweights of each layer).

    The dx of an integer input is None.  With `with_activity` the function adds the gradients of
    the activity regularizers.
    """
    values: list[Any] = [None] * len(graph.values)
    for i, x in zip(graph.inputs, inputs, strict=True):
        values[i] = x
    pullbacks = []
    activities = {}  # the outputs that have a penalty
    for step in graph.steps:
        values[step.output], pullback = graph.layers[step.layer].compute_linearized(
            weights[step.layer], _taken(graph, step, values)
        )
        pullbacks.append(pullback)
        if graph.layers[step.layer].activity_regularizer is not None:
            activities[step.output] = values[step.output]
    outputs = [values[i] for i in graph.outputs]
    shapes = [(values[i].shape, values[i].dtype) for i in graph.inputs]
    del values

    def pull(
        dys: Sequence[np.ndarray], with_activity: bool = False
    ) -> tuple[list[np.ndarray | None], list[list[np.ndarray]]]:
        gradients: list[Any] = [None] * len(graph.values)

        def add(i: int, part: np.ndarray | None) -> None:
            dtype = np.dtype(graph.values[i].dtype)
            if part is None or dtype.kind != "f":
                return  # integers have no gradient
            part = part.astype(dtype, copy=False)
            gradients[i] = part if gradients[i] is None else gradients[i] + part

        for i, dy in zip(graph.outputs, dys, strict=True):
            add(i, dy)
        of_weights: list[Any] = [None] * len(graph.layers)
        for step, pullback in zip(reversed(graph.steps), reversed(pullbacks), strict=True):
            if with_activity and step.output in activities:
                penalty = graph.layers[step.layer].activity_penalty(activities[step.output])
                if penalty is not None:
                    add(step.output, penalty)
            if gradients[step.output] is None:
                continue
            dx, dweights = pullback(gradients[step.output])
            earlier = of_weights[step.layer]  # of a later call of a shared layer
            of_weights[step.layer] = (
                [a + b for a, b in zip(earlier, dweights, strict=True)] if earlier else dweights
            )
            for i, part in zip(step.inputs, dx if isinstance(dx, list) else [dx], strict=True):
                add(i, part)
        dxs = [
            np.zeros(shape, dtype) if gradients[i] is None and dtype.kind == "f" else gradients[i]
            for i, (shape, dtype) in zip(graph.inputs, shapes, strict=True)
        ]
        for number, layer in enumerate(graph.layers):
            if of_weights[number] is None:  # no output depends on it
                shapes_of = layer.weight_shapes()
                of_weights[number] = [np.zeros(shape, layer.dtype) for shape in shapes_of]
        return dxs, of_weights

    return outputs, pull
