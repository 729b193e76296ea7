"""scipy.sparse: the layer's own matrix times the input, in scipy's two orders of the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from benchmarks.answers import Weights
from benchmarks.cases import LOCAL, Case
from benchmarks.peers.contract import NotOffered, Way, Ways
from benchmarks.peers.lcfast import LARGEST_PATTERN, layer_of


def versions() -> dict[str, str]:
    return {"scipy": scipy.__version__}


def forward(case: Case, weights: Weights) -> Ways:
    if case.kind != LOCAL:
        return {}
    made: dict[str, Any] = {}

    def matrix() -> Any:
        if case.outputs * case.patch > LARGEST_PATTERN:
            raise NotOffered(f"more than {LARGEST_PATTERN:,} connections")
        if not made:
            made["csr"] = layer_of(case, weights).to_sparse().T.tocsr()
        return made["csr"]

    return {
        "csr @ columns": lambda: columns(case, matrix(), weights.bias.reshape(-1)),
        "rows @ csc": lambda: rows(case, matrix(), weights.bias.reshape(-1)),
    }


def columns(case: Case, csr: Any, bias: np.ndarray) -> Way:
    """(outputs x inputs) @ (inputs x N), the input already transposed."""

    def run(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = csr @ x
        y += bias[:, None]
        return y

    def prepare(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.reshape(len(x), -1).T)

    return Way(prepare, run, lambda y: shaped(case, y.T), in_blocks=False)


def rows(case: Case, csr: Any, bias: np.ndarray) -> Way:
    """(N x inputs) @ (inputs x outputs)."""
    matrix = csr.T

    def run(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = x @ matrix
        y += bias
        return y

    return Way(lambda x: x.reshape(len(x), -1), run, lambda y: shaped(case, y), in_blocks=False)


def shaped(case: Case, y: np.ndarray) -> np.ndarray:
    return y.reshape(len(y), case.positions, case.filters)
