"""`lcfast predict`: files of every format, pipes, interruptions, full disks, profiles."""

import functools
import io
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import lcfast
from lcfast.cli import destination as destination_module
from lcfast.cli import predict as predict_module
from lcfast.cli.destination import Destination
from lcfast.rows import open_rows
from lcfast.rows.npy import NpyWriter
from tests.support import commands
from tests.support.cases import assert_same_bits
from tests.support.commands import DIGITS as MODEL
from tests.support.commands import EXAMPLES

TWO = Path(__file__).parent / "golden" / "model_functional_two_inputs_two_outputs.h5"
IMAGES = np.load(EXAMPLES / "digits_images.npy")


@pytest.fixture(scope="module")
def expected():
    return lcfast.load_model(MODEL).predict(IMAGES)


predict = functools.partial(commands.lcfast, "predict")
refused = functools.partial(commands.refused, "predict")


def written(path):
    stored = open_rows(str(path))
    return np.concatenate(list(stored.read(100, 0))).astype(np.float32)


# ---------------------------------------------------------------- formats


def as_npz(path):
    np.savez_compressed(path / "x.npz", images=IMAGES, labels=np.ones(3))
    return f"{path / 'x.npz'}:images"


def as_hdf5(path):
    with h5py.File(path / "x.h5", "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(50, 8, 8, 1), compression="gzip")
    return f"{path / 'x.h5'}:/images"


def as_csv(path):
    np.savetxt(path / "x.csv", IMAGES.reshape(len(IMAGES), -1), "%.9g", ",", header="", comments="")
    return path / "x.csv"


@pytest.mark.parametrize("store", [as_npz, as_hdf5, as_csv], ids=["npz", "h5", "csv"])
@pytest.mark.parametrize("ending", [".npy", ".h5", ".csv"])
def test_every_format_in_and_out_gives_the_same_bits(tmp_path, expected, store, ending):
    output = tmp_path / f"y{ending}"
    result = predict(MODEL, store(tmp_path), "-o", output, "--batch-size", 7)
    assert_same_bits(written(output), expected)
    assert f"(360, 10) float32 written to {output}" in result.stdout
    assert result.stderr == ""


def test_zarr_goes_in_and_out_and_replaces_an_older_one(tmp_path, expected):
    pytest.importorskip("zarr")
    for source in (EXAMPLES / "digits_images.npy", EXAMPLES / "digits_images.npy"):
        predict(MODEL, source, "-o", tmp_path / "y.zarr", "--batch-size", 7)
    assert_same_bits(written(tmp_path / "y.zarr"), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["y.zarr"]


def test_a_file_may_have_any_name_where_its_format_is_given(tmp_path, expected):
    predict(MODEL, EXAMPLES / "digits_images.npy", "-o", tmp_path / "y", "--format", "h5")
    assert_same_bits(written(tmp_path / "y"), expected)


def test_an_output_is_as_open_as_any_new_file(tmp_path):
    predict(MODEL, EXAMPLES / "digits_images.npy", "-o", tmp_path / "y.npy")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "y.npy").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_several_inputs_and_outputs_go_by_the_names_of_layers(tmp_path):
    model = lcfast.load_model(TWO)
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((11, *tensor.shape[1:])).astype("f4") for tensor in model.inputs]
    options = []
    for number, (tensor, array) in enumerate(zip(model.inputs, x, strict=True)):
        np.save(tmp_path / f"{number}.npy", array)
        options = ["--input", f"{tensor.name}={tmp_path / f'{number}.npy'}", *options]
    predict(TWO, *options, "-o", tmp_path / "y.h5", "--batch-size", 4)
    with h5py.File(tmp_path / "y.h5") as file:
        names = [tensor.name for tensor in model.outputs]
        assert set(file) == set(names)
        for name, y in zip(names, model.predict(x), strict=True):
            assert_same_bits(file[name][...], y)
    assert "y.npy" in refused(TWO, *options, "-o", tmp_path / "y.npy")
    missing = options[3].split("=")[0]
    assert missing in refused(TWO, *options[:2], "-o", tmp_path / "y.h5")
    assert "no=x.npy" in refused(TWO, "--input", "no=x.npy", "-o", tmp_path / "y.h5")
    np.save(tmp_path / "0.npy", x[0][:5])
    text = refused(TWO, *options, "-o", tmp_path / "y.h5")
    assert "0.npy" in text
    assert "1.npy" in text
    lines = x[0][:5].reshape(5, -1)
    np.savetxt(tmp_path / "0.csv", lines, delimiter=",")  # whose number of rows is unknown
    options[-1] = options[-1].replace("0.npy", "0.csv")
    text = refused(TWO, *options, "-o", tmp_path / "y.h5", "--batch-size", 4)
    assert text.count("0.csv") == text.count("1.npy") == 1
    piped = [option if option == "--input" else option.split("=")[0] + "=-" for option in options]
    assert "pipe" in refused(TWO, *piped, "-o", tmp_path / "y.h5")


