"""The digests that are committed, and those that a process computes."""

import csv
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILE = HERE / "digests.csv"


def column_of(path: str) -> str:
    """Which digests a SIMD path has to give; only `generic` has no fused multiply-add."""
    return "generic" if path == "generic" else "fused"


def committed(path: str) -> dict[str, str]:
    """Case -> digest, as the file has them for a SIMD path."""
    with FILE.open(newline="") as file:
        return {row["case"]: row[column_of(path)] for row in csv.DictReader(file)}


def write(fused: dict[str, str], generic: dict[str, str]) -> None:
    """Commit other digests: for a deliberate change of the arithmetic or of the cases."""
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", "fused", "generic"])
        writer.writerows([case, digest, generic[case]] for case, digest in fused.items())


def start(
    path: str, package_folder: str | Path | None = None, python: str | Path = sys.executable
) -> subprocess.Popen:
    """A process that computes the digests on a SIMD path, with the lcfast of a folder."""
    environment = {**os.environ, "LCFAST_KERNEL": path, "OMP_WAIT_POLICY": "passive"}
    environment.pop("PYTHONPATH", None)
    if package_folder is not None:
        environment["PYTHONPATH"] = str(package_folder)
    return subprocess.Popen(
        [python, HERE / "digests.py"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen, path: str) -> dict[str, str]:
    """Case -> digest, as the process computed them."""
    said, complaints = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"The digests of path {path} were not computed:\n{complaints}")
    (_, active), *lines = (line.split(" ", 1) for line in said.splitlines())
    if active != path:
        raise RuntimeError(f"The digests are those of path {active}, not {path}.")
    return dict(lines)
