"""Compiles a graph: its steps become programs in C, and calls of layers that have no steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcfast.layers.core.call_state import THREAD
from lcfast.local_conv.compute_options import DEFAULT_OPTIONS
from lcfast.local_conv.threads import get_num_threads
from lcfast.models.blocks import rows_of_program, value_shapes
from lcfast.models.execution import Observer, run, run_step
from lcfast.models.graph import Graph
from lcfast.models.structure import ModelStructure
from lcfast.program._program import Program
from lcfast.program.builder import ProgramBuilder
from lcfast.program.runner import Runner
from lcfast.program.steps import Value

MOST_COMPILED = 8
"""Most input shapes for which a graph is compiled at the same time."""


@dataclass(frozen=True)
class Part:
    """Consecutive steps of a graph that are one program."""

    steps: tuple[int, ...]  # of the graph
    runner: Runner
    inputs: tuple[int, ...]  # values of the graph
    outputs: tuple[int, ...]
    last_use_of: tuple[int, ...]


@dataclass(frozen=True)
class Compiled:
    """A graph for inputs of fixed shapes and one record of weights.

    Parameters
    ----------
    graph : Graph
        The graph.
    records : tuple
        The weights that the programs point into.
    parts : tuple of Part or int
        Programs, and numbers of steps that a layer computes in Python.
    """

    graph: Graph
    records: tuple[Any, ...]
    parts: tuple[Part | int, ...]

    @property
    def whole(self) -> Part | None:
        """The program, where there is one alone."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], Part) else None

    def run(
        self,
        inputs: Sequence[np.ndarray],
        out: np.ndarray | None = None,
        observe: Observer | None = None,
    ) -> list[np.ndarray]:
        """The outputs for one or more rows; `out` is used for a lone one where it fits."""
        graph = self.graph
        values: list[Any] = [None] * len(graph.values)
        for i, x in zip(graph.inputs, inputs, strict=True):
            values[i] = x
        last = graph.outputs[0] if len(graph.outputs) == 1 else None
        for part in self.parts:
            if isinstance(part, int):
                step = graph.steps[part]
                target = out if step.output == last else None
                run_step(graph, self.records, part, values, target, observe)
                continue
            target = out if part.outputs == (last,) else None
            answers, seconds = part.runner(
                [values[i] for i in part.inputs], target, get_num_threads(), observe is not None
            )
            for i, answer in zip(part.outputs, answers, strict=True):
                values[i] = answer
            if observe is not None:
                rows = len(values[part.inputs[0]])
                for number in part.steps:
                    size = part.runner.size_of(number) * rows
                    observe(number, float(seconds[number]), size)
            for i in part.last_use_of:
                values[i] = None
        return [values[i] for i in graph.outputs]


def compiled(graph: Graph, records: Sequence[Any], shapes: Sequence[Any]) -> Compiled:
    """The compiled graph for inputs of these row shapes, from the cache of the graph."""
    key = (DEFAULT_OPTIONS.path(), *shapes)
    found: Compiled | None = graph.compiled.get(key)
    if found is not None and (
        found.records is records or all(a is b for a, b in zip(found.records, records, strict=True))
    ):
        return found
    if len(graph.compiled) >= MOST_COMPILED:
        graph.compiled.clear()
    found = graph.compiled[key] = _compile(graph, tuple(records), key[0], shapes)
    return found


def compiled_run(
    graph: Graph,
    records: Sequence[Any],
    inputs: Sequence[np.ndarray],
    out: np.ndarray | None = None,
    observe: Observer | None = None,
) -> list[np.ndarray]:
    """The outputs of a graph, by its programs; bit-identical to those of `execution.run`."""
    if len(inputs[0]) == 0:
        return run(graph, records, inputs, out=out, observe=observe)
    return compiled(graph, records, [x.shape[1:] for x in inputs]).run(inputs, out, observe)


@dataclass(frozen=True)
class _Quick:
    """A model that is one program, the records that it was compiled with, and its layers."""

    program: Program
    path: int
    records: tuple[tuple[Any, Any], ...]
    most_rows: int
    has_losses: bool  # of the layers' outputs


