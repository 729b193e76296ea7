"""The commands of lcfast, in this process or, where a test needs one, in another process."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from lcfast import cli
from lcfast.local_conv import threads

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits.h5"


def lcfast(*arguments, status=0, **options):
    """The result of a command that ends with a status, and not with another exception."""
    default = threads._default  # which --threads sets, for the rest of the process
    try:
        result = CliRunner().invoke(cli.main, list(map(str, arguments)), **options)
    finally:
        threads._default = default
    assert result.exit_code == status, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def refused(*arguments, **options):
    """The message of a command that must end with status 2 and print nothing else."""
    result = lcfast(*arguments, status=2, **options)
    assert result.stdout == ""
    return result.stderr


def in_a_process(*arguments, text=True, **options):
    """The finished process of a command, as a user runs it."""
    command = [sys.executable, "-m", "lcfast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=text, timeout=60, **options)
