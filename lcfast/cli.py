"""The command `lcfast`: score rows with a Keras model file, or look into one.

Whatever the user got wrong ends in one sentence on standard error and exit status 2.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import click
import numpy as np
from tqdm import tqdm

import lcfast
from lcfast.bench import advice, subjects, timing
from lcfast.bench.agreement import EnginesDisagreeError
from lcfast.versions import versions

INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended


class UserError(click.ClickException):
    """A sentence for the user, and exit status 2."""

    exit_code = 2


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the library and the system say into a sentence without a traceback."""
    try:
        yield
    except BrokenPipeError:
        raise  # `lcfast summary MODEL | head`: click ends quietly
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{place}{error.strerror or error}") from error
    except (ValueError, TypeError, MemoryError) as error:
        raise UserError(str(error) or type(error).__name__) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(lcfast.__version__, prog_name="lcfast")
def main() -> None:
    """Score Keras models on a CPU, without TensorFlow.

    \b
    Example:
      lcfast predict model.h5 images.npy -o probabilities.npy
    """  # noqa: D301 (click takes the \b itself for "do not wrap")


@main.command(no_args_is_help=True, short_help="Score rows with a model file.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("input_", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .npy file to write."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Rows at a time; the answer does not depend on it.",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), help="Threads to use; by default all cores."
)
def predict(model: Path, input_: Path, output: Path, batch_size: int, threads: int | None) -> None:
    """Score the rows of INPUT (.npy) with MODEL (.h5) and write OUTPUT (.npy).

    \b
    Example:
      lcfast predict examples/digits.h5 examples/digits_images.npy -o probabilities.npy
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    with plain_errors():
        for source in (model, input_):
            if _same_file(source, output):
                raise UserError(f"{output}: the output must be another file than {source}")
        if threads is not None:
            lcfast.set_num_threads(threads)
        loaded = lcfast.load_model(model)
        rows = _read_rows(input_)
        if isinstance(loaded.input_shape, list) or isinstance(loaded.output_shape, list):
            raise UserError(
                f"{model}: has several inputs or outputs, which `lcfast predict` cannot take; "
                "use lcfast.load_model(...).predict([...]) in Python"
            )
        _check_rows(rows, input_, loaded.input_shape, model)
        empty = loaded.predict(rows[:0])
        shape, dtype = (len(rows), *empty.shape[1:]), empty.dtype
        start = time.perf_counter()
        done = 0
        try:
            with _written_beside(output) as file:
                header = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": shape,
                }
                np.lib.format.write_array_header_1_0(file, header)
                # disable=None: a bar on a terminal, none in a pipe
                with tqdm(total=len(rows), unit=" rows", unit_scale=True, disable=None) as bar:
                    while done < len(rows):
                        block = rows[done : done + batch_size]
                        file.write(loaded.predict(block, batch_size=batch_size).data)
                        done += len(block)
                        bar.update(len(block))
        except KeyboardInterrupt:
            click.echo(
                f"Interrupted after {done:,} of {len(rows):,} rows; {output} was not written.",
                err=True,
            )
            raise SystemExit(INTERRUPTED) from None
        seconds = max(time.perf_counter() - start, 1e-9)
    rate = f"{len(rows) / seconds:,.0f} rows/s"
    click.echo(f"{len(rows):,} rows, {rate}: {shape} {dtype} written to {output}")


@main.command(no_args_is_help=True, short_help="Print the layers of a model file.")
@click.argument("model", type=click.Path(path_type=Path))
def summary(model: Path) -> None:
    """Print the layers of MODEL (.h5), their shapes and their parameters.

    \b
    Example:
      lcfast summary examples/digits.h5
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    with plain_errors():
        lcfast.load_model(model).summary(print_fn=click.echo)


