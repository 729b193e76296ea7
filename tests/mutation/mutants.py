"""Mutants of geometry.py and weight_layouts.py: each must fail a test, or be explained.

    python tests/mutation/mutants.py [geometry] [weight_layouts]   # `make mutants`, half an hour

cosmic-ray changes one operator, number or decorator of a module at a time. A forked process has
each mutant in the place of the module, so no file is written, and runs the module's own tests.
`equivalent.csv` lists the mutants that compute the same, and why; neither more nor fewer may pass.
"""

import csv
import difflib
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTS = {
    "geometry": "tests/local_conv/test_geometry.py",
    "weight_layouts": "tests/local_conv/test_weight_layouts.py",
}
SECONDS, BYTES = 120, 8 << 30
"""What the tests of a mutant may take: some would never end, or fill the memory."""


class Change(NamedTuple):
    """The lines of a module that a mutant does without, and those that it has instead."""

    module: str
    before: str
    after: str


class MutantImporter(importlib.machinery.SourceFileLoader):
    """Imports a mutant where its module is asked for."""

    def __init__(self, module: str, source: str) -> None:
        super().__init__(f"lcfast.local_conv.{module}", str(path_of(module)))
        self.source = source

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_code(self, name):
        return self.source_to_code(self.source, self.path)


def path_of(module: str) -> Path:
    return ROOT / "lcfast" / "local_conv" / f"{module}.py"


def mutants_of(source: str) -> Iterator[str]:
    """Each source with one change, once; operators that ask for names of variables make none."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    seen = {source}
    for name in plugins.operator_names():
        operator, occurrence = plugins.get_operator(name), 0
        if any(argument.name.endswith("_variable") for argument in operator.arguments()):
            continue
        while (mutant := mutate_code(source, operator(), occurrence)) is not None:
            occurrence += 1
            if mutant not in seen:
                seen.add(mutant)
                yield mutant


def change_of(module: str, source: str, mutant: str) -> Change:
    lines = list(difflib.ndiff(source.splitlines(), mutant.splitlines()))
    before, after = (
        " ".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Change(module, before, after)


def passes(module: str, source: str) -> bool:
    """Whether the module's tests pass in a process that has `source` for the module."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.meta_path.insert(0, MutantImporter(module, source))
    os._exit(pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", TESTS[module]]))


def passing(module: str) -> tuple[int, list[Change]]:
    """How many mutants there are, and the changes of those that pass."""
    source = path_of(module).read_text()
    if not passes(module, source):
        raise SystemExit(f"{TESTS[module]} fails without a mutant; mend that first.")
    mutants = list(mutants_of(source))
    passed = [mutant for mutant in mutants if passes(module, mutant)]
    return len(mutants), [change_of(module, source, mutant) for mutant in passed]


def main(modules: list[str]) -> int:
    with (HERE / "equivalent.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["module"] in modules]
    explained = {Change(row["module"], row["before"], row["after"]) for row in rows}
    found: set[Change] = set()
    for module in modules:
        count, changes = passing(module)
        found.update(changes)
        print(f"{module}.py: {count} mutants, {count - len(changes)} fail", flush=True)
    for change in sorted(found ^ explained):
        wrong = "passes every test" if change in found else "fails a test, or is no mutant any more"
        print(f"{change.module}.py: {wrong}:\n  - {change.before}\n  + {change.after}")
    return int(found != explained)


if __name__ == "__main__":
    if importlib.util.find_spec("cosmic_ray") is None:
        raise SystemExit("cosmic-ray makes the mutants; `pip install cosmic-ray` gets it.")
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import h5py  # noqa: F401 (once, and not anew for each mutant)
    import scipy.sparse  # noqa: F401

    raise SystemExit(main(sys.argv[1:] or list(TESTS)))
