"""Memory of one layer in its own process, as Linux reports it: weights, and scratch of a call.

    python -m benchmarks.held_memory CASE

Prints JSON: bytes held per byte of stored weights after calls with several batch sizes, and the
peak growth of the process during a call with `out`.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.answers import check_outputs, input_of, weights_of
from benchmarks.cases import BATCHES, CASES, FLOAT32
from benchmarks.peers.lcfast import layer_of


def status(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise OSError(f"/proc/self/status has no {name}")


def main() -> None:
    """Print the figures of the named case."""
    case = CASES[sys.argv[1]]
    inputs = {batch: input_of(case, batch) for batch in BATCHES}
    outputs = {
        batch: np.ones((batch, *case.output_size, case.filters), np.float32) for batch in BATCHES
    }
    weights = weights_of(case)
    small = layer_of(CASES["mhcflurry"], weights_of(CASES["mhcflurry"]))
    small(input_of(CASES["mhcflurry"], 512))  # exclude threads and their stacks
    gc.collect()
    before = status("VmRSS")
    layer = layer_of(case, weights)
    found: dict[str, float] = {}
    for batch in BATCHES:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        start = status("VmRSS")
        layer(inputs[batch], out=outputs[batch])
        found[f"scratch at {batch}"] = status("VmHWM") - start
    gc.collect()
    held = status("VmRSS") - before
    found["held for each stored byte"] = held / (FLOAT32 * case.weights)
    for batch in BATCHES:
        check_outputs(case, weights, inputs[batch], outputs[batch])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
