"""Configs of Keras 1 and of early Keras 2."""

import json

import pytest

import lcfast

KERAS_1_1D = {
    "name": "locallyconnected1d_1",
    "trainable": True,
    "batch_input_shape": [None, 10, 3],
    "input_dtype": "float32",
    "nb_filter": 4,
    "filter_length": 3,
    "init": "glorot_uniform",
    "activation": "relu",
    "border_mode": "valid",
    "subsample_length": 2,
    "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.5},
    "b_regularizer": None,
    "activity_regularizer": None,
    "W_constraint": {"name": "MaxNorm", "m": 3, "axis": 0},
    "b_constraint": None,
    "bias": True,
    "input_dim": 3,
    "input_length": 10,
}
KERAS_1_2D = {
    "name": "locallyconnected2d_1",
    "trainable": True,
    "batch_input_shape": [None, 3, 8, 9],
    "nb_filter": 4,
    "nb_row": 3,
    "nb_col": 2,
    "init": "he_normal",
    "activation": "tanh",
    "border_mode": "valid",
    "subsample": [2, 1],
    "dim_ordering": "th",
    "W_regularizer": None,
    "b_regularizer": {"name": "WeightRegularizer", "l1": 0.25, "l2": 0.0},
    "activity_regularizer": None,
    "W_constraint": None,
    "b_constraint": "nonneg",
    "bias": False,
}


@pytest.mark.member("from_config")
def test_a_1d_config_of_keras_1_makes_the_same_layer():
    layer = lcfast.LocallyConnected1D.from_config(json.loads(json.dumps(KERAS_1_1D)))
    config = layer.get_config()
    assert config["filters"] == 4
    assert (config["kernel_size"], config["strides"]) == ((3,), (2,))
    assert config["kernel_regularizer"]["config"] == {"l1": 0.0, "l2": 0.5}
    assert config["kernel_constraint"]["config"] == {"max_value": 3, "axis": 0}
    assert config["kernel_initializer"]["class_name"] == "GlorotUniform"
    assert config["data_format"] == "channels_last"
    assert config["implementation"] == 1
    assert layer.batch_input_shape == (None, 10, 3)
    assert lcfast.Sequential([layer]).output_shape == (None, 4, 4)


def test_a_2d_config_of_keras_1_makes_the_same_layer():
    layer = lcfast.LocallyConnected2D.from_config(KERAS_1_2D)
    config = layer.get_config()
    assert (config["kernel_size"], config["strides"]) == ((3, 2), (2, 1))
    assert (config["padding"], config["data_format"]) == ("valid", "channels_first")
    assert config["use_bias"] is False
    assert config["bias_regularizer"]["config"]["l1"] == 0.25
    assert config["bias_constraint"]["class_name"] == "NonNeg"
    assert lcfast.Sequential([layer]).output_shape == (None, 4, 3, 8)


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [("tf", "channels_last"), ("th", "channels_first"), ("default", "channels_first")],
)
def test_dim_ordering_is_a_data_format(ordering, expected):
    lcfast.set_image_data_format("channels_first")
    try:
        config = {**KERAS_1_2D, "dim_ordering": ordering}
        assert lcfast.LocallyConnected2D.from_config(config).data_format == expected
    finally:
        lcfast.set_image_data_format(None)


def test_a_1d_config_without_a_data_format_is_channels_last_whatever_the_default():
    lcfast.set_image_data_format("channels_first")
    try:
        config = {"filters": 2, "kernel_size": [3], "strides": [1]}
        layer = lcfast.LocallyConnected1D.from_config(config)
        assert layer.data_format == "channels_last"
        assert lcfast.LocallyConnected1D(2, 3).data_format == "channels_first"
    finally:
        lcfast.set_image_data_format(None)


def test_the_shape_may_be_given_as_input_dim_and_input_length():
    config = {"nb_filter": 2, "filter_length": 3, "input_dim": 5, "input_length": 7}
    layer = lcfast.LocallyConnected1D.from_config(config)
    assert layer.batch_input_shape == (None, 7, 5)
    assert (
        lcfast.LocallyConnected1D.from_config(
            {**config, "input_dim": None, "input_length": None}
        ).batch_input_shape
        is None
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"filters": 3}, "`filters`.*`nb_filter`"),
        ({"kernel_size": 3}, "`kernel_size`.*`nb_row`, `nb_col`"),
        ({"dim_ordering": "ft"}, "The `dim_ordering` must be tf, th or default. Received: 'ft'"),
        ({"nb_row": None}, "`kernel_size` argument must be"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        lcfast.LocallyConnected2D.from_config({**KERAS_1_2D, **more})


def test_the_config_that_is_given_is_left_alone():
    before = json.dumps(KERAS_1_2D)
    lcfast.LocallyConnected2D.from_config(KERAS_1_2D)
    assert json.dumps(KERAS_1_2D) == before


def test_a_conv_1d_config_of_keras_1_makes_the_same_layer():
    config = {key: value for key, value in KERAS_1_1D.items() if key != "input_dtype"}
    layer = lcfast.Conv1D.from_config({**config, "border_mode": "same"})
    assert (layer.filters, layer.kernel_size, layer.strides) == (4, (3,), (2,))
    assert (layer.padding, layer.data_format) == ("same", "channels_last")
    assert layer.get_config()["kernel_regularizer"]["config"] == {"l1": 0.0, "l2": 0.5}
    assert lcfast.Sequential([layer]).output_shape == (None, 5, 4)


def test_a_conv_2d_config_of_keras_1_makes_the_same_layer():
    layer = lcfast.Conv2D.from_config(KERAS_1_2D)
    assert (layer.kernel_size, layer.strides) == ((3, 2), (2, 1))
    assert (layer.use_bias, layer.data_format) == (False, "channels_first")
    assert lcfast.Sequential([layer]).output_shape == (None, 4, 3, 8)


def test_a_config_of_early_keras_2_lacks_dilation_and_groups():
    config = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "depth_multiplier": 2}
    layer = lcfast.DepthwiseConv2D.from_config(config)
    assert (layer.dilation_rate, layer.groups) == ((1, 1), 1)
    config = {"filters": 2, "kernel_size": [3, 3], "strides": [2, 2], "padding": "same"}
    layer = lcfast.Conv2DTranspose.from_config(config)
    assert (layer.dilation_rate, layer.output_padding) == ((1, 1), None)
