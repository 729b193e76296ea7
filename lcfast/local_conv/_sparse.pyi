"""What the extension gives Python; sparse.py is the only one that calls it."""

from typing import Any

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
product: Any
gradient: Any
