"""What the extension gives Python; ops.py is the only one that calls its kernels."""

from typing import Any

# See the .pyx for the arguments.  The other is indexed by "float" or "double" first.
forward: Any
input_gradient: Any
