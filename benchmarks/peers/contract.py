"""What a peer is: a module with `versions`, `forward` and, if it has them, `gradients`.

`forward` and `gradients` take a case and its canonical weights and return, by name, the ways that
the peer has to compute it.  A way is made when it is first timed; one that cannot be made raises
`NotOffered` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Way(NamedTuple):
    """One way to compute a case.  Only `run` is timed."""

    prepare: Callable[..., Any]
    """(x) or, for gradients, (x, dy) as numpy arrays -> what `run` takes, in the peer's layout."""
    run: Callable[[Any], Any]
    arrays: Callable[[Any], Any]
    """What `run` gave -> y as (N, P, F); for gradients [dx, dkernel, dbias]."""
    in_blocks: bool = True
    """Whether all windows are held at once, so that a large batch is better cut into blocks."""


Ways = dict[str, Callable[[], Way]]


class NotOffered(Exception):  # noqa: N818 - a refusal, no error
    """This way is not for this case; the message says why."""


def unchanged(array: np.ndarray) -> np.ndarray:
    """What is an array already."""
    return array
