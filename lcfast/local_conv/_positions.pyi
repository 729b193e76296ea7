"""The positions regime; only ops.py calls it."""

from typing import Any

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
forward: Any
kernel_gradient: Any
