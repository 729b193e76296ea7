"""`lcfast predict`: score the rows of files with a model, however many there are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from tqdm import tqdm

import lcfast
from lcfast.cli.destination import PIPE, Destination, checked_format, destination
from lcfast.cli.errors import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    UserError,
    plain_errors,
    terminable,
)
from lcfast.cli.files import same_file
from lcfast.cli.inputs import blocks, check_same_count, open_input, places_of_inputs
from lcfast.io.atomic_write import atomic_write
from lcfast.local_conv import dispatch
from lcfast.models import Model, load_model
from lcfast.models.blocks import MEMORY_BYTES, rows_at_once
from lcfast.models.profiling import Profile, check_can_plot
from lcfast.rows import FORMATS, Output, StoredRows, split_address
from lcfast.rows.resumable import digest_of_model, identity_of_input


@click.command(no_args_is_help=True, short_help="Score rows with a model file.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("input_", metavar="[INPUT]", required=False)
@click.option(
    "--input", "named", metavar="NAME=INPUT", multiple=True,
    help="Rows for the input layer NAME; once for each input of the model.",
)  # fmt: skip
@click.option("-o", "--output", required=True, help="The file to write; - is standard output.")
@click.option(
    "--format", "format_", type=click.Choice(sorted(set(FORMATS.values()))),
    help="What to write; by default what the ending of the output says, .npy into a pipe.",
)  # fmt: skip
@click.option(
    "--batch-size", type=click.IntRange(min=1),
    help="Rows at a time; the answer does not depend on it. By default as many as suit the "
    "caches.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1, 4096), help="Threads to use; by default all cores."
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run of this ended.")
@click.option("--profile", is_flag=True, help="Print the time and the bytes of each layer.")
@click.option("--plot", metavar="PNG", help="A file for a bar chart of the same.")
def predict(
    model: Path,
    input_: str | None,
    named: tuple[str, ...],
    output: str,
    format_: str | None,
    batch_size: int | None,
    threads: int | None,
    resume: bool,
    profile: bool,
    plot: str | None,
) -> None:
    """Score the rows of INPUT with MODEL and write OUTPUT.

    INPUT is a file .npy, .npz:NAME, .h5:/DATASET, .zarr:NAME or .csv, where the name may be left
    out if there is one array alone; - reads .npy or text from a pipe. OUTPUT is .npy, .h5, .zarr
    or .csv, and appears when it is whole. No more than one block of rows is held at a time.

    \b
    Example:
      lcfast predict examples/digits.h5 examples/digits_images.npy -o probabilities.npy
      lcfast predict model.h5 rows.h5:/images -o scores.csv --resume
      lcfast predict model.h5 --input image=i.npy --input age=a.csv -o scores.h5
      cat rows.csv | lcfast predict model.h5 - -o - --format csv | head
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    with plain_errors(), terminable():
        try:
            kind = checked_format(output, format_)
            if plot is not None:
                check_can_plot()
                _check_is_no_source(plot, model, input_, named)
            if threads is not None:
                lcfast.set_num_threads(threads)
            job = _job(model, input_, named, output, kind, batch_size)
            if resume and PIPE in (output, *job.places):
                raise UserError("A pipe cannot be read or written again; leave --resume out")
            identity = _identity(job, output, kind)
        except KeyboardInterrupt as stopped:
            raise _end(stopped, 0, None, output) from None
        costs = Profile(job.model) if profile or plot is not None else None
        _run(job, output, kind, costs, identity, resume)
        if costs is not None:
            for line in costs.lines():
                click.echo(line, err=True)
        if costs is not None and plot is not None:
            with atomic_write(str(plot)) as file:
                costs.plot(file)


class _Job(NamedTuple):
    """What is scored: a model, the rows of its inputs, and how many at a time."""

    model: Model
    path: Path
    places: list[str]
    inputs: list[StoredRows]
    outputs: list[Output]
    rows: int | None
    block: int  # rows to read at a time
    batch_size: int | None


def _job(
    path: Path,
    input_: str | None,
    named: Sequence[str],
    output: str,
    kind: str,
    batch_size: int | None,
) -> _Job:
    if output != PIPE:
        _check_is_no_source(output, path, input_, named)
    model = load_model(path)
    places = places_of_inputs(model, path, input_, named)
    inputs = [
        open_input(place, tensor.shape, path)
        for place, tensor in zip(places, model.inputs, strict=True)
    ]
    count = check_same_count(inputs)
    nothing = [np.empty((0, *rows.row_shape), rows.dtype) for rows in inputs]
    answers = _as_list(model.predict(nothing if len(nothing) > 1 else nothing[0]))
    outputs = [
        Output(name, y.shape[1:], y.dtype) for name, y in zip(_names(model), answers, strict=True)
    ]
    if kind in ("npy", "csv") and len(outputs) > 1:
        raise UserError(
            f"{output}: a .{kind} file holds one array, but {path} has the outputs "
            f"{', '.join(name for name, *_ in outputs)}; write .h5 or .zarr"
        )
    if output == PIPE and kind == "npy" and count is None:
        raise UserError(
            "The head of a .npy file says how many rows it has, which text does not tell before "
            "its end; give --format csv, or write to a file"
        )
    shapes = [rows.shape for rows in nothing]
    block = batch_size or rows_at_once(model.graph_of_layers(), model.record(), shapes)
    return _Job(
        model, path, places, inputs, outputs, count, _whole_chunks(block, inputs), batch_size
    )


