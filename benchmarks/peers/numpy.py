"""numpy: matrix products over strided views of the receptive fields, or over im2col arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from benchmarks.answers import Weights
from benchmarks.cases import CONV, DENSE, Case
from benchmarks.peers.contract import Way, Ways, unchanged


def versions() -> dict[str, str]:
    return {"numpy": np.__version__}


def forward(case: Case, weights: Weights) -> Ways:
    if case.kind == DENSE:
        return {"matmul": lambda: dense(case, weights)}
    if case.kind == CONV:
        return {"views": lambda: shared_views(case, weights)}
    ways: Ways = {
        "views": lambda: views(case, weights),
        "windows": lambda: windows(case, weights),
    }
    if case.patch <= 128:
        ways["einsum"] = lambda: einsum(case, weights)
    return ways


def runs_of(case: Case, x: np.ndarray) -> np.ndarray:
    """Views of the receptive fields: (output rows, output columns, N, runs, numbers of a run)."""
    down = x.strides[1] * case.strides[0] if len(case.strides) == 2 else 0
    rows = case.output_size[0] if len(case.strides) == 2 else 1
    return as_strided(
        x,
        (rows, case.output_size[-1], len(x), len(case.run_offsets), case.run_length),
        (down, x.strides[-2] * case.strides[-1], x.strides[0], x.strides[1], x.strides[-1]),
        writeable=False,
    )


def transposed(y: np.ndarray) -> np.ndarray:
    """(P, N, F) -> (N, P, F)."""
    return y.reshape(-1, *y.shape[-2:]).transpose(1, 0, 2)


def views(case: Case, weights: Weights) -> Way:
    """One product for each row of the receptive fields, which need no copy."""
    shape = (-1, case.output_size[-1], len(case.run_offsets), case.run_length, case.filters)
    kernel = np.ascontiguousarray(np.moveaxis(weights.kernel.reshape(shape), 2, 0))
    bias = weights.bias.reshape(shape[0], case.output_size[-1], 1, case.filters)

    def prepare(x: np.ndarray) -> Any:
        windows = runs_of(case, x)
        y = np.empty((*windows.shape[:3], case.filters), np.float32)
        return windows, y, np.empty_like(y)

    def run(prepared: Any) -> Any:
        windows, y, part = prepared
        np.matmul(windows[:, :, :, 0], kernel[0], out=y)
        for r in range(1, len(kernel)):
            np.matmul(windows[:, :, :, r], kernel[r], out=part)
            np.add(y, part, out=y)
        return np.add(y, bias, out=y)

    return Way(prepare, run, transposed, in_blocks=False)


def windows(case: Case, weights: Weights) -> Way:
    """All receptive fields copied side by side, then one product for each position."""
    kernel, bias = weights.kernel, weights.bias[:, None, :]

    def prepare(x: np.ndarray) -> Any:
        y = np.empty((case.positions, len(x), case.filters), np.float32)
        side_by_side = np.empty(runs_of(case, x).shape, np.float32)
        return x, side_by_side, y

    def run(prepared: Any) -> Any:
        x, side_by_side, y = prepared
        np.copyto(side_by_side, runs_of(case, x))
        np.matmul(side_by_side.reshape(case.positions, len(x), case.patch), kernel, out=y)
        return np.add(y, bias, out=y)

    return Way(prepare, run, transposed)


def einsum(case: Case, weights: Weights) -> Way:
    """One sum over views of the receptive fields, in numpy's own loops."""
    shape = (-1, case.output_size[-1], len(case.run_offsets), case.run_length, case.filters)
    kernel, bias = weights.kernel.reshape(shape), weights.bias

    def run(x: np.ndarray) -> np.ndarray:
        y: np.ndarray = np.einsum("abnrl,abrlf->nabf", runs_of(case, x), kernel)
        y = y.reshape(len(x), case.positions, case.filters)
        y += bias
        return y

    return Way(unchanged, run, unchanged, in_blocks=False)


def shared_views(case: Case, weights: Weights) -> Way:
    """A convolution: one product for each row of the kernel and each row of the output."""
    kernel = weights.kernel.reshape(len(case.run_offsets), case.run_length, case.filters)

    def prepare(x: np.ndarray) -> Any:
        windows = runs_of(case, x).transpose(2, 0, 1, 3, 4)
        y = np.empty((*windows.shape[:3], case.filters), np.float32)
        return windows, y, np.empty_like(y[0])

    def run(prepared: Any) -> Any:
        windows, y, part = prepared
        for one, target in zip(windows, y, strict=True):  # the parts of one image stay in a cache
            np.matmul(one[:, :, 0], kernel[0], out=target)
            for r in range(1, len(kernel)):
                np.matmul(one[:, :, r], kernel[r], out=part)
                np.add(target, part, out=target)
            np.add(target, weights.bias, out=target)
        return y

    return Way(prepare, run, lambda y: y.reshape(len(y), -1, case.filters), in_blocks=False)


def dense(case: Case, weights: Weights) -> Way:
    kernel, bias = weights.kernel[0], weights.bias

    def run(prepared: Any) -> Any:
        x, y = prepared
        np.matmul(x, kernel, out=y)
        return np.add(y, bias, out=y)

    return Way(
        lambda x: (x.reshape(len(x), -1), np.empty((len(x), case.filters), np.float32)),
        run,
        lambda y: y[:, None, :],
        in_blocks=False,
    )
