"""Data flows one way: cli -> bench -> models -> {io, layers}
-> {vocabulary, convolution, program} -> local_conv.

Files of rows lie beside it: cli -> rows.

Every import of every module counts, those inside functions and under `if TYPE_CHECKING` too.
"""

import ast
import graphlib
import re
from pathlib import Path

import pytest

import lcfast

ROOT = Path(lcfast.__file__).parent
# What each part of the package may import besides itself.
MAY_IMPORT = {
    "cli": {
        *("bench", "rows", "models", "io", "layers", "layers.core", "vocabulary", "local_conv"),
        *("errors", "versions", "lcfast"),
    },
    "bench": {"models", "layers", "layers.core", "local_conv"},
    "models": {"io", "layers", "layers.core", "vocabulary", "program", "local_conv", "errors"},
    "layers": {"layers.core", "vocabulary", "convolution", "program", "local_conv", "errors"},
    "layers.core": {"vocabulary", "convolution", "program", "local_conv", "errors"},
    "convolution": {"local_conv"},
    "program": {"local_conv"},
    "io": {"errors", "file_signatures"},
    "rows": {"errors", "file_signatures"},
    "vocabulary": {"local_conv", "errors"},
    "local_conv": set(),
    "errors": set(),
    "file_signatures": set(),
    "versions": {"local_conv"},
    "lcfast": {
        *("models", "io", "layers", "layers.core", "vocabulary", "local_conv", "errors"),
        "versions",
    },
    "__main__": {"cli"},
}


def module_name(path):
    parts = ("lcfast", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def part_of(module):
    """The part of the package, a key of MAY_IMPORT, that a module belongs to."""
    parts = module.split(".")
    if parts[1:3] == ["layers", "core"]:
        return "layers.core"
    return parts[1] if len(parts) > 1 else parts[0]


def imports(module):
    """The full names that a module imports from lcfast."""
    package = module if MODULES[module].stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*above, *([node.module] if node.module else [])])
            source = source if node.level else node.module
            names = [f"{source}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.split(".")[0] == "lcfast")


def imported_module(name):
    """The module of a name such as lcfast.layers.core.layer.Layer."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_lies_below_it(module):
    mine = part_of(module)
    assert mine in MAY_IMPORT, f"{mine} is a part of the package that this test does not know"
    for name in imports(module):
        assert part_of(imported_module(name)) in MAY_IMPORT[mine] | {mine}, (
            f"{module} imports {name}"
        )


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        module: {imported_module(name) for name in imports(module)} - {module} for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError names the circle


def test_nobody_imports_the_command_but_main():
    users = {module for module in MODULES for name in imports(module) if "cli" in name.split(".")}
    assert {module for module in users if part_of(module) != "cli"} <= {"lcfast.__main__"}


def test_this_test_sees_the_imports():
    assert len(MODULES) > 25
    assert "lcfast.layers.core.layer" in MODULES
    assert "lcfast.local_conv.ops" in set(imports("lcfast.layers.core.layer"))
    assert imported_module("lcfast.models.model.Model") == "lcfast.models.model"
    assert "lcfast.io.hdf5" in set(imports("lcfast.io"))  # inside a function


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py[xi]")), ids=lambda path: path.name)
def test_the_loops_know_nothing_of_python_above_them(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    imported = [
        line for line in lines if line.lstrip().startswith(("import ", "from ", "cimport "))
    ]
    assert imported or path.suffix == ".pyi" or path.stem in {"_openmp", "_simd_paths"}
    own = {f"lcfast.{path.parent.name}", *(f"lcfast.{p}" for p in MAY_IMPORT[path.parent.name])}
    for line in imported:
        assert set(re.findall(r"lcfast\.\w+", line)) <= own, line


@pytest.mark.parametrize("word", ["Python.h", "omp.h", "numpy"])
def test_c_knows_neither_python_nor_threads(word):
    sources = [
        path for path in (ROOT / "local_conv" / "c").iterdir() if path.suffix in (".c", ".h")
    ]
    assert len(sources) >= 4
    for path in sources:
        assert word not in path.read_text(encoding="utf-8"), path.name
