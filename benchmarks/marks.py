"""The performance targets, the measured values, and every cell that misses its target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.cases import ALMOST_NOTHING, CASES, FLOAT32, Case
from benchmarks.machine import largest_cache
from benchmarks.results import Results

SMALL_CALL = 1e-3
"""Seconds on one thread below which a layer is small."""
NOISE = 1.05
"""The ratio by which two measurements of the same case may differ."""


@dataclass
class Mark:
    """One line: the mark, the measured value, whether it is met, and what misses it."""

    what: str
    mark: str
    measured: str
    met: bool | None
    misses: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Timed:
    """A cell that lcfast's direct engine was timed on."""

    results: Results
    case: Case
    batch: int
    gradients: bool

    @property
    def seconds(self) -> float:
        return self.of("lcfast", "direct")

    def of(self, peer: str, way: str = "") -> float:
        return self.results.seconds(self.case.name, self.batch, self.gradients, peer, way)

    @property
    def fastest(self) -> tuple[str, float]:
        return self.results.fastest(self.case.name, self.batch, self.gradients)

    @property
    def ratio(self) -> float:
        """How many times as fast as the fastest peer; infinity where no peer has a time."""
        return self.fastest[1] / self.seconds

    @property
    def operations(self) -> int:
        return self.case.operations(self.batch, self.gradients)

    @property
    def moved(self) -> tuple[int, int]:
        return self.case.bytes_moved(self.batch, self.gradients)

    @property
    def roofline(self) -> float:
        """Share of the roofline that is reached."""
        return self.results.machine.roofline_seconds(self.operations, self.moved) / self.seconds

    @property
    def compute_bound(self) -> bool:
        return self.results.machine.compute_bound(self.operations, self.moved)

    @property
    def of_peak(self) -> float:
        return self.operations / self.seconds / self.results.machine.peak

    @property
    def of_bandwidth(self) -> float:
        return self.results.machine.memory_seconds(*self.moved) / self.seconds

    @property
    def name(self) -> str:
        return f"{self.case.name} at {self.batch}"


def timed_cells(results: Results) -> Iterator[Timed]:
    """Every cell that has a time of lcfast's direct engine, in the order of the cases."""
    for name, case in CASES.items():
        for gradients in (False, True):
            batches = {b for c, b, g, _ in results.cells if c == name and g == gradients}
            for batch in sorted(batches):
                cell = Timed(results, case, batch, gradients)
                if math.isfinite(cell.seconds):
                    yield cell


def all_marks(results: Results) -> list[Mark]:
    """Every mark that the results can tell about, the missed ones first."""
    cells = list(timed_cells(results))
    forward = [cell for cell in cells if not cell.gradients]
    backward = [cell for cell in cells if cell.gradients]
    heavy = [cell for cell in forward if cell.batch >= 32 and cell.compute_bound]
    marks = [
        *_against_peers(forward),
        _shares("compute-bound cells, batch >= 32", "80 % of the FMA peak", heavy,
                lambda cell: cell.of_peak, 0.8),
        _shares("memory-bound cells (1 filter at 1e4 or more positions; batch 1, weights beyond "
                "the caches)", "80 % of the bandwidth", [c for c in forward if _streams(c)],
                lambda cell: cell.of_bandwidth, 0.8),
        *_gradients(backward),
        *_overhead(results),
        *_memory(results),
        _rates("float64 over float32, compute-bound cells", "0.45 of the rate", heavy,
               lambda cell: cell.seconds / cell.of("lcfast", "float64"), 0.45),
        _avx2(results, heavy),
        _rates("2 threads over 1, compute-bound cells", "1.85 times",
               heavy if results.machine.threads == 2 else [],
               lambda cell: cell.of("lcfast", "one thread") / cell.seconds, 1.85),
        _small_layers(forward),
        _rates("sparse engine over scipy's csr @ dense", "3 times", forward,
               lambda cell: cell.of("scipy") / cell.of("lcfast", "sparse"), 3.0),
    ]  # fmt: skip
    return sorted((m for m in marks if m.measured), key=lambda m: m.met is not False)


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def _streams(cell: Timed) -> bool:
    """Whether the marks treat a cell as memory-bound."""
    if cell.compute_bound:
        return False
    if cell.case.filters == 1 and cell.case.positions >= 10_000:
        return True
    return cell.batch == 1 and FLOAT32 * cell.case.weights > largest_cache()


def _against_peers(cells: list[Timed]) -> Iterator[Mark]:
    known = [cell for cell in cells if math.isfinite(cell.ratio)]
    if not known:
        return
    wanted = [cell for cell in known if cell.case.origin == "real model"]
    missed = [cell for cell in wanted if cell.ratio < 5 and cell.roofline < 0.8]
    yield Mark(
        "forward, each cell of real models",
        "5 times the fastest peer or 80 % of the roofline",
        f"{len(wanted) - len(missed)} of {len(wanted)} cells",
        not missed,
        [f"{c.name}: {c.ratio:.1f} times {c.fastest[0]}, {c.roofline:.0%}" for c in missed],
    )
    mean = geometric_mean([cell.ratio for cell in wanted])
    yield Mark(
        "forward, geometric mean over the cells",
        "5 times the fastest peer",
        f"{mean:.1f} times over {len(wanted)} cells",
        mean >= 5,
    )
    others = [cell for cell in known if cell.case.origin != "real model"]
    for name, group in (("forward", wanted), ("Dense, Conv and odd shapes, forward", others)):
        slower = [cell for cell in group if cell.ratio < 1]
        yield Mark(
            f"{name}, no cell slower than any peer",
            "0 cells",
            f"{len(slower)} of {len(group)} cells" if group else "",
            not slower,
            [f"{c.name}: {c.ratio:.2f} times {c.fastest[0]}" for c in slower],
        )


