"""lcfast itself: the direct engine into a given output, and the other engines and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import lcfast
from benchmarks.answers import Weights
from benchmarks.cases import CONV, DENSE, LOCAL, Case
from benchmarks.peers.contract import NotOffered, Way, Ways, unchanged
from lcfast.local_conv import dispatch

LARGEST_PATTERN = 1 << 24
"""Connections up to which the sparse engine is timed."""


def versions() -> dict[str, str]:
    return {"lcfast": lcfast.__version__, "kernel path": dispatch.active_path()}


def layer_of(case: Case, weights: Weights, dtype: str = "float32", **arguments: Any) -> Any:
    """The layer of a case, built, with these weights."""
    if case.kind == DENSE:
        layer: Any = lcfast.Dense(case.filters, dtype=dtype)
        shape: tuple[int | None, ...] = (None, case.inputs)
    else:
        kinds = {
            LOCAL: (lcfast.LocallyConnected1D, lcfast.LocallyConnected2D),
            CONV: (lcfast.Conv1D, lcfast.Conv2D),
        }
        kind = kinds[case.kind][len(case.kernel_size) - 1]
        layer = kind(
            case.filters, case.kernel_size, strides=case.strides, dtype=dtype,
            data_format="channels_last", **arguments,
        )  # fmt: skip
        shape = (None, *case.input_shape)
    layer.build(shape)
    shapes = [w.shape for w in layer.get_weights()]
    layer.set_weights([w.reshape(s) for w, s in zip(weights, shapes, strict=True)])
    return layer


def rows_of(case: Case, x: np.ndarray) -> np.ndarray:
    """The input in the shape that the layer takes."""
    return x.reshape(len(x), -1) if case.kind == DENSE else x


def forward(case: Case, weights: Weights) -> Ways:
    made: dict[str, Any] = {}

    def direct() -> Any:
        if "direct" not in made:
            made["direct"] = layer_of(case, weights)
        return made["direct"]

    ways: Ways = {
        "direct": lambda: into_output(case, direct()),
        "new array": lambda: Way(
            lambda x: rows_of(case, x), direct(), lambda y: canonical(case, y), in_blocks=False
        ),
        "one thread": lambda: on_one_thread(into_output(case, direct())),
        "float64": lambda: in_float64(case, weights),
    }
    if case.kind == LOCAL:
        ways["auto"] = lambda: into_output(case, layer_of(case, weights, engine="auto"))
        ways["sparse"] = lambda: sparse(case, weights)
    return ways


def gradients(case: Case, weights: Weights) -> Ways:
    return {"direct": lambda: pullback(case, layer_of(case, weights))}


def canonical(case: Case, y: np.ndarray) -> np.ndarray:
    """(N, P, F)."""
    return y.reshape(len(y), case.positions, case.filters)


def into_output(case: Case, layer: Any) -> Way:
    """A call that is given its output."""

    def prepare(x: np.ndarray) -> Callable[[], np.ndarray]:
        x = rows_of(case, x).astype(layer.dtype, copy=False)
        out = layer(x)

        def call() -> np.ndarray:
            result: np.ndarray = layer(x, out=out)
            return result

        return call

    return Way(prepare, lambda call: call(), lambda y: canonical(case, y), in_blocks=False)


def on_one_thread(way: Way) -> Way:
    """The same on one thread; setting the number costs less than a microsecond."""

    def run(prepared: Any) -> Any:
        lcfast.set_num_threads(1)
        try:
            return way.run(prepared)
        finally:
            lcfast.set_num_threads(None)

    return way._replace(run=run)


def in_float64(case: Case, weights: Weights) -> Way:
    wide = Weights(*(w.astype(np.float64) for w in weights))
    return into_output(case, layer_of(case, wide, dtype="float64"))


def sparse(case: Case, weights: Weights) -> Way:
    connections = case.outputs * case.patch
    if connections > LARGEST_PATTERN:
        raise NotOffered(f"{connections:,} connections, more than {LARGEST_PATTERN:,}")
    return into_output(case, layer_of(case, weights, engine="sparse"))


def pullback(case: Case, layer: Any) -> Way:
    """The pullback alone: both gradients of the weights and that of the input."""

    def prepare(x: np.ndarray, dy: np.ndarray) -> Any:
        y, pull = layer.vjp(rows_of(case, x))
        return pull, dy.reshape(y.shape)

    def run(prepared: Any) -> Any:
        pull, dy = prepared
        dx, dweights = pull(dy)
        return [dx, *dweights]

    return Way(prepare, run, unchanged, in_blocks=False)
