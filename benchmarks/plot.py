"""Plot the roofline: operations per second over operations per byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.machine import SIZES, Machine
from benchmarks.marks import Timed, timed_cells
from benchmarks.results import PEERS, Results

ROOFS = ((1 << 20, "1 MiB"), (1 << 24, "16 MiB"), (1 << 28, "256 MiB"))
COLORS = {1: "tab:green", 32: "tab:blue", 512: "tab:red"}


def draw(results: Results, path: Path) -> None:
    """Write the plot of all forward cells.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    cells = [cell for cell in timed_cells(results) if not cell.gradients]
    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    intensity = np.geomspace(0.1, 400, 200)
    for size, name in ROOFS:
        bandwidth = copy_rate(results.machine, size)
        roof = np.minimum(intensity * bandwidth, results.machine.peak) / 1e9
        axes.plot(intensity, roof, color="0.6", linewidth=1)
        axes.annotate(f"copying {name}", (intensity[0] * 1.05, roof[0] * 1.08), color="0.4",
                      fontsize=7, rotation=33)  # fmt: skip
    for cell in cells:
        at = cell.operations / sum(cell.moved)
        color = COLORS.get(cell.batch, "black")
        axes.scatter(at, rate(cell, cell.seconds), color=color, s=22, zorder=3)
        _, fastest = cell.fastest
        if np.isfinite(fastest):
            axes.scatter(
                at, rate(cell, fastest), color=color, s=18, marker="x", zorder=2, alpha=0.6
            )
    for batch, color in COLORS.items():
        axes.scatter([], [], color=color, s=22, label=f"lcfast, batch {batch}")
        axes.scatter([], [], color=color, s=18, marker="x", label=f"fastest peer, batch {batch}")
    axes.set(xscale="log", yscale="log", xlabel="operations for each byte that must move",
             ylabel="GFLOP/s, float32")  # fmt: skip
    axes.set_title(f"Forward, {results.machine.threads} threads; peers: {', '.join(PEERS)}",
                   fontsize=9)  # fmt: skip
    axes.legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def rate(cell: Timed, seconds: float) -> float:
    """GFLOP/s."""
    return cell.operations / seconds / 1e9


def copy_rate(machine: Machine, size: int) -> float:
    """Bytes per second of a copy of this size."""
    return machine.copy[SIZES.index(size)]
