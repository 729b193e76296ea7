"""`layer.plan(batch)`: how a call computes, before it does."""

import numpy as np
import pytest

import lcfast


@pytest.fixture
def one_thread():
    lcfast.set_num_threads(1)
    yield
    lcfast.set_num_threads(None)


def built(kind=lcfast.LocallyConnected1D, shape=(15, 21), filters=8, size=3, **options):
    layer = kind(filters, size, name="lc", **options)
    layer.build((None, *shape))
    return layer


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ({}, "direct"),
        ({"implementation": 2}, "sparse"),
        ({"implementation": 3}, "sparse"),
        ({"implementation": 3, "engine": "direct"}, "direct"),
        ({"filters": 1, "engine": "auto"}, "direct"),
        (
            {"filters": 1, "engine": "auto", "implementation": 3, "padding": "same"},
            "sparse",
        ),
    ],
    ids=str,
)
def test_a_plan_names_the_engine_that_computes(options, engine):
    for batch in (1, 100):
        plan = built(**options).plan(batch)
        assert plan.engine == engine
        assert (engine in str(plan)) == (engine != "direct")


@pytest.mark.usefixtures("one_thread")
def test_a_plan_follows_the_batch_and_the_threads_set():
    layer = built(lcfast.LocallyConnected2D, (32, 32, 3), 64)
    assert layer.plan(512).threads == 1
    lcfast.set_num_threads(2)
    assert layer.plan(512).threads == min(2, lcfast.get_num_threads())
    assert layer.plan() == layer.plan(1)
    assert built().plan(1).threads == 1  # too small for two


def test_padding_and_data_formats_have_plans():
    for options in (
        {"padding": "same", "implementation": 3, "engine": "direct"},
        {"data_format": "channels_first"},
    ):
        for batch in (1, 7, 64):
            assert built(**options).plan(batch).regime


def test_dense_has_a_plan_for_rows():
    layer = lcfast.Dense(5)
    layer.build((None, 7))
    plan = layer.plan(32)
    assert (plan.engine, plan.regime) == ("direct", "filters")
    assert plan.block == (1, 5, 32)


def test_without_a_geometry_there_is_no_plan():
    conv = lcfast.Conv1D(2, 3, name="conv")
    conv.build((None, 9, 2))
    for layer in (lcfast.LocallyConnected1D(2, 3, name="conv"), conv):
        with pytest.raises(ValueError, match="conv has no plan"):
            layer.plan(4)


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", None, True], ids=repr)
def test_a_batch_is_a_positive_integer(batch):
    with pytest.raises((TypeError, ValueError), match="batch"):
        built().plan(batch)


def test_a_call_leaves_the_plan_as_it_was():
    layer = built()
    before = layer.plan(48)
    layer(np.ones((48, 15, 21)))
    assert layer.plan(48) == before
