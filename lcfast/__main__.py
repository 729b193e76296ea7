"""`python -m lcfast` runs the command `lcfast`."""

from lcfast.cli import main

main(prog_name="lcfast")
