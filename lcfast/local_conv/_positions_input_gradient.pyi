"""The gradient of the input in the positions regime; only ops.py calls it."""

from typing import Any

# It is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
input_gradient: Any
