"""`lcfast summary`: print the layers of a model file, as a table or as JSON."""

from __future__ import annotations

from pathlib import Path

import click

from lcfast.cli.errors import plain_errors
from lcfast.models import load_model
from lcfast.models.summary import summary_data


@click.command(no_args_is_help=True, short_help="Print the layers of a model file.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON, with the full plan of each layer.",
)
def summary(model: Path, as_json: bool) -> None:
    """Print the layers of MODEL with their output shapes, parameters, engines and plans.

    \b
    Example:
      lcfast summary examples/digits.h5
      lcfast summary examples/digits.h5 --json
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
    with plain_errors():
        loaded = load_model(model)
        if as_json:
            import json

            click.echo(json.dumps(summary_data(loaded), indent=1))
        else:
            loaded.summary(print_fn=click.echo)
