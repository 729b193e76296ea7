"""The tables of a run in Markdown: forward, gradients, engines and settings, notes, targets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cases import BATCHES, CASES
from benchmarks.machine import SIZES
from benchmarks.marks import Mark, Timed, all_marks, timed_cells
from benchmarks.results import GRADIENT_PEERS, PEERS, Results

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def report(results: Results) -> str:
    """All tables, as printed in docs/benchmarks.md."""
    cells = list(timed_cells(results))
    forward = [cell for cell in cells if not cell.gradients]
    backward = [cell for cell in cells if cell.gradients]
    parts = [
        header(results),
        "### Forward, float32, all threads (ms)\n\n" + forward_table(results, forward),
    ]
    if backward:
        parts.append("### Both gradients (ms)\n\n" + gradients_table(backward))
    if any(math.isfinite(cell.of("lcfast", "float64")) for cell in forward):
        parts.append("### Engines and settings of lcfast (ms)\n\n" + settings_table(forward))
    notes = list(reasons(results))
    if notes:
        parts.append("### Why a time is missing\n\n" + "\n".join(f"- {note}" for note in notes))
    targets = marks_table(all_marks(results))
    parts.append("### Appendix: targets, and where they are missed\n\n" + targets)
    return "\n\n".join(parts) + "\n"


def header(results: Results) -> str:
    """Date, commit, machine, versions and the measured limits."""
    machine = results.machine
    facts = ", ".join(f"{name} {value}" for name, value in machine.facts.items())
    versions = ", ".join(f"{name} {value}" for name, value in sorted(results.versions.items()))
    lines = [
        f"{results.date}, commit {results.commit or 'unknown'}, {machine.threads} threads; "
        f"{facts}.",
        f"Versions: {versions}.",
        f"FMA peak {machine.peak_512 / 1e9:.0f} GFLOP/s (512 bits), "
        f"{machine.peak_256 / 1e9:.0f} (256 bits). Bandwidth in GB/s, read / copy: "
        + ", ".join(
            f"{_size_text(size)} {machine.read[i] / 1e9:.0f} / {machine.copy[i] / 1e9:.0f}"
            for i, size in _some_sizes()
        )
        + ".",
    ]
    if results.peers_date:
        lines.append(f"The peers' times are of an earlier run, {results.peers_date}.")
    return "\n".join(lines)


def marks_table(marks: list[Mark]) -> str:
    """One line for each target, the missed ones first, then the cells that miss them."""
    lines = ["| what | target | measured | |", "|---|---|---|---|"]
    for mark in marks:
        met = {True: "met", False: "**missed**", None: ""}[mark.met]
        lines.append(f"| {mark.what} | {mark.mark} | {mark.measured} | {met} |")
    misses = [f"- {mark.what}: " + "; ".join(mark.misses) for mark in marks if mark.misses]
    return "\n".join(lines) + ("\n\nThe cells that miss:\n\n" + "\n".join(misses) if misses else "")


def forward_table(results: Results, cells: list[Timed]) -> str:
    """lcfast, its share of the roofline, every peer, the ratio to the fastest, and libxsmm."""
    columns = ["case", "batch", "lcfast", "roofline", "bound by", *PEERS, "fastest peer", "libxsmm"]
    lines = head(columns)
    at = {(cell.case.name, cell.batch): cell for cell in cells}
    for name, case in CASES.items():
        for batch in BATCHES:
            cell = at.get((name, batch))
            label = f"{name}: {case.shape_text()}" if batch == BATCHES[0] else ""
            if cell is None:
                if any(c == name for c, *_ in results.cells) and case.left_out(batch):
                    lines.append(f"| {label} | {batch} | left out: {case.left_out(batch)} |"
                                 + " |" * (len(columns) - 3))  # fmt: skip
                continue
            row = [
                label or name, str(batch), milliseconds(cell.seconds), f"{cell.roofline:.0%}",
                "FMA" if cell.compute_bound else "bytes",
                *(milliseconds(cell.of(peer)) for peer in PEERS), ratio_text(cell),
                milliseconds(cell.of("libxsmm")),
            ]  # fmt: skip
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def gradients_table(cells: list[Timed]) -> str:
    """dx, dkernel and dbias together."""
    lines = head(["case", "batch", "lcfast", "of peak", "roofline", *GRADIENT_PEERS, "fastest"])
    for cell in cells:
        row = [
            cell.case.name, str(cell.batch), milliseconds(cell.seconds), f"{cell.of_peak:.0%}",
            f"{cell.roofline:.0%}", *(milliseconds(cell.of(peer)) for peer in GRADIENT_PEERS),
            ratio_text(cell),
        ]  # fmt: skip
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def settings_table(cells: list[Timed]) -> str:
    """The direct engine otherwise, and the other engines."""
    ways = ("direct", "new array", "auto", "one thread", "float64")
    lines = head(["case", "batch", *ways, "AVX2", "sparse", "scipy"])
    for cell in cells:
        row = [
            cell.case.name, str(cell.batch),
            *(milliseconds(cell.of("lcfast", way)) for way in ways),
            milliseconds(cell.of("lcfast_avx2")), milliseconds(cell.of("lcfast", "sparse")),
            milliseconds(cell.of("scipy")),
        ]  # fmt: skip
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def reasons(results: Results) -> Iterator[str]:
    """Peer by peer and reason by reason, the cells without a time."""
    found: dict[tuple[str, str], list[str]] = {}
    for case, batch, gradients, peer in results.cells:
        reason = results.reason(case, batch, gradients, peer)
        if reason:
            kind = " (gradients)" if gradients else ""
            found.setdefault((peer, reason), []).append(f"{case} at {batch}{kind}")
    for (peer, reason), where in found.items():
        yield f"{peer}, {', '.join(where)}: {reason}."


def ratio_text(cell: Timed) -> str:
    """How many times as fast as which peer."""
    name, seconds = cell.fastest
    return f"{seconds / cell.seconds:.2g}x {name}" if name else "-"


def milliseconds(seconds: float) -> str:
    """Three digits of milliseconds, or a dash."""
    if not math.isfinite(seconds):
        return "-"
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def write_section(path: Path, text: str) -> None:
    """Put `text` between the markers of a file.

    Raises
    ------
    ValueError
        If the file does not hold both markers.
    """
    page = path.read_text()
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path} must hold the lines {BEGIN} and {END}.")
    before, after = page[: page.index(BEGIN)], page[page.index(END) :]
    path.write_text(f"{before}{BEGIN}\n{text}{after}")


def head(columns: list[str]) -> list[str]:
    """The first two lines of a table."""
    return ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]


def _some_sizes() -> list[tuple[int, int]]:
    return [(i, size) for i, size in enumerate(SIZES) if i % 4 == 2]


def _size_text(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