@main.command(no_args_is_help=True, short_help="Find the fastest engine for a model.")
@click.argument("target", metavar="MODEL|WORKLOAD")
@click.option(
    "--batch-size",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    default=subjects.BATCHES,
    show_default=True,
    help="Rows in a call; may be given several times.",
)
@click.option(
    "--input",
    "input_",
    type=click.Path(path_type=Path),
    help="Rows (.npy) for the model; random ones by default.",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), help="Threads to use; by default all cores."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=0.3,
    show_default=True,
    help="How long each engine is timed for each layer and batch size.",
)
@click.option(
    "--json", "json_", type=click.Path(path_type=Path), help="A file to write the timings to, too."
)
def bench(
    target: str,
    batches: tuple[int, ...],
    input_: Path | None,
    threads: int | None,
    seconds: float,
    json_: Path | None,
) -> None:
    """Time the engines for each locally connected layer of MODEL (.h5), and say what to choose.

    Instead of a file, WORKLOAD gives the shapes of one layer: input (channels last), filters,
    kernel and strides, or one of these names of real layers: docs_lc2d_a, docs_lc2d_b, docs_lc1d_a,
    mhcflurry, adapt, deepface_L4, deepface_L5, deepface_L6, p1b3, gpnet_k3, eir, tnn_1.

    \b
    Example:
      lcfast bench examples/digits.h5
      lcfast bench 32x32x3:64:3x3:1x1 --batch-size 1 --batch-size 256
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    found: list[list[timing.Timing]] = []
    with plain_errors():
        if json_ is not None and any(
            _same_file(source, json_) for source in (Path(target), input_) if source is not None
        ):
            raise UserError(f"{json_}: the file to write must be another one than those to read")
        if threads is not None:
            lcfast.set_num_threads(threads)
        model = subjects.model_of(target)
        layers = subjects.local_layers(model)
        rows = None if input_ is None else _rows_to_time(input_, model, target)
        fitting = subjects.batches_that_fit(model, batches)
        total = len(fitting) * timing.parts(model)
        try:
            # The file first: whether it can be written is better known before the timing.
            with (
                _written_beside(json_) if json_ is not None else nullcontext() as file,
                tqdm(total=total, unit=" timings", disable=None, leave=False) as bar,
            ):
                for of_engines in timing.timings(model, fitting, seconds, rows):
                    found.append(of_engines)
                    bar.update()
                if file is not None:
                    data = {
                        "target": target,
                        "input": str(input_) if input_ else "random",
                        "seconds": seconds,
                        "versions": versions(),
                        "timings": advice.as_data(found),
                    }
                    file.write(json.dumps(data, indent=1).encode() + b"\n")
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        except EnginesDisagreeError as error:
            raise click.ClickException(str(error)) from error
    left_out = sorted(set(batches) - set(fitting))
    for line in advice.report_lines(layers, found, subjects.is_file(target), seconds, left_out):
        click.echo(line)
    if interrupted:
        unwritten = f"; {json_} was not written" if json_ is not None else ""
        click.echo(f"Interrupted after {len(found)} of {total} timings{unwritten}.", err=True)
        raise SystemExit(INTERRUPTED)


def _rows_to_time(path: Path, model: lcfast.Model, target: str) -> np.ndarray:
    """Rows that a model can be timed on."""
    if isinstance(model.input_shape, list):
        raise UserError(f"{target}: has several inputs; leave --input out to time random ones")
    rows = _read_rows(path)
    _check_rows(rows, path, model.input_shape, Path(target))
    if not len(rows):
        raise UserError(f"{path}: holds no rows; at least one is needed")
    return rows


def _read_rows(path: Path) -> np.ndarray:
    """The array in a .npy file, mapped rather than read where that is possible."""
    with path.open("rb") as file:
        start = file.read(6)
    if start[:4] == b"PK\x03\x04":
        raise UserError(f"{path}: is a zip archive such as .npz; give one array as .npy")
    if start != b"\x93NUMPY":
        raise UserError(f"{path}: is not a .npy file; write one with numpy.save")
    try:
        try:
            rows: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError:  # an array without any number cannot be mapped
            rows = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as an array of numbers: {error}") from None
    if rows.ndim == 0:
        raise UserError(f"{path}: holds a single number; rows are needed")
    array: np.ndarray = rows
    return array


def _check_rows(rows: np.ndarray, path: Path, needed: tuple[int | None, ...], model: Path) -> None:
    sizes = rows.shape[1:]
    fits = len(sizes) == len(needed) - 1 and all(
        size in (None, given) for size, given in zip(needed[1:], sizes, strict=True)
    )
    if not fits:
        raise UserError(
            f"{path}: has shape {rows.shape}, so rows of shape {sizes}; {model} takes rows of "
            f"shape {needed[1:]}"
        )


def _same_file(first: Path, second: Path) -> bool:
    return first.exists() and second.exists() and first.samefile(second)


@contextmanager
def _written_beside(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole, and vanishes otherwise."""
    if path.is_dir():
        raise UserError(f"{path}: is a directory; name a file")
    try:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
    except OSError as error:
        raise UserError(f"{path}: cannot be written here: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private; a result is as open as any new file of this user
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