# ---------------------------------------------------------------- pipes


def piped(content, *arguments):
    return commands.in_a_process("predict", *arguments, text=False, input=content)


def test_npy_goes_through_pipes(expected):
    result = piped((EXAMPLES / "digits_images.npy").read_bytes(), MODEL, "-", "-o", "-")
    assert result.returncode == 0, result.stderr
    assert_same_bits(np.load(io.BytesIO(result.stdout)), expected)
    assert b"written to standard output" in result.stderr


def test_text_goes_through_pipes(tmp_path, expected):
    content = Path(as_csv(tmp_path)).read_bytes()
    result = piped(content, MODEL, "-", "-o", "-", "--format", "csv")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert_same_bits(np.loadtxt(lines, delimiter=",", dtype=np.float32), expected)
    assert "--format csv" in refused(MODEL, "-", "-o", "-", input=content)
    assert "h5" in refused(MODEL, "-", "-o", "-", "--format", "h5")
    assert "pipe" in refused(MODEL, "-", "-o", tmp_path / "y.csv", "--resume", input="1")


# ---------------------------------------------------------------- what the user got wrong


def test_the_line_of_a_bad_row_is_named_and_nothing_stays(tmp_path):
    path = as_csv(tmp_path)
    lines = path.read_text().splitlines()
    lines[299] = "1,2,3"
    path.write_text("\n".join(lines))
    (tmp_path / "y.csv").write_text("old")
    text = refused(MODEL, path, "-o", tmp_path / "y.csv", "--batch-size", 7)
    assert f"{path}, line 300" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.csv", "y.csv"]
    assert (tmp_path / "y.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "datum"),
    [
        (["-o", "y.npy"], "locally_connected2d_input"),
        (["x.npy", "--input", "a=x.npy", "-o", "y.npy"], "--input"),
        (["x.npy", "-o", "y.txt"], "y.txt"),
        (["x.npy", "-o", "/dev/null", "--format", "npy"], "/dev/null"),
        (["x.npy", "-o", "."], ".: "),
        (["/dev/null", "-o", "y.npy"], "/dev/null"),
        (["x.npy", "-o", "y.npy"], "x.npy"),
    ],
)
def test_arguments_that_do_not_go_are_explained(arguments, datum, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert datum in refused(MODEL, *arguments)


# ---------------------------------------------------------------- interruptions


@pytest.fixture
def interrupted(monkeypatch):
    """Interrupt the command before its n-th block."""

    def after(blocks):
        write, seen = Destination.write, []

        def interrupt(destination, outputs):
            seen.append(outputs)
            if len(seen) > blocks:
                raise KeyboardInterrupt
            write(destination, outputs)

        monkeypatch.setattr(Destination, "write", interrupt)

    return after


@pytest.mark.parametrize("ending", [".npy", ".csv", ".h5", ".zarr"])
@pytest.mark.parametrize("store", [as_npz, as_hdf5, as_csv], ids=["npz", "h5", "csv"])
def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, interrupted, expected, store, ending):
    if ending == ".zarr":
        pytest.importorskip("zarr")
    source, output = store(tmp_path), tmp_path / f"y{ending}"
    arguments = (MODEL, source, "-o", output, "--batch-size", 50)
    interrupted(2)
    result = predict(*arguments, status=130)
    monkeypatch.undo()
    of = "" if store is as_csv else " of 360"
    assert f" 100{of} rows" in result.stderr
    assert str(output) in result.stderr
    assert "--resume" in result.stderr
    assert not output.exists()
    result = predict(*arguments, "--resume")
    assert "360 rows, 100 of them from an earlier run" in result.stdout
    assert_same_bits(written(output), expected)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_interruption_before_the_first_row_leaves_nothing(tmp_path, interrupted):
    interrupted(0)
    result = predict(MODEL, EXAMPLES / "digits_images.npy", "-o", tmp_path / "y.npy", status=130)
    assert " 0 of 360 rows" in result.stderr
    assert str(tmp_path / "y.npy") in result.stderr
    assert "--resume" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_while_files_are_opened_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_module, "load_model", interrupt)
    output = tmp_path / "y.npy"
    result = predict(MODEL, EXAMPLES / "digits_images.npy", "-o", output, status=130)
    assert " 0 rows" in result.stderr
    assert str(output) in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_into_a_pipe_says_how_far_it_came(interrupted):
    interrupted(2)
    source = EXAMPLES / "digits_images.npy"
    result = predict(MODEL, source, "-o", "-", "--batch-size", 50, status=130)
    assert " 100 of 360 rows" in result.stderr
    assert "--resume" not in result.stderr


