"""Forward and backward of real shapes under pytest-benchmark; each answer is checked first."""

from typing import Any

import numpy as np
import pytest

from benchmarks.answers import (
    check_gradients,
    check_outputs,
    input_of,
    output_gradient_of,
    weights_of,
)
from benchmarks.cases import CASES
from benchmarks.peers.lcfast import layer_of, rows_of

BATCHES = (1, 32)
SMALL_ENOUGH = [name for name, case in CASES.items() if case.operations(32) < 2e9]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", SMALL_ENOUGH)
def test_forward(benchmark: Any, name: str, batch: int) -> None:
    case = CASES[name]
    weights = weights_of(case)
    layer, x = layer_of(case, weights), input_of(case, batch)
    out = layer(rows_of(case, x))
    check_outputs(case, weights, x, out)
    benchmark(layer, rows_of(case, x), out=out)


@pytest.mark.parametrize("name", SMALL_ENOUGH)
def test_both_gradients(benchmark: Any, name: str) -> None:
    case = CASES[name]
    weights = weights_of(case)
    x, dy = input_of(case, 32), output_gradient_of(case, 32)
    y, pullback = layer_of(case, weights).vjp(rows_of(case, x))
    dx, dweights = pullback(dy.reshape(y.shape))
    check_gradients(case, weights, x, dy, [dx, *dweights])
    benchmark(pullback, dy.reshape(y.shape))


@pytest.mark.parametrize("prune", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("name", ["docs_lc2d_a", "deepface_L6"])
def test_forward_of_a_layer_with_nine_in_ten_weights_zero(
    benchmark: Any, name: str, prune: bool
) -> None:
    case = CASES[name]
    layer, x = layer_of(case, weights_of(case)), input_of(case, 32)
    weights = layer.get_weights()
    weights[0][np.random.default_rng(1).random(weights[0].shape) < 0.9] = 0
    layer.set_weights(weights)
    config = {**layer.get_config(), "engine": "sparse", "prune": prune}
    sparse = type(layer).from_config(config)
    sparse.build((None, *x.shape[1:]))
    sparse.set_weights(weights)
    out = sparse(x)
    np.testing.assert_array_equal(out, layer(x))
    benchmark(sparse, x, out=out)
