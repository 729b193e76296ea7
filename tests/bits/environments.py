"""Compare the digests of many environments with those that are committed.

    python tests/bits/environments.py PYTHON...           # `make bits PYTHONS="python3.10 ..."`
    python tests/bits/environments.py --write             # rewrite digests.csv from this one

For each given Python and each installed C compiler (gcc, clang), lcfast is built from this folder
into a new virtual environment, and its digests are computed on every SIMD path, with the oldest
numpy that lcfast supports and that has a wheel for that Python, and with the newest one.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import digest_file

ROOT = Path(__file__).resolve().parents[2]
COMPILERS = ("gcc", "clang")
OLDEST_WHEELS = {(3, 12): "1.26.0", (3, 13): "2.1.0", (3, 14): "2.3.2"}
"""The oldest numpy with wheels for a Python, if newer than the oldest that lcfast supports."""


def run(*command: str | Path, **environment: str) -> str:
    """The output of a command; RuntimeError with the end of the output if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment, "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tempfile.gettempdir(),
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}")
    return done.stdout.strip()


def oldest_numpy(version: tuple[int, int]) -> str:
    """The oldest numpy that lcfast supports on a Python."""
    found = re.search(r'"numpy>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert found, "pyproject.toml names no oldest numpy"
    return OLDEST_WHEELS.get(version, f"{found[1]}.0")


def paths_of(python: Path) -> list[str]:
    """The SIMD paths of lcfast in that environment."""
    return run(
        python, "-c", "from lcfast.local_conv import dispatch; print(*dispatch.PATHS)"
    ).split()


def differences(python: Path) -> list[str]:
    """Which cases differ from the committed digests in one environment, as `path: case`."""
    found = []
    for path in paths_of(python):
        expected = digest_file.committed(path)
        got = digest_file.finished(digest_file.start(path, python=python), path)
        found += [f"{path}: {case}" for case in expected if got.get(case) != expected[case]]
    return found


def build(base: str, compiler: str, folder: Path) -> tuple[Path, tuple[int, int]]:
    """A new environment with lcfast, built by `compiler`: its Python, and the version of that."""
    run(base, "-m", "venv", folder)
    python = folder / "bin" / "python"
    said = run(python, "-c", "import sys; print(*sys.version_info[:2])").split()
    source = folder / "source"  # a copy, as builds leave files
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    left_out = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "lcfast", source / "lcfast", ignore=left_out)
    run(python, "-m", "pip", "install", "--quiet", source, CC=compiler)
    return python, (int(said[0]), int(said[1]))


def compare(base: str, compiler: str) -> bool:
    """Whether a Python and a compiler give the committed digests with two versions of numpy."""
    same = True
    with tempfile.TemporaryDirectory() as folder:
        python, version = build(base, compiler, Path(folder, "environment"))
        for wanted in (f"numpy=={oldest_numpy(version)}", "numpy"):
            run(
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--only-binary=:all:",
                "--upgrade",
                wanted,
                "scipy",
                "h5py",  # of a version that takes such a numpy
            )
            code = "import platform, numpy; print(platform.python_version(), numpy.__version__)"
            python_version, numpy_version = run(python, "-c", code).split()
            wrong = differences(python)
            verdict = "the same bits" if not wrong else f"DIFFERS: {', '.join(wrong)}"
            where = f"Python {python_version}, numpy {numpy_version}, {compiler}"
            print(f"{where}, paths {' '.join(paths_of(python))}: {verdict}", flush=True)
            same = same and not wrong
    return same


def write() -> None:
    """Write the digests of this environment to digests.csv if its fused paths agree."""
    found = {
        path: digest_file.finished(digest_file.start(path, ROOT), path)
        for path in paths_of(Path(sys.executable))
    }
    fused = {path: digests for path, digests in found.items() if path != "generic"}
    for path, digests in found.items():
        wrong = [case for case, digest in digests.items() if digest.startswith("differs")]
        if wrong:
            raise SystemExit(
                f"Nothing is written: path {path} gives different digests for {', '.join(wrong)}."
            )
    if len({tuple(digests.values()) for digests in fused.values()}) != 1:
        raise SystemExit("Nothing is written: the fused paths differ, or there is none.")
    digest_file.write(next(iter(fused.values())), found["generic"])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--write", action="store_true", help="rewrite digests.csv")
    options = parser.parse_args()
    if options.write:
        write()
        return 0
    same = True
    for base in options.pythons:
        for compiler in COMPILERS:
            if shutil.which(compiler) is None:
                print(f"{compiler}: skipped, it is not installed")
                continue
            try:
                same = compare(base, compiler) and same
            except RuntimeError as error:
                print(f"{base}, {compiler}: NOT COMPARED, {error}", flush=True)
                same = False
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
