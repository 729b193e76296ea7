"""`lcfast bench`: find the fastest engine for each layer of a model."""

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
    help="Rows per call; may be repeated.",
)
@click.option(
    "--input",
    "input_",
    metavar="ROWS",
    help="Input rows, in any format of `lcfast predict`; random by default.",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), help="Most threads to use; all cores by default."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=0.3,
    show_default=True,
    help="How long to time each engine, per layer and batch size.",
)
@click.option(
    "--json", "json_", type=click.Path(path_type=Path), help="Also write the timings to this file."
)
def bench(
    target: str,
    batches: tuple[int, ...],
    input_: str | None,
    threads: int | None,
    seconds: float,
    json_: Path | None,
) -> None:
    """Time the engines for each locally connected layer of MODEL, and advise which to choose.

    Instead of a file, WORKLOAD gives the shapes of one layer: input (channels last), filters,
    kernel size and strides, as in the example; or the name of a real layer: docs_lc2d_a,
    docs_lc2d_b, docs_lc1d_a, mhcflurry, adapt, deepface_L4, deepface_L5, deepface_L6, p1b3,
    gpnet_k3, eir, tnn_1.

    \b
    Example:
      lcfast bench examples/digits.h5
      lcfast bench 32x32x3:64:3x3:1x1 --batch-size 1 --batch-size 256
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    found: list[list[timing.Timing]] = []
    with plain_errors():
        sources = [Path(path) for path in (target, input_) if path is not None]
        if json_ is not None and any(same_file(source, json_) for source in sources):
            raise UserError(f"{json_}: is also an input; give another file for --json")
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
            # Open the file first, so that an error about it comes before the timing.
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


def _rows_to_time(source: str, model: lcfast.Model, target: str, count: int) -> np.ndarray:
    """The first `count` rows of an input, to time a model on."""
    if isinstance(model.input_shape, list):
        raise UserError(f"{target}: has several inputs; leave out --input to time random rows")
    rows = open_input(source, model.input_shape, target)
    for (block,) in blocks([rows], count, 0):
        return block
    raise UserError(f"{source}: has no rows; at least one is needed")
