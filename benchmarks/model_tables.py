"""The tables of whole models in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmarks.results import Results
from benchmarks.tables import head, milliseconds, reasons

OURS, BUSY = "lcfast", "lcfast beside a busy process"
PEERS = ("tf_keras", "onnxruntime", "openvino")
PREDICT, ONE_THREAD = "predict", "one thread"
SLOWER_THAN_WANTED = 1.2
"""Cells with a smaller ratio to the fastest peer are counted."""


def report(results: Results) -> str:
    """All tables, with what they were measured on."""
    cells = list(timed_cells(results))
    parts = [header(results), times_table(results, cells), totals(results, cells)]
    largest = dict(cells)  # the last rows of a model are the most
    parts.append(f"For the most rows:\n\n{largest_table(results, list(largest.items()))}")
    notes = list(reasons(results))
    if notes:
        parts.append("Why a time is missing:\n\n" + "\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts)


def header(results: Results) -> str:
    """Date, commit, machine and versions."""
    machine = results.machine
    facts = ", ".join(f"{name} {value}" for name, value in machine.facts.items())
    versions = ", ".join(f"{name} {value}" for name, value in sorted(results.versions.items()))
    return (
        f"{results.date}, commit {results.commit or 'unknown'}, {machine.threads} threads; "
        f"{facts}.\nVersions: {versions}.\nFMA peak {machine.peak / 1e9:.0f} GFLOP/s."
    )


def times_table(results: Results, cells: list[tuple[str, int]]) -> str:
    """The best time of each engine in milliseconds, and the ratio to the fastest peer."""
    lines = head(["model", "rows", OURS, ONE_THREAD, *PEERS, "fastest peer / lcfast"])
    for model, rows in cells:
        name, times = fastest_peer(results, model, rows)
        ours = seconds(results, model, rows, OURS, PREDICT)
        row = [
            model, str(rows), milliseconds(ours),
            milliseconds(seconds(results, model, rows, OURS, ONE_THREAD)),
            *(milliseconds(seconds(results, model, rows, peer)) for peer in PEERS),
            f"{times / ours:.2f} {name}" if name else "-",
        ]  # fmt: skip
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def totals(results: Results, cells: list[tuple[str, int]]) -> str:
    """The geometric mean of the ratios, by best and by median times, and how many are small."""
    lines = []
    for kind in ("best", "median"):
        ratios = [
            ratio for model, rows in cells if (ratio := ratio_of(results, model, rows, kind)) > 0
        ]
        if ratios:
            mean = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
            slow = sum(ratio < SLOWER_THAN_WANTED for ratio in ratios)
            lines.append(
                f"By {kind} times: geometric mean {mean:.2f}, {slow} of {len(ratios)} cells "
                f"below {SLOWER_THAN_WANTED}."
            )
    return "\n".join(lines) or "No peer was timed."


def largest_table(results: Results, cells: list[tuple[str, int]]) -> str:
    """Rate, share of the peak, both threads against one (also beside a busy process), memory."""
    columns = ["model", "rows", "GFLOP/s", "of peak", "all threads over one",
               "beside a busy process", "memory of predict (MB)"]  # fmt: skip
    lines = head(columns)
    for model, rows in cells:
        rate = results.memory[operations_key(model)] * rows / seconds(
            results, model, rows, OURS, PREDICT
        )  # fmt: skip
        scratch = results.memory.get(scratch_key(model, rows))
        row = [
            model, str(rows), f"{rate / 1e9:.1f}", f"{rate / results.machine.peak:.0%}",
            gain(results, model, rows, OURS), gain(results, model, rows, BUSY),
            "-" if scratch is None else f"{scratch / 1e6:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def gain(results: Results, model: str, rows: int, column: str) -> str:
    """How many times as fast all threads are as one; a dash where one of them has no time."""
    one = seconds(results, model, rows, column, ONE_THREAD)
    all_threads = seconds(results, model, rows, column, PREDICT)
    return f"{one / all_threads:.2f}" if math.isfinite(one) and math.isfinite(all_threads) else "-"


def timed_cells(results: Results) -> Iterator[tuple[str, int]]:
    """The models and rows that lcfast has a time for."""
    for model, rows, _, peer in results.cells:
        if peer == OURS and math.isfinite(seconds(results, model, rows, OURS, PREDICT)):
            yield model, rows


def seconds(
    results: Results, model: str, rows: int, peer: str, way: str = "", kind: str = "best"
) -> float:
    """The time of a way, or of the fastest way; infinity where there is none."""
    if not way:
        way = results.best_way(model, rows, False, peer)
    timing = results.cells.get((model, rows, False, peer), {}).get(way, {})
    return float(timing.get(kind, math.inf))


def fastest_peer(
    results: Results, model: str, rows: int, kind: str = "best"
) -> tuple[str, float]:  # fmt: skip
    """Name and time of the fastest peer, ("", infinity) where there is none."""
    times = {peer: seconds(results, model, rows, peer, kind=kind) for peer in PEERS}
    name = min(times, key=lambda peer: times[peer])
    return (name, times[name]) if math.isfinite(times[name]) else ("", math.inf)


def ratio_of(results: Results, model: str, rows: int, kind: str) -> float:
    """How many times as fast lcfast is as the fastest peer; 0 where there is none."""
    name, time = fastest_peer(results, model, rows, kind)
    return time / seconds(results, model, rows, OURS, PREDICT, kind) if name else 0.0


def failures(results: Results) -> list[str]:
    """A line for each way without a time."""
    return [
        f"{peer}, {way or 'start'}, {model} at {rows}: {timing['failed']}"
        for (model, rows, _, peer), ways in results.cells.items()
        for way, timing in ways.items()
        if "failed" in timing
    ]


def operations_key(model: str) -> str:
    """Where the results store the multiplications and additions of one row."""
    return f"operations of a row of {model}"


def scratch_key(model: str, rows: int) -> str:
    """Where the results store the bytes that `predict` holds at its peak."""
    return f"bytes of predict, {model} at {rows}"
