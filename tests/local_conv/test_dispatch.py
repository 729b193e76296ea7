"""Which SIMD path runs: the fastest of the processor, or the one that LCFAST_KERNEL names."""

import os
import platform
import re
import subprocess
import sys

import pytest

from lcfast.local_conv import _simd_paths, dispatch, ops
from lcfast.local_conv.ops import ComputeOptions
from tests.support import reference
from tests.support.cases import PATHS, assert_within, problem, rounding_of_chains

every_path = pytest.mark.parametrize("path", PATHS)


def show_versions(kernel):
    """Run show_versions in a new process, where LCFAST_KERNEL is `kernel`, or unset."""
    environment = {key: value for key, value in os.environ.items() if key != "LCFAST_KERNEL"}
    if kernel is not None:
        environment["LCFAST_KERNEL"] = kernel
    return subprocess.run(
        [sys.executable, "-c", "import lcfast; lcfast.show_versions()"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def path_shown(run):
    assert run.returncode == 0, run.stderr
    return re.search(r"^kernel path +(\w+) \(", run.stdout, re.MULTILINE)[1]


def test_the_paths_are_listed_fastest_first_and_the_last_runs_on_every_processor():
    *others, last = _simd_paths.PATH_NAMES
    assert others == ["avx512", "avx2"]
    assert last == ("neon" if platform.machine() in ("aarch64", "arm64") else "generic")
    assert [name for name in _simd_paths.PATH_NAMES if name in dispatch.PATHS] == list(
        dispatch.PATHS
    )
    assert dispatch.PATHS[-1] == last


@every_path
def test_a_path_is_found_by_its_name(path):
    assert _simd_paths.PATH_NAMES[dispatch.path_index(path)] == path
    assert _simd_paths.PATH_NAMES[ComputeOptions("direct", None, path).path()] == path


def test_without_a_name_the_fastest_path_is_used():
    assert _simd_paths.PATH_NAMES[dispatch.path_index(None)] == dispatch.PATHS[0]


@every_path
def test_every_path_computes(path):
    geometry, x, kernel, bias, _ = problem("6x3-17of4-s1-last", "float32")
    y = ops.forward(x, kernel, bias, geometry, options=ComputeOptions("direct", None, path))
    magnitude = reference.forward(abs(x), abs(kernel), abs(bias), geometry)
    expected = reference.forward(x, kernel, bias, geometry)
    assert_within(y, expected, rounding_of_chains(geometry.patch_size, magnitude))


@pytest.mark.parametrize("name", ["sse9", "AVX2", " generic", "avx"])
def test_a_path_that_does_not_exist_is_a_value_error(name):
    with pytest.raises(ValueError, match=repr(name)):
        dispatch.path_index(name)
    with pytest.raises(ValueError, match=repr(name)):
        ComputeOptions("direct", None, name).path()


def test_a_path_that_the_processor_cannot_run_is_a_value_error(monkeypatch):
    monkeypatch.setattr(dispatch, "PATHS", ("generic",))
    with pytest.raises(ValueError, match=r"'avx2'.*cannot run"):
        dispatch.path_index("avx2")


@every_path
def test_show_versions_names_the_path_of_the_environment(path):
    assert path_shown(show_versions(path)) == path


@pytest.mark.parametrize("kernel", [None, ""], ids=["unset", "empty"])
def test_show_versions_names_the_fastest_path_without_one(kernel):
    assert path_shown(show_versions(kernel)) == dispatch.PATHS[0]


def test_an_unknown_path_in_the_environment_is_a_value_error():
    run = show_versions("sse9")
    assert run.returncode == 1
    assert re.match("ValueError: .*'sse9'", run.stderr.splitlines()[-1])
