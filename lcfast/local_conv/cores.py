"""How many cores this process may use: those it may run on, and the time its groups give it.

A container is often given two cores' worth of time on a machine of sixty-four, by the quota of a
control group.  Threads beyond that are stopped for most of each period, and the call with them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

USUAL_PERIOD = 100_000
"""Microseconds in which a quota is spent, where the second number of cpu.max is missing."""


def usable_cores(process: Path = Path("/proc/self")) -> int:
    """Cores that the affinity, or PYTHON_CPU_COUNT, and the quotas leave this process.

    A quota that is no whole number of cores is rounded up.
    """
    quota = core_quota(process)
    return _cores_to_run_on() if quota is None else min(_cores_to_run_on(), math.ceil(quota))


def core_quota(process: Path = Path("/proc/self")) -> float | None:
    """Cores' worth of time that the control groups of a process give it; None: all there is.

    The least quota of the process's group and of those that hold it counts, of both versions of
    control groups.  What cannot be read or understood is no quota.
    """
    try:
        mounts = (process / "mountinfo").read_text("utf-8", "replace").splitlines()
        groups = (process / "cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    quotas = [
        quota
        for read, folder in _group_folders(mounts, groups)
        if (quota := read(folder)) is not None
    ]
    return min(quotas, default=None)


def _cores_to_run_on() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13: PYTHON_CPU_COUNT, then the affinity
        return os.process_cpu_count() or 1
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _group_folders(
    mounts: list[str], groups: list[str]
) -> Iterator[tuple[Callable[[Path], float | None], Path]]:
    """The folders with the settings of a process's groups, and what reads a quota there."""
    paths = {}  # of the process's group in each hierarchy, by controller; "" is version 2
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths.update(dict.fromkeys(controllers.split(","), path))
    for line in mounts:
        place, _, kind = (part.split() for part in line.partition(" - "))
        if len(place) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2" and "" in paths:
            read, path = _quota_of_version_2, paths[""]
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(",") and "cpu" in paths:
            read, path = _quota_of_version_1, paths["cpu"]
        else:
            continue
        root, mount_point = map(_unescaped, place[3:5])
        top = Path(mount_point)
        folder = top / _inside(path, root)
        yield read, folder
        for parent in folder.parents:
            if not parent.is_relative_to(top):
                break
            yield read, parent


def _inside(path: str, root: str) -> str:
    """`path` from the folder that is mounted; that folder itself where it shows no such path."""
    if root != "/":
        # A container that sees the paths of its host, and of the folders only its own.
        path = path[len(root) :] if path == root or path.startswith(root + "/") else ""
    inside = path.strip("/")
    return "" if ".." in inside.split("/") else inside


def _unescaped(text: str) -> str:
    """A path of mountinfo, where spaces and the like are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _quota_of_version_2(folder: Path) -> float | None:
    numbers = _words(folder / "cpu.max")
    return _cores(numbers[0], numbers[1] if len(numbers) > 1 else USUAL_PERIOD) if numbers else None


def _quota_of_version_1(folder: Path) -> float | None:
    quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
    return _cores(quota[0], period[0]) if quota and period else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text("ascii", "replace").split()
    except (OSError, ValueError):  # ValueError: a path with a NUL
        return []


def _cores(quota: str, period: str | int) -> float | None:
    """Microseconds of each period as cores; None for "max", -1 and what is no quota at all."""
    try:
        used, of = int(quota), int(period)
    except ValueError:
        return None
    return used / of if used > 0 and of > 0 else None
