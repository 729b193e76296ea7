"""`predict`: the same answers for any batch, any threads, any place for them."""

import sys

import numpy as np
import pytest

import lcfast
from tests.support import goldens
from tests.support.cases import LAYOUTS, assert_same_bits
from tests.support.model_cases import EVERY_MODEL, as_given, as_list, part, rows, small

ONE_OUTPUT = [name for name in goldens.MODELS if "two_outputs" not in name]


# ---------------------------------------------------------------- predict


@EVERY_MODEL
def test_the_bits_do_not_depend_on_the_batch_size(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = rows(case, 11)
    expected = as_list(model(x))
    for batch_size in (1, 2, 3, 1024):
        for got, wanted in zip(
            as_list(model.predict(x, batch_size=batch_size)), expected, strict=True
        ):
            assert_same_bits(got, wanted)
    for got, wanted in zip(as_list(model.predict(part(x, slice(4, 5)))), expected, strict=True):
        assert_same_bits(got, wanted[4:5])
    for got, wanted in zip(as_list(model.vjp(x)[0]), expected, strict=True):
        assert_same_bits(got, wanted)


@EVERY_MODEL
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_do_not_depend_on_the_number_of_threads(name, threads, threads_for_any_work):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x, before = rows(case, 5), lcfast.get_num_threads()
    expected = as_list(model.predict(x))
    lcfast.set_num_threads(threads)
    try:
        for got, wanted in zip(as_list(model.predict(x)), expected, strict=True):
            assert_same_bits(got, wanted)
    finally:
        lcfast.set_num_threads(before)


@pytest.mark.parametrize("name", ONE_OUTPUT)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_input_changes_no_bit(name, layout):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = rows(case, 3)
    other = LAYOUTS[layout](x)
    assert_same_bits(model(other), model(x))
    assert_same_bits(model.predict(other, batch_size=2), model(x))


@pytest.mark.parametrize("name", ONE_OUTPUT)
@pytest.mark.parametrize("batch_size", [1, 3, 1024])
def test_an_answer_goes_where_the_caller_wants_it(name, batch_size):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = rows(case, 5)
    expected = model(x)
    wide = np.full((2 * len(expected), *expected.shape[1:]), np.nan, expected.dtype)
    for out in (np.empty_like(expected), wide[::2]):
        assert model.predict(x, batch_size, out=out) is out
        assert_same_bits(out, expected)
        out[...] = np.nan
        assert model(x, out=out) is out
        assert_same_bits(out, expected)
    assert np.isnan(wide[1::2]).all()


@pytest.mark.parametrize("batch_size", [1, 2, 1024])
def test_an_answer_may_overlap_the_input(batch_size):
    model = small()
    shared = np.random.default_rng(1).standard_normal((6, 3)).astype("f4")
    expected = model(shared[:-1])
    assert model.predict(shared[:-1], batch_size, out=shared[1:]).base is shared
    assert_same_bits(shared[1:], expected)


def test_files_are_read_and_written_batch_by_batch(tmp_path):
    model = small()
    rng = np.random.default_rng(1)
    np.save(tmp_path / "x.npy", rng.standard_normal((7, 3)))  # float64, converted on the way
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (7, 3))
    assert model.predict(x, batch_size=2, out=out) is out
    assert_same_bits(np.load(tmp_path / "y.npy"), model(np.array(x)))


def test_progress_is_told_the_rows_of_each_batch():
    told = []
    model = small()
    x = np.ones((7, 3))
    expected = model.predict(x)
    assert_same_bits(model.predict(x, batch_size=3, progress=told.append), expected)
    assert told == [3, 3, 1]


def test_progress_is_told_of_rows_that_are_scored_at_once():
    model, told = lcfast.Sequential([lcfast.Dense(2, input_shape=(3,))]), []
    model.predict(np.ones((5, 3), "f4"), progress=told.append)
    assert told == [5]


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
def test_progress_is_shown_where_it_is_asked_for(verbose, capsys):
    y = small().predict(np.ones((7, 3)), batch_size=3, verbose=verbose)
    printed = capsys.readouterr()
    assert y.shape == (7, 3)
    assert printed.out == ""
    assert ("7.00/7.00" in printed.err) == (verbose == 1)


@EVERY_MODEL
def test_no_rows_give_no_rows(name):
    case = goldens.model_case(name)
    model = lcfast.load_model(case.path)
    x = part(as_given(case.x), slice(0, 0))
    for got, expected in zip(as_list(model.predict(x)), case.y, strict=True):
        assert_same_bits(got, expected[:0])
    for got, expected in zip(as_list(model(x)), case.y, strict=True):
        assert_same_bits(got, expected[:0])
    y, pullback = model.vjp(x)
    dx, dweights = pullback(y)
    for got, expected in zip(as_list(dx), case.x, strict=True):
        assert_same_bits(got, expected[:0])
    assert not any(np.any(d) for d in dweights)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", True], ids=repr)
def test_a_batch_size_must_be_a_positive_integer(batch_size):
    with pytest.raises(ValueError, match="The `batch_size` argument must be a positive integer"):
        small().predict(np.ones((2, 3)), batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [2**31, sys.maxsize, 10**30], ids=str)
def test_a_batch_may_be_larger_than_there_are_rows(batch_size):
    model, x = small(), np.ones((5, 3))
    assert_same_bits(model.predict(x, batch_size), model(x))


def test_a_batch_size_may_be_of_numpy():
    model = small()
    assert_same_bits(model.predict(np.ones((5, 3)), np.int16(2)), model(np.ones((5, 3))))
