"""Constructor arguments that several layers share, and the default data format."""

import json
import pwd

import numpy as np
import pytest

import lcfast
from lcfast.layers.core import arguments


@pytest.fixture
def keras_json(monkeypatch, tmp_path):
    """Write keras.json into the folder that KERAS_HOME names."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return (tmp_path / "keras.json").write_text


# Layers whose data_format tf_keras takes from the config file when none is given.
WITH_DATA_FORMAT = [
    lambda **options: lcfast.LocallyConnected1D(1, 1, **options),
    lambda **options: lcfast.LocallyConnected2D(1, 1, **options),
    lambda **options: lcfast.Conv2D(1, 1, **options),
    lambda **options: lcfast.MaxPooling2D(**options),
    lambda **options: lcfast.AveragePooling2D(**options),
    lambda **options: lcfast.Flatten(**options),
]
DATA_FORMAT_IDS = [
    *("LocallyConnected1D", "LocallyConnected2D", "Conv2D", "MaxPooling2D", "AveragePooling2D"),
    "Flatten",
]
ALWAYS_LAST = [
    lambda **options: lcfast.Conv1D(1, 1, **options),
    lambda **options: lcfast.MaxPooling1D(**options),
    lambda **options: lcfast.AveragePooling1D(**options),
]
ALWAYS_LAST_IDS = ["Conv1D", "MaxPooling1D", "AveragePooling1D"]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("make", WITH_DATA_FORMAT, ids=DATA_FORMAT_IDS)
def test_the_default_data_format_is_that_of_keras_json(make, data_format, keras_json):
    keras_json(json.dumps({"image_data_format": data_format, "backend": "tensorflow"}))
    assert lcfast.image_data_format() == data_format
    assert make().data_format == data_format
    assert make().get_config()["data_format"] == data_format
    assert make(data_format="channels_last").data_format == "channels_last"
    assert make(data_format="channels_first").data_format == "channels_first"


@pytest.mark.parametrize("make", ALWAYS_LAST, ids=ALWAYS_LAST_IDS)
def test_keras_json_says_nothing_about_convolution_and_pooling_in_1d(make, keras_json):
    keras_json('{"image_data_format": "channels_first"}')
    assert make().data_format == "channels_last"
    assert make(data_format=None).data_format == "channels_first"


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", '"channels_first"', "{}", "\x00", "[" * 5000),
        '{"image_data_format": "other"}',
        '{"image_data_format": ["channels_first"]}',
        '{"image_data_format": null}',
    ],
    ids=lambda text: repr(text[:40]),
)
def test_a_config_file_that_says_nothing_useful_means_channels_last(text, keras_json):
    keras_json(text)
    assert lcfast.image_data_format() == "channels_last"


def test_no_config_file_means_channels_last(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nowhere"))
    assert lcfast.image_data_format() == "channels_last"


def test_a_config_file_that_is_no_text_means_channels_last(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_bytes(b"\xff\xfe{}")
    assert lcfast.image_data_format() == "channels_last"
    (tmp_path / "keras.json").unlink()
    (tmp_path / "keras.json").mkdir()
    assert lcfast.image_data_format() == "channels_last"


def test_the_config_file_lies_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lcfast.image_data_format() == "channels_last"
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"image_data_format": "channels_first"}')
    assert lcfast.image_data_format() == "channels_first"


def test_a_user_without_a_home_directory_gets_channels_last(monkeypatch):
    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert lcfast.image_data_format() == "channels_last"


def test_what_was_set_comes_before_the_config_file(keras_json):
    keras_json('{"image_data_format": "channels_first"}')
    lcfast.set_image_data_format("Channels_Last")
    try:
        assert lcfast.image_data_format() == "channels_last"
        assert lcfast.LocallyConnected1D(1, 1).data_format == "channels_last"
    finally:
        lcfast.set_image_data_format(None)
    assert lcfast.image_data_format() == "channels_first"


@pytest.mark.parametrize(
    "data_format", ["", "channels", "tf", 1, True, ["channels_last"]], ids=repr
)
def test_another_default_data_format_is_refused(data_format):
    with pytest.raises(ValueError, match="The `data_format` argument must be one of"):
        lcfast.set_image_data_format(data_format)
    assert lcfast.image_data_format() in ("channels_last", "channels_first")


def test_a_layer_keeps_the_default_of_the_time_when_it_was_made(keras_json):
    layer = lcfast.LocallyConnected1D(2, 3)
    keras_json('{"image_data_format": "channels_first"}')
    assert layer(np.ones((1, 8, 5))).shape == (1, 6, 2)
    assert lcfast.LocallyConnected1D(2, 3)(np.ones((1, 5, 8))).shape == (1, 2, 6)


# ---------------------------------------------------------------- integers, flags, shapes


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)], ids=repr)
def test_an_integer_of_any_kind_becomes_an_int(value):
    number = arguments.positive_int(value, "size")
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    "value", [0, -1, 3.0, np.float64(3), "3", None, True, np.True_, [3], 3j], ids=repr
)
def test_what_is_no_positive_integer_is_refused_by_the_name_of_its_argument(value):
    with pytest.raises(ValueError, match="The `size` argument must be a positive integer"):
        arguments.positive_int(value, "size")


@pytest.mark.parametrize("value", [2**31, 2**40, 10**100], ids=["2**31", "2**40", "10**100"])
def test_a_size_that_no_layer_can_hold_is_refused(value):
    with pytest.raises(ValueError, match="more than any layer can hold"):
        arguments.positive_int(value, "size")
    with pytest.raises(ValueError, match="more than any layer can hold"):
        arguments.positive_ints((1, value), 2, "size")
    with pytest.raises(ValueError, match="`size` argument must be a tuple of integers and None"):
        arguments.checked_shape((None, value), "size")


def test_the_largest_size_of_keras_is_a_size():
    assert arguments.positive_int(2**31 - 1, "size") == 2**31 - 1
    assert arguments.checked_shape((2**31 - 1,), "size") == (2**31 - 1,)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_, 0, 1, np.int8(1)], ids=repr)
def test_flags_of_any_kind_become_a_bool(value):
    assert arguments.checked_flag(value, "flag") is bool(value)


@pytest.mark.parametrize(
    "value",
    ["True", None, 2, -1, [], {}, [True], 0.5, 0.0, 1.0, np.float32(1), 1j, np.array([1]), b""],
    ids=repr,
)
def test_what_is_no_flag_is_refused_by_the_name_of_its_argument(value):
    with pytest.raises(ValueError, match="The `flag` argument must be True or False"):
        arguments.checked_flag(value, "flag")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), ()),
        ([None, 3], (None, 3)),
        (np.array([2, 3]), (2, 3)),
        ((np.int16(2), None), (2, None)),
        ((0, 3), (0, 3)),
    ],
    ids=str,
)
def test_a_shape_becomes_a_tuple_of_ints_and_none(shape, expected):
    checked = arguments.checked_shape(shape, "shape")
    assert checked == expected
    assert {type(size) for size in checked} <= {int, type(None)}


@pytest.mark.parametrize("padding", ["valid", "same", "SAME"])
def test_a_padding_comes_back_in_lower_case(padding):
    assert arguments.checked_padding(padding) == padding.lower()


def test_a_padding_that_a_layer_does_not_have_is_refused_with_those_that_it_has():
    with pytest.raises(ValueError, match=r"must be one of 'valid'\. Received: 'same'"):
        arguments.checked_padding("same", ["valid"])
