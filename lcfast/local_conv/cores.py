"""How many cores this process may use: its CPU affinity and the CPU quotas of its cgroups.

A container often has a quota of two cores on a machine with sixty-four.  With more threads than
that, the kernel stops all of them for most of each period.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

USUAL_PERIOD = 100_000
"""Default period of a quota in microseconds, if cpu.max gives none."""


def usable_cores(process: Path = Path("/proc/self")) -> int:
    """Cores allowed by the affinity, or PYTHON_CPU_COUNT, and the quotas; fractions round up."""
    quota = core_quota(process)
    return _cores_to_run_on() if quota is None else min(_cores_to_run_on(), math.ceil(quota))


def core_quota(process: Path = Path("/proc/self")) -> float | None:
    """Cores that the CPU quotas of a process's cgroups allow; None means no quota.

    The smallest quota of the process's cgroup and its parents counts, in cgroup versions 1 and 2.
    Files that cannot be read or parsed set no quota.
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
    """The folders of a process's cgroups, each with the function that reads its quota."""
    paths = {}  # cgroup of the process by controller; "" is version 2
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths.update(dict.fromkeys(controllers.split(","), path))
    for line in mounts:
        mount, _, kind = (part.split() for part in line.partition(" - "))
        if len(mount) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2" and "" in paths:
            read, path = _quota_of_version_2, paths[""]
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(",") and "cpu" in paths:
            read, path = _quota_of_version_1, paths["cpu"]
        else:
            continue
        root, mount_point = map(_unescaped, mount[3:5])
        top = Path(mount_point)
        folder = top / _inside(path, root)
        yield read, folder
        for parent in folder.parents:
            if not parent.is_relative_to(top):
                break
            yield read, parent


def _inside(path: str, root: str) -> str:
    """`path` relative to the mounted folder; "" if it is not below it."""
    if root != "/":
        # A container may see the paths of its host but only its own folders.
        path = path[len(root) :] if path == root or path.startswith(root + "/") else ""
    inside = path.strip("/")
    return "" if ".." in inside.split("/") else inside


def _unescaped(text: str) -> str:
    """A path of mountinfo, where spaces and some other characters are octal escapes."""
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
    """Quota divided by period; None for "max", -1 and anything that is not a quota."""
    try:
        used, of = int(quota), int(period)
    except ValueError:
        return None
    return used / of if used > 0 and of > 0 else None
