"""Geometry against enumeration by plain loops over positions and taps."""

import copy
import dataclasses
import itertools
import math
import pickle

import numpy as np
import pytest

from lcfast.local_conv.geometry import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Geometry,
    same_output_size,
    same_pads,
    sum_clipped,
    valid_output_size,
)
from tests.support.cases import GEOMETRIES, SAME_GEOMETRIES

every_geometry = pytest.mark.parametrize("name", GEOMETRIES)
every_padded_geometry = pytest.mark.parametrize("name", SAME_GEOMETRIES)


def starts_along(size, kernel, stride):
    return [start for start in range(0, size, stride) if start + kernel <= size]


def brute_force_taps(geometry):
    """Flat input index of each tap of each position, in the order of Keras's kernel."""
    starts = itertools.product(
        *map(starts_along, geometry.input_size, geometry.kernel_size, geometry.strides)
    )
    inside = [range(size) for size in geometry.kernel_size]
    fields = []
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
        fields.append([np.ravel_multi_index(tap, geometry.input_shape) for tap in taps])
    return np.array(fields)


@every_geometry
def test_the_taps_are_those_that_plain_loops_find(name):
    geometry = GEOMETRIES[name]
    np.testing.assert_array_equal(geometry.taps(), brute_force_taps(geometry))


@every_geometry
def test_the_shapes_follow_from_the_taps(name):
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
def test_runs_are_contiguous_and_have_the_documented_number_and_length(name):
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
def test_receptive_fields_start_at_multiples_of_the_two_steps(name):
    geometry = GEOMETRIES[name]
    first_taps = brute_force_taps(geometry)[:, 0]
    np.testing.assert_array_equal(geometry.receptive_field_starts(), first_taps)
    down, along = geometry.window_steps
    for position, tap in enumerate(first_taps):
        row, column = divmod(position, geometry.output_size[-1])
        assert tap == row * down + column * along


def test_one_dimension_has_no_step_down():
    for name, geometry in GEOMETRIES.items():
        if len(geometry.input_size) == 1:
            assert geometry.window_steps[0] == 0, name


def test_the_output_size_counts_the_positions_where_the_kernel_fits():
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
    assert first.taps().shape == (20, 8)  # cached values make no difference
    assert first == second
    assert hash(first) == hash(second)
    assert {first: "value"}[second] == "value"


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


def test_derived_arrays_are_computed_once():
    geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1))
    assert geometry.run_offsets is geometry.run_offsets


# ---------------------------------------------------------------- padding


def inputs_by_loops(geometry):
    """Flat input index of each tap of each position by Keras's rule "same"; -1 in the padding."""
    found = []
    for position in np.ndindex(*geometry.output_size):
        dimensions = zip(position, geometry.strides, geometry.kernel_size, strict=True)
        starts = [p * stride - kernel // 2 for p, stride, kernel in dimensions]
        taps = []
        for within in np.ndindex(*geometry.kernel_size):
            pixel = [start + step for start, step in zip(starts, within, strict=True)]
            inside = all(0 <= i < n for i, n in zip(pixel, geometry.input_size, strict=True))
            for channel in range(geometry.channels):
                index = (channel, *pixel) if geometry.channels_first else (*pixel, channel)
                taps.append(np.ravel_multi_index(index, geometry.input_shape) if inside else -1)
        if geometry.channels_first:  # K is (C, *kernel_size), not (*kernel_size, C)
            taps = np.reshape(taps, (-1, geometry.channels)).T.ravel()
        found.append(taps)
    return np.array(found)


@every_padded_geometry
def test_the_taps_with_padding_are_those_that_plain_loops_find(name):
    geometry = SAME_GEOMETRIES[name]
    expected = inputs_by_loops(geometry)
    inputs, inside = geometry.inputs_of_taps()
    np.testing.assert_array_equal(inside, expected >= 0)
    np.testing.assert_array_equal(inputs, np.maximum(expected, 0))
    assert geometry.connections == (expected >= 0).sum() * geometry.filters
    assert geometry.multiplications == expected.size * geometry.filters


@every_geometry
def test_without_padding_every_tap_is_an_input(name):
    geometry = GEOMETRIES[name]
    inputs, inside = geometry.inputs_of_taps()
    np.testing.assert_array_equal(inputs, brute_force_taps(geometry))
    assert inside.dtype == bool
    assert inside.all()
    assert geometry.padded is geometry
    assert geometry.connections == inputs.size * geometry.filters == geometry.multiplications


@every_padded_geometry
def test_the_overlap_copies_the_input_into_the_padded_input(name):
    geometry = SAME_GEOMETRIES[name]
    x = np.arange(1, 1 + np.prod(geometry.input_shape)).reshape(geometry.input_shape)
    padded = np.zeros(geometry.padded.input_shape, int)
    target, source = geometry.overlap()
    padded[target] = x[source]
    taps = inputs_by_loops(geometry)
    expected = np.where(taps >= 0, x.ravel()[taps], 0)
    np.testing.assert_array_equal(padded.ravel()[geometry.padded.taps()], expected)
    assert np.count_nonzero(padded) == x[source].size


def test_padding_on_one_side_changes_the_sizes():
    for pads in (((2, 0),), ((0, 1),), ((-1, 0),), ((0, -2),)):
        geometry = Geometry((7,), 1, 1, (2,), (1,), pads=pads)
        assert geometry.padded.input_size == (7 + sum(pads[0]),)
        assert geometry.padded.pads == ()
        assert geometry.output_size == (6 + sum(pads[0]),)
    assert Geometry((7,), 1, 1, (2,), (1,), pads=((0, 0),)).padded.input_size == (7,)


@pytest.mark.parametrize("before", range(-2, 3))
@pytest.mark.parametrize("behind", range(-3, 3))
def test_the_overlap_pads_and_crops_as_numpy_does(before, behind):
    for size in (5, 6, 7):
        x = np.arange(1, 1 + size)[:, None]
        inside = x[max(-before, 0) : size - max(-behind, 0)]
        expected = np.pad(inside, ((max(before, 0), max(behind, 0)), (0, 0)))
        geometry = Geometry((size,), 1, 1, (1,), (1,), pads=((before, behind),))
        padded = np.zeros(geometry.padded.input_shape, int)
        target, source = geometry.overlap()
        padded[target] = x[source]
        np.testing.assert_array_equal(padded, expected)


def test_sizes_with_different_numbers_of_dimensions_are_refused():
    for change in (
        {"input_size": (5,)},
        {"kernel_size": (2,)},
        {"strides": (1,)},
        {"pads": ((1, 0),)},
        {"pads": ((0, 0),)},
    ):
        geometry = dataclasses.replace(Geometry((5, 6), 2, 3, (2, 2), (1, 1)), **change)
        with pytest.raises(ValueError, match=r"zip\(\) argument"):
            assert geometry.connections
        if "pads" not in change:
            with pytest.raises(ValueError, match=r"zip\(\) argument"):
                assert geometry.output_size
    for pads in (((1, 0),), ((0, 0),)):
        geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1), pads=pads)
        with pytest.raises(ValueError, match=r"zip\(\) argument"):
            geometry.overlap()
    with pytest.raises(ValueError, match=r"zip\(\) argument"):
        assert Geometry((5, 6), 2, 3, (2, 2), (1, 1), pads=((1, 0),)).padded


