"""Python interface of the extension; ops.py is the only caller of its kernels."""

from typing import Any

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
forward: Any
kernel_gradient: Any
