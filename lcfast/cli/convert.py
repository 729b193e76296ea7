"""`lcfast convert`: write a model file with another implementation or data format."""

from __future__ import annotations

from pathlib import Path

import click

import lcfast.models
from lcfast.cli.errors import UserError, plain_errors
from lcfast.cli.files import same_file


@click.command(
    no_args_is_help=True,
    short_help="Change a model's implementation or data format.",
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--implementation",
    type=click.IntRange(1, 3),
    help="The implementation of all locally connected layers; it sets the weights' layout.",
)
@click.option(
    "--data-format",
    type=click.Choice(["channels_last", "channels_first"]),
    help="The data format of all layers and inputs.",
)
def convert(model: Path, output: Path, implementation: int | None, data_format: str | None) -> None:
    """Write MODEL to OUTPUT (.h5 or .keras), with another implementation or data format.

    MODEL is any Keras model file or directory. Without options only the file format changes.

    With another data format the model takes inputs with that data format; the weights of a Dense
    layer after Flatten are reordered to match.

    \b
    Example:
      lcfast convert examples/digits.h5 digits.keras --implementation 3
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    with plain_errors():
        if same_file(model, output):
            raise UserError(f"{output}: is the input model; write to another file")
        source = lcfast.models.load_model(model)
        converted = lcfast.models.convert(source, implementation, data_format)
        converted.save(output)
    shapes = f"{converted.input_shape} -> {converted.output_shape}"
    click.echo(f"{len(converted.layers)} layers, {shapes}: written to {output}")
