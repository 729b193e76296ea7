"""What the extension gives Python; ops.py is the only one that calls its kernels."""

from typing import Any

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
forward: Any
kernel_gradient: Any