def remember(
    model: ModelStructure, record: Any, graph: Graph, records: Any, inputs: Sequence[np.ndarray]
) -> None:
    """Let `quick_answer` answer calls of the model, where it is one program."""
    if len(inputs) != 1 or len(graph.outputs) != 1 or model._gives_list or len(inputs[0]) == 0:
        return
    held = model.graph_of_layers().compiled.get(model.quick_key)
    part = compiled(graph, records, [inputs[0].shape[1:]]).whole
    program = None if part is None else part.runner.program
    if part is None or program is None or (held is not None and held.program is program):
        return
    own = model.records_of(record)
    layers = tuple((layer, own[layer]) for layer in own if layer is not model)
    most_rows = rows_of_program(part.runner.steps, ready=True, progresses=True)
    has_losses = any(layer.activity_regularizer is not None for layer, _ in layers)
    path = DEFAULT_OPTIONS.path()
    quick = _Quick(program, path, layers, most_rows, has_losses)
    model.graph_of_layers().compiled[model.quick_key] = quick


def quick_answer(
    model: ModelStructure, x: np.ndarray, batch_size: Any, out: Any, counts_losses: bool = False
) -> np.ndarray | None:
    """The answer of the program of a model that scored before; None where it is not certain.

    With `counts_losses`, None too where the call could change the losses of a layer.

    No lock is needed: if all layers still have the records that were taken together, no other
    records were set before the last of them was looked at.
    """
    graph = model._graph
    quick: _Quick | None = None if graph is None else graph.compiled.get(model.quick_key)
    if quick is None or batch_size is not None or model._computes_by_call:
        return None
    if THREAD.records or THREAD.training:
        return None
    if counts_losses and (quick.has_losses or THREAD.has_losses):
        return None
    for layer, record in quick.records:
        if layer._record is not record:
            return None
    if len(x.shape) < 1 or len(x) > quick.most_rows or quick.path != DEFAULT_OPTIONS.path():
        return None
    return quick.program.answer(x, out, get_num_threads())


def _compile(graph: Graph, records: tuple[Any, ...], path: int, input_shapes: Any) -> Compiled:
    shapes = [tuple(s[1:]) for s in value_shapes(graph, [(None, *s) for s in input_shapes])]
    parts: list[Part | int] = []
    segment: _Segment | None = None
    for number, step in enumerate(graph.steps):
        layer = graph.layers[step.layer]
        dtype = layer.numpy_dtype
        floats = all(np.dtype(graph.values[i].dtype) == dtype for i in step.inputs)
        around = [shapes[i] for i in (*step.inputs, step.output)]
        sized = all(shape and all(shape) for shape in around)  # neither None nor 0
        if floats and sized and dtype.kind == "f":
            if segment is None or segment.dtype != dtype:
                _close(segment, parts, graph, path)
                segment = _Segment(dtype)
            if segment.add(graph, records, number, shapes):
                continue
        _close(segment, parts, graph, path)
        segment = None
        parts.append(number)
    _close(segment, parts, graph, path)
    return Compiled(graph, records, tuple(parts))


def _close(segment: _Segment | None, parts: list[Part | int], graph: Graph, path: int) -> None:
    if segment is not None and segment.steps:
        parts.append(segment.finished(graph, path))


class _Segment:
    """The program of consecutive steps, while it is recorded."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.steps: list[int] = []
        self._program = ProgramBuilder(dtype)
        self._values: dict[int, Value] = {}  # by the values of the graph
        self._inputs: list[int] = []

    def add(self, graph: Graph, records: Any, number: int, shapes: Sequence[Any]) -> bool:
        """Record one more step of the graph; False, with no change, where it has no steps."""
        step = graph.steps[number]
        layer = graph.layers[step.layer]
        mark, known = self._program.mark(), len(self._inputs)
        for i in step.inputs:
            if i not in self._values:
                self._values[i] = self._program.input(shapes[i])
                self._inputs.append(i)
        taken = [self._values[i] for i in step.inputs]
        self._program.label = number
        y = layer.steps_of(
            self._program, records[step.layer], taken if layer.takes_list else taken[0]
        )
        if y is None:
            for i in self._inputs[known:]:
                del self._values[i]
            del self._inputs[known:]
            self._program.undo(mark)
            return False
        self._values[step.output] = y
        self.steps.append(number)
        return True

    def finished(self, graph: Graph, path: int) -> Part:
        made = [graph.steps[number].output for number in self.steps]
        first, last = self.steps[0], self.steps[-1]
        later = {i for step in graph.steps[last + 1 :] for i in step.inputs} | set(graph.outputs)
        outputs = tuple(i for i in made if i in later)
        steps = self._program.finished([self._values[i] for i in outputs])
        dead = {i for number in range(first, last + 1) for i in graph.steps[number].last_use_of}
        runner = Runner(
            steps, path, {number: self._values[graph.steps[number].output] for number in self.steps}
        )
        return Part(
            tuple(self.steps), runner, tuple(self._inputs), outputs, tuple(dead - set(made))
        )