def test_what_came_through_a_pipe_cannot_be_resumed_and_nothing_of_it_stays(tmp_path, interrupted):
    interrupted(2)
    content, output = (EXAMPLES / "digits_images.npy").read_bytes(), tmp_path / "y.npy"
    arguments = (MODEL, "-", "-o", output, "--batch-size", 50)
    result = predict(*arguments, status=130, input=content)
    assert " 100 of 360 rows" in result.stderr
    assert str(output) in result.stderr
    assert "--resume" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_outlives_an_error_of_the_run_that_resumes(tmp_path, monkeypatch, interrupted):
    output = tmp_path / "y.npy"
    arguments = (MODEL, EXAMPLES / "digits_images.npy", "-o", output, "--batch-size", 50)
    interrupted(2)
    predict(*arguments, status=130)
    monkeypatch.undo()

    def full(writer, blocks):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(NpyWriter, "write", full)
    text = refused(*arguments, "--resume")
    assert text == f"Error: {output}: No space left on device\n"
    monkeypatch.undo()
    assert "100 of them from an earlier run" in predict(*arguments, "--resume").stdout


def test_a_run_on_something_else_is_not_resumed(tmp_path, monkeypatch, interrupted):
    model, rows = tmp_path / "model.h5", tmp_path / "x.npy"
    model.write_bytes(MODEL.read_bytes())
    np.save(rows, IMAGES)
    arguments = (model, rows, "-o", tmp_path / "y.npy", "--batch-size", 50)
    interrupted(2)
    predict(*arguments, status=130)
    monkeypatch.undo()
    np.save(rows, IMAGES[::-1])
    loaded = lcfast.load_model(MODEL)
    with h5py.File(model, "r+") as file:
        file.attrs["changed"] = 1
    text = refused(*arguments, "--resume")
    name = loaded.inputs[0].name
    assert "--resume" in text
    assert "model" in text
    assert name in text
    assert (tmp_path / ".y.npy.part").exists()
    predict(*arguments)
    assert_same_bits(written(tmp_path / "y.npy"), loaded.predict(IMAGES[::-1].copy()))


def test_resume_begins_where_nothing_was_begun(tmp_path, expected):
    predict(MODEL, EXAMPLES / "digits_images.npy", "-o", tmp_path / "y.npy", "--resume")
    assert_same_bits(written(tmp_path / "y.npy"), expected)


def test_a_killed_run_goes_on_from_its_last_note(tmp_path, monkeypatch, expected):
    monkeypatch.setattr(destination_module, "NOTE_EVERY", 0)
    write = Destination.write
    rows, output = EXAMPLES / "digits_images.npy", tmp_path / "y.npy"
    arguments = (MODEL, rows, "-o", output, "--batch-size", 50)
    child = os.fork()
    if child == 0:  # pragma: no cover (it is killed)
        seen = []

        def die(destination, outputs):
            seen.append(outputs)
            if len(seen) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            write(destination, outputs)

        Destination.write = die
        predict(*arguments)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert "150 of them from an earlier run" in predict(*arguments, "--resume").stdout
    assert_same_bits(written(output), expected)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_what_can_be_resumed(tmp_path, number, status):
    rows, output = tmp_path / "x.npy", tmp_path / "y.npy"
    np.lib.format.open_memmap(rows, "w+", np.int8, (3_000_000, 8, 8, 1))  # sparse on disk
    command = [sys.executable, "-m", "lcfast", "predict", str(MODEL), str(rows), "-o", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    part, deadline = tmp_path / ".y.npy.part", time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 1 << 20) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    _, text = process.communicate(timeout=30)
    assert process.returncode == status, text
    assert text.count("\n") == 1
    assert text.startswith(f"{'Terminated' if status == 143 else 'Interrupted'} after ")
    assert "--resume" in text
    assert not output.exists()
    assert (tmp_path / ".y.npy.resume").exists()


