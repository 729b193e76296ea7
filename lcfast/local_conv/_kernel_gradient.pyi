"""The gradient of the kernel; only ops.py calls it."""

from typing import Any

# Indexed by "float" or "double" before it is called; see the .pyx for the arguments.
kernel_gradient: Any
