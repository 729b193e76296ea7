"""Write the table of containers x layers into docs/files.md, from the goldens that tests read.

A cell names the first golden in which the layer of this row is read from the container of this
column; tests/test_containers.py compares what each of them predicts with Keras's own predictions.

Run `make table` after adding a golden; that test fails if the table is out of date.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tests.support.container_goldens import CONTAINERS, READINGS

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
BEGIN, END = "<!-- containers: begin -->", "<!-- containers: end -->"


def containers_table() -> str:
    """Return the table in Markdown: a row for each layer, a column for each container."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for reading in READINGS:
        for layer in reading.layers():
            found[layer, reading.container].append(reading.golden)
    lines = [f"| layer | {' | '.join(CONTAINERS)} |", f"|---|{'---|' * len(CONTAINERS)}"]
    for layer in sorted({layer for layer, _ in found}):
        cells = [_cell(found[layer, container]) for container in CONTAINERS]
        lines.append(f"| {layer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return the page with the current table between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{containers_table()}\n{END}{after}"


def _cell(goldens: list[str]) -> str:
    more = f" +{len(goldens) - 1}" if len(goldens) > 1 else ""
    return f"{goldens[0]}{more}" if goldens else ""


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE.name}: the table of containers has {containers_table().count(chr(10)) - 1} rows")
