"""What holds for every layer: its signature, and what a config says of it."""

import contextlib
import inspect
import json

import numpy as np
import pytest

import lcfast
from tests.support.each_layer import built

LINEAR = {
    "activation": None,
    "use_bias": True,
    "kernel_initializer": "glorot_uniform",
    "bias_initializer": "zeros",
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
}
NEEDED = inspect.Parameter.empty
CONVOLVED = {"filters": NEEDED, "kernel_size": NEEDED}
# The arguments and defaults of tf_keras 2.21, in its order.
SIGNATURES = {
    "Activation": {"activation": NEEDED},
    "Add": {},
    "AveragePooling1D": {
        "pool_size": 2,
        "strides": None,
        "padding": "valid",
        "data_format": "channels_last",
    },
    "AveragePooling2D": {
        "pool_size": (2, 2),
        "strides": None,
        "padding": "valid",
        "data_format": None,
    },
    "BatchNormalization": {
        "axis": -1,
        "momentum": 0.99,
        "epsilon": 0.001,
        "center": True,
        "scale": True,
        "beta_initializer": "zeros",
        "gamma_initializer": "ones",
        "moving_mean_initializer": "zeros",
        "moving_variance_initializer": "ones",
        "beta_regularizer": None,
        "gamma_regularizer": None,
        "beta_constraint": None,
        "gamma_constraint": None,
        "synchronized": False,
    },
    "Concatenate": {"axis": -1},
    "Conv1D": {
        **CONVOLVED,
        "strides": 1,
        "padding": "valid",
        "data_format": "channels_last",
        "dilation_rate": 1,
        "groups": 1,
        **LINEAR,
        "engine": None,
    },
    "Conv2D": {
        **CONVOLVED,
        "strides": (1, 1),
        "padding": "valid",
        "data_format": None,
        "dilation_rate": (1, 1),
        "groups": 1,
        **LINEAR,
        "engine": None,
    },
    "Dense": {"units": NEEDED, **LINEAR, "engine": None},
    "Dropout": {"rate": NEEDED, "noise_shape": None, "seed": None},
    "Flatten": {"data_format": None},
    "LocallyConnected1D": {
        **CONVOLVED,
        "strides": 1,
        "padding": "valid",
        "data_format": None,
        **LINEAR,
        "implementation": 1,
        "engine": None,
        "prune": False,
    },
    "LocallyConnected2D": {
        **CONVOLVED,
        "strides": (1, 1),
        "padding": "valid",
        "data_format": None,
        **LINEAR,
        "implementation": 1,
        "engine": None,
        "prune": False,
    },
    "MaxPooling1D": {
        "pool_size": 2,
        "strides": None,
        "padding": "valid",
        "data_format": "channels_last",
    },
    "MaxPooling2D": {"pool_size": (2, 2), "strides": None, "padding": "valid", "data_format": None},
    "ReLU": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
    "Reshape": {"target_shape": NEEDED},
}
NORMALIZED = {
    "center": True,
    "scale": True,
    "beta_initializer": "zeros",
    "gamma_initializer": "ones",
    "beta_regularizer": None,
    "gamma_regularizer": None,
    "beta_constraint": None,
    "gamma_constraint": None,
}
SIGNATURES |= {
    "ActivityRegularization": {"l1": 0.0, "l2": 0.0},
    "AlphaDropout": {"rate": NEEDED, "noise_shape": None, "seed": None},
    "Cropping1D": {"cropping": (1, 1)},
    "Cropping2D": {"cropping": ((0, 0), (0, 0)), "data_format": None},
    "Dot": {"axes": NEEDED, "normalize": False},
    "Embedding": {
        "input_dim": NEEDED,
        "output_dim": NEEDED,
        "embeddings_initializer": "uniform",
        "embeddings_regularizer": None,
        "activity_regularizer": None,
        "embeddings_constraint": None,
        "mask_zero": False,
        "input_length": None,
        "sparse": False,
    },
    "GaussianDropout": {"rate": NEEDED, "seed": None},
    "GaussianNoise": {"stddev": NEEDED, "seed": None},
    "GlobalMaxPooling1D": {"data_format": "channels_last", "keepdims": False},
    "GlobalMaxPooling2D": {"data_format": None, "keepdims": False},
    "GlobalAveragePooling1D": {"data_format": "channels_last", "keepdims": False},
    "GlobalAveragePooling2D": {"data_format": None, "keepdims": False},
    "LayerNormalization": {"axis": -1, "epsilon": 0.001, **NORMALIZED},
    "Masking": {"mask_value": 0.0},
    "Normalization": {"axis": -1, "mean": None, "variance": None, "invert": False},
    "Permute": {"dims": NEEDED},
    "RepeatVector": {"n": NEEDED},
    "Rescaling": {"scale": NEEDED, "offset": 0.0},
    "SpatialDropout1D": {"rate": NEEDED},
    "SpatialDropout2D": {"rate": NEEDED, "data_format": None},
    "UpSampling1D": {"size": 2},
    "UpSampling2D": {"size": (2, 2), "data_format": None, "interpolation": "nearest"},
    "ZeroPadding1D": {"padding": 1},
    "ZeroPadding2D": {"padding": (1, 1), "data_format": None},
    **{name: {} for name in ("Average", "Maximum", "Minimum", "Multiply", "Subtract")},
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_constructor_takes_the_arguments_of_keras_in_its_order(name):
    parameters = inspect.signature(getattr(lcfast, name)).parameters.values()
    by_place = [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_place == list(SIGNATURES[name].items())
    assert any(p.kind is p.VAR_KEYWORD for p in parameters)


def plain(name):
    return {"class_name": name, "config": {}}


COMMON = {"name": "a", "trainable": True, "dtype": "float32"}
LINEAR_CONFIG = {
    "activation": "linear",
    "use_bias": True,
    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
    "bias_initializer": plain("Zeros"),
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
}
NORMALIZATION_CONFIG = {
    "momentum": 0.99,
    "epsilon": 0.001,
    "center": True,
    "scale": True,
    "beta_initializer": plain("Zeros"),
    "gamma_initializer": plain("Ones"),
    "moving_mean_initializer": plain("Zeros"),
    "moving_variance_initializer": plain("Ones"),
    "beta_regularizer": None,
    "gamma_regularizer": None,
    "beta_constraint": None,
    "gamma_constraint": None,
}
# What tf_keras 2.21 gives for the same layers, without `module` and `registered_name`.
CONFIGS = [
    (
        lambda: lcfast.LocallyConnected1D(4, 3, name="a"),
        {
            **COMMON,
            "filters": 4,
            "kernel_size": (3,),
            "strides": (1,),
            "padding": "valid",
            "data_format": "channels_last",
            **LINEAR_CONFIG,
            "implementation": 1,
        },
    ),
    (
        lambda: lcfast.LocallyConnected2D(
            4,
            (3, 2),
            strides=2,
            padding="VALID",
            data_format="Channels_First",
            activation="relu",
            use_bias=False,
            kernel_initializer="he_normal",
            bias_initializer={"class_name": "Constant", "config": {"value": 0.1}},
            kernel_regularizer={"class_name": "L2", "config": {"l2": 0.125}},
            bias_regularizer={"class_name": "L1", "config": {"l1": 0.5}},
            activity_regularizer={"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.5}},
            kernel_constraint="non_neg",
            bias_constraint={"class_name": "MaxNorm", "config": {"max_value": 3, "axis": 0}},
            input_shape=(3, 9, 9),
            name="a",
            trainable=False,
            dtype="float64",
        ),
        {
            "name": "a",
            "trainable": False,
            "dtype": "float64",
            "batch_input_shape": (None, 3, 9, 9),
            "filters": 4,
            "kernel_size": (3, 2),
            "strides": (2, 2),
            "padding": "valid",
            "data_format": "channels_first",
            "activation": "relu",
            "use_bias": False,
            "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": None}},
            "bias_initializer": {"class_name": "Constant", "config": {"value": 0.1}},
            "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.125}},
            "bias_regularizer": {"class_name": "L1", "config": {"l1": 0.5}},
            "activity_regularizer": {"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.5}},
            "kernel_constraint": plain("NonNeg"),
            "bias_constraint": {"class_name": "MaxNorm", "config": {"max_value": 3, "axis": 0}},
            "implementation": 1,
        },
    ),
    (
        lambda: lcfast.Dense(4, input_dim=3, batch_size=7, name="a"),
        {**COMMON, "batch_input_shape": (7, 3), "units": 4, **LINEAR_CONFIG},
    ),
    (
        lambda: lcfast.Conv1D(4, 3, name="a"),
        {
            **COMMON,
            "filters": 4,
            "kernel_size": (3,),
            "strides": (1,),
            "padding": "valid",
            "data_format": "channels_last",
            "dilation_rate": (1,),
            "groups": 1,
            **LINEAR_CONFIG,
        },
    ),
    (
        lambda: lcfast.Conv2D(4, (3, 2), (2, 1), "same", "channels_first", name="a"),
        {
            **COMMON,
            "filters": 4,
            "kernel_size": (3, 2),
            "strides": (2, 1),
            "padding": "same",
            "data_format": "channels_first",
            "dilation_rate": (1, 1),
            "groups": 1,
            **LINEAR_CONFIG,
        },
    ),
    (lambda: lcfast.Activation("relu", name="a"), {**COMMON, "activation": "relu"}),
    (lambda: lcfast.Add(name="a"), COMMON),
    (
        lambda: lcfast.AveragePooling1D(name="a"),
        {
            **COMMON,
            "pool_size": (2,),
            "strides": (2,),
            "padding": "valid",
            "data_format": "channels_last",
        },
    ),
    (
        lambda: lcfast.MaxPooling2D((3, 2), 1, "SAME", "channels_first", name="a"),
        {
            **COMMON,
            "pool_size": (3, 2),
            "strides": (1, 1),
            "padding": "same",
            "data_format": "channels_first",
        },
    ),
    (
        lambda: lcfast.MaxPooling1D(3, padding="same", name="a"),
        {
            **COMMON,
            "pool_size": (3,),
            "strides": (3,),
            "padding": "same",
            "data_format": "channels_last",
        },
    ),
    (
        lambda: lcfast.AveragePooling2D(name="a"),
        {
            **COMMON,
            "pool_size": (2, 2),
            "strides": (2, 2),
            "padding": "valid",
            "data_format": "channels_last",
        },
    ),
    (lambda: lcfast.Concatenate(1, name="a"), {**COMMON, "axis": 1}),
    (
        lambda: lcfast.Dropout(0.5, noise_shape=(1, 2), seed=3, name="a"),
        {**COMMON, "rate": 0.5, "noise_shape": (1, 2), "seed": 3},
    ),
    (lambda: lcfast.Flatten(name="a"), {**COMMON, "data_format": "channels_last"}),
    (
        lambda: lcfast.InputLayer((3, 4), name="a"),
        {
            "batch_input_shape": (None, 3, 4),
            "dtype": "float32",
            "sparse": False,
            "ragged": False,
            "name": "a",
            "optional": False,
        },
    ),
    (
        lambda: lcfast.ReLU(6, 0.125, 0.25, name="a"),
        {**COMMON, "max_value": 6.0, "negative_slope": 0.125, "threshold": 0.25},
    ),
    (lambda: lcfast.Reshape((4, -1), name="a"), {**COMMON, "target_shape": (4, -1)}),
    (
        lambda: lcfast.BatchNormalization(name="a"),
        {**COMMON, "axis": -1, **NORMALIZATION_CONFIG},
    ),
    (
        lambda: built(lambda: lcfast.BatchNormalization(name="a"), (3, 4, 5)),
        {**COMMON, "axis": [3], **NORMALIZATION_CONFIG},
    ),
    (
        lambda: lcfast.BatchNormalization([2], 0.9, 0.01, False, name="a"),
        {
            **COMMON,
            "axis": [2],
            **NORMALIZATION_CONFIG,
            "momentum": 0.9,
            "epsilon": 0.01,
            "center": False,
        },
    ),
]
CONFIG_IDS = [
    *("LocallyConnected1D", "LocallyConnected2D", "Dense", "Conv1D", "Conv2D", "Activation"),
    *("Add", "AveragePooling1D", "MaxPooling2D", "MaxPooling1D", "AveragePooling2D"),
    *("Concatenate", "Dropout", "Flatten"),
    *("InputLayer", "ReLU", "Reshape", "BatchNormalization", "BatchNormalization-built"),
    "BatchNormalization-axis",
]


# Their configs are compared with tf_keras's own in test_companions.py.
COMPANIONS = [
    lambda: lcfast.ActivityRegularization(0.25, 0.5, name="a"),
    lambda: lcfast.AlphaDropout(0.5, (1, 2), 3, name="a"),
    lambda: lcfast.Cropping1D((1, 2), name="a"),
    lambda: lcfast.Cropping2D(((1, 2), (0, 1)), name="a"),
    lambda: lcfast.Dot((1, 2), True, name="a"),
    lambda: lcfast.Embedding(4, 3, input_length=5, name="a"),
    lambda: lcfast.GaussianDropout(0.5, 3, name="a"),
    lambda: lcfast.GaussianNoise(0.5, 3, name="a"),
    lambda: lcfast.GlobalAveragePooling1D("channels_first", name="a"),
    lambda: lcfast.GlobalMaxPooling2D(keepdims=True, name="a"),
    lambda: lcfast.LayerNormalization((1, 2), 0.5, False, name="a"),
    lambda: lcfast.Masking(-1.0, name="a"),
    lambda: lcfast.Maximum(name="a"),
    lambda: lcfast.Normalization((1, 2), name="a"),
    lambda: lcfast.Normalization(-1, [1.0, 2.0], [3.0, 4.0], True, name="a"),
    lambda: lcfast.Permute((2, 1), name="a"),
    lambda: lcfast.RepeatVector(3, name="a"),
    lambda: lcfast.Rescaling([0.5, 2.0], -1, name="a"),
    lambda: lcfast.SpatialDropout1D(0.5, name="a"),
    lambda: lcfast.UpSampling1D(3, name="a"),
    lambda: lcfast.UpSampling2D((2, 3), "channels_first", "bilinear", name="a"),
    lambda: lcfast.ZeroPadding1D((1, 2), name="a"),
    lambda: lcfast.ZeroPadding2D((1, 2), name="a"),
]
MAKERS = [
    *(pytest.param(make, id=name) for (make, _), name in zip(CONFIGS, CONFIG_IDS, strict=True)),
    *(pytest.param(make, id=f"{type(make()).__name__}-{i}") for i, make in enumerate(COMPANIONS)),
]
EACH_MAKER = pytest.mark.parametrize("make", MAKERS)


@pytest.mark.parametrize(("make", "config"), CONFIGS, ids=CONFIG_IDS)
def test_a_config_has_the_keys_and_values_of_keras(make, config):
    assert make().get_config() == config


@EACH_MAKER
def test_a_config_survives_json(make):
    layer = make()
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert type(again) is type(layer)
    assert json.dumps(again.get_config()) == json.dumps(layer.get_config())


@EACH_MAKER
def test_from_config_leaves_its_argument_alone(make):
    config = make().get_config()
    before = json.dumps(config)
    type(make()).from_config(config)
    assert json.dumps(config) == before


JUNK = [
    *(None, True, -1, 0, 2, 2**40, 10**400, 0.5, float("nan"), "", "x", b"x", [], {}, (), [None]),
    *([[]], (1, 2, 3), ["x"], {"x": 1}, {"class_name": "x", "config": 3}, {"config": []}, object()),
    *(len, int, set(), 1j, np.array([1, 2]), np.array("a"), np.complex64(1), np.True_, ...),
]


@EACH_MAKER
def test_no_value_of_an_argument_ends_in_another_error_than_valueerror_or_typeerror(make):
    kind, config = type(make()), make().get_config()
    for argument in config:
        for value in JUNK:
            with contextlib.suppress(ValueError, TypeError):
                layer = kind.from_config({**config, argument: value})
                assert isinstance(layer.get_config(), dict)
