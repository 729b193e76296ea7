"""Python interface of the extension; ops.py is its only caller."""

from typing import Any

# Indexed by "float" or "double" before it is called; see the .pyx for the arguments.
sum_rows: Any
