"""Python interface of the extension; activation.py is its only caller."""

from typing import Any

ELEMENTWISE: dict[str, int]
ROWS: dict[str, int]

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
activate: Any
activation_gradient: Any
activate_rows: Any
row_gradient: Any
