"""Run commands of lcfast in this process or, if a test needs it, in another one."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from lcfast import cli
from lcfast.local_conv import threads

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = EXAMPLES / "digits.h5"


def lcfast(*arguments, status=0, **options):
    """Run a command in this process; it must exit with the status and raise nothing else."""
    default = threads._default  # --threads changes it for the whole process
    try:
        result = CliRunner().invoke(cli.main, list(map(str, arguments)), **options)
    finally:
        threads._default = default
    assert result.exit_code == status, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def refused(*arguments, **options):
    """Run a command that must exit with status 2; return its error message."""
    result = lcfast(*arguments, status=2, **options)
    assert result.stdout == ""
    return result.stderr


def in_a_process(*arguments, text=True, **options):
    """Run a command in its own process, as a user does."""
    command = [sys.executable, "-m", "lcfast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=text, timeout=60, **options)