def _check_is_no_source(output: str, path: Path, input_: str | None, named: Sequence[str]) -> None:
    """Raise UserError where a file to write is one of those to read."""
    given = [text.partition("=")[2] for text in named] or [input_ or ""]
    for source in [path, *(Path(split_address(place)[0]) for place in given)]:
        if same_file(source, Path(output)):
            raise UserError(f"{output}: the output must be another file than {source}")


def _names(model: Model) -> list[str]:
    """A name for each output: that of its layer, with a number where that is taken."""
    found: list[str] = []
    for tensor in model.outputs:
        number = sum(name.rpartition("_")[0] == tensor.name for name in found)
        found.append(f"{tensor.name}_{number + 1}" if tensor.name in found else tensor.name)
    return found


def _whole_chunks(block: int, inputs: Sequence[StoredRows]) -> int:
    """Rows to read at a time: whole chunks of the files, as long as they fit the memory."""
    chunk = max(rows.chunk for rows in inputs)
    size = -(-block // chunk) * chunk
    row = sum(np.empty((1, *rows.row_shape), rows.dtype).nbytes for rows in inputs)
    return size if size * row <= MEMORY_BYTES else block


def _run(
    job: _Job,
    output: str,
    kind: str,
    costs: Profile | None,
    identity: dict[str, str],
    resume: bool,
) -> None:
    """Score all rows; end with a line that says what is where."""
    place = destination(output, kind, job.outputs, job.rows, job.block, identity, resume)
    scores: Destination | None = None
    try:
        with place as scores:
            first = scores.rows
            start = time.perf_counter()
            # disable=None: a bar on a terminal, none in a pipe
            with tqdm(
                total=job.rows, initial=first, unit=" rows", unit_scale=True, disable=None
            ) as bar:
                for parts in blocks(job.inputs, job.block, first):
                    x = parts if len(parts) > 1 else parts[0]
                    if costs is None:
                        answers = job.model.predict(x, batch_size=job.batch_size)
                    else:
                        answers = costs.predict(x)
                    scores.write(_as_list(answers))
                    bar.update(len(parts[0]))
            seconds = max(time.perf_counter() - start, 1e-9)
    except KeyboardInterrupt as stopped:
        scored = scores.rows if scores else 0
        raise _end(stopped, scored, job.rows, output, bool(identity)) from None
    rows = scores.rows
    resumed = f", {first:,} of them from an earlier run" if first else ""
    shapes = ", ".join(f"{(rows, *o.row_shape)} {o.dtype}" for o in job.outputs)
    click.echo(
        f"{rows:,} rows{resumed}, {(rows - first) / seconds:,.0f} rows/s: {shapes} written to "
        f"{'standard output' if output == PIPE else output}",
        err=output == PIPE,
    )


def _end(
    stopped: KeyboardInterrupt,
    scored: int,
    count: int | None,
    output: str,
    resumable: bool = False,
) -> SystemExit:
    """Say how far a run came that was stopped, and return its exit status."""
    terminated = isinstance(stopped, Terminated)
    of = "" if count is None else f" of {count:,}"
    told = f"{'Terminated' if terminated else 'Interrupted'} after {scored:,}{of} rows"
    if output != PIPE:
        again = (
            "; the same command with --resume goes on from there" if resumable and scored else ""
        )
        told = f"{told}; {output} was not written{again}"
    click.echo(f"{told}.", err=True)
    return SystemExit(TERMINATED if terminated else INTERRUPTED)


def _identity(job: _Job, output: str, kind: str) -> dict[str, str]:
    """What a run must have in common with the one that it resumes, by the names users know."""
    if PIPE in (output, *job.places):
        return {}
    found = {"model": digest_of_model(job.path)}
    for tensor, place in zip(job.model.inputs, job.places, strict=True):
        path, member = split_address(place)
        found[f"input {tensor.name}"] = f"{identity_of_input(Path(path))} {member or ''}"
    layout = "; ".join(f"{o.name} {o.row_shape} {o.dtype}" for o in job.outputs)
    found["format"] = f"{kind}; {layout}"
    found["kernel path"] = dispatch.active_path()
    return found


def _as_list(answers: Any) -> list[Any]:
    return answers if isinstance(answers, list) else [answers]
