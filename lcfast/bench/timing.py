"""Time the engines for each layer and batch size.

Keras's implementations that run on the same engine hold the same weights in the same layout, so
each engine is timed once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lcfast.bench.agreement import check_engines, check_implementations
from lcfast.bench.subjects import (
    ENGINES,
    check_weights_fit,
    default_of,
    layer_inputs,
    local_layers,
    model_inputs,
    on_each_engine,
    weight_bytes,
)
from lcfast.layers.core import call_state
from lcfast.layers.locally_connected_base import LocallyConnected
from lcfast.models import Model
from lcfast.models.execution import run
from lcfast.models.graph import Graph

MIXED = "mixed"  # each layer of a model on its fastest engine
TURNS = 3  # the engines take turns, so that a slow phase of the machine affects all of them
SAMPLES = 5
TIE = 1.05  # times within this factor count as equal: the next run may reverse them


@dataclass(frozen=True)
class Timing:
    """How fast an engine scored one batch.

    Parameters
    ----------
    layer : str or None
        Name of the layer; None for the whole model.
    batch : int
        Rows in a call.
    engine : str
        "direct" or "sparse"; for a whole model also "mixed", the fastest for each layer.
    default_of : tuple of int
        The implementations that run this engine by default.
    best_seconds, median_seconds : float
        Best and median time of one call.
    calls : int
        Number of timed calls.
    weight_bytes : int
        Bytes of the weights in this engine's layout; for a model, of all its locally connected
        layers.
    others : float
        Threads of other processes that ran just before; they may have used the cores.

    Examples
    --------
    >>> from lcfast.bench.timing import Timing
    >>> Timing("a", 32, "direct", (1,), 0.5, 0.6, calls=9, weight_bytes=5).rows_per_second
    64.0
    """

    layer: str | None
    batch: int
    engine: str
    default_of: tuple[int, ...]
    best_seconds: float
    median_seconds: float
    calls: int
    weight_bytes: int
    others: float = 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows scored per second, by the best call."""
        return self.batch / self.best_seconds


def timings(
    model: Model, batches: Sequence[int], seconds: float, rows: np.ndarray | None = None
) -> Iterator[list[Timing]]:
    """Time each locally connected layer of a model, then the model, for each batch size.

    Parameters
    ----------
    model : Model
        The model to time; it is not changed.
    batches : sequence of int
        Batch sizes.
    seconds : float
        How long each engine is timed for each layer and batch size.
    rows : ndarray, optional
        Inputs of the model, repeated or cut to the batch size; random ones by default. Each layer
        is timed on the values that the model computes for it.

    Yields
    ------
    list of Timing
        One for each engine. There are `parts(model)` such lists for each batch size.

    Raises
    ------
    EnginesDisagreeError
        If implementations or engines give different results.
    MemoryError
        If the weights for all engines do not fit into free memory.

    Examples
    --------
    >>> from lcfast.bench.subjects import model_of
    >>> from lcfast.bench.timing import timings
    >>> found = next(timings(model_of("10x2:4:3"), [8], seconds=0.001))
    >>> [(timing.engine, timing.batch) for timing in found]
    [('direct', 8), ('sparse', 8)]
    """
    layers = local_layers(model)
    check_weights_fit(layers)
    graph = model.graph_of_layers()
    engines_of = {layer.name: on_each_engine(layer) for layer in layers}
    for batch in batches:
        inputs = model_inputs(model, batch, rows)
        of_layers = layer_inputs(graph, model.record(), inputs, layers)
        choice = {}
        for layer, x in zip(layers, of_layers, strict=True):
            engines = engines_of[layer.name]
            if batch == batches[0]:
                check_implementations(engines, x)
            check_engines(engines, x)
            on = {engine: [one] for engine, one in engines.items()}
            scoring = {engine: _scoring_layer(one, x) for engine, one in engines.items()}
            found = _timed(layer.name, batch, on, scoring, seconds)
            choice[layer.name] = chosen(found).engine
            yield found
        if parts(model) > len(layers):
            # The layers agree on these inputs, and the other layers are shared: no check is needed.
            on = {
                engine: [engines[engine] for engines in engines_of.values()] for engine in ENGINES
            }
            if len(set(choice.values())) > 1:
                on[MIXED] = [engines_of[name][engine] for name, engine in choice.items()]
            scoring = {
                engine: _scoring_model(graph, model.record(), replaced, inputs)
                for engine, replaced in on.items()
            }
            yield _timed(None, batch, on, scoring, seconds)


