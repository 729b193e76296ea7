"""Python interface of the extension; ops.py is the only caller of its kernels."""

from typing import Any

# It is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
input_gradient: Any
