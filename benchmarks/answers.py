"""The arrays of a cell, and the float64 reference that every engine must match before timing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.cases import Case

WEIGHTS_AT_ONCE = 1 << 22
"""The most weights that are converted to float64 at a time."""


class Weights(NamedTuple):
    """Weights of a case in canonical layout: kernel (P, K, F), bias (P, F); P is 1 if shared."""

    kernel: np.ndarray
    bias: np.ndarray


class WrongAnswerError(Exception):
    """An engine's result differs from the float64 reference."""


def random_array(seed: int, *shape: int) -> np.ndarray:
    """float32 numbers from -0.5 to 0.5, the same in every process."""
    numbers = np.random.default_rng(seed).random(shape, dtype=np.float32)
    numbers -= np.float32(0.5)
    return numbers


def weights_of(case: Case) -> Weights:
    """The weights that every engine uses."""
    return Weights(random_array(1, *case.kernel_shape), random_array(2, *case.bias_shape))


def input_of(case: Case, batch: int) -> np.ndarray:
    """The input of a cell."""
    return random_array(3, batch, *case.input_shape)


def output_gradient_of(case: Case, batch: int) -> np.ndarray:
    """The gradient of the output of a cell: (N, P, F)."""
    return random_array(4, batch, case.positions, case.filters)


def some(count: int, most: int) -> np.ndarray:
    """At most `most` of the first `count` integers, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def some_positions(case: Case) -> np.ndarray:
    """A sample of positions to check."""
    return some(case.positions, max(64, WEIGHTS_AT_ONCE // (case.patch * case.filters)))


def check_outputs(case: Case, weights: Weights, x: np.ndarray, y: np.ndarray) -> None:
    """Compare the first and last row of y (N, P, F), at many positions, with float64."""
    rows, positions = some(len(x), 2), some_positions(case)
    y = y.reshape(len(x), case.positions, case.filters)
    taps = case.taps()[positions]
    kernel, bias = (w if case.shared else w[positions] for w in weights)
    for row in rows:
        windows = x[row].reshape(-1)[taps].astype(np.float64)[:, None, :]
        exact = (windows @ kernel.astype(np.float64))[:, 0] + bias
        size = (np.abs(windows) @ np.abs(kernel))[:, 0] + np.abs(bias)
        _compare("the output", y[row][positions], exact, size, case.patch + 1)


def check_gradients(
    case: Case, weights: Weights, x: np.ndarray, dy: np.ndarray, gradients: list[np.ndarray]
) -> None:
    """Compare dx of the last row, and dkernel and dbias at many positions, with float64."""
    dx, dkernel, dbias = gradients
    taps = case.taps()
    exact, size = np.zeros((2, case.inputs))
    for block in np.array_split(
        np.arange(case.positions), -(-case.outputs * case.patch // WEIGHTS_AT_ONCE)
    ):
        kernel = (weights.kernel if case.shared else weights.kernel[block]).astype(np.float64)
        last = dy[-1, block, :, None].astype(np.float64)
        where = taps[block].ravel()
        exact += np.bincount(where, (kernel @ last).ravel(), case.inputs)
        size += np.bincount(where, (np.abs(kernel) @ np.abs(last)).ravel(), case.inputs)
    terms = case.filters * case.patch
    _compare("the gradient of the input", dx.reshape(len(x), -1)[-1], exact, size, terms)
    if case.shared:
        _check_shared_gradients(case, x, dy, dkernel, dbias)
        return
    positions = some(case.positions, 16)
    windows = x.reshape(len(x), -1)[:, taps[positions]].astype(np.float64).transpose(1, 2, 0)
    wanted = dy[:, positions].astype(np.float64).transpose(1, 0, 2)
    exact, size = windows @ wanted, np.abs(windows) @ np.abs(wanted)
    found = dkernel.reshape(case.kernel_shape)[positions]
    _compare("the gradient of the kernel", found, exact, size, len(x))
    found = dbias.reshape(case.bias_shape)[positions]
    exact, size = wanted.sum(axis=1), np.abs(wanted).sum(axis=1)
    _compare("the gradient of the bias", found, exact, size, len(x))


def _check_shared_gradients(
    case: Case, x: np.ndarray, dy: np.ndarray, dkernel: np.ndarray, dbias: np.ndarray
) -> None:
    """The kernel's gradient at some taps, which sums over rows and positions."""
    chosen = some(case.patch, 4)
    starts = case.window_offsets
    exact, size = np.zeros((2, len(chosen), case.filters))
    rows = x.reshape(len(x), -1)
    in_window = (case.run_offsets[:, None] + np.arange(case.run_length)).ravel()[chosen]
    for row, wanted in zip(rows, dy.astype(np.float64), strict=True):
        windows = row[in_window[:, None] + starts].astype(np.float64)
        exact += windows @ wanted
        size += np.abs(windows) @ np.abs(wanted)
    terms = len(x) * case.positions
    found = dkernel.reshape(case.patch, case.filters)[chosen]
    _compare("the gradient of the kernel", found, exact, size, terms)
    exact, size = dy.sum(axis=(0, 1), dtype=np.float64), np.abs(dy).sum(axis=(0, 1))
    _compare("the gradient of the bias", dbias.reshape(-1), exact, size, terms)


def _compare(what: str, found: np.ndarray, exact: np.ndarray, size: np.ndarray, terms: int) -> None:
    """Raise if the error is larger than a sum of `terms` rounded terms may have."""
    allowed = (terms + 4) * np.finfo(np.float32).eps * size + 1e-30
    wrong = ~(np.abs(found - exact) <= allowed)
    if wrong.any():
        raise WrongAnswerError(
            f"{what} differs from float64 in {wrong.mean():.0%} of the numbers, by up to "
            f"{np.nanmax(np.abs(found - exact)):.1e}"
        )
