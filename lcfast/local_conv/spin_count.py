"""How long the threads of GNU OpenMP spin while they wait: a short time.

libgomp's threads spin for milliseconds by default.  Beside another busy process, a thread that
spins holds the core that the thread it waits for needs.  libgomp reads the number of rounds once,
when it is loaded, so it is in the environment while the first extension module is imported.
"""

from __future__ import annotations

import importlib
import os

VARIABLE = "GOMP_SPINCOUNT"
ROUNDS = 1000
"""Rounds of waiting, some 20 us."""
_OF_THE_USER = (VARIABLE, "OMP_WAIT_POLICY")


def load_openmp() -> str:
    """Import the extension that loads OpenMP; return the setting that holds, as text.

    A setting of the user stays.  Where another library loaded the same libgomp earlier, it keeps
    what it read then.
    """
    given = [f"{name}={os.environ[name]}" for name in _OF_THE_USER if name in os.environ]
    if given:
        return f"{', '.join(given)}, from the environment"
    before = _loaded()
    os.environ[VARIABLE] = str(ROUNDS)
    try:
        importlib.import_module("lcfast.local_conv._openmp")
    finally:
        del os.environ[VARIABLE]
    if _loaded() - before:
        return f"{VARIABLE}={ROUNDS}, set by lcfast"
    return "the default of OpenMP: it was loaded before lcfast, or is not libgomp"


def _loaded() -> set[str]:
    """The paths of the copies of libgomp in this process."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            return {line.split()[-1] for line in maps if "libgomp" in line}
    except OSError:
        return set()
