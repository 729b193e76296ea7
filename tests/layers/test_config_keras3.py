"""The configs of Keras 3's layers in the names of Keras 2."""

import numpy as np
import pytest

import lcfast
from lcfast.layers.config_keras3 import in_keras_2


def test_what_is_in_keras_2_s_names_stays_as_it_is():
    layer = lcfast.LocallyConnected1D(2, 3, kernel_regularizer="l2", activation="relu")
    config = layer.get_config()
    assert in_keras_2("LocallyConnected1D", config, False) == config
    assert in_keras_2("LocallyConnected1D", config, False) is not config


def test_the_shape_of_an_input_has_its_old_name():
    config = in_keras_2("InputLayer", {"batch_shape": [None, 3]}, True)
    assert lcfast.InputLayer.from_config(config).batch_input_shape == (None, 3)


def test_the_slope_of_leaky_relu_has_its_old_name():
    config = in_keras_2("LeakyReLU", {"negative_slope": 0.25}, True)
    layer = lcfast.LeakyReLU.from_config(config)
    assert layer(np.array([[-4.0, 4.0]])).tolist() == [[-1, 4]]
    assert in_keras_2("ReLU", {"negative_slope": 0.25}, True) == {"negative_slope": 0.25}


def test_an_argument_that_is_there_in_both_names_is_refused():
    with pytest.raises(ValueError, match=r"`alpha`.*`negative_slope`"):
        in_keras_2("LeakyReLU", {"negative_slope": 0.25, "alpha": 0.3}, True)


def test_what_is_switched_off_is_left_out():
    off = {"renorm_clipping": None, "renorm_momentum": 0.99}
    assert in_keras_2("BatchNormalization", {"renorm": False, **off}, True) == {"renorm": False}
    on = {"renorm": True, **off}
    assert in_keras_2("BatchNormalization", on, True) == on
    assert in_keras_2("Dense", {"quantization_config": None}, True) == {}
    assert in_keras_2("LayerNormalization", {"rms_scaling": False}, True) == {}
    assert in_keras_2("LSTM", {"use_cudnn": "auto", "seed": None, "units": 1}, True) == {"units": 1}


def test_a_sequence_is_padded_along_its_steps_alone():
    last = {"padding": [1, 2], "data_format": "channels_last"}
    layer = lcfast.ZeroPadding1D.from_config(in_keras_2("ZeroPadding1D", last, True))
    assert layer(np.ones((1, 2, 3))).shape == (1, 5, 3)
    first = {**last, "data_format": "channels_first"}
    assert in_keras_2("ZeroPadding1D", first, True) == first  # which the layer refuses


def test_what_a_layer_is_configured_with_is_translated_too():
    initializer = {"class_name": "GlorotUniform", "config": {"seed": None, "input_axes": None}}
    leaky = {"class_name": "LeakyReLU", "config": {"negative_slope": 0.5}}
    given = {"units": 2, "kernel_initializer": initializer, "activation": leaky}
    config = in_keras_2("Dense", given, True)
    assert config["kernel_initializer"]["config"] == {"seed": None}
    assert config["activation"]["config"] == {"alpha": 0.5}
    assert initializer["config"] == {"seed": None, "input_axes": None}
    assert lcfast.Dense.from_config(config).units == 2


@pytest.mark.parametrize("name", ["activation", "recurrent_activation"])
@pytest.mark.parametrize(
    "value", ["hard_sigmoid", {"class_name": "function", "config": "hard_sigmoid"}]
)
def test_hard_sigmoid_means_what_its_keras_says(name, value):
    assert in_keras_2("LSTM", {name: value}, False) == {name: value}
    with pytest.raises(ValueError, match="hard_sigmoid"):
        in_keras_2("LSTM", {name: value}, True)


@pytest.mark.parametrize(
    "dtype", ["float32", {"class_name": "Policy", "config": {"name": "float64"}}]
)
def test_a_policy_of_real_numbers_is_taken(dtype):
    assert in_keras_2("Dense", {"dtype": dtype}, True) == {"dtype": dtype}
