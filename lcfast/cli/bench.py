"""`lcfast bench`: which engine is the fastest for the layers of a model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

import lcfast
from lcfast.bench import advice, subjects, timing
from lcfast.bench.agreement import EnginesDisagreeError
from lcfast.cli.errors import INTERRUPTED, UserError, plain_errors
from lcfast.cli.files import same_file
from lcfast.cli.inputs import blocks, open_input
from lcfast.io.atomic_write import atomic_write
from lcfast.versions import versions


@click.command(no_args_is_help=True, short_help="Find the fastest engine for a model.")
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
    metavar="ROWS",
    help="Rows for the model, as `lcfast predict` takes them; random ones by default.",
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
    input_: str | None,
    threads: int | None,
    seconds: float,
    json_: Path | None,
) -> None:
    """Time the engines for each locally connected layer of MODEL, and say what to choose.

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
        sources = [Path(place) for place in (target, input_) if place is not None]
        if json_ is not None and any(same_file(source, json_) for source in sources):
            raise UserError(f"{json_}: the file to write must be another one than those to read")
        if threads is not None:
            lcfast.set_num_threads(threads)
        model = subjects.model_of(target)
        layers = subjects.local_layers(model)
        fitting = subjects.batches_that_fit(model, batches)
        rows = None
        if input_ is not None:
            rows = _rows_to_time(input_, model, target, max(fitting, default=1))
        total = len(fitting) * timing.parts(model)
        try:
            # The file first: whether it can be written is better known before the timing.
            with (
                atomic_write(str(json_)) if json_ is not None else nullcontext() as file,
                tqdm(total=total, unit=" timings", disable=None, leave=False) as bar,
            ):
                for of_engines in timing.timings(model, fitting, seconds, rows):
                    found.append(of_engines)
                    bar.update()
                if file is not None:
                    data = {
                        "target": target,
                        "input": input_ or "random",
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


def _rows_to_time(place: str, model: lcfast.Model, target: str, count: int) -> np.ndarray:
    """The first rows of a place, for a model to be timed on."""
    if isinstance(model.input_shape, list):
        raise UserError(f"{target}: has several inputs; leave --input out to time random ones")
    rows = open_input(place, model.input_shape, target)
    for (block,) in blocks([rows], count, 0):
        return block
    raise UserError(f"{place}: holds no rows; at least one is needed")
