"""The cached fast path of forward calls: bit-identical results, and no call that needs checks."""

import copy
import pickle
import re

import numpy as np
import pytest

import lcfast
from lcfast.local_conv import _fast_path, ops
from lcfast.local_conv.geometry import CHANNELS_FIRST, CHANNELS_LAST, Geometry
from lcfast.local_conv.ops import LINEAR, Activation, ComputeOptions
from tests.support.cases import DTYPES, PATHS, assert_same_bits

RELU = Activation("relu")


def arrays(geometry, rows, dtype="float32"):
    rng = np.random.default_rng(rows)
    shapes = (rows, *geometry.input_shape), geometry.kernel_shape, (geometry.bias_size,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def small(data_format=CHANNELS_LAST):
    return Geometry((9, 8), 3, 5, (3, 2), (1, 2), data_format)


@pytest.fixture
def taken(monkeypatch):
    """Result of the cached fast path for each call, None where it was not taken."""
    results = []

    def recorded(*arguments):
        results.append(_fast_path.forward(*arguments))
        return results[-1]

    monkeypatch.setattr(ops, "cached_forward", recorded)
    return results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 31, 64])
@pytest.mark.parametrize("data_format", [CHANNELS_FIRST, CHANNELS_LAST])
def test_a_repeated_call_has_the_bits_of_the_first(taken, rows, path, dtype, data_format):
    geometry, options = small(data_format), ComputeOptions(kernel_path=path)
    for bias_given in (True, False):
        x, kernel, bias = arrays(geometry, rows, dtype)
        bias = bias if bias_given else None
        first = ops.forward(x, kernel, bias, geometry, RELU, options=options)
        again = ops.forward(x, kernel, bias, geometry, RELU, options=options)
        if rows in (1, 64):  # along filters, along the batch
            assert taken[-1] is again
        assert_same_bits(again, first)
        out = np.full_like(first, np.nan)
        assert ops.forward(x, kernel, bias, geometry, RELU, out, options) is out
        assert_same_bits(out, first)


def test_the_first_call_of_a_kind_does_not_take_the_fast_path(taken):
    geometry = small()
    x, kernel, bias = arrays(geometry, 1)
    ops.forward(x, kernel, bias, geometry)
    assert taken == [None]
    ops.forward(x, kernel, bias, geometry, RELU)
    assert taken == [None, None]
    ops.forward(x, kernel, bias, geometry, RELU, options=ComputeOptions(threads=2))
    assert taken == [None, None, None]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.int8),
        lambda x: x[:, ::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.tolist(),
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("<f4").reshape(x.shape),
        lambda x: x.astype(">f4"),
    ],
    ids=["float64", "int8", "reversed", "fortran", "list", "misaligned", "big-endian"],
)
def test_arrays_that_must_be_converted_do_not_take_the_fast_path(taken, change):
    geometry = small()
    x, kernel, bias = arrays(geometry, 2)
    ops.forward(x, kernel, bias, geometry)
    given = change(x)
    y = ops.forward(given, kernel, bias, geometry)
    assert taken[-1] is None
    again = np.ascontiguousarray(given, np.float32)
    assert_same_bits(y, ops.forward(again, kernel, bias, geometry))


def test_an_output_that_does_not_fit_is_refused_in_a_repeated_call():
    geometry = small()
    x, kernel, bias = arrays(geometry, 2)
    right = ops.forward(x, kernel, bias, geometry)
    for out, error in (
        (np.empty((3, *right.shape[1:]), np.float32), ValueError),
        (right.astype(np.float64), TypeError),
        ([], TypeError),
    ):
        with pytest.raises(error, match="out"):
            ops.forward(x, kernel, bias, geometry, out=out)
    right.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ops.forward(x, kernel, bias, geometry, out=right)
    with pytest.raises(ValueError, match=re.escape(str(x[:, :-1].shape))):
        ops.forward(x[:, :-1], kernel, bias, geometry)


def test_an_output_that_overlaps_the_input_does_not_take_the_fast_path(taken):
    geometry = Geometry((4,), 2, 2, (1,), (1,))
    x, kernel, bias = arrays(geometry, 3)
    expected = ops.forward(x, kernel, bias, geometry)
    got = ops.forward(x, kernel, bias, geometry, out=x)
    assert taken[-1] is None
    assert got is x
    assert_same_bits(got, expected)


def test_strided_outputs_have_the_same_bits():
    geometry = small()
    x, kernel, bias = arrays(geometry, 2)
    expected = ops.forward(x, kernel, bias, geometry)
    room = np.zeros((4, *expected.shape[1:]), np.float32)
    ops.forward(x, kernel, bias, geometry, out=room[::2])
    assert_same_bits(room[::2].copy(), expected)
    assert not room[1::2].any()


def test_a_geometry_caches_a_limited_number_of_calls():
    geometry = small()
    for rows in range(1, 200):
        ops.forward(*arrays(geometry, rows), geometry)
    assert len(geometry.__dict__["_cached_calls"]) <= 64


def test_a_cached_call_belongs_to_a_number_of_threads(taken):
    geometry = small()
    x, kernel, bias = arrays(geometry, 1)
    try:
        for threads in (1, 2, 1, 2):
            lcfast.set_num_threads(threads)
            ops.forward(x, kernel, bias, geometry)
    finally:
        lcfast.set_num_threads(None)
    assert [answer is None for answer in taken] == [True, True, False, False]


def test_a_layer_that_took_the_fast_path_can_be_copied_and_pickled():
    layer = lcfast.LocallyConnected1D(4, 3)
    x = np.ones((2, 6, 3), np.float32)
    expected = [layer(x), layer(x)][1]
    assert_same_bits(copy.deepcopy(layer)(x), expected)
    assert_same_bits(ops.forward(
        x, *layer.own_record(), pickle.loads(pickle.dumps(layer.geometry)), LINEAR
    ), expected)  # fmt: skip


def test_new_weights_are_used_by_the_next_call():
    layer = lcfast.LocallyConnected1D(4, 3, activation="relu", use_bias=False)
    x = np.ones((1, 6, 3), np.float32)
    layer(x), layer(x)
    kernel = np.ones_like(layer.get_weights()[0])
    layer.set_weights([kernel])
    np.testing.assert_array_equal(layer(x), np.full((1, 4, 4), 9))
    layer.set_weights([-kernel])
    np.testing.assert_array_equal(layer(x), np.zeros((1, 4, 4)))


def test_a_subclass_with_its_own_forward_does_not_take_the_fast_path():
    class Doubled(lcfast.LocallyConnected1D):
        def forward(self, weights, inputs, training=False, out=None):
            return 2 * super().forward(weights, inputs, training)

    layer = Doubled(4, 3)
    plain = lcfast.LocallyConnected1D(4, 3)
    x = np.ones((1, 6, 3), np.float32)
    plain(x)
    layer.build((None, 6, 3))
    layer.set_weights(plain.get_weights())
    for _ in range(3):
        np.testing.assert_array_equal(layer(x), 2 * plain(x))
