"""`lcfast predict`: score rows from files or a pipe with a model file."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
from lcfast.cli.inputs import addresses_of_inputs, blocks, check_same_count, open_input
from lcfast.io.atomic_write import atomic_write
from lcfast.local_conv import dispatch
from lcfast.models import Model, load_model
from lcfast.models.blocks import rows_at_once, rows_to_read
from lcfast.models.profiling import Profile, check_can_plot
from lcfast.models.structure import as_list
from lcfast.rows import FORMATS, Output, StoredRows, split_address
from lcfast.rows.resumable import digest_of_model, identity_of_input


@click.command(no_args_is_help=True, short_help="Score rows with a model file.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("input_", metavar="[INPUT]", required=False)
@click.option(
    "--input", "named", metavar="NAME=INPUT", multiple=True,
    help="Rows for the input layer NAME; repeat it for each input of the model.",
)  # fmt: skip
@click.option("-o", "--output", required=True, help="File to write; - is standard output.")
@click.option(
    "--format", "format_", type=click.Choice(sorted(set(FORMATS.values()))),
    help="Output format; by default from the extension of the output, npy for a pipe.",
)  # fmt: skip
@click.option(
    "--batch-size", type=click.IntRange(min=1),
    help="Rows to score at a time; results are bit-identical for any number. By default as many "
    "as suit the caches.",
)  # fmt: skip
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    help="Most threads to use; by default all cores.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run of the same command.")
@click.option("--profile", is_flag=True, help="Print the time and memory traffic of each layer.")
@click.option("--plot", metavar="PNG", help="Write the times of --profile as a bar chart.")
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

    INPUT is a .npy, .npz:NAME, .h5:/DATASET, .zarr:NAME or .csv file; the name may be omitted if
    the file holds a single array. - reads .npy or CSV from a pipe. OUTPUT is a .npy, .h5, .zarr or
    .csv file, written atomically. Memory holds one block of rows at a time.

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
                _check_is_no_input(plot, model, input_, named)
            if threads is not None:
                lcfast.set_num_threads(threads)
            job = _job(model, input_, named, output, kind, batch_size)
            if resume and PIPE in (output, *job.addresses):
                raise UserError("A pipe cannot be resumed; omit --resume")
            identity = _identity(job, output, kind)
        except KeyboardInterrupt as stopped:
            raise _interrupted(stopped, 0, None, output) from None
        costs = Profile(job.model) if profile or plot is not None else None
        _run(job, output, kind, costs, identity, resume)
        if costs is not None:
            for line in costs.lines():
                click.echo(line, err=True)
        if costs is not None and plot is not None:
            with atomic_write(str(plot)) as file:
                costs.plot(file)


class _Job(NamedTuple):
    """A model, the rows of its inputs, and how many of them to read and to score at a time."""

    model: Model
    path: Path
    addresses: list[str]
    inputs: list[StoredRows]
    outputs: list[Output]
    rows: int | None
    rows_to_read: int
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
        _check_is_no_input(output, path, input_, named)
    model = load_model(path)
    addresses = addresses_of_inputs(model, path, input_, named)
    inputs = [
        open_input(address, tensor.shape, path)
        for address, tensor in zip(addresses, model.inputs, strict=True)
    ]
    count = check_same_count(inputs)
    no_rows = [np.empty((0, *rows.row_shape), rows.dtype) for rows in inputs]
    answers = as_list(model.predict(iter([tuple(no_rows)])))
    outputs = [
        Output(name, y.shape[1:], y.dtype)
        for name, y in zip(model.output_names, answers, strict=True)
    ]
    if kind in ("npy", "csv") and len(outputs) > 1:
        raise UserError(
            f"{output}: a .{kind} file holds one array, but {path} has the outputs "
            f"{', '.join(name for name, *_ in outputs)}; write .h5 or .zarr"
        )
    if output == PIPE and kind == "npy" and count is None:
        raise UserError(
            "The header of a .npy file needs the number of rows, and how many rows a text has is "
            "not known before its end; give --format csv, or write to a file"
        )
    block = batch_size or rows_at_once(
        model.graph_of_layers(), model.record(), [rows.shape for rows in no_rows]
    )
    row_bytes = sum(math.prod(rows.row_shape) * rows.dtype.itemsize for rows in inputs)
    size = rows_to_read(block, max(rows.chunk for rows in inputs), row_bytes)
    return _Job(model, path, addresses, inputs, outputs, count, size, batch_size)


def _check_is_no_input(output: str, path: Path, input_: str | None, named: Sequence[str]) -> None:
    """Raise UserError where the file to write is also an input or the model."""
    given = [text.partition("=")[2] for text in named] or [input_ or ""]
    for source in [path, *(Path(split_address(text)[0]) for text in given)]:
        if same_file(source, Path(output)):
            raise UserError(f"{output}: the output must be another file than {source}")


def _run(
    job: _Job,
    output: str,
    kind: str,
    costs: Profile | None,
    identity: dict[str, str],
    resume: bool,
) -> None:
    """Score all rows, and print how many were written, how fast and where."""
    opened = destination(output, kind, job.outputs, job.rows, job.rows_to_read, identity, resume)
    scores: Destination | None = None
    predict_rows = job.model.predict if costs is None else costs.predict
    try:
        with opened as scores:
            first = scores.rows
            start = time.perf_counter()
            # disable=None: a bar on a terminal, none in a pipe
            with tqdm(
                total=job.rows, initial=first, unit=" rows", unit_scale=True, disable=None
            ) as bar:
                rows_of_inputs = blocks(job.inputs, job.rows_to_read, first)
                predict_rows(
                    rows_of_inputs, batch_size=job.batch_size, out=scores, progress=bar.update
                )
            seconds = max(time.perf_counter() - start, 1e-9)
    except KeyboardInterrupt as stopped:
        count = scores.rows if scores else 0
        raise _interrupted(stopped, count, job.rows, output, bool(identity)) from None
    rows = scores.rows
    resumed = f", {first:,} of them from an earlier run" if first else ""
    shapes = ", ".join(f"{(rows, *o.row_shape)} {o.dtype}" for o in job.outputs)
    click.echo(
        f"{rows:,} rows{resumed}, {(rows - first) / seconds:,.0f} rows/s: {shapes} written to "
        f"{'standard output' if output == PIPE else output}",
        err=output == PIPE,
    )


def _interrupted(
    stopped: KeyboardInterrupt,
    scored: int,
    total: int | None,
    output: str,
    resumable: bool = False,
) -> SystemExit:
    """Print how many rows an interrupted run scored, and return its exit status."""
    terminated = isinstance(stopped, Terminated)
    of = "" if total is None else f" of {total:,}"
    message = f"{'Terminated' if terminated else 'Interrupted'} after {scored:,}{of} rows"
    if output != PIPE:
        message += f"; {output} was not written"
        if resumable and scored:
            message += "; the same command with --resume goes on from there"
    click.echo(f"{message}.", err=True)
    return SystemExit(TERMINATED if terminated else INTERRUPTED)


def _identity(job: _Job, output: str, kind: str) -> dict[str, str]:
    """What a run must share with the run that it resumes, under names for error messages."""
    if PIPE in (output, *job.addresses):
        return {}
    found = {"model": digest_of_model(job.path)}
    for name, address in zip(job.model.input_names, job.addresses, strict=True):
        path, member = split_address(address)
        found[f"input {name}"] = f"{identity_of_input(Path(path))} {member or ''}"
    layout = "; ".join(f"{o.name} {o.row_shape} {o.dtype}" for o in job.outputs)
    found["format"] = f"{kind}; {layout}"
    found["kernel path"] = dispatch.active_path()
    return found
