"""The results of a run: cells by case, batch, kind and peer, and their JSON file."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compiling import ROOT
from benchmarks.machine import Machine

FOLDER = ROOT / "benchmarks" / "results"
PEERS = ("tf_keras", "torch", "jax", "onnxruntime", "numpy")
"""The peers that the marks compare with: realistic alternatives to lcfast."""
GRADIENT_PEERS = ("tf_keras", "torch", "jax")
OURS = ("lcfast", "lcfast_avx2")

Key = tuple[str, int, bool, str]
Ways = dict[str, dict[str, Any]]


@dataclass
class Results:
    """What was measured, when and on what."""

    machine: Machine
    versions: dict[str, str] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    peers_date: str | None = None
    commit: str = ""
    cells: dict[Key, Ways] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def seconds(self, case: str, batch: int, gradients: bool, peer: str, way: str = "") -> float:
        """Best time of a way, or of the best way; infinity where there is none."""
        ways = self.cells.get((case, batch, gradients, peer), {})
        chosen: Iterable[dict[str, Any]] = [ways.get(way, {})] if way else ways.values()
        return min((timing["best"] for timing in chosen if "best" in timing), default=float("inf"))

    def best_way(self, case: str, batch: int, gradients: bool, peer: str) -> str:
        """Name of the fastest way of a peer, "" where there is none."""
        ways = self.cells.get((case, batch, gradients, peer), {})
        timed = {name: timing["best"] for name, timing in ways.items() if "best" in timing}
        return min(timed, key=lambda name: timed[name]) if timed else ""

    def reason(self, case: str, batch: int, gradients: bool, peer: str) -> str | None:
        """Why a peer has no time for a cell; None where it has, or was not asked."""
        ways = self.cells.get((case, batch, gradients, peer), {})
        if not ways or any("best" in timing for timing in ways.values()):
            return None
        return "; ".join(dict.fromkeys(timing["failed"] for timing in ways.values()))

    def fastest(self, case: str, batch: int, gradients: bool) -> tuple[str, float]:
        """Name and time of the fastest peer of the marks, ("", infinity) where there is none."""
        names = GRADIENT_PEERS if gradients else PEERS
        times = {name: self.seconds(case, batch, gradients, name) for name in names}
        name = min(times, key=lambda peer: times[peer])
        return ("", float("inf")) if times[name] == float("inf") else (name, times[name])

    def add(self, case: str, batch: int, gradients: bool, peer: str, ways: Ways) -> None:
        """Add ways to a cell; of two timings of one way, keep the better one."""
        cell = self.cells.setdefault((case, batch, gradients, peer), {})
        for name, timing in ways.items():
            before = cell.get(name)
            if before is None or before.get("best", 1e9) > timing.get("best", 1e9):
                cell[name] = timing

    def without(self, peers: tuple[str, ...]) -> dict[Key, Ways]:
        """The cells of all others."""
        return {key: ways for key, ways in self.cells.items() if key[3] not in peers}

    def save(self, path: Path) -> None:
        """Write the JSON file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = {
            "date": self.date,
            "peers_date": self.peers_date,
            "commit": self.commit,
            "versions": self.versions,
            "machine": self.machine.as_json(),
            "memory": self.memory,
            "cells": [
                {"case": case, "batch": batch, "gradients": gradients, "peer": peer, "ways": ways}
                for (case, batch, gradients, peer), ways in self.cells.items()
            ],
        }
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(stored, indent=1) + "\n")
        partial.replace(path)


def loaded(path: Path) -> Results:
    """The results of a file that `save` wrote."""
    stored = json.loads(path.read_text())
    cells = {
        (cell["case"], cell["batch"], cell["gradients"], cell["peer"]): cell["ways"]
        for cell in stored["cells"]
    }
    return Results(
        machine=Machine.from_json(stored["machine"]),
        versions=stored["versions"],
        date=stored["date"],
        peers_date=stored["peers_date"],
        commit=stored["commit"],
        cells=cells,
        memory=stored["memory"],
    )


def current_commit() -> str:
    """Short name of the commit, with a + where files differ from it; "" outside a repository."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
