"""`python -m benchmarks.models`: time whole models in lcfast and in other engines, on this machine.

Run it in the root of the repository, with lcfast built in place (`make build`).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.__main__ import names_of
from benchmarks.machine import Machine, Meter, facts, usable_threads
from benchmarks.model_cases import (
    CASES,
    QUICK,
    ModelCase,
    describe,
    described,
    input_rows,
    layer_by_layer,
    operations,
)
from benchmarks.model_tables import BUSY, OURS, PEERS, failures, operations_key, report, scratch_key
from benchmarks.processes import PeerProcess
from benchmarks.results import FOLDER, Results, current_commit, loaded
from benchmarks.running import BUSY as BUSY_LOAD

BUSY_MODELS = ("adapt", "docs")
WORTH_REPEATING = 1.5
"""In later rounds an engine is timed only in the ways that took less than this times its best."""


@dataclass
class Options:
    """What a run measures and how long."""

    models: tuple[str, ...]
    rows: tuple[int, ...] = ()
    """Only these numbers of rows; all of a model where it is empty."""
    peers: tuple[str, ...] = (OURS, *PEERS)
    pythons: dict[str, str] = field(default_factory=dict)
    rounds: int = 3
    seconds: float = 0.3
    gigabytes: float = 12.0
    cell_seconds: float = 240.0
    memory: bool = False
    busy: bool = False
    save: Path | None = None


class Run:
    """The engines and results of one run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        load = {"load before the run": f"{os.getloadavg()[0]:.1f}"}
        self.results = Results(peaks(options.seconds / 5), commit=current_commit())
        self.results.machine.facts = {**facts(), **load}
        self.peers = {name: self.peer(name) for name in options.peers}

    def peer(self, name: str) -> PeerProcess:
        options = self.options
        python = options.pythons.get(name, sys.executable)
        return PeerProcess(name, name, python, options.gigabytes, options.cell_seconds,
                           worker="benchmarks.model_peers")  # fmt: skip

    def all(self) -> Results:
        """Measure everything that was asked for; a cell that fails is noted and the run goes on."""
        try:
            for peer in self.peers.values():
                if peer.start():
                    self.results.versions.update(peer.versions)
                else:
                    print(f"{peer.name} is not here: {peer.unavailable}", file=sys.stderr)
            for name in self.options.models:
                self.model(CASES[name])
        finally:
            for peer in self.peers.values():
                peer.end()
        return self.results

    def model(self, case: ModelCase) -> None:
        """Every number of rows of one model."""
        if case.needs and case.needs not in os.environ:
            print(f"{case.name} is left out: {case.needs} is not set", file=sys.stderr)
            return
        rows = [n for n in case.rows if not self.options.rows or n in self.options.rows]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = case.build()
            describe(model, folder)
            per_row = operations(*described(folder))
            self.results.memory[operations_key(case.name)] = float(per_row)
            for count in rows:
                x = input_rows(model, count)
                np.save(folder / f"x_{count}.npy", x)
                np.save(folder / f"y_{count}.npy", layer_by_layer(model, x))
            del model
            for count in rows:
                self.cell(case.name, count, folder)
            if rows:
                self.extras(case.name, rows[-1], folder)
        self.results.machine.merge(peaks(self.options.seconds / 5))
        if self.options.save:
            self.results.save(self.options.save)

    def cell(self, model: str, rows: int, folder: Path) -> None:
        """One line of the table: the engines in turn, several times."""
        for number in range(self.options.rounds):
            print(f"{model} {rows}, round {number + 1}", end=":", file=sys.stderr, flush=True)
            for name in self.peers:
                ways = None if number == 0 else self.worth_repeating(model, rows, name)
                if ways == []:
                    continue
                print(f" {name}", end="", file=sys.stderr, flush=True)
                self.ask(name, name, model, rows, folder, ways=ways)
            print(file=sys.stderr)

    def ask(
        self, name: str, column: str, model: str, rows: int, folder: Path,
        ways: list[str] | None = None, memory: bool = False,
    ) -> None:  # fmt: skip
        """Send one request to an engine and add what it says to the results."""
        request = {
            "folder": str(folder), "rows": rows, "seconds": self.options.seconds, "ways": ways,
            "memory": memory,
        }  # fmt: skip
        found = self.peers[name].ask(request)
        if "memory" in found and "bytes" in found["memory"]:
            self.results.memory[scratch_key(model, rows)] = found.pop("memory")["bytes"]
        self.results.add(model, rows, False, column, found)

    def worth_repeating(self, model: str, rows: int, name: str) -> list[str]:
        """The ways of an engine that may be its fastest; both ways of lcfast."""
        ways = self.results.cells.get((model, rows, False, name), {})
        times = {way: timing["best"] for way, timing in ways.items() if "best" in timing}
        most = float("inf") if name == OURS else WORTH_REPEATING * min(times.values(), default=0.0)
        return [way for way, seconds in times.items() if seconds <= most]

    def extras(self, model: str, rows: int, folder: Path) -> None:
        """Memory, and the times beside a busy process."""
        if OURS not in self.peers:
            return
        if self.options.memory:
            self.peers[OURS].end()  # a new process: the old one keeps what it used before
            self.ask(OURS, OURS, model, rows, folder, memory=True)
        if self.options.busy and model in BUSY_MODELS:
            command = [sys.executable, "-c", "while True: pass"]
            others = [subprocess.Popen(command) for _ in range(max(1, usable_threads() // 2))]
            try:
                for _ in range(self.options.rounds):
                    self.ask(OURS, BUSY, model, rows, folder)
            finally:
                for other in others:
                    other.kill()
                    other.wait()


def peaks(seconds: float) -> Machine:
    """The FMA peak of all threads, or that of one times their number where that is more.

    Beside other processes threads that wait for each other show less than each one can do.
    """
    threads = usable_threads()
    found, one = Meter(threads).peaks(seconds), Meter(1).peaks(seconds)
    found.merge(Machine(threads, threads * one.peak_512, threads * one.peak_256))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure or read results, and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the engines are stopped
    options = parser().parse_args(arguments)
    results = loaded(options.render) if options.render else measured(options)
    print(report(results))
    failed = failures(results) if options.quick else []
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if options.quick and (failed or not results.cells) else 0


def parser() -> argparse.ArgumentParser:
    """The options; docs/benchmarks.md has an example of each."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    names = made.add_argument
    names("--models", type=names_of(CASES), default=tuple(CASES), help="names, with commas between")
    names("--rows", type=lambda text: tuple(map(int, text.split(","))), default=(),
          help="only these numbers of rows, with commas between")  # fmt: skip
    names("--peers", type=names_of((OURS, *PEERS)), default=(OURS, *PEERS),
          help=f"names out of {', '.join((OURS, *PEERS))}")  # fmt: skip
    names("--python", action="append", default=[], metavar="NAMES=PATH",
          help="the Python that has these engines; more than once")  # fmt: skip
    names("--rounds", type=int, default=3, help="how often all engines are timed in turn")
    names("--seconds", type=float, default=0.3, help="time of each way of each cell and round")
    names("--gigabytes", type=float, default=12, help="most memory of an engine's process")
    names("--cell-seconds", type=float, default=240, help="most time of an engine for one cell")
    names("--memory", action="store_true", help="also the memory of predict, for the most rows")
    names("--busy", action="store_true", help="also two models beside a busy process")
    names("--quick", action="store_true",
          help="lcfast alone, small models, few rows; fails if a score is wrong")  # fmt: skip
    names("--render", type=Path, metavar="JSON", help="measure nothing, print these results")
    names("--json", type=Path, default=FOLDER / "models.json", metavar="JSON",
          help="where the results are written")  # fmt: skip
    return made


def measured(options: argparse.Namespace) -> Results:
    """The results of a new run."""
    load = os.getloadavg()[0]
    if options.quick:
        return Run(Options(QUICK, (1, 32), (OURS,), rounds=1, seconds=0.003)).all()
    if load > BUSY_LOAD:
        print(f"the machine is busy (load {load:.1f}): the figures will be wrong", file=sys.stderr)
    pythons = {}
    for choice in options.python:
        names, _, path = choice.rpartition("=")
        pythons.update(dict.fromkeys(names.split(",") if names else PEERS, path))
    return Run(
        Options(
            options.models, options.rows, options.peers, pythons, options.rounds, options.seconds,
            options.gigabytes, options.cell_seconds, options.memory, options.busy, options.json,
        )
    ).all()  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
