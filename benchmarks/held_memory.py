"""Memory of one layer in a process of its own, as Linux tells: weights held, scratch of a call.

    python -m benchmarks.held_memory CASE

Prints JSON: bytes held for each byte of stored weights after calls at several batches, and the
growth of the process at its peak within a call that is given its output.
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
    """Print the figures of the case that was named."""
    case = CASES[sys.argv[1]]
    inputs = {batch: input_of(case, batch) for batch in BATCHES}
    outputs = {
        batch: np.ones((batch, *case.output_size, case.filters), np.float32) for batch in BATCHES
    }
    weights = weights_of(case)
    small = layer_of(CASES["mhcflurry"], weights_of(CASES["mhcflurry"]))
    small(input_of(CASES["mhcflurry"], 512))  # threads and their stacks are no part of a layer
    gc.collect()
    before = status("VmRSS")
    layer = layer_of(case, weights)
    found: dict[str, float] = {}
    for batch in BATCHES:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
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
