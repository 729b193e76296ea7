"""What tests share is in tests/support: no test imports a test module, fuzz or docs."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def test_no_file_imports_a_test_module_or_fuzz_or_docs():
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 100
    for path in files:
        for name in imported_names(path):
            parts = name.split(".")
            assert parts[0] not in ("fuzz", "docs"), f"{path.name} imports {name}"
            tests = [part for part in parts[:2] if part.startswith("test_")]
            assert not tests, f"{path.name} imports {name}"