def _gradients(cells: list[Timed]) -> Iterator[Mark]:
    known = [cell for cell in cells if math.isfinite(cell.ratio)]
    yield _rates(
        "both gradients, batch >= 32, each cell", "4 times the fastest peer", known,
        lambda cell: cell.ratio, 4.0,
    )  # fmt: skip
    yield _shares(
        "both gradients, compute-bound cells", "60 % of the FMA peak",
        [cell for cell in cells if cell.compute_bound], lambda cell: cell.of_peak, 0.6,
    )  # fmt: skip


def _overhead(results: Results) -> Iterator[Mark]:
    call = results.seconds(ALMOST_NOTHING.name, 1, False, "lcfast", "new array")
    if math.isfinite(call):
        yield Mark(
            "cost of a call `layer(x)` whose work is one multiplication",
            "at most 3 us",
            f"{call * 1e6:.1f} us",
            call <= 3e-6,
        )
    ours = results.seconds("mhcflurry", 1, False, "lcfast", "new array")
    ways = results.cells.get(("mhcflurry", 1, False, "onnxruntime"), {})
    theirs = min((t["best"] for n, t in ways.items() if n.endswith(", run") and "best" in t),
                 default=math.inf)  # fmt: skip
    if math.isfinite(ours) and math.isfinite(theirs):
        yield Mark(
            "MHCflurry's layer at batch 1, `layer(x)`",
            "under ONNX Runtime's `run`",
            f"{ours * 1e6:.1f} us, theirs {theirs * 1e6:.1f} us",
            ours < theirs,
        )


def _memory(results: Results) -> Iterator[Mark]:
    held = results.memory.get("held for each stored byte")
    if held is None:
        return
    yield Mark("weights held in memory", "1.1 bytes for each stored byte", f"{held:.2f}",
               held <= 1.1)  # fmt: skip
    scratch = max(size for name, size in results.memory.items() if name.startswith("scratch"))
    yield Mark("scratch of a call with `out=`", "at most 64 MiB", f"{scratch / 2**20:.1f} MiB",
               scratch <= 64 << 20)  # fmt: skip


def _avx2(results: Results, cells: list[Timed]) -> Mark:
    def share(cell: Timed) -> float:
        return cell.operations / cell.of("lcfast_avx2") / results.machine.peak_256

    known = [cell for cell in cells if math.isfinite(cell.of("lcfast_avx2"))]
    mark = "75 % of the 256-bit FMA peak"
    return _shares("AVX2 path forced, compute-bound cells", mark, known, share, 0.75)


def _small_layers(cells: list[Timed]) -> Mark:
    small = [cell for cell in cells if cell.of("lcfast", "one thread") < SMALL_CALL]

    def slowdown(cell: Timed) -> float:
        return cell.seconds / cell.of("lcfast", "one thread")

    missed = [cell for cell in small if slowdown(cell) > NOISE]
    return Mark(
        f"layers under {SMALL_CALL * 1e3:.0f} ms, all threads against one",
        f"never slower (within {NOISE - 1:.0%} of noise)",
        f"{len(small) - len(missed)} of {len(small)} cells" if small else "",
        not missed,
        [f"{cell.name}: {slowdown(cell):.2f} times the time" for cell in missed],
    )


def _shares(
    what: str, mark: str, cells: list[Timed], share: Callable[[Timed], float], wanted: float
) -> Mark:
    """A mark on the worst of several shares."""
    return _worst(what, mark, cells, share, wanted, "{:.0%}")


def _rates(
    what: str, mark: str, cells: list[Timed], rate: Callable[[Timed], float], wanted: float
) -> Mark:
    """A mark on the worst of several ratios; a cell without one of the two times is left out."""
    return _worst(what, mark, cells, rate, wanted, "{:.2f}")


def _worst(
    what: str,
    mark: str,
    cells: list[Timed],
    value: Callable[[Timed], float],
    wanted: float,
    text: str,
) -> Mark:
    values = {cell: value(cell) for cell in cells}
    values = {cell: v for cell, v in values.items() if math.isfinite(v) and v > 0}
    if not values:
        return Mark(what, mark, "", None)
    missed = sorted((cell for cell, v in values.items() if v < wanted), key=lambda c: values[c])
    least, mean = min(values.values()), geometric_mean(list(values.values()))
    return Mark(
        what,
        mark,
        f"{len(values) - len(missed)} of {len(values)} cells; least {text.format(least)}, "
        f"mean {text.format(mean)}",
        not missed,
        [f"{cell.name}: {text.format(values[cell])}" for cell in missed],
    )
