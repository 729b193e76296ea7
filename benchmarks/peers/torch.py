"""PyTorch: unfold and one batched product (eager and compiled), its own Conv and Linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.answers import Weights
from benchmarks.cases import CONV, DENSE, Case
from benchmarks.peers.contract import NotOffered, Way, Ways

Product = Callable[[Any, Any, Any], Any]
LARGEST_COMPILED = 4000
"""Positions up to which torch.compile is tried."""
LARGEST_KEPT = 2**30
"""Bytes of receptive fields above which a graph is not kept: its forward pass is then timed too."""


def versions() -> dict[str, str]:
    return {"torch": torch.__version__}


def windows_of(case: Case, x: Any) -> Any:
    """The receptive fields of a batch, copied: (P, N, taps in the order channels, kernel)."""
    for axis, (size, step) in enumerate(zip(case.kernel_size, case.strides, strict=True)):
        x = x.unfold(axis + 1, size, step)
    spatial = len(case.kernel_size)
    x = x.permute(*range(1, spatial + 1), 0, *range(spatial + 1, x.dim()))
    return x.reshape(case.positions, -1, case.patch)


def unfold_and_multiply(case: Case) -> Product:
    """y (P, N, F) of x, a kernel whose taps are in torch's order, and a bias."""
    return lambda x, kernel, bias: torch.baddbmm(bias, windows_of(case, x), kernel)


def strided_and_multiply(case: Case) -> Product:
    """The same with receptive fields whose taps stay in our order, copied run by run."""
    down = case.inputs // case.input_shape[0] * case.strides[0] if len(case.strides) == 2 else 0
    rows = case.output_size[0] if len(case.strides) == 2 else 1
    run = case.inputs // case.input_shape[0]
    along = case.channels * case.strides[-1]

    def product(x: Any, kernel: Any, bias: Any) -> Any:
        shape = (rows, case.output_size[-1], len(x), len(case.run_offsets), case.run_length)
        windows = x.as_strided(shape, (down, along, case.inputs, run, 1))
        return torch.baddbmm(bias, windows.reshape(case.positions, len(x), case.patch), kernel)

    return product


def in_torch_order(case: Case, kernel: np.ndarray) -> np.ndarray:
    """Taps from (kernel, channels) to (channels, kernel)."""
    split = kernel.reshape(case.positions, -1, case.channels, case.filters)
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(kernel.shape)


def in_our_order(case: Case, kernel: np.ndarray) -> np.ndarray:
    """The inverse of `in_torch_order`."""
    split = kernel.reshape(case.positions, case.channels, -1, case.filters)
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(kernel.shape)


def convolution(case: Case) -> Product:
    """Conv of (N, C, ...)."""
    convolve = functional.conv1d if len(case.kernel_size) == 1 else functional.conv2d
    return lambda x, kernel, bias: convolve(x, kernel, bias, stride=case.strides)


def convolution_kernel(case: Case, kernel: np.ndarray) -> np.ndarray:
    """(F, C, kernel) as torch's Conv wants it."""
    return np.moveaxis(kernel.reshape(*case.kernel_size, case.channels, case.filters), (-1, -2),
                       (0, 1)).copy()  # fmt: skip


def channels_second(x: np.ndarray) -> Any:
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def to_numpy(y: Any) -> np.ndarray:
    array: np.ndarray = y.detach().numpy()
    return array


def forward(case: Case, weights: Weights) -> Ways:
    kernel, bias = torch.from_numpy(weights.kernel), torch.from_numpy(weights.bias)
    if case.kind == DENSE:
        wide = kernel[0].T.contiguous()
        return {
            "linear": lambda: without_gradients(
                lambda x: functional.linear(x, wide, bias[0]), flat, row_of_positions
            )
        }
    if case.kind == CONV:
        return conv_ways(case, weights)
    bias = bias[:, None, :]
    reordered = torch.from_numpy(in_torch_order(case, weights.kernel))
    strided, unfolded = strided_and_multiply(case), unfold_and_multiply(case)
    return {
        "strided+bmm": lambda: local_way(lambda x: strided(x, kernel, bias)),
        "unfold+bmm": lambda: local_way(lambda x: unfolded(x, reordered, bias)),
        "compiled": lambda: compiled_way(case, lambda x: unfolded(x, reordered, bias)),
    }


def without_gradients(run: Any, prepare: Any, arrays: Any, in_blocks: bool = False) -> Way:
    return Way(prepare, torch.inference_mode()(run), arrays, in_blocks)


def local_way(run: Any) -> Way:
    return without_gradients(run, torch.from_numpy, transposed, in_blocks=True)


def compiled_way(case: Case, run: Any) -> Way:
    """The same through torch.compile, for batches of any size."""
    if case.positions > LARGEST_COMPILED:
        raise NotOffered(f"torch.compile is tried up to {LARGEST_COMPILED} positions")
    return local_way(torch.compile(run, dynamic=True))


