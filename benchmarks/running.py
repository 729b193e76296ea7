"""A run: time each cell with lcfast, then with every peer, then with lcfast again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cases import ALMOST_NOTHING, CASES, GRADIENT_BATCHES, LOCAL, Case
from benchmarks.compiling import ROOT
from benchmarks.machine import Meter, usable_threads
from benchmarks.processes import PeerProcess
from benchmarks.results import OURS, Results, current_commit, loaded

ALL_PEERS = (
    "lcfast", "lcfast_avx2", "tf_keras", "torch", "jax", "onnxruntime", "numpy", "libxsmm", "scipy",
)  # fmt: skip
MEMORY_CASE = "docs_lc2d_b"
BUSY = 0.5
"""Load average above which other work would disturb the timing."""


@dataclass
class Options:
    """What a run measures and how long."""

    cases: tuple[str, ...]
    batches: tuple[int, ...]
    peers: tuple[str, ...] = ALL_PEERS
    pythons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.3
    gigabytes: float = 8.0
    cell_seconds: float = 120.0
    gradients: bool = True
    reuse: Path | None = None
    save: Path | None = None


@dataclass(frozen=True)
class Cell:
    """One line of a table."""

    case: Case
    batch: int
    gradients: bool


def cells_of(options: Options) -> Iterator[Cell]:
    """The cells of a run, all of a case together, as peers build a case once."""
    for name in options.cases:
        for gradients in (False, True) if options.gradients else (False,):
            for batch in options.batches:
                if not gradients or batch in GRADIENT_BATCHES:
                    yield Cell(CASES[name], batch, gradients)


def run(options: Options) -> Results:
    """Measure everything that was asked for; a cell that fails is noted and the run goes on."""
    busy = os.getloadavg()[0]
    if busy > BUSY:
        print(f"the machine is busy (load {busy:.1f}): the figures will be wrong", file=sys.stderr)
    meter = Meter(usable_threads())
    machine = meter.everything(min(0.05, options.seconds / 5))
    machine.facts["load before the run"] = f"{busy:.1f}"
    results = Results(machine, commit=current_commit())
    peers = {name: _peer(name, options) for name in options.peers}
    if options.reuse:
        before = loaded(options.reuse)
        results.cells = before.without(OURS)
        results.versions = before.versions
        results.peers_date = before.peers_date or before.date
        peers = {name: peer for name, peer in peers.items() if name in OURS}
    try:
        for peer in peers.values():
            if not peer.start():
                print(f"{peer.name} is not here: {peer.unavailable}", file=sys.stderr)
            if peer.name == peer.module:  # a variant runs on the same versions
                results.versions.update(peer.versions)
        latest = ""
        for cell in cells_of(options):
            if (
                options.save and cell.case.name != latest
            ):  # clock rates and other load change during a run
                machine.merge(meter.everything(options.seconds / 30))
                latest = cell.case.name
            _measure(cell, peers, results, options.seconds)
            if options.save:
                results.save(options.save)
        _overhead(peers, results, options.seconds)
    finally:
        for peer in peers.values():
            peer.end()
    if "lcfast" in peers:
        results.memory = _held_memory(peers["lcfast"])
    machine.merge(meter.everything(min(0.05, options.seconds / 5)))
    if options.save:
        results.save(options.save)
    return results


def _peer(name: str, options: Options) -> PeerProcess:
    module, environment = name, {}
    if name == "lcfast_avx2":
        module, environment = "lcfast", {"LCFAST_KERNEL": "avx2"}
    python = options.pythons.get(name) or options.pythons.get(module) or sys.executable
    return PeerProcess(name, module, python, options.gigabytes, options.cell_seconds, environment)


def _measure(cell: Cell, peers: dict[str, PeerProcess], results: Results, seconds: float) -> None:
    """One cell by everyone, lcfast's direct engine first and last."""
    case, batch, gradients = cell.case, cell.batch, cell.gradients
    if case.left_out(batch):
        return
    kind = "gradients" if gradients else "forward"
    print(f"{case.name} {batch} {kind}", end=":", file=sys.stderr, flush=True)

    def ask(name: str, ways: list[str] | None) -> None:
        peer = peers.get(name)
        if peer is None or (peer.kinds and kind not in peer.kinds):
            return
        print(f" {name}", end="", file=sys.stderr, flush=True)
        request = {
            "case": case.name, "batch": batch, "gradients": gradients, "seconds": seconds,
            "ways": ways,
        }  # fmt: skip
        results.add(case.name, batch, gradients, name, peer.ask(request))

    ask("lcfast", ["direct"])
    for name in peers:
        if name in OURS or (name == "scipy" and case.kind != LOCAL):
            continue
        ask(name, None)
    if not gradients:
        ask("lcfast_avx2", ["direct"])
        ask("lcfast", None)
    ask("lcfast", ["direct"])
    print(file=sys.stderr)


def _overhead(peers: dict[str, PeerProcess], results: Results, seconds: float) -> None:
    """The overhead of a call, measured with a layer of one multiplication."""
    if "lcfast" in peers:
        request = {
            "case": ALMOST_NOTHING.name, "batch": 1, "gradients": False, "seconds": seconds,
            "ways": ["direct", "new array"],
        }  # fmt: skip
        ways = peers["lcfast"].ask(request)
        results.add(ALMOST_NOTHING.name, 1, False, "lcfast", ways)


def _held_memory(peer: PeerProcess) -> dict[str, float]:
    """The output of benchmarks.held_memory; empty if the system does not report it."""
    command = [peer.python, "-m", "benchmarks.held_memory", MEMORY_CASE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                          env=dict(os.environ), timeout=peer.cell_seconds)  # fmt: skip
    if done.returncode:
        print(f"no figures of memory: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return {}
    found: dict[str, float] = json.loads(done.stdout)
    return found
