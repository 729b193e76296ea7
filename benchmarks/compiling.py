"""Small C programs of the benchmarks, compiled for this processor when first used."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "benchmarks" / "c"
BUILT = ROOT / "build" / "benchmarks"
# They measure the limits of the machine and are not part of lcfast, which is compiled differently.
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-shared")


def compiled(name: str, *libraries: str) -> ctypes.CDLL:
    """The shared object of benchmarks/c/NAME.c.

    Raises
    ------
    OSError
        If there is no C compiler, or it fails; with its first error.
    """
    source = SOURCES / f"{name}.c"
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, *FLAGS, str(source)]
    mark = hashlib.sha256(source.read_bytes() + repr((command, platform.node())).encode())
    target = BUILT / f"{name}-{mark.hexdigest()[:16]}.so"
    if not target.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [*command, "-o", str(partial), *libraries], capture_output=True, text=True, check=False
        )
        if done.returncode:
            complaints = [line for line in done.stderr.splitlines() if "error" in line]
            raise OSError(f"{source.name} does not compile: {(complaints or [done.stderr])[0]}")
        partial.replace(target)
    return ctypes.CDLL(str(target))
