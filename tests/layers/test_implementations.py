"""Implementations 1, 2 and 3, padding same and every activation, against tf_keras; conversions."""

import threading
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest

import lcfast
from lcfast.local_conv import memory
from tests.support import goldens
from tests.support.cases import assert_same_bits
from tests.support.naive_ops import layers_on_naive_loops

CASES = goldens.layer_case_names("local_grid")
every_case = pytest.mark.parametrize("name", CASES)
KINDS = (lcfast.LocallyConnected1D, lcfast.LocallyConnected2D)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=["1d", "2d"])
each_format = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])


def layer_of(case, **options):
    layer = getattr(lcfast, case.class_name).from_config({**case.config, **options})
    layer.build((None, *case.x.shape[1:]))
    layer.set_weights(case.weights)
    return layer


def assert_near(got, expected, dtype):
    """As near as chains of a few dozen float32 products; tf_keras rounds some constants to it."""
    assert got.dtype == expected.dtype
    close = {"float32": 1e-5, "float64": 2e-8}[dtype]
    np.testing.assert_allclose(got, expected, rtol=close, atol=close * max(1, abs(expected).max()))


def random_layer(kind, data_format, implementation=3, padding="same", strides=2, **options):
    layer = kind(
        3, 3, strides=strides, padding=padding, data_format=data_format,
        implementation=implementation, dtype="float64", activation="tanh",
        kernel_initializer=lcfast.initializers.RandomNormal(seed=1),
        bias_initializer=lcfast.initializers.RandomNormal(seed=2), **options,
    )  # fmt: skip
    size = (7, 6)[: kind.spatial_dimensions]
    layer.build((None, 2, *size) if data_format == "channels_first" else (None, *size, 2))
    return layer


def rows_for(layer, rows=4, seed=0):
    shape = (rows, *layer.geometry.input_shape)
    return np.random.default_rng(seed).standard_normal(shape)


def both_ways(layer, x):
    y, pullback = layer.vjp(x)
    dx, _ = pullback(np.cos(y))
    return y, dx


# ---------------------------------------------------------------- goldens


def test_the_grid_has_every_kind_of_case():
    assert len(CASES) >= 280
    for implementation in (1, 2, 3):
        for nd in ("1d", "2d"):
            assert sum(n.startswith(f"{nd}-impl{implementation}-") for n in CASES) > 30
    assert sum("-same-" in name for name in CASES) > 100


@every_case
def test_layers_give_what_keras_gives(name):
    case = goldens.layer_case(name, "local_grid")
    layer = layer_of(case)
    y, pullback = layer.vjp(case.x)
    dx, dweights = pullback(case.dy)
    assert_near(y, case.y, layer.dtype)
    assert_near(dx, case.dx, layer.dtype)
    for got, expected in zip(dweights, case.dweights, strict=True):
        assert got.shape == expected.shape
        assert_near(got, expected, layer.dtype)


