"""The interface of a peer: a module with `versions`, `forward` and, if it has them, `gradients`.

`forward` and `gradients` take a case and its canonical weights and return, by name, the ways in
which the peer can compute it. A way is built when it is first timed; one that cannot be built
raises `NotOffered` with the reason.
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
    """Whether it holds a whole im2col array, so that a large batch is split into blocks."""


Ways = dict[str, Callable[[], Way]]


class NotOffered(Exception):  # noqa: N818 - a refusal, no error
    """This way is not for this case; the message says why."""


def unchanged(array: np.ndarray) -> np.ndarray:
    """Return an array unchanged."""
    return array
