"""Data flows one way: cli -> bench -> models -> {io, layers} -> {vocabulary, convolution}
-> local_conv.

Files of rows lie beside it: cli -> rows.

Every import of every module is read, those inside of functions and under `if TYPE_CHECKING` too.
"""

import ast
from pathlib import Path

import pytest

import lcfast

ROOT = Path(lcfast.__file__).parent
# What each room of the house may import, beside itself. A module of the root is a room.
MAY_IMPORT = {
    "cli": {
        *("models", "io", "layers", "vocabulary", "local_conv", "errors", "versions", "lcfast"),
        *("bench", "rows"),
    },
    "bench": {"models", "layers", "local_conv"},
    "models": {"io", "layers", "vocabulary", "local_conv", "errors"},
    "layers": {"vocabulary", "convolution", "local_conv", "errors"},
    "convolution": {"local_conv"},
    "io": {"errors", "file_signatures"},
    "rows": {"errors", "file_signatures"},
    "vocabulary": {"local_conv", "errors"},
    "local_conv": set(),
    "errors": set(),
    "file_signatures": set(),
    "versions": {"local_conv"},
    "lcfast": {"models", "io", "layers", "vocabulary", "local_conv", "errors", "versions"},
    "__main__": {"cli"},
}
# Modules that name the class that uses them, for type checkers only.
ONLY_FOR_TYPES = {}


def module_name(path):
    parts = ("lcfast", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def nodes_under_type_checking(tree):
    blocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(module):
    """(module of lcfast that is imported, whether only for type checkers) of each import."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    only_for_types = nodes_under_type_checking(tree)
    package = module if MODULES[module].stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*above, *([node.module] if node.module else [])])
            source = source if node.level else node.module
            names = [f"{source}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "lcfast":
                yield name, node in only_for_types


def imported_module(name):
    """The module of a name such as lcfast.layers.core.layer.Layer."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_lies_below_it(module):
    mine = room(module)
    assert mine in MAY_IMPORT, f"{mine} is a room that this test does not know"
    allowed = MAY_IMPORT[mine] | {mine}
    for name, _ in imports(module):
        theirs = room(imported_module(name))
        assert theirs in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_what_is_imported_for_types_alone_lies_in_the_same_room(module):
    for name, only_for_types in imports(module):
        if only_for_types:
            assert module in ONLY_FOR_TYPES, f"{module} imports {name} for types alone"
            assert room(imported_module(name)) == room(module)


def test_no_modules_import_each_other_in_a_circle():
    below = {
        module: {
            imported_module(name)
            for name, only_for_types in imports(module)
            if not (only_for_types and module in ONLY_FOR_TYPES)
        }
        - {module}
        for module in MODULES
    }
    while free := [module for module, needed in below.items() if not needed & below.keys()]:
        for module in free:
            del below[module]
    assert not below, f"these import each other: {sorted(below)}"


def test_nobody_imports_the_command_but_main():
    users = {
        module for module in MODULES for name, _ in imports(module) if "cli" in name.split(".")
    }
    assert {module for module in users if room(module) != "cli"} <= {"lcfast.__main__"}


def test_this_test_sees_the_imports():
    assert len(MODULES) > 25
    assert "lcfast.layers.core.layer" in MODULES
    found = dict(imports("lcfast.layers.core.layer"))
    assert "lcfast.local_conv.ops" in found
    assert ("lcfast.layers.core.layer.Layer", True) in set(imports("lcfast.layers.core.symbolic"))
    assert imported_module("lcfast.models.model.Model") == "lcfast.models.model"
    lazy = {name for name, _ in imports("lcfast.io")}
    assert "lcfast.io.hdf5" in lazy  # inside of a function


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py[xi]")), ids=lambda path: path.name)
def test_the_loops_know_nothing_of_python_above_them(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    imported = [
        line for line in lines if line.lstrip().startswith(("import ", "from ", "cimport "))
    ]
    assert imported or path.stem in {"_openmp", "_simd_paths"}
    assert not any("lcfast" in line.replace("lcfast.local_conv", "") for line in imported)


@pytest.mark.parametrize("word", ["Python.h", "omp.h", "numpy"])
def test_c_knows_neither_python_nor_threads(word):
    sources = [
        path for path in (ROOT / "local_conv" / "c").iterdir() if path.suffix in (".c", ".h")
    ]
    assert len(sources) >= 4
    for path in sources:
        assert word not in path.read_text(encoding="utf-8"), path.name
