"""How many cores can be used, from cgroup files as the Linux kernel writes them."""

import os
from pathlib import Path

import pytest

from lcfast.local_conv import cores

VERSION_2 = "31 23 0:28 {root} {mount} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
VERSION_1 = "32 31 0:29 {root} {mount} rw,relatime - cgroup cgroup rw,{controllers}"


class Process:
    """A folder like /proc/self, and one for the groups."""

    def __init__(self, folder):
        self.folder, self.mount = folder / "proc", folder / "groups"
        self.folder.mkdir()
        self.mount.mkdir()

    def is_in(self, groups, kind, root="/", mount=None, controllers="cpu,cpuacct"):
        """Write down the groups, in `cgroup`, and what is mounted, in `mountinfo`."""
        mounted = kind.format(root=root, mount=mount or self.mount, controllers=controllers)
        other = "22 1 8:1 / / rw - ext4 /dev/root rw"
        (self.folder / "mountinfo").write_text(f"{other}\n{mounted}\n")
        (self.folder / "cgroup").write_text(groups)
        return self

    def group(self, path, **files):
        """Write the files of a group; underscores of the names stand for the first dot."""
        folder = self.mount / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_", ".", 1)).write_text(text)
        return self

    def quota(self):
        return cores.core_quota(self.folder)


@pytest.fixture
def process(tmp_path):
    return Process(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2.0), ("150000 100000\n", 1.5), ("50000 100000", 0.5),
        ("300000\n", 3.0), ("25000 5000\n", 5.0), ("max 100000\n", None), ("max\n", None),
        ("", None), ("\n", None), ("200000 0\n", None), ("-1 100000\n", None),
        ("0 100000\n", None), ("many 100000\n", None), ("2e5 100000", None), ("\x00", None),
    ],
)  # fmt: skip
def test_version_2_gives_the_quota_in_cpu_max(process, text, expected):
    process.is_in("0::/service\n", VERSION_2).group("service", cpu_max=text)
    assert process.quota() == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [
        ("200000\n", "100000\n", 2.0), ("-1\n", "100000\n", None), ("125000\n", "50000\n", 2.5),
        ("200000", "0", None), ("", "100000", None), ("200000", "", None), ("x", "100000", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_version_1_gives_the_quota_in_two_files(process, quota, period, expected, controllers):
    groups = f"5:memory:/other\n4:{controllers}:/service\n0::/\n"
    process.is_in(groups, VERSION_1, controllers=controllers)
    process.group("service", cpu_cfs_quota_us=quota, cpu_cfs_period_us=period)
    assert process.quota() == expected


@pytest.mark.parametrize("outer", ["100000 100000", "400000 100000", "max 100000"])
def test_the_smallest_quota_of_a_group_and_its_parents_counts(process, outer):
    process.is_in("0::/slice/service/worker\n", VERSION_2)
    process.group("slice/service/worker", cpu_max="max 100000")
    process.group("slice/service", cpu_max="300000 100000").group("slice", cpu_max=outer)
    assert process.quota() == (1.0 if outer.startswith("1") else 3.0)


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/", "/"),  # a container with its own view of the groups
        ("/docker/1f2e", "/docker/1f2e"),  # one that sees its host's paths, and its own folder
        ("/docker/1f2e", "/docker/9999"),
        ("/docker/1f2e0", "/docker/1f2e"),
        ("/../../system.slice", "/"),  # a process that entered a namespace from outside
        ("/gone", "/"),  # a group that was removed
    ],
)
@pytest.mark.parametrize("kind", [VERSION_1, VERSION_2])
def test_a_container_finds_the_quota_at_the_mount_point(process, path, root, kind):
    process.is_in(f"3:cpu:{path}\n0::{path}\n", kind, root, controllers="cpu")
    process.group("", cpu_max="250000 100000")
    process.group("", cpu_cfs_quota_us="250000", cpu_cfs_period_us="100000")
    assert process.quota() == 2.5


def test_a_group_below_the_mounted_folder_is_found(process):
    process.is_in("0::/docker/1f2e/worker\n", VERSION_2, root="/docker/1f2e")
    process.group("worker", cpu_max="100000 100000")
    assert process.quota() == 1.0


def test_a_mount_point_with_a_space_is_found(process):
    folder = process.mount / "with space"
    folder.mkdir()
    (folder / "cpu.max").write_text("100000 100000")
    process.is_in("0::/\n", VERSION_2, mount=str(folder).replace(" ", r"\040"))
    assert process.quota() == 1.0


def test_folders_above_the_mount_point_are_not_read(process):
    (process.mount.parent / "cpu.max").write_text("100000 100000")
    assert process.is_in("0::/\n", VERSION_2).quota() is None


@pytest.mark.parametrize(
    ("mounts", "groups"),
    [
        ("", ""), ("\n\n", "\n"), ("x - cgroup2", "0::/"), ("1 2 3 / /x - cgroup2 c rw", ""),
        ("1 2 3 / /x - cgroup2 c rw", "0"), ("1 2 3 / /x - cgroup2 c rw", "0::"),
        ("1 2 3 / /x\\000 - cgroup2 c rw", "0::/"), (" - ", ":::"),
        ("1 2 3 / relative - cgroup2 c rw", "0::/a"), ("\udcff", "\udcff"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_parsed_set_no_quota(process, mounts, groups):
    (process.folder / "mountinfo").write_bytes(mounts.encode("utf-8", "surrogateescape"))
    (process.folder / "cgroup").write_bytes(groups.encode("utf-8", "surrogateescape"))
    assert process.quota() is None


def test_missing_files_set_no_quota(process):
    assert process.quota() is None
    assert cores.core_quota(Path("/dev/null/none")) is None


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 1", 8), ("1000 100000", 1), ("100000 100000", 1), ("100001 100000", 2),
     ("150000 100000", 2), ("300000 100000", 3), ("6400000 100000", 8)],
)  # fmt: skip
def test_the_cores_are_the_smaller_of_affinity_and_quota_rounded_up(
    process, monkeypatch, quota, expected
):
    process.is_in("0::/\n", VERSION_2).group("", cpu_max=quota)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    assert cores.usable_cores(process.folder) == expected


def test_the_cores_of_this_process_follow_its_affinity(process, monkeypatch):
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 9}, raising=False)
    assert cores.usable_cores(process.folder) == 3


@pytest.mark.parametrize("count", [12, None])
def test_without_an_affinity_all_cores_count(process, monkeypatch, count):
    def refused(pid):
        raise OSError("no such system call")

    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    monkeypatch.setattr(os, "sched_getaffinity", refused, raising=False)
    assert cores.usable_cores(process.folder) == (count or 1)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores.usable_cores(process.folder) == (count or 1)


def test_process_cpu_count_takes_precedence_over_the_affinity(process, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)  # PYTHON_CPU_COUNT
    assert cores.usable_cores(process.folder) == 5


def test_groups_mounted_at_the_root_have_no_parent_above_it(tmp_path):
    mounted = VERSION_2.format(root="/", mount="/")
    found = [folder for _, folder in cores._group_folders([mounted], ["0::/a/b"])]
    assert found == [Path("/a/b"), Path("/a"), Path("/")]
