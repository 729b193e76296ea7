"""The commands predict, summary, convert and bench, and how they refuse wrong arguments."""

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

from lcfast.bench import subjects, timing, workloads
from tests.support.commands import DIGITS as MODEL
from tests.support.commands import EXAMPLES, in_a_process, lcfast, refused

IMAGES = EXAMPLES / "digits_images.npy"


def test_predict_reproduces_keras_on_the_held_out_digits(tmp_path):
    output = tmp_path / "probabilities.npy"
    lcfast("predict", MODEL, IMAGES, "-o", output)
    probabilities = np.load(output)
    labels = np.load(EXAMPLES / "digits_labels.npy")
    expected = np.load(EXAMPLES / "digits_probabilities.npy")
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.97


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("predict", MODEL, IMAGES, "-o", "out.npy"), "360 rows, "),
        (("summary", MODEL), "locally_connected2d_1 (LocallyConnected2D)"),
        (("convert", MODEL, "out.keras"), "written to out.keras"),
        (("bench", "10x2:4:3", "--seconds", "0", "--batch-size", "2"), "10x2:4:3: choose "),
    ],
    ids=["predict", "summary", "convert", "bench"],
)
def test_each_command_runs_in_a_process_of_its_own(tmp_path, arguments, printed):
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    result = in_a_process(*arguments, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    assert printed in result.stdout
    assert result.stderr == ""


def test_predict_ends_with_rows_rate_shape_and_file(tmp_path):
    output = tmp_path / "probabilities.npy"
    result = lcfast("predict", MODEL, IMAGES, "-o", output)
    line = result.stdout.splitlines()[-1]
    assert line.startswith("360 rows, ")
    assert "rows/s" in line
    assert f"(360, 10) float32 written to {output}" in line


def test_predict_shows_no_progress_bar_in_a_pipe(tmp_path):
    result = lcfast("predict", MODEL, IMAGES, "-o", tmp_path / "p.npy")
    assert result.stderr == ""


def shown_on_a_terminal(*arguments):
    """What a command writes to standard error when that is a terminal."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run(
        [sys.executable, "-m", "lcfast", *map(str, arguments)],
        stderr=terminal,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    os.close(terminal)
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while part := screen.read(10_000):  # on Linux, reading from a closed terminal raises EIO
            shown += part
    return shown


def test_predict_shows_a_progress_bar_on_a_terminal(tmp_path):
    assert b"360/360" in shown_on_a_terminal("predict", MODEL, IMAGES, "-o", tmp_path / "p.npy")


@pytest.mark.parametrize("options", [["--batch-size", "7"], ["--threads", "1"], ["--threads", "3"]])
def test_batches_and_threads_do_not_change_the_file(tmp_path, options):
    plain, other = tmp_path / "plain.npy", tmp_path / "other.npy"
    lcfast("predict", MODEL, IMAGES, "-o", plain)
    lcfast("predict", MODEL, IMAGES, "-o", other, *options)
    assert plain.read_bytes() == other.read_bytes()


def test_no_rows_give_an_empty_file(tmp_path):
    rows, output = tmp_path / "rows.npy", tmp_path / "p.npy"
    np.save(rows, np.zeros((0, 8, 8, 1), np.float32))
    lcfast("predict", MODEL, rows, "-o", output)
    assert np.load(output).shape == (0, 10)


def test_integer_rows_are_converted(tmp_path):
    rows, output = tmp_path / "rows.npy", tmp_path / "p.npy"
    np.save(rows, np.ones((3, 8, 8, 1), np.int8))
    lcfast("predict", MODEL, rows, "-o", output)
    assert np.load(output).shape == (3, 10)


def test_summary_prints_the_layers():
    result = lcfast("summary", MODEL)
    assert "locally_connected2d_1 (LocallyConnected2D)" in result.stdout
    assert "Total params: 45,450" in result.stdout


def test_summary_as_json_has_every_plan_in_full():
    result = lcfast("summary", MODEL, "--json")
    data = json.loads(result.stdout)
    assert data["parameters"]["total"] == 45_450
    first = data["layers"][0]
    assert (first["name"], first["output_shape"]) == ("locally_connected2d", [None, 6, 6, 16])
    assert first["engine"] == first["plan"]["engine"] == "direct"
    assert first["plan"]["in_words"].startswith("vectors of ")


def test_summary_into_a_closed_pipe_ends_quietly():
    command = f"{sys.executable} -m lcfast summary {MODEL} | true"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert result.stderr == ""


@pytest.mark.parametrize("command", [[], ["predict"], ["summary"], ["bench"]])
def test_help_has_an_example(command):
    result = lcfast(*command, "--help")
    assert "  Example:\n    lcfast " in result.stdout


def test_an_unknown_command_is_named():
    assert "guess" in refused("guess")


def test_a_missing_model_is_named(tmp_path):
    text = refused("predict", tmp_path / "no.h5", IMAGES, "-o", tmp_path / "p.npy")
    assert str(tmp_path / "no.h5") in text


def test_a_missing_input_is_named(tmp_path):
    text = refused("predict", MODEL, tmp_path / "no.npy", "-o", tmp_path / "p.npy")
    assert str(tmp_path / "no.npy") in text


def test_a_model_that_is_no_hdf5_is_refused(tmp_path):
    assert str(IMAGES) in refused("summary", IMAGES)


def test_a_truncated_model_is_refused(tmp_path):
    short = tmp_path / "short.h5"
    short.write_bytes(MODEL.read_bytes()[:50_000])
    assert "short.h5" in refused("predict", short, IMAGES, "-o", tmp_path / "p.npy")


def test_unsupported_layers_are_all_listed():
    text = refused("summary", Path(__file__).parent / "golden" / "unsupported.h5")
    for name in ("normalised", "recurrent", "python"):
        assert f"'{name}'" in text


@pytest.mark.parametrize(
    "content",
    [b"", b"1,2,3\n", b"PK\x03\x04 and more", b"\x93NUMPY\x01\x00"],
    ids=["empty", "text", "zip", "header"],
)
def test_an_input_that_is_no_array_is_refused(tmp_path, content):
    rows = tmp_path / "rows.npy"
    rows.write_bytes(content)
    assert str(rows) in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_a_truncated_input_is_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    rows.write_bytes(IMAGES.read_bytes()[:-100])
    assert str(rows) in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_an_input_of_pickled_objects_is_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.array([{}, None]), allow_pickle=True)
    assert str(rows) in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_an_input_of_text_is_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.full((2, 8, 8, 1), "a"))
    assert "<U1" in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_rows_of_another_shape_are_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.zeros((5, 8, 8)))
    text = refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")
    assert "(5, 8, 8)" in text
    assert "(8, 8, 1)" in text


def test_a_model_with_several_inputs_is_referred_to_python(tmp_path):
    model = Path(__file__).parent / "golden" / "model_functional_two_inputs_two_outputs.h5"
    assert model.name in refused("predict", model, IMAGES, "-o", tmp_path / "p.npy")


@pytest.mark.parametrize("place", ["no/such/folder/p.npy", "."])
def test_an_output_that_cannot_be_written_is_named(tmp_path, place):
    assert str(tmp_path / place) in refused("predict", MODEL, IMAGES, "-o", tmp_path / place)


@pytest.mark.parametrize("source", [MODEL, IMAGES])
def test_an_output_that_is_a_source_is_refused_and_the_source_untouched(tmp_path, source):
    model, rows = tmp_path / "digits.h5", tmp_path / "images.npy"
    model.write_bytes(MODEL.read_bytes())
    rows.write_bytes(IMAGES.read_bytes())
    target = model if source is MODEL else rows
    text = refused("predict", model, rows, "-o", target)
    assert str(target) in text
    assert target.read_bytes() == source.read_bytes()


def test_an_output_linked_to_the_input_is_refused(tmp_path):
    rows, link = tmp_path / "rows.npy", tmp_path / "link.npy"
    rows.write_bytes(IMAGES.read_bytes())
    link.symlink_to(rows)
    assert str(link) in refused("predict", MODEL, rows, "-o", link)
    assert rows.read_bytes() == IMAGES.read_bytes()


def test_a_failed_run_leaves_the_old_output_and_nothing_beside_it(tmp_path):
    output, rows = tmp_path / "p.npy", tmp_path / "rows.npy"
    output.write_text("old")
    np.save(rows, np.zeros((5, 8, 9, 1)))
    refused("predict", MODEL, rows, "-o", output)
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.npy", "rows.npy"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    rows, output = tmp_path / "rows.npy", tmp_path / "p.npy"
    images = np.lib.format.open_memmap(rows, "w+", np.int8, (4_000_000, 8, 8, 1))  # sparse on disk
    del images
    command = [sys.executable, "-m", "lcfast", "predict", str(MODEL), str(rows), "-o", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)  # until the temporary file exists
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted after" in text
    names = {path.name for path in tmp_path.iterdir()}
    assert names - {".p.npy.part", ".p.npy.resume"} == {"rows.npy"}  # for --resume


@pytest.mark.parametrize(
    ("options", "name"),
    [(["--batch-size", "0"], "batch-size"), (["--threads", "0"], "threads"), ([], "--output")],
)
def test_wrong_options_are_explained(tmp_path, options, name):
    output = ["-o", tmp_path / "p.npy"] if options else []
    assert name in refused("predict", MODEL, IMAGES, *output, *options)


@pytest.mark.parametrize("variable", ["LCFAST_KERNEL", "LCFAST_NUM_THREADS"])
def test_a_wrong_environment_is_explained(tmp_path, variable):
    environment = {**os.environ, variable: "wrong"}
    output = tmp_path / "p.npy"
    result = in_a_process("predict", MODEL, IMAGES, "-o", output, env=environment)
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert variable in result.stderr


QUICK = ("--seconds", "0", "--batch-size", "2")


def test_bench_of_a_model_prints_a_table_and_advice_for_each_layer():
    result = lcfast("bench", MODEL, "--batch-size", "4", *QUICK, "--threads", "1")
    assert result.stderr == ""  # no bar in a pipe
    start, *_, first, second = result.stdout.splitlines()
    assert start.startswith("float32, ")
    assert ", 1 thread; " in start
    table = [line.split() for line in result.stdout.splitlines() if " MB" not in line]
    rows = [cells for cells in table if cells and cells[-1] == "choose" and "<-" in cells]
    assert [cells[0] for cells in rows] == [
        *["locally_connected2d"] * 2, *["locally_connected2d_1"] * 2, *["whole"] * 2,
    ]  # fmt: skip
    assert first.startswith("locally_connected2d: choose ")
    assert second.startswith("locally_connected2d_1: choose ")
    assert first.count("of the file runs direct already") + first.count("runs sparse") >= 1
    assert 'engine="auto" would run direct' in second


@pytest.mark.parametrize("workload", ["mhcflurry", "12x10x2:3:3x2:1x2", "20x2:4:3"])
def test_bench_takes_a_workload_by_name_or_shapes(workload):
    result = lcfast("bench", workload, *QUICK)
    assert result.stdout.splitlines()[-1].startswith(f"{workload}: choose ")
    assert "whole model" not in result.stdout


def test_bench_takes_rows_for_the_model_and_writes_json(tmp_path):
    path = tmp_path / "timings.json"
    lcfast("bench", MODEL, "--input", IMAGES, "--json", path, *QUICK)
    data = json.loads(path.read_text())
    assert (data["target"], data["input"], data["seconds"]) == (str(MODEL), str(IMAGES), 0)
    assert data["versions"]["python"]
    layers = ["locally_connected2d", "locally_connected2d_1", None]
    assert [one["layer"] for one in data["timings"] if one["chosen"]] == layers
    assert {one["batch"] for one in data["timings"]} == {2}
    assert [one["engine"] for one in data["timings"][:2]] == ["direct", "sparse"]


def test_bench_shows_a_progress_bar_on_a_terminal():
    assert b"/3 [" in shown_on_a_terminal("bench", MODEL, *QUICK)


@pytest.mark.parametrize(
    ("target", "datum"),
    [
        ("deepface_L7", "deepface_L6 or deepface_L5 or deepface_L4"),
        ("qqqqqqqqqq", "docs_lc2d_a, "),
        ("no/such/folder/qqq.h5", "docs_lc2d_a, "),
        (EXAMPLES / "digts.h5", str(MODEL)),
        ("32x32x3:64:3", "32x32x3:64:3"),
        ("10x2:4:11", "11"),
        ("9000000x1000:9000:30", "9000000x1000:9000:30"),
        (IMAGES, str(IMAGES)),
        (EXAMPLES, str(EXAMPLES)),
    ],
)
def test_bench_explains_what_it_cannot_time(target, datum):
    text = refused("bench", target, *QUICK)
    assert datum in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "datum"),
    [
        (np.ones((3, 8, 8)), "(8, 8, 1)"),
        (np.ones((0, 8, 8, 1)), "rows.npy"),
        (np.full((2, 8, 8, 1), "a"), "<U1"),
    ],
    ids=["shape", "empty", "text"],
)
def test_bench_refuses_rows_that_do_not_fit(tmp_path, rows, datum):
    np.save(tmp_path / "rows.npy", rows)
    assert datum in refused("bench", MODEL, "--input", tmp_path / "rows.npy", *QUICK)


def test_bench_takes_no_rows_for_several_inputs():
    model = Path(__file__).parent / "golden" / "model_functional_two_inputs_two_outputs.h5"
    assert "--input" in refused("bench", model, "--input", IMAGES, *QUICK)
    lcfast("bench", model, *QUICK)


@pytest.mark.parametrize(
    "options",
    [["--batch-size", "0"], ["--threads", "0"], ["--seconds", "-1"], ["--json", "no/such/x.json"]],
    ids=lambda options: options[0],
)
def test_wrong_options_of_bench_are_refused(options):
    name, value = options
    text = refused("bench", "10x2:4:3", *options)
    assert (value if name == "--json" else name) in text


def test_bench_does_not_write_its_json_over_the_model(tmp_path):
    model = tmp_path / "digits.h5"
    model.write_bytes(MODEL.read_bytes())
    assert str(model) in refused("bench", model, "--json", model, *QUICK)
    assert model.read_bytes() == MODEL.read_bytes()


def test_the_help_of_bench_names_every_workload():
    words = lcfast("bench", "--help").stdout.replace(",", " ").replace(".", " ").split()
    assert set(workloads.WORKLOADS) <= set(words)


def test_bench_says_which_batches_do_not_fit():
    result = lcfast("bench", "10x2:4:3", "--batch-size", 10**15, *QUICK)
    assert "batches of 1,000,000,000,000,000.\n" in result.stdout


def test_bench_ends_with_status_1_where_engines_disagree(monkeypatch, tmp_path):
    def on_engines_that_disagree(layer):
        engines = subjects.on_each_engine(layer)
        engines["sparse"].set_weights([2 * w for w in engines["sparse"].get_weights()])
        return engines

    monkeypatch.setattr(timing, "on_each_engine", on_engines_that_disagree)
    path = tmp_path / "timings.json"
    result = lcfast("bench", "10x2:4:3", *QUICK, "--json", path, status=1)
    assert "disagree in 64 of 64 numbers" in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_prints_what_bench_has_measured(monkeypatch, tmp_path):
    timings = timing.timings

    def interrupted(*arguments):
        yield next(timings(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(timing, "timings", interrupted)
    path = tmp_path / "timings.json"
    result = lcfast("bench", MODEL, *QUICK, "--json", path, status=130)
    assert result.stdout.splitlines()[-1].startswith("locally_connected2d: choose ")
    assert result.stderr == f"Interrupted after 1 of 3 timings; {path} was not written.\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_bench_with_status_130_and_nothing_half_written(tmp_path):
    command = [sys.executable, "-m", "lcfast", "bench", "10x2:4:3", "--seconds", "300"]
    process = subprocess.Popen(
        [*command, "--json", str(tmp_path / "timings.json")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)  # until the temporary file exists: then timing has begun
    process.send_signal(signal.SIGINT)
    printed, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert printed == ""
    assert text.startswith("Interrupted after 0 of 3 timings")
    assert list(tmp_path.iterdir()) == []