def test_same_has_one_position_per_stride_and_pads_half_the_kernel_before():
    for size, kernel, stride in itertools.product(range(1, 12), range(1, 7), range(1, 5)):
        before, behind = same_pads(size, kernel, stride)
        positions = len(range(0, size, stride))
        assert same_output_size(size, stride) == positions
        assert before == kernel // 2
        assert (positions - 1) * stride + kernel == before + size + behind


def test_a_clipped_sum_equals_that_of_a_loop():
    ranges = range(-9, 9), (1, 2, 3, 7), range(6), (0, 1, 5)
    for first, step, count, most in itertools.product(*ranges):
        numbers = (first + step * i for i in range(count))
        assert sum_clipped(first, step, count, most) == sum(min(max(i, 0), most) for i in numbers)


def test_a_clipped_sum_is_exact_beyond_the_integers_of_float64():
    count = 10**15 + 7
    for step in (1, 3):
        expected = step * math.comb(count, 2)
        assert sum_clipped(0, step, count, step * count) == expected


# ---------------------------------------------------------------- copies and constants


def test_a_copy_has_the_fields_and_no_cached_values():
    geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1), CHANNELS_FIRST, False, ((1, 0), (0, 0)))
    geometry.plans["of"] = "a call"
    for made in (copy.deepcopy(geometry), pickle.loads(pickle.dumps(geometry))):
        assert made == geometry
        assert made is not geometry
        assert made.plans == {}


def test_offsets_are_read_only():
    geometry = Geometry((5, 6), 2, 3, (2, 2), (1, 1))
    for offsets in (geometry.run_offsets, geometry.kernel_run_offsets):
        assert offsets.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            offsets[0] = 1


@every_geometry
def test_runs_follow_each_other_in_the_kernel(name):
    geometry = GEOMETRIES[name]
    taps = np.arange(geometry.patch_size).reshape(geometry.runs, geometry.run_length)
    np.testing.assert_array_equal(geometry.kernel_run_offsets, taps[:, 0] * geometry.filters)
    first = brute_force_taps(geometry)[0]
    assert geometry.span == first.max() - first.min() + 1


def test_a_geometry_without_channels_has_no_taps():
    for data_format in (CHANNELS_LAST, CHANNELS_FIRST):
        geometry = Geometry((5, 6), 0, 3, (2, 2), (1, 1), data_format)
        assert geometry.run_length == 0
        assert geometry.taps().shape == (20, 0)
        assert geometry.span == (0 if data_format == CHANNELS_FIRST else geometry.run_offsets[-1])


def test_the_defaults_are_those_of_keras():
    geometry = Geometry((5,), 1, 1, (2,), (1,))
    assert (geometry.data_format, geometry.shared, geometry.pads) == (CHANNELS_LAST, False, ())
    assert (CHANNELS_LAST, CHANNELS_FIRST) == ("channels_last", "channels_first")


def test_a_data_format_is_compared_by_value():
    read_from_a_file = "".join(["channels_", "first"])
    assert read_from_a_file is not CHANNELS_FIRST
    geometry = Geometry((5,), 2, 1, (2,), (1,), read_from_a_file)
    assert geometry.channels_first
    assert geometry.input_shape == (2, 5)
