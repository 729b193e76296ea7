"""Versions and machine details, for bug reports and benchmarks."""

from __future__ import annotations

import platform

from lcfast.local_conv import OPENMP_WAITS, _openmp, dispatch
from lcfast.local_conv.threads import get_num_threads


def show_versions() -> None:
    """Print the versions of lcfast and its dependencies, the SIMD path and the threads.

    Examples
    --------
    >>> import lcfast
    >>> lcfast.show_versions()  # doctest: +ELLIPSIS
    lcfast       ...
    python       ...
    """
    for name, value in versions().items():
        print(f"{name:<12} {value}")


def versions() -> dict[str, str]:
    """Return what `show_versions` prints, by name."""
    packages = ("lcfast", "numpy", "scipy", "h5py", "click", "tqdm")
    found = {name: _version(name) for name in packages}
    return {
        "lcfast": found.pop("lcfast"),
        "python": platform.python_version(),
        **found,
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "kernel path": f"{dispatch.active_path()} (this processor has {', '.join(dispatch.PATHS)})",
        "openmp": "yes" if _openmp.HAS_OPENMP else "no: every call runs on one thread",
        "threads": str(get_num_threads()),
        "waiting": OPENMP_WAITS,
    }


def _version(package: str) -> str:
    from importlib import metadata  # here: `import lcfast` must stay fast

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