@every_case
def test_weights_come_back_as_they_were_set(name):
    case = goldens.layer_case(name, "local_grid")
    layer = layer_of(case)
    got = layer.get_weights()
    assert [w.shape for w in got] == [w.shape for w in case.weights]
    assert layer.count_params() == sum(w.size for w in case.weights)
    # What implementation 2 stores outside the mask is dropped; its gradient is exactly 0 there.
    connected = np.ones(got[0].shape, bool)
    if layer.implementation == 2:
        ones = layer_of(case)
        ones.set_weights([np.ones_like(w) for w in case.weights])
        connected = ones.get_weights()[0] != 0
        assert not case.dweights[0][~connected].any()
    np.testing.assert_array_equal(got[0][connected], case.weights[0][connected])
    assert not got[0][~connected].any()
    for after, before in zip(got[1:], case.weights[1:], strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("engine", ["direct", "sparse", "naive-loops", "auto"])
@pytest.mark.parametrize("name", CASES[::7])
def test_every_engine_gives_what_keras_gives(name, engine):
    case = goldens.layer_case(name, "local_grid")
    naive = engine == "naive-loops"
    layer = layer_of(case, engine="direct" if naive else engine)
    with layers_on_naive_loops() if naive else nullcontext():
        y, pullback = layer.vjp(case.x)
        dx, dweights = pullback(case.dy)
    assert_near(y, case.y, layer.dtype)
    assert_near(dx, case.dx, layer.dtype)
    for got, expected in zip(dweights, case.dweights, strict=True):
        assert_near(got, expected, layer.dtype)


@pytest.mark.parametrize("filters", [1, 2, 3])
@pytest.mark.parametrize(
    ("implementation", "padding"),
    [(1, "valid"), (2, "valid"), (3, "valid"), (2, "same"), (3, "same")],
)
def test_auto_follows_the_geometry_whatever_is_stored(filters, implementation, padding):
    engine = "sparse" if padding == "same" and filters <= 2 else "direct"
    layer = lcfast.LocallyConnected1D(
        filters, 3, padding=padding, implementation=implementation, engine="auto"
    )
    layer.build((None, 9, 1))
    assert layer.chosen_engine() == engine
    kernel = layer.record()[0]
    assert isinstance(kernel, np.ndarray) == (engine == "direct")


# ---------------------------------------------------------------- conversion


@each_kind
@each_format
@pytest.mark.parametrize("source", [1, 2, 3])
@pytest.mark.parametrize("target", [1, 2, 3])
def test_a_layer_of_another_implementation_computes_the_same(kind, data_format, source, target):
    layer = random_layer(kind, data_format, source, "valid")
    other = layer.with_implementation(target)
    assert other.implementation == target
    x = rows_for(layer)
    for got, expected in zip(both_ways(other, x), both_ways(layer, x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
    back = other.with_implementation(source)
    for got, expected in zip(back.get_weights(), layer.get_weights(), strict=True):
        assert_same_bits(got, expected)


@each_kind
@each_format
@pytest.mark.parametrize("source", [2, 3])
def test_padding_same_cannot_become_implementation_1(kind, data_format, source):
    layer = random_layer(kind, data_format, source)
    assert layer.with_implementation(5 - source).implementation == 5 - source
    with pytest.raises(ValueError, match='only "valid" is supported if implementation is 1'):
        layer.with_implementation(1)


@pytest.mark.parametrize("number", [0, 4, "1", None, True])
def test_an_implementation_that_keras_does_not_have_is_refused(number):
    layer = random_layer(lcfast.LocallyConnected1D, "channels_last", 3, "valid")
    with pytest.raises(ValueError, match=f"Unrecognized implementation mode: {number}"):
        layer.with_implementation(number)


@each_kind
@each_format
@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_a_layer_of_the_other_data_format_computes_the_same(kind, data_format, implementation):
    padding = "valid" if implementation == 1 else "same"
    layer = random_layer(kind, data_format, implementation, padding)
    first = data_format == "channels_first"
    other = layer.with_data_format("channels_last" if first else "channels_first")
    move = (lambda a: np.moveaxis(a, 1, -1)) if first else (lambda a: np.moveaxis(a, -1, 1))
    x = rows_for(layer)
    moved = both_ways(other, move(x))
    for got, expected in zip(moved, both_ways(layer, x), strict=True):
        np.testing.assert_allclose(got, move(expected), rtol=1e-12, atol=1e-13)
    back = other.with_data_format(data_format)
    for got, expected in zip(back.get_weights(), layer.get_weights(), strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("activation", ["softmax", "log_softmax", np.sin])
def test_an_activation_over_the_last_axis_keeps_the_data_format(activation):
    layer = lcfast.LocallyConnected1D(2, 2, activation=activation, data_format="channels_last")
    layer.build((None, 5, 1))
    with pytest.raises(ValueError, match="last axis"):
        layer.with_data_format("channels_first")


@pytest.mark.parametrize("convert", ["with_implementation", "with_data_format", "to_sparse"])
def test_only_a_built_layer_can_be_converted(convert):
    layer = lcfast.LocallyConnected1D(2, 2, name="local")
    arguments = {"with_implementation": (3,), "with_data_format": ("channels_first",)}
    with pytest.raises(ValueError, match="Layer local is not built yet"):
        getattr(layer, convert)(*arguments.get(convert, ()))


def test_a_layer_whose_activation_is_a_function_can_be_converted():
    layer = lcfast.LocallyConnected1D(
        2, 2, activation=np.sin, kernel_initializer=lambda s, d: np.ones(s, d)
    )
    layer.build((None, 5, 1))
    other = layer.with_implementation(3)
    x = np.random.default_rng(0).standard_normal((3, 5, 1)).astype("f4")
    assert_same_bits(other(x), layer(x))
    assert other.activation is layer.activation


def test_a_conversion_leaves_the_layer_alone():
    layer = random_layer(lcfast.LocallyConnected1D, "channels_last", 3, "valid")
    before = layer.get_weights()
    other = layer.with_implementation(1)
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    for got, expected in zip(layer.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


# ---------------------------------------------------------------- sparse


@each_kind
@each_format
@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_the_matrix_maps_flat_inputs_to_flat_outputs(kind, data_format, implementation):
    from scipy.sparse import csr_array

    padding = "valid" if implementation == 1 else "same"
    layer = random_layer(kind, data_format, implementation, padding)
    matrix = layer.to_sparse()
    assert isinstance(matrix, csr_array)
    assert matrix.has_sorted_indices
    x = rows_for(layer)
    flat = x.reshape(len(x), -1) @ matrix + layer.get_weights()[1].ravel()
    # Sums of tens of products of about 0.05: near 0 what is left of them has no relative error.
    close = {"rtol": 1e-12, "atol": 1e-15}
    np.testing.assert_allclose(np.tanh(flat).reshape(layer(x).shape), layer(x), **close)
    before = both_ways(layer, x)
    matrix.data[::2] = 0
    matrix.eliminate_zeros()  # moves the indices, in place
    for got, expected in zip(both_ways(layer, x), before, strict=True):
        assert_same_bits(got, expected)
    assert layer.to_sparse().nnz == layer.geometry.connections


@pytest.mark.parametrize("implementation", [2, 3])
def test_a_pruned_layer_computes_the_same_and_gives_all_weights_back(implementation):
    layer = random_layer(lcfast.LocallyConnected2D, "channels_last", implementation)
    weights = layer.get_weights()
    weights[0][np.random.default_rng(1).random(weights[0].shape) < 0.9] = 0
    layer.set_weights(weights)
    pruned = type(layer).from_config({**layer.get_config(), "prune": True})
    pruned.build((None, *layer.geometry.input_shape))
    pruned.set_weights(weights)
    assert pruned.to_sparse().nnz == np.count_nonzero(weights[0])
    x = rows_for(layer, 70)
    for got, expected in zip(both_ways(pruned, x), both_ways(layer, x), strict=True):
        np.testing.assert_array_equal(got, expected)
    for got, expected in zip(pruned.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    dy = np.ones(layer.compute_output_shape(x.shape))
    for got, expected in zip(pruned.vjp(x)[1](dy)[1], layer.vjp(x)[1](dy)[1], strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_vector_of_implementation_3_is_the_matrix_in_memory_once():
    layer = lcfast.LocallyConnected1D(2, 3, implementation=3)
    layer.build((None, 9, 1))
    kernel = layer.record()[0]
    assert layer.unpack(layer.record())[0] is kernel.numbers


# ---------------------------------------------------------------- memory and time


def test_implementation_2_never_holds_a_dense_matrix():
    tracemalloc.start()
    layer = lcfast.LocallyConnected1D(1, 3, implementation=2, kernel_initializer="random_normal")
    x = np.ones((32, 4000, 1), "f4")
    y = layer(x)
    _, pullback = layer.vjp(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert layer.count_params() == 4000 * 3998 + 3998
    assert peak - x.nbytes - 4 * y.nbytes < 20e6
    dense = layer.get_weights()[0]
    assert dense.nbytes == 4000 * 3998 * 4
    assert np.count_nonzero(dense) == 3 * 3998
    assert pullback(y)[1][0].shape == dense.shape


def test_a_dense_tensor_that_does_not_fit_is_refused_with_what_it_needs(monkeypatch):
    layer = lcfast.LocallyConnected1D(1, 3, implementation=2, name="local")
    x = np.ones((2, 1_000_000, 1), "f4")
    y, pullback = layer.vjp(x)
    expected = (
        r"The kernel of layer local as implementation 2 stores it needs 4,000\.0 GB, but .* GB are "
        r"free; use layer\.with_implementation\(1\) or layer\.with_implementation\(3\)"
    )
    for refused in (layer.get_weights, lambda: pullback(y), lambda: layer.weights[0].value):
        with pytest.raises(MemoryError, match=expected):
            refused()
    assert layer.count_params() == 1_000_000 * 999_998 + 999_998
    assert layer.with_implementation(3).get_weights()[0].shape == (2_999_994,)


def test_memory_that_nobody_knows_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.check_memory(10**18, "It", "do nothing") is None


def test_a_layer_of_a_million_positions_is_built_in_a_second():
    layer = lcfast.LocallyConnected1D(1, 3, implementation=3)
    thread = threading.Thread(target=layer.build, args=((None, 1_000_002, 1),), daemon=True)
    thread.start()
    thread.join(timeout=3)  # a loaded machine may take longer than the second that it takes here
    assert layer.built
    assert layer.weight_shapes()[0] == (3_000_000,)


# ---------------------------------------------------------------- refusals


@each_kind
@pytest.mark.parametrize("implementation", [2, 3])
@pytest.mark.parametrize(
    "weights",
    [[], [np.zeros(3)], [np.zeros(3), np.zeros(3)], [object(), 1], [[[1], [1, 2]], 0]],
    ids=["none", "one", "misshapen", "object", "ragged"],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_changes(kind, implementation, weights):
    layer = random_layer(kind, "channels_last", implementation)
    before = layer.get_weights()
    with pytest.raises((ValueError, TypeError), match="weight"):
        layer.set_weights(weights)
    for got, expected in zip(layer.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


@each_kind
@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("argument", ["filters", "kernel_size", "strides"])
@pytest.mark.parametrize("value", [True, 1.0, "3", None, -1, 0, 2**40, [2.0]], ids=repr)
def test_sizes_that_are_none_are_refused_at_once(kind, implementation, argument, value):
    arguments = {"filters": 2, "kernel_size": 2, "strides": 1, argument: value}
    with pytest.raises(ValueError, match=f"`{argument}` argument"):
        kind(**arguments, implementation=implementation)


@pytest.mark.parametrize("implementation", [2, 3])
def test_another_input_shape_after_build_is_refused(implementation):
    layer = random_layer(lcfast.LocallyConnected1D, "channels_last", implementation)
    with pytest.raises(ValueError, match="was built for inputs of shape"):
        layer(np.ones((1, 8, 2)))