def conv_ways(case: Case, weights: Weights) -> Ways:
    convolve, bias = convolution(case), torch.from_numpy(weights.bias[0])
    kernel = torch.from_numpy(convolution_kernel(case, weights.kernel))
    last = kernel.to(memory_format=torch.channels_last) if kernel.dim() == 4 else kernel

    def prepare_last(x: np.ndarray) -> Any:
        return torch.from_numpy(x).movedim(-1, 1)

    return {
        "conv, channels last": lambda: without_gradients(
            lambda x: convolve(x, last, bias), prepare_last, positions_second
        ),
        "conv, channels first": lambda: without_gradients(
            lambda x: convolve(x, kernel, bias), channels_second, positions_second
        ),
    }


def gradients(case: Case, weights: Weights) -> Ways:
    kernel, bias = weights
    if case.kind == DENSE:
        return {"linear": lambda: dense_gradients(weights)}
    if case.kind == CONV:
        return {"conv": lambda: conv_gradients(case, weights)}
    strided, unfolded = strided_and_multiply(case), unfold_and_multiply(case)
    return {
        "unfold+bmm": lambda: local_gradients(
            case, unfolded, in_torch_order(case, kernel), bias, lambda dw: in_our_order(case, dw)
        ),
        "strided+bmm": lambda: local_gradients(case, strided, kernel, bias, lambda dw: dw),
    }


class Pullback:
    """The backward pass of a graph whose forward pass ran before the clock, if it may be kept."""

    def __init__(self, product: Product, kernel: np.ndarray, bias: np.ndarray) -> None:
        self.product = product
        self.kernel = torch.from_numpy(kernel).requires_grad_()
        self.bias = torch.from_numpy(bias).requires_grad_()

    def prepare(self, x: Any, dy: Any, keep: bool = True) -> Any:
        x = x.requires_grad_()
        return x, self.product(x, self.kernel, self.bias) if keep else None, dy

    def run(self, prepared: Any) -> list[Any]:
        x, y, dy = prepared
        kept = y is not None
        if not kept:
            y = self.product(x, self.kernel, self.bias)
        return list(torch.autograd.grad(y, (x, self.kernel, self.bias), dy, retain_graph=kept))


def local_gradients(
    case: Case, product: Product, kernel: np.ndarray, bias: np.ndarray, our_kernel: Any
) -> Way:
    pull = Pullback(product, kernel, bias[:, None, :])

    def prepare(x: np.ndarray, dy: np.ndarray) -> Any:
        arrays = torch.from_numpy(x), torch.from_numpy(dy.swapaxes(0, 1).copy())
        return pull.prepare(*arrays, keep=case.window_bytes(len(x)) < LARGEST_KEPT)

    def arrays(found: Any) -> list[np.ndarray]:
        dx, dkernel, dbias = (to_numpy(a) for a in found)
        return [dx, our_kernel(dkernel), dbias[:, 0]]

    return Way(prepare, pull.run, arrays)


def conv_gradients(case: Case, weights: Weights) -> Way:
    pull = Pullback(convolution(case), convolution_kernel(case, weights.kernel), weights.bias[0])

    def prepare(x: np.ndarray, dy: np.ndarray) -> Any:
        shaped = dy.reshape(len(dy), *case.output_size, case.filters)
        return pull.prepare(channels_second(x), channels_second(shaped))

    def arrays(found: Any) -> list[np.ndarray]:
        dx, dkernel, dbias = (to_numpy(a) for a in found)
        taps = np.moveaxis(dkernel, (0, 1), (-1, -2))
        return [np.moveaxis(dx, 1, -1), taps.reshape(case.kernel_shape), dbias]

    return Way(prepare, pull.run, arrays, in_blocks=False)


def dense_gradients(weights: Weights) -> Way:
    pull = Pullback(functional.linear, weights.kernel[0].T.copy(), weights.bias[0])

    def prepare(x: np.ndarray, dy: np.ndarray) -> Any:
        return pull.prepare(flat(x), torch.from_numpy(dy[:, 0]))

    def arrays(found: Any) -> list[np.ndarray]:
        dx, dkernel, dbias = (to_numpy(a) for a in found)
        return [dx, dkernel.T, dbias]

    return Way(prepare, pull.run, arrays, in_blocks=False)


def flat(x: np.ndarray) -> Any:
    return torch.from_numpy(x.reshape(len(x), -1))


def row_of_positions(y: Any) -> np.ndarray:
    return to_numpy(y)[:, None, :]


def transposed(y: Any) -> np.ndarray:
    """(P, N, F) -> (N, P, F)."""
    return to_numpy(y).transpose(1, 0, 2)


def positions_second(y: Any) -> np.ndarray:
    """(N, F, ...) -> (N, P, F)."""
    return np.moveaxis(to_numpy(y).reshape(*y.shape[:2], -1), 1, 2)