# ---------------------------------------------------------------- limits


def with_a_limit(limit, number, *arguments):
    def limited():
        resource.setrlimit(limit, (number, number))

    return commands.in_a_process("predict", *arguments, preexec_fn=limited)


@pytest.mark.parametrize("ending", [".npy", ".csv", ".h5"])
def test_a_full_disk_leaves_the_old_output(tmp_path, ending):
    output = tmp_path / f"y{ending}"
    output.write_text("old")
    rows = tmp_path / "x.npy"
    np.save(rows, np.zeros((50_000, 8, 8, 1), np.int8))
    result = with_a_limit(resource.RLIMIT_FSIZE, 1_000_000, MODEL, rows, "-o", output)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(f"Error: {output}: ")
    assert "File too large" in result.stderr
    assert result.stderr.count("\n") == 1
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", output.name]


PEAK = """
import resource, sys
from lcfast.cli import main
def run(rows):
    main(["predict", sys.argv[1], rows, "-o", sys.argv[3]], standalone_mode=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
few = run("examples/digits_images.npy")
print(run(sys.argv[2]) - few)
"""


@pytest.mark.thorough
def test_rows_of_many_times_the_memory_take_the_memory_of_a_block(tmp_path):
    rows = tmp_path / "x.npy"
    np.lib.format.open_memmap(rows, "w+", np.int8, (250_000, 8, 8, 1))  # 16 MB, sparse on disk
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(MODEL), str(rows), str(tmp_path / "y.npy")],
        capture_output=True, text=True, timeout=60, cwd=EXAMPLES.parent,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    # As float32 the rows are 64 MB and the scores 10 MB; a block has at most 8 MB.
    assert int(result.stdout.splitlines()[-1]) < 12_000  # KB


# ---------------------------------------------------------------- profiles


def test_a_profile_tells_time_and_bytes_of_each_layer(tmp_path, expected):
    images, output = EXAMPLES / "digits_images.npy", tmp_path / "y.npy"
    result = predict(MODEL, images, "-o", output, "--profile", "--batch-size", 100)
    assert_same_bits(written(output), expected)
    header, *lines, total = result.stderr.splitlines()
    assert header.split("  ")[0] == "Layer (type)"
    model = lcfast.load_model(MODEL)
    assert [line.split()[0] for line in lines] == [layer.name for layer in model.layers]
    first = lines[0].split()
    assert first[2:4][1] == "ms"
    assert first[-4:] == ["0.092", "MB", "0.829", "MB"]  # 4 x 23,040 and 360 x 6 x 6 x 16 x 4
    assert "100.0%" in total


def test_a_chart_is_drawn_where_matplotlib_is(tmp_path):
    pytest.importorskip("matplotlib")
    chart = tmp_path / "chart.png"
    images = EXAMPLES / "digits_images.npy"
    predict(MODEL, images, "-o", tmp_path / "y.npy", "--plot", chart)
    assert chart.read_bytes().startswith(b"\x89PNG")
    rows = tmp_path / "x.npy"
    rows.write_bytes(images.read_bytes())
    text = refused(MODEL, rows, "-o", tmp_path / "y.npy", "--plot", rows)
    assert str(rows) in text


def test_a_chart_without_matplotlib_is_refused_before_anything_is_scored(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    images = EXAMPLES / "digits_images.npy"
    text = refused(MODEL, images, "-o", tmp_path / "y.npy", "--plot", tmp_path / "chart.png")
    assert "matplotlib" in text
    assert list(tmp_path.iterdir()) == []
