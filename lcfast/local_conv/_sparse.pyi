"""Products with a CSR matrix; only sparse.py calls them."""

from typing import Any

import numpy as np

class Matrix:
    """A CSR pattern, split into families of rows with the same columns, and strips of families."""

    def __init__(self, starts: np.ndarray, indices: np.ndarray, columns: int) -> None: ...

# Each is indexed by "float" or "double" before it is called; see the .pyx for the arguments.
product: Any
gradient: Any
