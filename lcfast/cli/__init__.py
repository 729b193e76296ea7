"""The command `lcfast`: score rows with a Keras model file, inspect it, convert it, time it.

User errors print one message to standard error and exit with status 2.
Each command has its own module, which is imported only when the command runs.
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
    """Run Keras models on a CPU, without TensorFlow.

    \b
    Example:
      lcfast predict model.h5 images.npy -o probabilities.npy
    """  # noqa: D301 (click takes the \b itself for "do not wrap")
