"""The batch regime; only ops.py calls it."""

from typing import Any

# See the .pyx for the arguments.  The other is indexed by "float" or "double" first.
forward: Any
input_gradient: Any
