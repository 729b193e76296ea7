"""Report timings: as a table, as advice for each layer, and as data for JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lcfast.bench.subjects import ENGINES, default_of, geometry_of
from lcfast.bench.timing import TIE, Timing, chosen
from lcfast.layers.locally_connected_base import LocallyConnected, fastest_engine
from lcfast.local_conv import dispatch
from lcfast.local_conv.threads import get_num_threads

EXPLANATION = """\
Only the engine computes: `implementation` says which weights a layer shows and stores, and which
engine it runs by default. Every implementation gave the same answers on every engine, so each
engine is timed once."""
HEADER = ("layer", "batch", "engine", "default of", "best ms", "median ms", "rows/s", "weights MB")
SWING = 1.5  # a larger ratio of median to best means that other work disturbed the calls
TO_THE_LEFT = (0, 2, 3)  # the columns that hold text


def table_lines(found: Sequence[Sequence[Timing]]) -> Iterator[str]:
    """Yield the lines of the table, with a mark at the fastest engine of each list.

    Examples
    --------
    >>> from lcfast.bench.advice import table_lines
    >>> from lcfast.bench.subjects import model_of
    >>> from lcfast.bench.timing import timings
    >>> lines = list(table_lines(list(timings(model_of("10x2:4:3"), [8], seconds=0.001))))
    >>> len(lines)
    3
    """
    # Sort by layer, then by batch; `timings` yields them by batch.
    names = list(dict.fromkeys(of_engines[0].layer for of_engines in found))
    found = sorted(found, key=lambda of_engines: names.index(of_engines[0].layer))
    rows = [
        (
            timing.layer or "whole model",
            f"{timing.batch:,}",
            timing.engine,
            f"implementation {', '.join(map(str, timing.default_of))}" if timing.default_of else "",
            f"{1e3 * timing.best_seconds:,.3f}",
            f"{1e3 * timing.median_seconds:,.3f}",
            f"{timing.rows_per_second:,.0f}",
            f"{timing.weight_bytes / 1e6:,.3f}",
            "  <- choose" if timing is chosen(of_engines) else "",
        )
        for of_engines in found
        for timing in of_engines
    ]
    table = [(*HEADER, ""), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
    for *cells, mark in table:
        aligned = [
            cell.ljust(width) if i in TO_THE_LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        yield ("  ".join(aligned) + mark).rstrip()


def report_lines(
    layers: Sequence[LocallyConnected],
    found: Sequence[Sequence[Timing]],
    from_file: bool,
    seconds: float,
    left_out: Sequence[int] = (),
) -> Iterator[str]:
    """Yield the report: how it was timed, the table, and advice for each timed layer.

    Examples
    --------
    >>> from lcfast.bench.advice import report_lines
    >>> list(report_lines([], [], from_file=False, seconds=0.3, left_out=[512]))
    ['Not timed, because they do not fit into free memory: batches of 512.']
    """
    if found:
        dtypes = " and ".join(sorted({layer.dtype for layer in layers}))
        threads = get_num_threads()
        yield (
            f"{dtypes}, {dispatch.active_path()} kernels, {threads} thread{'s' * (threads > 1)}; "
            f"each line below is the calls of {seconds:g} s."
        )
        yield from EXPLANATION.splitlines()
        yield ""
        yield from table_lines(found)
        yield ""
    yield from _reservations([timing for of_engines in found for timing in of_engines])
    if left_out:
        sizes = ", ".join(f"{batch:,}" for batch in left_out)
        yield f"Not timed, because they do not fit into free memory: batches of {sizes}."
    for layer in layers:  # last, so that a terminal shows it without scrolling
        if any(of_engines[0].layer == layer.name for of_engines in found):
            yield advice(layer, found, from_file)


def _reservations(rows: Sequence[Timing]) -> Iterator[str]:
    """Warn where other work on the machine disturbed the timing."""
    swinging = sum(timing.median_seconds > SWING * timing.best_seconds for timing in rows)
    if swinging:
        yield (
            f"In {swinging} of {len(rows)} rows the median call took over {SWING:g} times as long "
            "as the best call. This happens when other work uses the cores; repeat when it is done."
        )
    others, cores = max((timing.others for timing in rows), default=0.0), os.cpu_count() or 1
    if others > 0.5 and others + min(get_num_threads(), cores) > cores + 0.5:
        yield (
            f"Other processes used the cores meanwhile ({others:.1f} threads, {cores} cores): the "
            "times may be far too long; repeat when they are done, or give fewer --threads."
        )


def advice(layer: LocallyConnected, found: Sequence[Sequence[Timing]], from_file: bool) -> str:
    """Return which engine to choose for a layer, how to select it, and what "auto" selects.

    Examples
    --------
    >>> from lcfast.bench.advice import advice
    >>> from lcfast.bench.subjects import local_layers, model_of
    >>> from lcfast.bench.timing import timings
    >>> model = model_of("10x2:4:3")
    >>> found = list(timings(model, [8], seconds=0.001))
    >>> advice(*local_layers(model), found, from_file=False)  # doctest: +ELLIPSIS
    '10x2:4:3: choose ...; engine="auto" would run direct...'
    """
    own = [of_engines for of_engines in found if of_engines[0].layer == layer.name]
    engines = list(dict.fromkeys(chosen(of_engines).engine for of_engines in own))
    choices = []
    for engine in engines:
        won = [of_engines for of_engines in own if chosen(of_engines).engine == engine]
        at = f" at batch {_batches(won)}" if len(engines) > 1 else ""
        choices.append(f"{engine}{at} ({_speed(engine, won)})")
    selections = [_how(layer, engine, from_file) for engine in engines]
    parts = [f"{layer.name}: choose {', '.join(choices)}", *selections, _auto(layer, own)]
    return "; ".join(parts) + "."


def _speed(engine: str, won: Sequence[Sequence[Timing]]) -> str:
    """How much faster an engine was for the batches where it was the fastest."""
    other = next(one for one in ENGINES if one != engine)
    ratios = [_best_of(other, of_engines) / _best_of(engine, of_engines) for of_engines in won]
    low, high = _ratio(min(ratios)), _ratio(max(ratios))
    if max(ratios) <= TIE:
        return f"as fast as {other}, with smaller weights"
    if min(ratios) <= TIE:
        return f"up to {high} times as fast as {other}"
    return f"{low if low == high else f'{low} to {high}'} times as fast as {other}"


def _how(layer: LocallyConnected, engine: str, from_file: bool) -> str:
    """How to run a layer on an engine."""
    implementations = default_of(engine, [layer])
    if from_file and layer.chosen_engine() == engine:
        return f"implementation {layer.implementation} of the file runs {engine} already"
    if not implementations:
        number = layer.implementation
        return f"layer.with_implementation({number}, engine={engine!r}) runs {engine}"
    if from_file:
        return f"layer.with_implementation({implementations[-1]}) runs {engine}"
    return f"implementation={' or '.join(map(str, implementations))} runs {engine}"


def _auto(layer: LocallyConnected, own: Sequence[Sequence[Timing]]) -> str:
    """What engine="auto" selects; this depends on the geometry alone, not on machine or batch."""
    engine = fastest_engine(geometry_of(layer))
    lost = [of_engines for of_engines in own if chosen(of_engines).engine != engine]
    if not lost:
        return f'engine="auto" would run {engine}, too'
    worst = max(_best_of(engine, of_batch) / chosen(of_batch).best_seconds for of_batch in lost)
    if worst <= TIE:
        return f'engine="auto" would run {engine}, as fast'
    return (
        f'engine="auto" would run {engine}, which takes up to {_ratio(worst)} times as long at '
        f"batch {_batches(lost)}"
    )


def _ratio(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"


def _batches(of_batches: Sequence[Sequence[Timing]]) -> str:
    return ", ".join(f"{of_engines[0].batch:,}" for of_engines in of_batches)


def _best_of(engine: str, of_engines: Sequence[Timing]) -> float:
    return next(timing.best_seconds for timing in of_engines if timing.engine == engine)


def as_data(found: Sequence[Sequence[Timing]]) -> list[dict[str, Any]]:
    """Return the timings as data for JSON, each with rows per second and whether it is chosen.

    Examples
    --------
    >>> from lcfast.bench.advice import as_data
    >>> from lcfast.bench.timing import Timing
    >>> as_data([[Timing("a", 8, "direct", (1,), 0.5, 0.5, 9, 100)]])[0]["rows_per_second"]
    16.0
    """
    return [
        {
            **asdict(timing),
            "rows_per_second": timing.rows_per_second,
            "chosen": timing is chosen(of_engines),
        }
        for of_engines in found
        for timing in of_engines
    ]
