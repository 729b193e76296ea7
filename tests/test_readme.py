"""The README: what it claims and shows is what the code does."""

import importlib
import re
import sys
from pathlib import Path

import pytest

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


def test_the_first_two_bash_blocks_install_score_and_test():
    first, second = blocks("bash")
    assert "pip install -e ." in first
    assert "lcfast predict examples/digits.h5" in first
    assert "accuracy" in first
    assert "pip install -e '.[test]'" in second
    assert second.endswith("pytest\n")


def test_the_table_of_supported_layers_is_made_from_the_goldens(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    supported_table = importlib.import_module("supported_table")
    assert supported_table.with_table(README) == README, "run `make table`"
    del sys.modules["supported_table"]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_to_files(link):
    assert (ROOT / link).is_file()
