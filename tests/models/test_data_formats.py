"""The rules of another data format: which numbers of a row go where, and what is refused."""

import numpy as np
import pytest

import lcfast
from lcfast.models.converting import convert
from tests.support.cases import assert_same_bits

FIRST, LAST = "channels_first", "channels_last"


class Own(lcfast.Conv1D):
    """A class of the user's, which may compute something else."""


def scattered(x):
    """Numbers that lie in another order once channels have moved."""
    return lcfast.Flatten(data_format=FIRST)(lcfast.Conv1D(2, 1)(x))


def in_two_axes(x):
    return lcfast.Reshape((2, -1))(scattered(x))


REFUSED = {
    "contains layers or has a data format": lambda x: Own(2, 2)(x),
    "runs over an axis whose numbers would be": lambda x: lcfast.Softmax(1)(in_two_axes(x)),
    "normalises an axis whose numbers": lambda x: lcfast.BatchNormalization(1)(in_two_axes(x)),
    "has a slope for each number": lambda x: lcfast.PReLU()(in_two_axes(x)),
    "numbers would be in different orders": lambda x: lcfast.Add()(
        [scattered(x), lcfast.Flatten(data_format=LAST)(lcfast.Conv1D(2, 1)(x))]
    ),
    "takes inputs whose axes would differ": lambda x: lcfast.Concatenate()(
        [in_two_axes(x), in_two_axes(x)]
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_layer_that_needs_an_order_it_would_not_get_is_refused(reason):
    x = lcfast.Input((4, 3))
    model = lcfast.Model(x, REFUSED[reason](x))
    with pytest.raises(ValueError, match=reason):
        convert(model, data_format=FIRST)


def test_numbers_in_the_same_order_are_merged_in_it():
    x = lcfast.Input((4, 3), dtype="float64")
    one, other = (
        lcfast.Flatten(data_format=FIRST)(lcfast.Conv1D(2, 1, dtype="float64")(x)) for _ in "ab"
    )
    merged = lcfast.Multiply(dtype="float64")([one, other])
    model = lcfast.Model(x, lcfast.Dense(2, dtype="float64")(merged))
    converted = convert(model, data_format=FIRST)
    rows = np.random.default_rng(0).standard_normal((5, 4, 3))
    moved = np.ascontiguousarray(np.moveaxis(rows, -1, 1))
    np.testing.assert_allclose(converted.predict(moved), model.predict(rows), rtol=1e-12)


def test_an_engine_that_was_asked_for_is_kept():
    model = lcfast.Sequential([lcfast.Conv1D(2, 2, engine="direct", input_shape=(4, 3))])
    converted = convert(model, data_format=FIRST)
    assert converted.layers[0].engine == "direct"
    rows = np.random.default_rng(0).standard_normal((5, 4, 3)).astype("f4")
    moved = np.ascontiguousarray(np.moveaxis(rows, -1, 1))
    answer = np.moveaxis(converted.predict(moved), 1, -1)
    np.testing.assert_allclose(answer, model.predict(rows), rtol=1e-5, atol=1e-6)


def test_a_layer_of_the_wanted_format_alone_keeps_its_answers():
    layer = lcfast.LocallyConnected1D(2, 2, input_shape=(5, 3))
    model = lcfast.Sequential([layer])
    same = layer.with_data_format(LAST)
    x = np.ones((2, 5, 3), "f4")
    assert same is not layer
    assert_same_bits(same(x), model.predict(x))
