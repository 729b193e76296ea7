"""`python -m benchmarks`: time lcfast and other libraries that compute its layers, on this machine.

Run it in the root of the repository, with lcfast built in place (`make build`).
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.cases import BATCHES, CASES, QUICK
from benchmarks.compiling import ROOT
from benchmarks.plot import draw
from benchmarks.results import FOLDER, Results, loaded
from benchmarks.running import ALL_PEERS, Options, run
from benchmarks.tables import report, write_section

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "roofline.png"


def main(arguments: list[str] | None = None) -> int:
    """Measure or read results, print the tables, and write what was asked for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the peers are stopped
    options = parser().parse_args(arguments)
    results = loaded(options.render) if options.render else measured(options)
    text = report(results)
    print(text)
    if options.plot:
        try:
            draw(results, options.plot)
        except ImportError as error:
            print(f"no picture ({error}): --render with a Python that has it", file=sys.stderr)
    if options.markdown:
        picture = f"\n![Roofline]({PICTURE.name})\n" if PICTURE.exists() else ""
        write_section(PAGE, text + picture)
    return 1 if options.quick and not complete(results) else 0


def parser() -> argparse.ArgumentParser:
    """The options; docs/benchmarks.md has an example of each."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = made.add_argument
    names("--cases", type=names_of(CASES), default=tuple(CASES), help="names, with commas between")
    names("--batches", type=_batches, default=BATCHES, help="numbers out of 1, 32, 512")
    names("--peers", type=names_of(ALL_PEERS), default=ALL_PEERS,
          help=f"names out of {', '.join(ALL_PEERS)}")  # fmt: skip
    names("--python", action="append", default=[], metavar="NAMES=PATH",
          help="the Python that has these peers; more than once")  # fmt: skip
    names("--seconds", type=float, default=0.3, help="time of each way of each cell")
    names("--no-gradients", action="store_true", help="forward only")
    names("--gigabytes", type=float, default=8, help="most memory of a peer's process")
    names("--cell-seconds", type=float, default=120, help="most time of a peer for one cell")
    names("--quick", action="store_true",
          help="three small cases, lcfast and numpy; fails if one fails")  # fmt: skip
    names("--reuse-peers", type=Path, metavar="JSON", help="measure lcfast alone, peers from here")
    names("--render", type=Path, metavar="JSON", help="measure nothing, print these results")
    names("--save", type=Path, default=FOLDER / "latest.json", metavar="JSON")
    names("--markdown", action="store_true", help="write the tables into docs/benchmarks.md")
    names("--plot", type=Path, nargs="?", const=PICTURE, metavar="PNG",
          help="draw the roofline, into docs/roofline.png by default")  # fmt: skip
    return made


def measured(options: argparse.Namespace) -> Results:
    """The results of a new run."""
    if options.quick:
        return run(Options(QUICK, (1, 32), ("lcfast", "numpy"), seconds=0.003))
    pythons = {}
    for choice in options.python:
        names, _, path = choice.rpartition("=")
        pythons.update(dict.fromkeys(names.split(",") if names else ALL_PEERS, path))
    return run(
        Options(
            options.cases, options.batches, options.peers, pythons, options.seconds,
            options.gigabytes, options.cell_seconds, not options.no_gradients,
            options.reuse_peers, options.save,
        )
    )  # fmt: skip


def complete(results: Results) -> bool:
    """Whether every way of every cell has a time, all answers being right."""
    failed = [
        f"{peer}, {name or 'start'}, {case} at {batch}: {timing['failed']}"
        for (case, batch, _, peer), ways in results.cells.items()
        for name, timing in ways.items()
        if "failed" in timing
    ]
    for line in failed:
        print(line, file=sys.stderr)
    return bool(results.cells) and not failed


def names_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """What reads an option: names out of the known ones, with commas between."""
    allowed = tuple(known)

    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        unknown = [name for name in chosen if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return chosen

    return names


def _batches(text: str) -> tuple[int, ...]:
    chosen = tuple(int(number) for number in text.split(","))
    if not set(chosen) <= set(BATCHES):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(map(str, BATCHES))}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
