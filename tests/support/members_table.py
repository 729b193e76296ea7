"""Write the table of the members of Keras's two API pages into docs/keras.md.

Each row is a member or an argument of the constructor of LocallyConnected1D (TensorFlow r1.13) or
LocallyConnected2D (r1.4): what lcfast does is the first sentence of its docstring, and the test is
the first one that carries `@pytest.mark.member(<name>)`.

Run `make table` after a change of either; tests/layers/test_members.py fails if the table is out of
date.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import lcfast

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- members: begin -->", "<!-- members: end -->"

PROPERTIES = (
    *("activity_regularizer", "dtype", "dynamic", "graph", "input", "input_mask", "input_shape"),
    *("losses", "name", "non_trainable_variables", "non_trainable_weights", "output"),
    *("output_mask", "output_shape", "scope_name", "trainable_variables", "trainable_weights"),
    *("updates", "variables", "weights"),
)
METHODS = (
    *("__init__", "__call__", "__deepcopy__", "__setattr__", "add_loss", "add_update"),
    *("add_variable", "add_weight", "apply", "build", "call", "compute_mask"),
    *("compute_output_shape", "count_params", "from_config", "get_config", "get_input_at"),
    *("get_input_mask_at", "get_input_shape_at", "get_losses_for", "get_output_at"),
    *("get_output_mask_at", "get_output_shape_at", "get_updates_for", "get_weights"),
    "set_weights",
)
ARGUMENTS = (
    *("filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias"),
    *("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer"),
    *("activity_regularizer", "kernel_constraint", "bias_constraint", "implementation"),
)


def tests_of_members() -> dict[str, str]:
    """Return path::name of the first test of each marked name; arguments end in "="."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for name in _marked(node):
                    test = f"{path.relative_to(ROOT / 'tests').as_posix()}::{node.name}"
                    found.setdefault(name, test)
    return found


def members_table() -> str:
    """Return the table in Markdown; a name without a test or a docstring is an error."""
    tests = tests_of_members()
    rows = [(name, name, _of_member(name)) for name in PROPERTIES]
    rows += [(f"{name}()", name, _of_member(name)) for name in METHODS]
    rows += [(f"{name}=", f"{name}=", _of_argument(name)) for name in ARGUMENTS]
    missing = [key for _, key, text in rows if key not in tests or not text]
    if missing:
        raise SystemExit(f"No test or no docstring: {', '.join(missing)}.")
    lines = ["| member or argument | what lcfast does | shown by |", "|---|---|---|"]
    lines += [f"| `{shown}` | {text} | `{tests[key]}` |" for shown, key, text in rows]
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return docs/keras.md with the current table between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{members_table()}\n{END}{after}"


def _marked(test: ast.FunctionDef) -> list[str]:
    """The names in the `member` marks of a test."""
    marks = [
        mark
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.member"
    ]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def _of_member(name: str) -> str:
    kind = lcfast.LocallyConnected1D
    thing = kind if name == "__init__" else inspect.getattr_static(kind, name)
    thing = getattr(thing, "__func__", thing)
    text = inspect.getdoc(thing) or inspect.getdoc(getattr(kind, name)) or ""
    return _first_sentence(text)


def _of_argument(name: str) -> str:
    """The sentence below `name` in the Parameters of the class's docstring."""
    section = (inspect.getdoc(lcfast.LocallyConnected1D) or "").split("\n\n")[1]
    for names, text in re.findall(r"^(\w[\w, ]*) : .*\n((?:    .*\n?)+)", section, re.MULTILINE):
        if name in names.split(", "):
            return _first_sentence(inspect.cleandoc(text))
    return ""


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=\.) ", paragraph)[0]
    return sentence.replace("|", r"\|")


if __name__ == "__main__":
    path = ROOT / "docs" / "keras.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{path.name}: the table has {members_table().count(chr(10)) - 1} rows")
