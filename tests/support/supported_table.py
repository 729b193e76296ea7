"""Write the table of supported layers into docs/supported.md, from the goldens that tests read.

Run `make table` after adding a golden; tests/test_readme.py fails if the table is out of date.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PAGE = ROOT / "docs" / "supported.md"
BEGIN, END = "<!-- supported: begin -->", "<!-- supported: end -->"

FAMILIES = ("locally_connected", "local_grid", "convolutions", "companions", "recurrent")
MODELS = ("model_*.h5", "companions_*.h5", "container_*.h5")

# The arguments that are listed, by their names in a config.
ARGUMENTS = (
    "implementation",
    "data_format",
    "padding",
    "kernel_size",
    "pool_size",
    "size",
    "strides",
    "dilation_rate",
    "groups",
    "depth_multiplier",
    "output_padding",
    "interpolation",
    "cropping",
    "activation",
    "recurrent_activation",
    "use_bias",
    "center",
    "scale",
    "axis",
    "axes",
    "normalize",
    "invert",
    "keepdims",
    "max_value",
    "negative_slope",
    "threshold",
    "alpha",
    "theta",
    "shared_axes",
    "target_shape",
    "dims",
    "mask_value",
    "mask_zero",
    "return_sequences",
    "go_backwards",
    "time_major",
    "unroll",
    "reset_after",
    "merge_mode",
    "dtype",
)
# Defaults: an argument with no other value is left out.
ORDINARY = {
    "data_format": "channels_last",
    "dilation_rate": ("1", "1x1"),
    "groups": "1",
    "output_padding": "None",
    "mask_zero": "no",
    "shared_axes": "None",
    "time_major": "no",
    "unroll": "no",
    "dtype": "float32",
}
MOST = 7  # values of an argument that are all shown


def layer_cases() -> Iterator[dict[str, Any]]:
    """Yield the config of each golden of a single layer."""
    for family in FAMILIES:
        with np.load(GOLDEN / f"{family}.npz") as arrays:
            for name in arrays.files:
                if name.endswith("/config"):
                    yield json.loads(str(arrays[name]))


def models() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield name and layers of each golden of a whole model, of models inside of it too."""
    for path in sorted(path for pattern in MODELS for path in GOLDEN.glob(pattern)):
        with h5py.File(path) as file:
            config = file.attrs.get("model_config")
            is_of_keras_3 = str(file.attrs.get("keras_version", "")).startswith("3.")
        if config is not None and not is_of_keras_3:
            yield path.stem, list(_layers_in(json.loads(config)))


def _layers_in(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    config = model["config"]
    for entry in config if isinstance(config, list) else config["layers"]:
        if entry["class_name"] in ("Sequential", "Functional", "Model"):
            yield from _layers_in(entry)
        else:
            yield from _with_wrapped(entry)


def _with_wrapped(layer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield layer
    for key in ("layer", "backward_layer"):
        inner = layer["config"].get(key)
        if isinstance(inner, dict):
            is_model = isinstance(inner["config"].get("layers"), list)
            yield from _layers_in(inner) if is_model else _with_wrapped(inner)


def supported_table() -> str:
    """Return the table in Markdown: a row for each layer, all of it read from the goldens."""
    cases: dict[str, int] = defaultdict(int)
    found: dict[str, set[str]] = defaultdict(set)
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def note(layer: dict[str, Any]) -> None:
        for argument in ARGUMENTS:
            if argument in layer["config"]:
                values[layer["class_name"]][argument].add(_plain(layer["config"][argument]))

    for case in layer_cases():
        for layer in _with_wrapped(case):
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
            f"{argument} {_listed(values[kind][argument])}"
            for argument in ARGUMENTS
            if not _is_ordinary(argument, values[kind][argument])
        )
        counts = [_counted(cases[kind], "layer")] if cases[kind] else []
        counts += [_counted(len(found[kind]), "model")] if found[kind] else []
        lines.append(f"| {kind} | {covered} | {', '.join(counts)} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return the page with the current table between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{supported_table()}\n{END}{after}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(str(tuple(v)) if isinstance(v, list) else _plain(v) for v in value) or "()"
    if isinstance(value, dict):  # a dtype policy
        return str(value.get("config", {}).get("name", value.get("class_name")))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _is_ordinary(argument: str, options: set[str]) -> bool:
    ordinary = ORDINARY.get(argument, ())
    return options <= set([ordinary] if isinstance(ordinary, str) else ordinary)


def _listed(options: set[str]) -> str:
    """All values, or the first and the last of many; many names are counted."""
    ordered = sorted(options, key=_order)
    if len(ordered) <= MOST:
        return ", ".join(ordered)
    are_names = all(text[0].isalpha() for text in ordered)
    return f"{len(ordered)} {'names' if are_names else f'from {ordered[0]} to {ordered[-1]}'}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def _order(text: str) -> tuple[int, str]:
    return len(text), text


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE.name}: the table has {supported_table().count(chr(10)) - 1} layers")
