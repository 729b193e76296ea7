"""Python interface of the extension; ops.py is the only caller of its kernels."""

from typing import Any

# Indexed by "float" or "double" before it is called; see the .pyx for the arguments.
kernel_gradient: Any
