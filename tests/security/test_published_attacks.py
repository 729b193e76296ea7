"""Every published attack on model files, as a harmless file: it is refused and runs nothing.

One process reads all files and records the events of Python's audit hooks, while inotify reports
all access to the directory that the files refer to.
"""

import re
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import lcfast
from tests.support import goldens, hostile_configs, hostile_files
from tests.support.hostile_configs import configs
from tests.support.hostile_files import CONTAINERS, FILES
from tests.support.watching import read_watched, touched

LONGEST = 5  # seconds
MEMORY = re.compile(r"MemoryError|nable to allocate|an't allocate|memory allocation failed")
# numpy parses array headers with ast.literal_eval, which compiles to a syntax tree, not to code.
HARMLESS = {"mmap.__new__", "os.listdir", "os.scandir", "tempfile.mkstemp", "tempfile.mkdtemp"}
OWN = {"lcfast", "numpy", "h5py", "encodings"}

WARM_UP = [
    ("load_model", goldens.DIRECTORY / "model_sequential_1d.h5"),
    ("load_model", goldens.DIRECTORY / "container_sequential.keras"),
    ("read_weights", goldens.DIRECTORY / "container_weights_network-0.npz"),
    ("read_weights", goldens.DIRECTORY / "checkpoint_sequential" / "weights"),
    ("load_model", goldens.DIRECTORY / "saved_model_sequential"),
    ("load_model", goldens.DIRECTORY / "saved_model_older"),
]
CASES = [
    *(f"{container}: {name}" for name in configs(Path()) for container in CONTAINERS),
    *FILES,
]
TRUSTING = ("trusting_open", "trusting_import", "trusting_exec")


def write_outside(outside: Path) -> None:
    """What hostile files refer to: a text, a model file, and a module that creates a file."""
    (outside / "secret").write_bytes(bytes(range(48)))
    with h5py.File(outside / "other.h5", "w") as file:
        file["x"] = np.ones((3, 2), np.float32)
    trace = str(outside / "imported")
    (outside / f"{hostile_configs.MODULE}.py").write_text(f"open({trace!r}, 'w').close()\n")
    (outside / "variables").mkdir()


def write_hostile(directory: Path, outside: Path) -> tuple[dict, dict]:
    """Write every file; return how each is read, and a part of its error message."""
    requests, said = {}, {}
    for name, (config, found) in configs(outside).items():
        for container, write in CONTAINERS.items():
            case = f"{container}: {name}"
            inside = directory / str(len(requests))
            inside.mkdir()
            requests[case], said[case] = write(config, inside), found
    for case, (build, found) in FILES.items():
        inside = directory / str(len(requests))
        inside.mkdir()
        requests[case], said[case] = build(inside, outside), found
    return requests, said


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Each file's report, its path and expected message; and the files touched outside."""
    directory, outside = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("outside")
    write_outside(outside)
    requests, said = write_hostile(directory, outside)
    with touched(outside) as names:
        reports = read_watched(requests, WARM_UP, importable=outside)
    return reports, requests, said, list(names), sorted(path.name for path in outside.iterdir())


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_refused_and_nothing_ran(run, case):
    reports, requests, said, _, _ = run
    report, path = reports[case], requests[case][1]
    assert report["kind"] == "ModelFileError", report
    assert said[case] in report["said"]
    assert not MEMORY.search(report["said"])
    assert report["seconds"] < LONGEST
    assert [event for event in report["events"] if not is_harmless(event, path)] == []


def test_nothing_outside_was_opened_or_made(run):
    _, _, _, names, there = run
    assert names == []
    assert there == ["canary_module.py", "other.h5", "secret", "variables"]


def is_harmless(event: list, path: Path) -> bool:
    """Whether an event belongs to a normal read of this file."""
    kind, arguments = event
    if kind == "open":
        return arguments[0] == tempfile.gettempdir() or is_inside(arguments[0], path)
    if kind == "import":
        return arguments[0].partition(".")[0] in OWN
    if kind == "compile":
        return arguments[1] == "<unknown>" and path.suffix == ".npz"
    return kind in HARMLESS


def is_inside(opened: str, path: Path) -> bool:
    return str(Path(opened).resolve()).startswith(str(path.parent)) or opened.isdecimal()


@pytest.mark.parametrize("call", TRUSTING)
def test_the_watch_sees_what_a_reader_that_trusts_files_does(tmp_path, call):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    write_outside(outside)
    path = inside / "file"
    if call == "trusting_open":
        path.symlink_to(outside / "secret")
    else:
        code = f"open({str(outside / 'owned')!r}, 'w')"
        path.write_text(hostile_configs.MODULE if call == "trusting_import" else code)
    with touched(outside) as names:
        report = read_watched({"one": (call, path)}, [], importable=outside)["one"]
    assert report["kind"] == "nothing"
    assert names
    assert not all(is_harmless(event, path) for event in report["events"])


def test_the_watch_sees_what_hdf5_opens_by_itself(tmp_path):
    write_outside(tmp_path)
    with h5py.File(tmp_path.parent / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink(tmp_path / "other.h5", "x")
        with touched(tmp_path) as names:
            assert file["x"].shape == (3, 2)
    assert "other.h5" in names


def test_every_published_attack_is_here_in_every_container_that_it_fits():
    known = {"2024-3660", "2025-1550", "2025-8747", "2025-9906", "2025-12058", "2025-12060"}
    for number in known:
        assert any(f"CVE-{number}" in case for case in CASES), number
    # CVE-2025-9905: Keras's safe mode did not hold for .h5 files.
    assert any(case.startswith("h5: CVE-2024-3660") for case in CASES)
    assert hostile_files.CONTAINERS.keys() == CONTAINERS.keys()


@pytest.mark.parametrize("layout", ["earliest", "latest"])
def test_text_of_variable_length_is_read_where_its_length_is_right(tmp_path, layout):
    path = tmp_path / "model.h5"
    text = hostile_files.text_of(hostile_configs.sequential())
    with h5py.File(path, "w", libver=layout, userblock_size=1024) as file:
        for number in range(6):  # so that the header continues elsewhere
            file.attrs[f"padding_{number}"] = "x" * number
        file.attrs["model_config"] = text
        names = h5py.string_dtype()
        weights = file.create_group("model_weights")
        weights.attrs.create("layer_names", np.array(["", "größe"], object), dtype=names)
        for layer in ("größe",):
            weights.create_group(layer).attrs["weight_names"] = np.array([], "S")
        weights.attrs.modify("layer_names", np.array(["größe", "größe"], object))
    with pytest.raises(lcfast.errors.ModelFileError, match="names layer 'größe' twice"):
        lcfast.io.read_model(path)
