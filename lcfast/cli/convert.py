"""The command `lcfast convert`: a model file with other weights or axes."""

from __future__ import annotations

from pathlib import Path

import click

import lcfast.models
from lcfast.cli.errors import plain_errors


@click.command(no_args_is_help=True, short_help="Write a model with other weights or axes.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--implementation",
    type=click.IntRange(1, 3),
    help="Which weights the locally connected layers store.",
)
@click.option(
    "--data-format",
    type=click.Choice(["channels_last", "channels_first"]),
    help="Where the channels of inputs and layers are.",
)
def convert(model: Path, output: Path, implementation: int | None, data_format: str | None) -> None:
    """Write MODEL as OUTPUT (.h5 or .keras), with another implementation or data format.

    MODEL is any file or directory of Keras; without an option nothing but the container changes.

    With another data format the rows of a Dense after Flatten move with it, and the model takes
    inputs whose channels are elsewhere.

    \b
    Example:
      lcfast convert examples/digits.h5 digits.keras --implementation 3
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    with plain_errors():
        if model.exists() and output.exists() and model.samefile(output):
            raise ValueError(f"{output}: the output must be another file than {model}")
        source = lcfast.models.load_model(model)
        converted = lcfast.models.convert(source, implementation, data_format)
        converted.save(output)
    shapes = f"{converted.input_shape} -> {converted.output_shape}"
    click.echo(f"{len(converted.layers)} layers, {shapes}: written to {output}")
