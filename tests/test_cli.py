"""The command, run as a user runs it: in a process of its own."""

import contextlib
import fcntl
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

EXAMPLES = Path(__file__).parent.parent / "examples"
MODEL = EXAMPLES / "digits.h5"
IMAGES = EXAMPLES / "digits_images.npy"


def lcfast(*arguments, **options):
    command = [sys.executable, "-m", "lcfast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def refused(*arguments, **options):
    """The one sentence of a command that must end with status 2 and without a traceback."""
    result = lcfast(*arguments, **options)
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return result.stderr


def test_predict_reproduces_keras_on_the_held_out_digits(tmp_path):
    output = tmp_path / "probabilities.npy"
    result = lcfast("predict", MODEL, IMAGES, "-o", output)
    assert result.returncode == 0, result.stderr
    probabilities = np.load(output)
    labels = np.load(EXAMPLES / "digits_labels.npy")
    expected = np.load(EXAMPLES / "digits_probabilities.npy")
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.97


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


def test_predict_shows_a_progress_bar_on_a_terminal(tmp_path):
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    arguments = ["predict", str(MODEL), str(IMAGES), "-o", str(tmp_path / "p.npy")]
    subprocess.run(
        [sys.executable, "-m", "lcfast", *arguments],
        stderr=terminal,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    os.close(terminal)
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while part := screen.read(10_000):  # Linux ends a closed terminal with EIO
            shown += part
    assert b"360/360" in shown


@pytest.mark.parametrize("options", [["--batch-size", "7"], ["--threads", "1"], ["--threads", "3"]])
def test_batches_and_threads_do_not_change_the_file(tmp_path, options):
    plain, other = tmp_path / "plain.npy", tmp_path / "other.npy"
    assert lcfast("predict", MODEL, IMAGES, "-o", plain).returncode == 0
    assert lcfast("predict", MODEL, IMAGES, "-o", other, *options).returncode == 0
    assert plain.read_bytes() == other.read_bytes()


def test_no_rows_give_an_empty_file(tmp_path):
    rows, output = tmp_path / "rows.npy", tmp_path / "p.npy"
    np.save(rows, np.zeros((0, 8, 8, 1), np.float32))
    result = lcfast("predict", MODEL, rows, "-o", output)
    assert result.returncode == 0, result.stderr
    assert np.load(output).shape == (0, 10)


def test_integer_rows_are_converted(tmp_path):
    rows, output = tmp_path / "rows.npy", tmp_path / "p.npy"
    np.save(rows, np.ones((3, 8, 8, 1), np.int8))
    assert lcfast("predict", MODEL, rows, "-o", output).returncode == 0
    assert np.load(output).shape == (3, 10)


def test_summary_prints_the_layers():
    result = lcfast("summary", MODEL)
    assert result.returncode == 0
    assert "locally_connected2d_1 (LocallyConnected2D)" in result.stdout
    assert "Total params: 45,450" in result.stdout


def test_summary_into_a_closed_pipe_ends_quietly():
    command = f"{sys.executable} -m lcfast summary {MODEL} | true"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert result.stderr == ""


@pytest.mark.parametrize("command", [[], ["predict"], ["summary"]])
def test_help_has_an_example(command):
    result = lcfast(*command, "--help")
    assert result.returncode == 0
    assert "Example:" in result.stdout


def test_a_missing_model_is_named(tmp_path):
    text = refused("predict", tmp_path / "no.h5", IMAGES, "-o", tmp_path / "p.npy")
    assert text == f"Error: {tmp_path / 'no.h5'}: No such file or directory\n"


def test_a_missing_input_is_named(tmp_path):
    text = refused("predict", MODEL, tmp_path / "no.npy", "-o", tmp_path / "p.npy")
    assert text == f"Error: {tmp_path / 'no.npy'}: No such file or directory\n"


def test_a_model_that_is_no_hdf5_is_refused(tmp_path):
    assert "not the mark of an HDF5" in refused("summary", IMAGES)


def test_a_truncated_model_is_refused(tmp_path):
    short = tmp_path / "short.h5"
    short.write_bytes(MODEL.read_bytes()[:50_000])
    assert "short.h5" in refused("predict", short, IMAGES, "-o", tmp_path / "p.npy")


def test_unsupported_layers_are_all_listed():
    text = refused("summary", Path(__file__).parent / "golden" / "unsupported.h5")
    for name in ("dilated", "normalised", "recurrent", "python"):
        assert f"'{name}'" in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a .npy file"),
        (b"1,2,3\n", "is not a .npy file"),
        (b"PK\x03\x04 and more", "zip archive"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
    ],
)
def test_an_input_that_is_no_array_is_refused(tmp_path, content, sentence):
    rows = tmp_path / "rows.npy"
    rows.write_bytes(content)
    assert sentence in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_a_truncated_input_is_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    rows.write_bytes(IMAGES.read_bytes()[:-100])
    assert "cannot be read" in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_an_input_of_pickled_objects_is_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.array([{}, None]), allow_pickle=True)
    assert "cannot be read" in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_an_input_of_text_is_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.full((2, 8, 8, 1), "a"))
    assert "not real numbers" in refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")


def test_rows_of_another_shape_are_refused(tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.zeros((5, 8, 8)))
    text = refused("predict", MODEL, rows, "-o", tmp_path / "p.npy")
    assert "has shape (5, 8, 8)" in text
    assert "shape (8, 8, 1)" in text


def test_a_model_with_several_inputs_is_referred_to_python(tmp_path):
    model = Path(__file__).parent / "golden" / "model_functional_two_inputs_two_outputs.h5"
    assert "in Python" in refused("predict", model, IMAGES, "-o", tmp_path / "p.npy")


@pytest.mark.parametrize("place", ["no/such/folder/p.npy", "."])
def test_an_output_that_cannot_be_written_is_named(tmp_path, place):
    assert "Error:" in refused("predict", MODEL, IMAGES, "-o", tmp_path / place)


@pytest.mark.parametrize("source", [MODEL, IMAGES])
def test_an_output_that_is_a_source_is_refused_and_the_source_untouched(tmp_path, source):
    model, rows = tmp_path / "digits.h5", tmp_path / "images.npy"
    model.write_bytes(MODEL.read_bytes())
    rows.write_bytes(IMAGES.read_bytes())
    target = model if source is MODEL else rows
    text = refused("predict", model, rows, "-o", target)
    assert "must be another file" in text
    assert target.read_bytes() == source.read_bytes()


def test_an_output_linked_to_the_input_is_refused(tmp_path):
    rows, link = tmp_path / "rows.npy", tmp_path / "link.npy"
    rows.write_bytes(IMAGES.read_bytes())
    link.symlink_to(rows)
    assert "must be another file" in refused("predict", MODEL, rows, "-o", link)


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
        time.sleep(0.01)  # until the file beside the output is there
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted after" in text
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--batch-size", "0"], "batch-size"), (["--threads", "0"], "threads"), ([], "--output")],
)
def test_wrong_options_are_explained(tmp_path, options, sentence):
    output = ["-o", tmp_path / "p.npy"] if options else []
    assert sentence in refused("predict", MODEL, IMAGES, *output, *options)


@pytest.mark.parametrize("variable", ["LCFAST_KERNEL", "LCFAST_NUM_THREADS"])
def test_a_wrong_environment_is_explained(tmp_path, variable):
    environment = {**os.environ, variable: "wrong"}
    text = refused("predict", MODEL, IMAGES, "-o", tmp_path / "p.npy", env=environment)
    assert variable in text
