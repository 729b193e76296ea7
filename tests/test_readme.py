"""README.md and the pages in docs/: examples run, tables are current, links lead to files."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lcfast
from lcfast.bench import advice
from lcfast.cli import main
from lcfast.models.deserializing import LAYERS
from tests.support import supported_table

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README = PAGES["README.md"]
LINES_OF_THREE_SCREENS = 130


def blocks(page, *languages):
    found = re.findall(r"^```(\S*)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands():
    """(page, command) of each `lcfast` command that reads only files of examples/."""
    for page in PAGES:
        for block in blocks(page, "", "bash"):
            for line in block.splitlines():
                command = line.removeprefix("$ ").split(" #")[0].strip()
                if command.startswith("lcfast ") and "examples/digits" in command:
                    yield page, command


@pytest.fixture
def beside_the_examples(monkeypatch, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


def run_python(page):
    names = {}
    for example in blocks(page, "python"):
        exec(compile(example, page, "exec"), names)
    return names


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
@pytest.mark.usefixtures("beside_the_examples")
def test_the_python_examples_of_a_page_run(page):
    run_python(page)


@pytest.mark.usefixtures("beside_the_examples")
def test_the_examples_of_the_readme_give_what_it_says():
    names = run_python("README.md")
    assert names["probabilities"].shape == (360, 10)
    assert names["dkernel"].shape == (8, 96, 64)


@pytest.mark.usefixtures("beside_the_examples")
def test_the_examples_of_engines_give_the_same_answers():
    names = run_python("docs/engines.md")
    assert names["matrix"].shape == (1600, 6400)
    np.testing.assert_array_equal(names["on_sparse"].predict(names["images"]), names["scores"])


@pytest.mark.parametrize(("page", "command"), list(commands()))
@pytest.mark.usefixtures("beside_the_examples")
def test_the_commands_of_a_page_run(page, command):
    _, *arguments = shlex.split(command)
    if arguments[0] == "bench":
        arguments += ["--seconds", "0", "--batch-size", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output


def test_commands_are_found_in_the_readme():
    found = {shlex.split(command)[1] for page, command in commands() if page == "README.md"}
    assert found == {"summary", "predict", "convert", "bench"}


def test_the_output_of_bench_has_the_lines_that_the_command_prints():
    (shown,) = (block for block in blocks("docs/engines.md", "") if "$ lcfast bench" in block)
    assert advice.EXPLANATION in shown
    header = next(line for line in shown.splitlines() if line.startswith("layer "))
    assert re.split(" {2,}", header) == list(advice.HEADER)


def test_the_first_two_bash_blocks_are_the_demo_and_the_tests():
    assert blocks("README.md", "bash")[:2] == ["make demo\n", "make test\n"]


def test_the_readme_fits_three_screens():
    assert README.count("\n") <= LINES_OF_THREE_SCREENS


def test_the_table_of_supported_layers_is_made_from_the_goldens():
    text = supported_table.PAGE.read_text(encoding="utf-8")
    assert supported_table.with_table(text) == text, "run `make table`"


def test_every_layer_has_a_row():
    text = PAGES["docs/supported.md"]
    table = text.split(supported_table.BEGIN)[1].split(supported_table.END)[0]
    rows = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:]
    assert set(rows) == set(LAYERS)
    assert f"all {len(rows)} layers" in README


def test_every_public_name_is_in_the_reference():
    pages = "".join(text for page, text in PAGES.items() if page.startswith("docs/api/"))
    found = re.findall(r"^\.\. auto(?:class|exception|function|module):: (\S+)$", pages, re.M)
    assert sorted(name.split(".")[-1] for name in found) == sorted(lcfast.__all__)


@pytest.mark.parametrize(
    ("page", "link"),
    [
        (page, link)
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    ],
)
def test_links_lead_to_files(page, link):
    assert (ROOT / page).parent.joinpath(link).is_file()


@pytest.mark.parametrize(
    ("page", "test"),
    [
        (page, test)
        for page, text in PAGES.items()
        for test in re.findall(r"`(?:tests/)?([\w/]+/test_\w+\.py::\w+)`", text)
    ],
)
def test_the_tests_that_a_page_names_exist(page, test):
    path, name = test.split("::")
    assert f"def {name}(" in (ROOT / "tests" / path).read_text(encoding="utf-8")
