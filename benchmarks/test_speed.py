"""Forward and backward of real shapes under pytest-benchmark; each answer is checked first."""

import cases
import numpy as np
import pytest

import lcfast


def layer_and_input(name, batch):
    shape, filters, kernel_size, strides = cases.CASES[name]
    kind = lcfast.LocallyConnected1D if len(shape) == 2 else lcfast.LocallyConnected2D
    layer = kind(filters, kernel_size, strides=strides, input_shape=shape)
    layer.build((None, *shape))
    return layer, np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)


def expected(layer, x):
    """The first row of the output in float64: every window times its filters, by numpy."""
    taps = layer.geometry.taps()
    kernel = layer.get_weights()[0].astype(np.float64)
    windows = x[0].reshape(-1)[taps].astype(np.float64)
    return np.einsum("pk,pkf->pf", windows, kernel).reshape(layer.geometry.output_shape)


@pytest.mark.parametrize("batch", cases.BATCHES)
@pytest.mark.parametrize("name", cases.CASES)
def test_forward(benchmark, name, batch):
    layer, x = layer_and_input(name, batch)
    out = layer(x)
    np.testing.assert_allclose(out[0], expected(layer, x), rtol=1e-4, atol=1e-4)
    benchmark(layer, x, out=out)


@pytest.mark.parametrize("name", cases.CASES)
def test_both_gradients(benchmark, name):
    layer, x = layer_and_input(name, 32)
    y, pullback = layer.vjp(x)
    dx, dweights = pullback(y)
    # <dy, f(x, W)> = <dx, x> = <dW, W>, as there is neither bias nor activation in effect
    energy = np.vdot(y.astype(np.float64), y)
    assert np.vdot(dx.astype(np.float64), x) == pytest.approx(energy, rel=1e-4)
    kernel = layer.get_weights()[0]
    assert np.vdot(dweights[0].astype(np.float64), kernel) == pytest.approx(energy, rel=1e-4)
    benchmark(pullback, y)


@pytest.mark.parametrize("prune", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("name", ["docs_lc2d_a", "deepface_L6"])
def test_forward_of_a_layer_with_nine_in_ten_weights_zero(benchmark, name, prune):
    layer, x = layer_and_input(name, 32)
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
