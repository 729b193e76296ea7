"""The integers of geometry.py, against enumeration by loops that know nothing of runs."""

import dataclasses
import itertools

import numpy as np
import pytest
from cases import GEOMETRIES

from lcfast.local_conv.geometry import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Geometry,
    valid_output_size,
)

every_geometry = pytest.mark.parametrize("name", GEOMETRIES)


def starts_along(size, kernel, stride):
    return [start for start in range(0, size, stride) if start + kernel <= size]


def brute_force_taps(geometry):
    """Flat input index of each tap of each window, in Keras's order of the features."""
    starts = itertools.product(
        *map(starts_along, geometry.input_size, geometry.kernel_size, geometry.strides)
    )
    inside = [range(size) for size in geometry.kernel_size]
    windows = []
    for start in starts:
        if geometry.data_format == CHANNELS_FIRST:  # (C, kh, kw)
            taps = [
                (channel, *map(sum, zip(start, within, strict=True)))
                for channel in range(geometry.channels)
                for within in itertools.product(*inside)
            ]
        else:  # (kh, kw, C)
            taps = [
                (*map(sum, zip(start, within, strict=True)), channel)
                for within in itertools.product(*inside)
                for channel in range(geometry.channels)
            ]
        windows.append([np.ravel_multi_index(tap, geometry.input_shape) for tap in taps])
    return np.array(windows)


@every_geometry
def test_the_taps_are_those_that_loops_over_the_windows_find(name):
    geometry = GEOMETRIES[name]
    np.testing.assert_array_equal(geometry.taps(), brute_force_taps(geometry))


@every_geometry
def test_the_shapes_follow_from_the_windows(name):
    geometry = GEOMETRIES[name]
    positions, patch_size = brute_force_taps(geometry).shape
    along_each = zip(geometry.input_size, geometry.kernel_size, geometry.strides, strict=True)
    size = tuple(len(starts_along(*along)) for along in along_each)
    first = geometry.data_format == CHANNELS_FIRST
    assert geometry.channels_first is first
    assert geometry.output_size == size
    assert geometry.output_columns == size[-1]
    assert geometry.positions == positions
    assert geometry.patch_size == patch_size
    assert geometry.input_shape == (
        (geometry.channels, *geometry.input_size)
        if first
        else (*geometry.input_size, geometry.channels)
    )
    assert geometry.output_shape == (
        (geometry.filters, *size) if first else (*size, geometry.filters)
    )
    if geometry.shared:
        assert geometry.kernel_shape == (1, patch_size, geometry.filters)
        assert geometry.bias_size == geometry.filters
    else:
        assert geometry.kernel_shape == (positions, patch_size, geometry.filters)
        assert geometry.bias_size == positions * geometry.filters


@every_geometry
def test_runs_are_contiguous_and_as_many_as_the_table_says(name):
    geometry = GEOMETRIES[name]
    *rows, columns = geometry.kernel_size
    runs, run_length = int(np.prod(rows, dtype=int)), columns
    if geometry.channels_first:
        runs *= geometry.channels
    else:
        run_length *= geometry.channels
    assert (geometry.runs, geometry.run_length) == (runs, run_length)
    taps = brute_force_taps(geometry).reshape(geometry.positions, runs, run_length)
    assert (np.diff(taps, axis=2) == 1).all()
    np.testing.assert_array_equal(geometry.run_offsets, (taps[:, :, 0] - taps[:, :1, 0])[0])
    assert geometry.run_offsets.dtype == np.int64


@every_geometry
def test_windows_start_where_the_two_steps_lead(name):
    geometry = GEOMETRIES[name]
    first_taps = brute_force_taps(geometry)[:, 0]
    np.testing.assert_array_equal(geometry.window_offsets(), first_taps)
    down, along = geometry.window_steps
    for position, tap in enumerate(first_taps):
        row, column = divmod(position, geometry.output_size[-1])
        assert tap == row * down + column * along


def test_the_output_size_counts_the_windows_that_fit():
    for size, kernel, stride in itertools.product(range(1, 12), range(1, 7), range(1, 5)):
        count = len(starts_along(size, kernel, stride))
        assert max(valid_output_size(size, kernel, stride), 0) == count


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Geometry)])
def test_a_geometry_is_frozen(field):
    geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(geometry, field, getattr(geometry, field))


def test_equal_integers_make_equal_geometries_with_equal_hashes():
    first = Geometry((5, 6), 2, 3, (2, 2), (1, 1))
    second = Geometry((5, 6), 2, 3, (2, 2), (1, 1), CHANNELS_LAST, False)
    assert first.taps().shape == (20, 8)  # what is computed and kept makes no difference
    assert first == second
    assert hash(first) == hash(second)
    assert {first: "kept"}[second] == "kept"


@pytest.mark.parametrize(
    "change",
    [
        {"input_size": (6, 5)},
        {"channels": 1},
        {"filters": 4},
        {"kernel_size": (2, 1)},
        {"strides": (1, 2)},
        {"data_format": CHANNELS_FIRST},
        {"shared": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_geometries_differ_where_one_integer_does(change):
    geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1))
    assert dataclasses.replace(geometry, **change) != geometry


def test_what_is_computed_once_is_kept():
    geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1))
    assert geometry.run_offsets is geometry.run_offsets