def parts(model: Model) -> int:
    """How many lists `timings` yields per batch size: one per layer, and one for a larger model."""
    local = len(local_layers(model))
    return local + (len(model.graph_of_layers().steps) > 1)


def seconds_in_turns(
    functions: Sequence[Callable[[], object]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Time single calls of several functions, which take turns.

    Parameters
    ----------
    functions : sequence of callable
        Each is called once, untimed, before each of its turns, to bring its weights into the cache.
    seconds : float
        How long each is timed over all turns; at least one call.
    clock : callable, optional
        Returns the time.

    Returns
    -------
    list of list of float
        The seconds of each call, for each function.

    Examples
    --------
    >>> from lcfast.bench.timing import seconds_in_turns
    >>> first, second = seconds_in_turns([lambda: 1, lambda: 2], seconds=0.001)
    >>> min(first) > 0
    True
    """
    timed: list[list[float]] = [[] for _ in functions]
    for turn in range(1, TURNS + 1):
        for function, own in zip(functions, timed, strict=True):
            spent = sum(own)
            if turn > 1 and not spent < seconds * turn / TURNS:
                continue  # its last call took longer than a turn
            function()
            while True:
                start = clock()
                function()
                own.append(clock() - start)
                spent += own[-1]
                if not spent < seconds * turn / TURNS:
                    break
    return timed


def running_elsewhere(source: str | Path = "/proc/loadavg") -> float:
    """Return how many threads of other processes run now; 0 if the system does not report it.

    The load averages would include the recent work of this process.

    Examples
    --------
    >>> from lcfast.bench.timing import running_elsewhere
    >>> running_elsewhere() >= 0
    True
    """
    running = []
    try:
        for _ in range(SAMPLES):
            time.sleep(0.004)  # lets this process's own idle threads go to sleep
            with open(source, encoding="ascii") as file:
                running.append(int(file.read().split()[3].partition("/")[0]) - 1)
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(statistics.mean(running), 0.0)


def _timed(
    name: str | None,
    batch: int,
    on: dict[str, list[LocallyConnected]],
    scoring: dict[str, Callable[[], object]],
    seconds: float,
) -> list[Timing]:
    """One Timing for each engine: its layers, and the function that scores with them."""
    others = running_elsewhere()
    times = seconds_in_turns(list(scoring.values()), seconds)
    return [
        Timing(
            name,
            batch,
            engine,
            default_of(engine, on[engine]),
            max(min(own), 1e-9),  # a coarse clock may measure 0
            statistics.median(own),
            len(own),
            sum(map(weight_bytes, on[engine])),
            others,
        )
        for engine, own in zip(scoring, times, strict=True)
    ]


def _scoring_layer(layer: LocallyConnected, x: np.ndarray) -> Callable[[], object]:
    return lambda: layer(x)


def _scoring_model(
    graph: Graph, record: Sequence[Any], replaced: Sequence[LocallyConnected], inputs: Any
) -> Callable[[], object]:
    """A function that scores as `Model.predict` does, with some layers replaced."""
    by_name = {layer.name: layer for layer in replaced}
    graph = replace(graph, layers=tuple(by_name.get(one.name, one) for one in graph.layers))
    own = [
        layer.record() if layer.name in by_name else weights
        for layer, weights in zip(graph.layers, record, strict=True)
    ]

    def score() -> None:
        with call_state.without_losses():
            run(graph, own, inputs)

    return score


def chosen(of_engines: Sequence[Timing]) -> Timing:
    """Return the timing with the best call; among equally fast ones, that with smallest weights.

    Examples
    --------
    >>> from lcfast.bench.timing import Timing, chosen
    >>> direct = Timing("a", 1, "direct", (1,), 1.02, 1.1, calls=9, weight_bytes=5)
    >>> sparse = Timing("a", 1, "sparse", (2, 3), 1.00, 1.1, calls=9, weight_bytes=9)
    >>> chosen([direct, sparse]).engine
    'direct'
    """
    best = min(timing.best_seconds for timing in of_engines)
    as_fast = [timing for timing in of_engines if timing.best_seconds <= TIE * best]
    return min(as_fast, key=lambda timing: timing.weight_bytes)
