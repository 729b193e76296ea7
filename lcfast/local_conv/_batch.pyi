"""Python interface of the extension; ops.py is the only caller of its kernels."""

from typing import Any

# See the .pyx for the arguments.  The other is indexed by "float" or "double" first.
forward: Any
input_gradient: Any
