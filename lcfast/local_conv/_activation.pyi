"""What the extension gives Python; activation.py is the only one that calls it."""

from typing import Any

ELEMENTWISE: dict[str, int]
ROWS: dict[str, int]

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
activate: Any
activation_gradient: Any
activate_rows: Any
row_gradient: Any
