"""Write the table of what is supported into README.md, from the goldens that the tests read.

Run `python docs/supported_table.py` after adding a golden; tests/test_readme.py fails where the
table in the README is not the one that this script makes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
BEGIN, END = "<!-- supported: begin -->", "<!-- supported: end -->"

# The arguments worth a word, as they are called in a config.
ARGUMENTS = (
    "implementation",
    "data_format",
    "padding",
    "kernel_size",
    "pool_size",
    "strides",
    "activation",
    "use_bias",
    "center",
    "scale",
    "axis",
    "max_value",
    "negative_slope",
    "threshold",
    "target_shape",
    "dtype",
)


def layer_cases() -> Iterator[dict[str, Any]]:
    """Yield the config of each golden of a single layer."""
    for family in ("locally_connected", "local_grid"):
        with np.load(GOLDEN / f"{family}.npz") as arrays:
            for name in arrays.files:
                if name.endswith("/config"):
                    yield json.loads(str(arrays[name]))


def models() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield name and layers of each golden of a whole model."""
    for path in sorted(GOLDEN.glob("model_*.h5")):
        with h5py.File(path) as file:
            config = json.loads(file.attrs["model_config"])["config"]
        yield path.stem, config if isinstance(config, list) else config["layers"]


def supported_table() -> str:
    """Return the table in Markdown: a row for each layer, all of it read from the goldens."""
    cases: dict[str, int] = defaultdict(int)
    found: dict[str, set[str]] = defaultdict(set)
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def note(layer: dict[str, Any]) -> None:
        for argument in ARGUMENTS:
            if argument in layer["config"]:
                values[layer["class_name"]][argument].add(_plain(layer["config"][argument]))

    for layer in layer_cases():
        cases[layer["class_name"]] += 1
        note(layer)
    whole = dict(models())
    for name, layers in whole.items():
        for layer in layers:
            found[layer["class_name"]].add(name)
            note(layer)

    lines = ["| layer | arguments that a golden of tf_keras covers | goldens |", "|---|---|---|"]
    for kind in sorted(found | cases):
        covered = "; ".join(
            f"{argument} {', '.join(sorted(options, key=_order))}"
            for argument, options in values[kind].items()
        )
        counts = [f"{cases[kind]} layers"] if cases[kind] else []
        counts += [f"{len(found[kind])} of {len(whole)} models"] if found[kind] else []
        lines.append(f"| {kind} | {covered} | {', '.join(counts)} |")
    return "\n".join(lines)


def with_table(readme: str) -> str:
    """Return the README with the table of today between its two marks."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{supported_table()}\n{END}{after}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(str, value))
    if isinstance(value, dict):  # a dtype policy
        return str(value.get("config", {}).get("name", value.get("class_name")))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _order(text: str) -> tuple[int, str]:
    return len(text), text


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{path.name}: the table has {supported_table().count(chr(10)) - 1} layers")
