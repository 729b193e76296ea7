"""The README: what it claims and shows is what the code does."""

import re
from pathlib import Path

import numpy as np
import pytest

import lcfast
from lcfast.bench import advice
from lcfast.models.deserializing import LAYERS
from tests.support import supported_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_examples_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {}
    for example in blocks("python"):
        exec(compile(example, "README.md", "exec"), names)
    assert names["probabilities"].shape == (360, 10)
    assert names["dkernel"].shape == (8, 96, 64)
    assert names["y"].shape == (8, 20, 20, 16)
    assert names["matrix"].shape == (1600, 6400)
    np.testing.assert_array_equal(
        names["on_sparse"].predict(names["images"]), names["probabilities"]
    )


def test_the_python_examples_of_the_contract_run(monkeypatch, tmp_path):
    text = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        exec(compile(example, "keras.md", "exec"), {"np": np, "lcfast": lcfast})


def test_the_output_of_bench_has_the_lines_that_the_command_prints():
    (shown,) = re.findall(r"^```\n\$ lcfast bench (.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert advice.EXPLANATION in shown
    header = next(line for line in shown.splitlines() if line.startswith("layer "))
    assert re.split(" {2,}", header) == list(advice.HEADER)


def test_the_first_two_bash_blocks_install_score_and_test():
    first, second = blocks("bash")
    assert "pip install -e ." in first
    assert "lcfast predict examples/digits.h5" in first
    assert "accuracy" in first
    assert "pip install -e '.[test]'" in second
    assert second.endswith("pytest\n")


def test_the_table_of_supported_layers_is_made_from_the_goldens():
    assert supported_table.with_table(README) == README, "run `make table`"


def test_every_layer_has_a_row():
    table = README.split("<!-- supported: begin -->")[1].split("<!-- supported: end -->")[0]
    rows = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:]
    assert set(rows) == set(LAYERS)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_to_files(link):
    assert (ROOT / link).is_file()
