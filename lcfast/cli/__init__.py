"""The command `lcfast`: score rows with a Keras model file, or look into one.

Whatever the user got wrong ends in one sentence on standard error and exit status 2.
Each command has a module here, imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module

import click

import lcfast

COMMANDS = ("bench", "convert", "predict", "summary")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"lcfast.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(lcfast.__version__, prog_name="lcfast")
def main() -> None:
    """Score Keras models on a CPU, without TensorFlow.

    \b
    Example:
      lcfast predict model.h5 images.npy -o probabilities.npy
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
