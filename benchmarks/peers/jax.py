"""JAX on the CPU, jitted: einsum over receptive fields, and JAX's own local convolution."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.answers import Weights
from benchmarks.cases import CONV, DENSE, Case
from benchmarks.peers.contract import Way, Ways

Product = Callable[[Any, Any, Any], Any]
MOST_SLICES = 128


def versions() -> dict[str, str]:
    return {"jax": jax.__version__}


def gathered(case: Case) -> Product:
    """einsum over receptive fields that an index gathers."""
    taps = jnp.asarray(case.taps().astype(np.int32))

    def product(x: Any, kernel: Any, bias: Any) -> Any:
        windows = jnp.take(x.reshape(len(x), -1), taps, axis=1)
        return jnp.einsum("npk,pkf->npf", windows, kernel) + bias

    return product


def sliced(case: Case) -> Product:
    """einsum over receptive fields that are strided slices of the input, stacked."""
    ends = [
        (n - 1) * s + 1 for n, s in zip(case.output_size, case.strides, strict=True)
    ]  # of the first taps of all windows

    def product(x: Any, kernel: Any, bias: Any) -> Any:
        slices = []
        for first in itertools.product(*map(range, case.kernel_size)):
            steps = zip(first, ends, case.strides, strict=True)
            slices.append(x[(slice(None), *(slice(a, a + n, s) for a, n, s in steps))])
        windows = jnp.stack(slices, axis=-2).reshape(len(x), case.positions, case.patch)
        return jnp.einsum("npk,pkf->npf", windows, kernel) + bias

    return product


def dimension_numbers(case: Case) -> tuple[str, str, str]:
    spatial = "HW"[-len(case.kernel_size) :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


def local_convolution(case: Case) -> Product:
    """conv_general_dilated_local, whose kernel has its taps in the order channels, kernel."""

    def product(x: Any, kernel: Any, bias: Any) -> Any:
        y = lax.conv_general_dilated_local(
            x, kernel, case.strides, "VALID", case.kernel_size,
            dimension_numbers=dimension_numbers(case),
        )  # fmt: skip
        return y.reshape(len(x), case.positions, case.filters) + bias

    return product


def local_kernel(case: Case, kernel: np.ndarray) -> np.ndarray:
    split = kernel.reshape(case.positions, -1, case.channels, case.filters).swapaxes(1, 2)
    return np.ascontiguousarray(split).reshape(*case.output_size, case.patch, case.filters)


def our_kernel(case: Case, kernel: np.ndarray) -> np.ndarray:
    split = kernel.reshape(case.positions, case.channels, -1, case.filters).swapaxes(1, 2)
    return np.ascontiguousarray(split).reshape(case.kernel_shape)


def convolution(case: Case) -> Product:
    def product(x: Any, kernel: Any, bias: Any) -> Any:
        y = lax.conv_general_dilated(
            x, kernel.reshape(*case.kernel_size, case.channels, case.filters), case.strides,
            "VALID", dimension_numbers=dimension_numbers(case),
        )  # fmt: skip
        return y.reshape(len(x), case.positions, case.filters) + bias

    return product


def dense(x: Any, kernel: Any, bias: Any) -> Any:
    return (x.reshape(len(x), -1) @ kernel[0] + bias)[:, None, :]


def products(case: Case) -> dict[str, Callable[[], Product]]:
    """What is jitted, by name; made when it is first needed."""
    if case.kind == DENSE:
        return {"matmul": lambda: dense}
    if case.kind == CONV:
        return {"conv": lambda: convolution(case)}
    found = {"local convolution": lambda: local_convolution(case)}
    taps = case.patch // case.channels
    if taps <= MOST_SLICES:
        found["slices+einsum"] = lambda: sliced(case)
    found["gather+einsum"] = lambda: gathered(case)
    return found


def kernel_for(case: Case, name: str, kernel: np.ndarray) -> Any:
    return jnp.asarray(local_kernel(case, kernel) if name == "local convolution" else kernel)


def forward(case: Case, weights: Weights) -> Ways:
    def way(name: str, made: Callable[[], Product]) -> Way:
        product = jax.jit(made())
        kernel, bias = kernel_for(case, name, weights.kernel), jnp.asarray(weights.bias)
        return Way(
            jnp.asarray,
            lambda x: product(x, kernel, bias).block_until_ready(),
            np.asarray,
            in_blocks=not case.shared,
        )

    return {name: lambda n=name, m=made: way(n, m) for name, made in products(case).items()}  # type: ignore[misc]


def gradients(case: Case, weights: Weights) -> Ways:
    def way(name: str, made: Callable[[], Product]) -> Way:
        product = made()
        kernel, bias = kernel_for(case, name, weights.kernel), jnp.asarray(weights.bias)

        pull = jax.jit(lambda x, kernel, bias, dy: jax.vjp(product, x, kernel, bias)[1](dy))

        def run(prepared: Any) -> list[Any]:
            x, dy = prepared
            return list(jax.block_until_ready(pull(x, kernel, bias, dy)))

        def arrays(found: Any) -> list[np.ndarray]:
            dx, dkernel, dbias = (np.asarray(a) for a in found)
            if name == "local convolution":
                dkernel = our_kernel(case, dkernel)
            return [dx, dkernel, dbias]

        def prepare(x: np.ndarray, dy: np.ndarray) -> Any:
            return jnp.asarray(x), jnp.asarray(dy)

        return Way(prepare, run, arrays, in_blocks=not case.shared)

    return {name: lambda n=name, m=made: way(n, m) for name, made in products(case).items()}  # type: ignore[misc]
