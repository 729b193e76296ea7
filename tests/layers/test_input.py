"""Input and InputLayer: where a graph begins."""

import numpy as np
import pytest
from cases import assert_same_bits

import lcfast


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"shape": (4, 3)}, (None, 4, 3)),
        ({"shape": [None, np.int64(3)]}, (None, None, 3)),
        ({"shape": (4,), "batch_size": 2}, (2, 4)),
        ({"batch_shape": (None, 4)}, (None, 4)),
        ({"batch_shape": (2, 4)}, (2, 4)),
        ({"shape": ()}, (None,)),
    ],
    ids=str,
)
def test_an_input_has_the_shape_that_was_given(options, shape):
    tensor = lcfast.Input(**options)
    assert tensor.shape == shape
    assert tensor.dtype == "float32"


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float64], ids=str)
def test_an_input_has_the_dtype_that_was_given(dtype):
    assert lcfast.Input((3,), dtype=dtype).dtype == np.dtype(dtype).name


def test_an_input_has_the_name_of_its_layer():
    tensor = lcfast.Input((3,), name="signal")
    assert tensor.name == "signal"
    first, second = lcfast.Input((3,)).name, lcfast.Input((3,)).name
    assert int(second.removeprefix("input_")) == int(first.removeprefix("input_")) + 1
    assert int(first.removeprefix("input_")) >= 1


def test_an_input_layer_is_built_and_has_no_weights():
    layer = lcfast.InputLayer((4, 3), batch_size=2)
    assert layer.built
    assert layer.get_weights() == []
    assert layer.count_params() == 0
    assert layer.tensor.shape == layer.batch_input_shape == (2, 4, 3)
    assert layer.compute_output_shape((2, 4, 3)) == (2, 4, 3)


def test_an_input_layer_passes_arrays_on():
    x = np.random.default_rng(1).standard_normal((2, 3))
    layer = lcfast.InputLayer((3,))
    y, pullback = layer.vjp(x)
    assert_same_bits(layer(x), x.astype("f4"))
    assert_same_bits(y, x.astype("f4"))
    dx, dweights = pullback(2 * x)
    assert_same_bits(dx, (2 * x).astype("f4"))
    assert dweights == []


@pytest.mark.parametrize("option", ["sparse", "ragged", "optional"])
def test_inputs_of_another_kind_are_refused(option):
    with pytest.raises(ValueError, match="asks for sparse, ragged or optional inputs"):
        lcfast.InputLayer((3,), **{option: True})
    assert lcfast.InputLayer((3,), **{option: False}).built
    assert lcfast.InputLayer((3,), **{option: None}).built


def test_an_input_without_a_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(InputLayer\) needs a shape: give input_shape"):
        lcfast.Input()
    with pytest.raises(ValueError, match=r"Layer signal \(InputLayer\) needs a shape"):
        lcfast.InputLayer(name="signal")


@pytest.mark.parametrize("shape", [3, 3.0, "ab", (2.5,), (True,), ([1],), (-1,)], ids=repr)
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape` argument must be a tuple"):
        lcfast.Input(shape)


@pytest.mark.parametrize("dtype", ["int32", "float16", "string", 3], ids=repr)
def test_an_input_of_another_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match="The `dtype` argument must be float32 or float64"):
        lcfast.Input((3,), dtype=dtype)
