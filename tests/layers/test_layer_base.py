"""What holds for every layer: calls, weights, gradients, configs, names, threads."""

import contextlib
import inspect
import itertools
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import LAYOUTS, assert_same_bits

import lcfast
from lcfast.layers.noise import Noise

# ---------------------------------------------------------------- one of each layer


def one(kind, shape, *arguments, **options):
    return pytest.param(lambda **more: kind(*arguments, **options, **more), shape, id=kind.__name__)


FIRST = {"data_format": "channels_first"}
WITH_WEIGHTS = [
    one(lcfast.LocallyConnected1D, (9, 3), 4, 3, strides=2, activation="relu"),
    one(lcfast.LocallyConnected2D, (3, 5, 6), 4, (2, 3), activation="tanh", **FIRST),
    one(lcfast.Dense, (7,), 5, activation="softmax"),
    one(lcfast.Conv1D, (9, 3), 4, 3, padding="same", activation="elu"),
    one(lcfast.Conv2D, (3, 5, 6), 4, (2, 3), activation="sigmoid", **FIRST),
    one(lcfast.BatchNormalization, (4, 3), axis=1),
]
WITHOUT_WEIGHTS = [
    one(lcfast.Activation, (4, 5), "softmax"),
    one(lcfast.AveragePooling1D, (9, 3), 3, 2, "same"),
    one(lcfast.AveragePooling2D, (5, 6, 3), 2),
    one(lcfast.Dropout, (4, 5), 0.5),
    one(lcfast.Flatten, (3, 4, 5), "channels_first"),
    one(lcfast.MaxPooling1D, (3, 9), 2, **FIRST),
    one(lcfast.MaxPooling2D, (5, 6, 3), (3, 2), 1, "same"),
    one(lcfast.ReLU, (4, 5), 1.5, 0.25, 0.5),
    one(lcfast.Reshape, (6, 5), (3, -1)),
]
WITH_WEIGHTS += [
    one(lcfast.LayerNormalization, (4, 3), [2, 1]),
]
WITHOUT_WEIGHTS += [
    one(lcfast.ActivityRegularization, (4, 5), 0.25, 0.5),
    one(lcfast.AlphaDropout, (4, 5), 0.5),
    one(lcfast.Cropping1D, (6, 5), (1, 2)),
    one(lcfast.Cropping2D, (3, 6, 5), ((0, 1), (2, 0)), **FIRST),
    one(lcfast.GaussianDropout, (4, 5), 0.5),
    one(lcfast.GaussianNoise, (4, 5), 0.5),
    one(lcfast.GlobalAveragePooling1D, (9, 3)),
    one(lcfast.GlobalAveragePooling2D, (3, 5, 6), **FIRST),
    one(lcfast.GlobalMaxPooling1D, (9, 3), keepdims=True),
    one(lcfast.GlobalMaxPooling2D, (5, 6, 3)),
    one(lcfast.Masking, (4, 5)),
    one(lcfast.Normalization, (4, 5), mean=0.5, variance=2.0),
    one(lcfast.Permute, (3, 4, 5), (3, 1, 2)),
    one(lcfast.RepeatVector, (5,), 3),
    one(lcfast.Rescaling, (4, 5), 0.5, (0.0, 1.0, 2.0, 3.0, 4.0)),
    one(lcfast.SpatialDropout1D, (4, 5), 0.5),
    one(lcfast.SpatialDropout2D, (3, 4, 5), 0.5),
    one(lcfast.UpSampling1D, (4, 5), 3),
    one(lcfast.UpSampling2D, (3, 4, 5), (2, 3), interpolation="bilinear"),
    one(lcfast.ZeroPadding1D, (4, 5), (1, 0)),
    one(lcfast.ZeroPadding2D, (3, 4, 5), (1, 2)),
]
MOVERS = [  # layers that give the numbers that they were given
    one(lcfast.Activation, (4, 5), "linear"),
    one(lcfast.Dropout, (4, 5), 0.5),
    one(lcfast.Flatten, (4, 5)),
    one(lcfast.InputLayer, (4, 5), (4, 5)),
    one(lcfast.Reshape, (4, 5), (5, 4)),
    one(lcfast.ActivityRegularization, (4, 5)),
    one(lcfast.GaussianNoise, (4, 5), 0.5),
    one(lcfast.Cropping1D, (4, 5), 0),
    one(lcfast.Permute, (4, 5), (1, 2)),
    one(lcfast.RepeatVector, (5,), 1),
    one(lcfast.UpSampling1D, (4, 5), 1),
    one(lcfast.UpSampling2D, (4, 5, 2), 1),
]
MERGING = [one(lcfast.Add, (4, 5)), one(lcfast.Concatenate, (4, 5))]
MERGING += [
    one(kind, (4, 5)) for kind in (lcfast.Average, lcfast.Maximum, lcfast.Minimum, lcfast.Multiply)
]
OF_ONE_INPUT = pytest.mark.parametrize(("make", "shape"), WITH_WEIGHTS + WITHOUT_WEIGHTS)
OF_WEIGHTS = pytest.mark.parametrize(("make", "shape"), WITH_WEIGHTS)
OF_MOVERS = pytest.mark.parametrize(("make", "shape"), MOVERS)
OF_MERGING = pytest.mark.parametrize(("make", "shape"), MERGING)


def random(shape, dtype="float32", seed=3):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def positive_weights(layer, seed=4):
    """Weights in the shapes of the layer's; above 0, because a variance must be."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 0.5, shape) for shape in layer.weight_shapes()]


def built(make, shape, **options):
    layer = make(**options)
    layer.build((None, *shape))
    layer.set_weights(positive_weights(layer))
    return layer


# ---------------------------------------------------------------- signatures and configs

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
CONFIGS += [(make, make().get_config()) for make in COMPANIONS]
CONFIG_IDS += [f"{type(make()).__name__}-{i}" for i, make in enumerate(COMPANIONS)]


@pytest.mark.parametrize(("make", "config"), CONFIGS, ids=CONFIG_IDS)
def test_a_config_has_the_keys_and_values_of_keras(make, config):
    assert make().get_config() == config


@pytest.mark.parametrize("make", [make for make, _ in CONFIGS], ids=CONFIG_IDS)
def test_a_config_survives_json(make):
    layer = make()
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert type(again) is type(layer)
    assert json.dumps(again.get_config()) == json.dumps(layer.get_config())


@pytest.mark.parametrize("make", [make for make, _ in CONFIGS], ids=CONFIG_IDS)
def test_from_config_leaves_its_argument_alone(make):
    config = make().get_config()
    before = json.dumps(config)
    type(make()).from_config(config)
    assert json.dumps(config) == before


@pytest.mark.parametrize(("make", "shape"), WITH_WEIGHTS + WITHOUT_WEIGHTS + MERGING)
def test_an_argument_that_no_layer_takes_is_refused_by_its_name(make, shape):
    with pytest.raises(TypeError, match=r"does not take these arguments: 'autocast', 'colour'\."):
        make(autocast=True, colour="red")


JUNK = [
    *(None, True, -1, 0, 2, 2**40, 10**400, 0.5, float("nan"), "", "x", b"x", [], {}, (), [None]),
    *([[]], (1, 2, 3), ["x"], {"x": 1}, {"class_name": "x", "config": 3}, {"config": []}, object()),
    *(len, int, set(), 1j, np.array([1, 2]), np.array("a"), np.complex64(1), np.True_, ...),
]


@pytest.mark.parametrize(("make", "config"), CONFIGS, ids=CONFIG_IDS)
def test_no_value_of_an_argument_ends_in_another_error_than_valueerror_or_typeerror(make, config):
    kind = type(make())
    for argument in config:
        for value in JUNK:
            with contextlib.suppress(ValueError, TypeError):
                layer = kind.from_config({**make().get_config(), argument: value})
                assert isinstance(layer.get_config(), dict)


# ---------------------------------------------------------------- names, dtypes, shapes


@pytest.mark.parametrize(
    ("kind", "arguments", "stem"),
    [
        (lcfast.LocallyConnected1D, (1, 1), "locally_connected1d"),
        (lcfast.LocallyConnected2D, (1, 1), "locally_connected2d"),
        (lcfast.Conv2D, (1, 1), "conv2d"),
        (lcfast.BatchNormalization, (), "batch_normalization"),
        (lcfast.MaxPooling2D, (), "max_pooling2d"),
        (lcfast.ReLU, (), "re_lu"),
        (lcfast.InputLayer, ((3,),), "input"),
        (lcfast.Dense, (1,), "dense"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layers_without_a_name_are_numbered_by_their_class(kind, arguments, stem):
    first, second = kind(*arguments).name, kind(*arguments).name
    numbers = [int(name.removeprefix(stem).removeprefix("_") or 0) for name in (first, second)]
    assert first == (f"{stem}_{numbers[0]}" if numbers[0] else stem)
    assert second == f"{stem}_{numbers[1]}"
    assert numbers[1] == numbers[0] + 1


@pytest.mark.parametrize("name", ["", 3, ["a"], b"a", True], ids=repr)
def test_a_name_must_be_a_string_with_something_in_it(name):
    with pytest.raises(ValueError, match="The `name` argument must be a non-empty string"):
        lcfast.Dense(1, name=name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "float32"),
        ("float64", "float64"),
        (np.float64, "float64"),
        (np.dtype("float32"), "float32"),
        ({"class_name": "Policy", "config": {"name": "float64"}}, "float64"),
    ],
    ids=str,
)
def test_a_dtype_is_float32_or_float64(given, expected):
    layer = lcfast.Dense(2, dtype=given)
    assert layer.dtype == expected
    assert layer.get_config()["dtype"] == expected
    assert layer(np.ones((1, 3))).dtype == np.dtype(expected)
    assert {w.dtype for w in layer.get_weights()} == {np.dtype(expected)}


@pytest.mark.parametrize(
    "dtype",
    [
        *("float16", "mixed_float16", "int32", "half", "nonsense", "O", ">f4", "f4,f4", "("),
        *(3, [], ["float32"], {"config": {"name": "int8"}}, {"config": []}, object, bool),
        {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}},
    ],
    ids=repr,
)
def test_another_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match="The `dtype` argument must be float32 or float64"):
        lcfast.Dense(2, dtype=dtype)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"input_shape": (4, None, 3)}, (None, 4, None, 3)),
        ({"input_shape": [4, np.int64(3)]}, (None, 4, 3)),
        ({"input_shape": (4, 3), "batch_size": 5}, (5, 4, 3)),
        ({"batch_input_shape": (2, 4, 3)}, (2, 4, 3)),
        ({"batch_input_shape": (2, 4, 3), "input_shape": (9,)}, (2, 4, 3)),
        ({"batch_size": 5}, None),
    ],
    ids=str,
)
def test_the_shape_of_the_input_may_be_given_with_or_without_the_batch(options, expected):
    layer = lcfast.Activation("relu", **options)
    assert layer.batch_input_shape == expected
    assert ("batch_input_shape" in layer.get_config()) == (expected is not None)


@pytest.mark.parametrize(
    "shape",
    [5, np.int64(5), 5.0, "ab", (True,), (2.0,), (-1,), ("3",), ((2,),), (2**40,)],
    ids=repr,
)
def test_a_shape_that_is_no_tuple_of_sizes_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape` argument must be a tuple"):
        lcfast.Activation("relu", input_shape=shape)


@pytest.mark.parametrize("batch_size", [-1, True, 2.0, "2"], ids=repr)
def test_a_batch_size_that_is_no_positive_integer_is_refused(batch_size):
    with pytest.raises(ValueError, match="argument must be a"):
        lcfast.Activation("relu", input_shape=(3,), batch_size=batch_size)


@pytest.mark.parametrize("flag", ["trainable", "dynamic"])
@pytest.mark.parametrize("value", ["yes", None, 2, [], {}, 0.5], ids=repr)
def test_a_flag_must_be_true_or_false(flag, value):
    with pytest.raises(ValueError, match=f"The `{flag}` argument must be True or False"):
        lcfast.Dense(1, **{flag: value})


# ---------------------------------------------------------------- inputs


@OF_ONE_INPUT
@pytest.mark.parametrize("kind", ["float16", "float64", "int8", "uint16", "int64", "bool", "list"])
def test_real_numbers_of_any_kind_are_converted(make, shape, kind):
    layer = built(make, shape)
    x = (3 * random((2, *shape))).astype("int8" if kind == "list" else kind)
    given = x.tolist() if kind == "list" else x
    assert_same_bits(layer(given), layer(x.astype("float32")))
    assert_same_bits(layer.vjp(given)[0], layer(x.astype("float32")))


@OF_ONE_INPUT
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_an_input_changes_no_bit(make, shape, layout):
    layer = built(make, shape)
    x = random((3, *shape))
    other = LAYOUTS[layout](x)
    y, pullback = layer.vjp(x)
    dy = random(y.shape, seed=8)
    other_y, other_pullback = layer.vjp(other)
    assert_same_bits(layer(other), y)
    assert_same_bits(other_y, y)
    (dx, dweights), (other_dx, other_dweights) = pullback(dy), other_pullback(LAYOUTS[layout](dy))
    for got, expected in zip([other_dx, *other_dweights], [dx, *dweights], strict=True):
        assert_same_bits(got, expected)


@OF_ONE_INPUT
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_answer_to_a_row_does_not_depend_on_the_batch(make, shape, dtype):
    layer = built(make, shape, dtype=dtype)
    x = random((19, *shape), dtype)
    together = layer(x)
    assert together.dtype == np.dtype(dtype)
    for size in (1, 2, 7, 16):
        assert_same_bits(layer(x[:size]), together[:size])
    assert_same_bits(layer(x[11:12]), together[11:12])
    _, pullback = layer.vjp(x)
    dy = random(together.shape, dtype, seed=8)
    assert_same_bits(layer.vjp(x[5:8])[1](dy[5:8])[0], pullback(dy)[0][5:8])


@OF_ONE_INPUT
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("text", "which is not real numbers"),
        (1j * np.ones((2, 3)), "has dtype complex128, which is not real numbers"),
        (np.array([[None]]), "has dtype object"),
        (None, "has dtype object"),
        (np.array(["2020-01-01"], "datetime64[D]"), "has dtype datetime64"),
        ([[1.0, 2.0], [3.0]], "cannot be made into an array"),
    ],
    ids=["text", "complex", "object", "None", "dates", "ragged"],
)
def test_an_input_that_is_not_real_numbers_is_refused(make, shape, given, message):
    layer = built(make, shape, name="local")
    for call in (layer, layer.vjp):
        with pytest.raises(TypeError, match=rf"The input of layer local .*{message}"):
            call(given)


@OF_ONE_INPUT
def test_a_single_number_is_no_batch(make, shape):
    for layer in (make(name="local"), built(make, shape, name="local")):
        with pytest.raises(ValueError, match="The input of layer local is a number"):
            layer(3.0)


@OF_ONE_INPUT
def test_an_empty_batch_gives_an_empty_answer(make, shape):
    layer = built(make, shape)
    rows, empty = np.ones((3, *shape), "f4"), np.empty((0, *shape), "f4")
    expected = (0, *layer(rows).shape[1:])
    assert layer(empty).shape == expected
    assert layer(empty, out=np.empty(expected, "f4")).shape == expected
    y, pullback = layer.vjp(empty)
    dx, dweights = pullback(np.empty(y.shape))
    assert y.shape == expected
    assert dx.shape == empty.shape
    for gradient, weight in zip(dweights, layer.get_weights(), strict=True):
        assert_same_bits(np.abs(gradient), np.zeros_like(weight))


@OF_ONE_INPUT
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_that_is_given_is_modified(make, shape, dtype):
    layer = built(make, shape)
    x = random((3, *shape), dtype)
    y, pullback = layer.vjp(x)
    dy = random(y.shape, dtype, seed=8)
    x_before, dy_before = x.copy(), dy.copy()
    layer(x)
    pullback(dy)
    assert_same_bits(x, x_before)
    assert_same_bits(dy, dy_before)


@OF_MERGING
def test_merging_layers_modify_nothing_that_is_given(make, shape):
    given = [random((3, *shape), seed=seed) for seed in (1, 2)]
    before = [x.copy() for x in given]
    y, pullback = make().vjp(given)
    dy = random(y.shape, seed=8)
    dy_before = dy.copy()
    make()(given)
    pullback(dy)
    for got, expected in zip([*given, dy], [*before, dy_before], strict=True):
        assert_same_bits(got, expected)


def assert_apart(*arrays):
    for i, first in enumerate(arrays):
        for second in arrays[:i]:
            assert not np.shares_memory(first, second), "two of them share memory"


@OF_MOVERS
def test_an_answer_never_lies_in_the_memory_of_the_input(make, shape):
    x = random((3, *shape))
    y = make()(x)
    assert_same_bits(y.reshape(x.shape), x)
    assert_apart(x, y)


@OF_MOVERS
def test_an_answer_never_lies_in_memory_that_the_input_only_wraps(make, shape):
    x = random((3, *shape))
    assert_apart(x, make()(memoryview(x)))


@OF_MOVERS
def test_gradients_never_lie_in_the_memory_of_what_was_given(make, shape):
    x = random((3, *shape))
    y, pullback = make().vjp(x)
    dy = random(y.shape, seed=8)
    dx, dweights = pullback(dy)
    assert dweights == []
    assert_same_bits(dx.reshape(dy.shape), dy)
    assert_apart(x, y, dy, dx)


@OF_MERGING
@pytest.mark.parametrize("count", [1, 2])
def test_merging_layers_never_answer_in_the_memory_of_what_was_given(make, shape, count):
    given = [random((3, *shape), seed=seed) for seed in range(count)]
    y, pullback = make().vjp(given)
    dy = random(y.shape, seed=8)
    dx, _ = pullback(dy)
    assert len(dx) == count
    assert_apart(*given, make()(given), y, dy, *dx)


@pytest.mark.parametrize(("make", "shape"), [*WITH_WEIGHTS, *WITHOUT_WEIGHTS, *MOVERS])
def test_changing_an_answer_changes_neither_the_next_one_nor_the_gradients(make, shape):
    layer = built(make, shape)
    y, pullback = layer.vjp(random((3, *shape)))
    dy, before = random(y.shape, seed=8), y.copy()
    expected = flat(pullback(dy))
    y -= 1  # as in y -= target; pullback(y)
    for got, wanted in zip(flat(pullback(dy)), expected, strict=True):
        assert_same_bits(got, wanted)
        got[...] = 77
    for got, wanted in zip(flat(pullback(dy)), expected, strict=True):
        assert_same_bits(got, wanted)
    assert_same_bits(layer(random((3, *shape))), before)


# ---------------------------------------------------------------- out, training, mask


@OF_ONE_INPUT
def test_an_answer_goes_where_the_caller_wants_it(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    expected = layer(x)
    out = np.full(expected.shape, np.nan, expected.dtype)
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


@OF_ONE_INPUT
@pytest.mark.parametrize("layout", ["fortran", "reversed", "every-second", "misaligned"])
def test_out_may_have_any_layout(make, shape, layout):
    layer = built(make, shape)
    x = random((3, *shape))
    expected = layer(x)
    out = LAYOUTS[layout](np.zeros_like(expected))
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


OF_EQUAL_SHAPES = pytest.mark.parametrize(
    ("make", "shape"),
    [
        one(lcfast.Activation, (4, 5), "softmax"),
        one(lcfast.BatchNormalization, (4, 5)),
        one(lcfast.Conv1D, (4, 5), 5, 3, padding="same"),
        one(lcfast.Dense, (4, 5), 5),
        one(lcfast.Dropout, (4, 5), 0.5),
        one(lcfast.LocallyConnected1D, (4, 5), 5, 1, activation="relu"),
        one(lcfast.MaxPooling1D, (4, 5), 3, 1, "same"),
        one(lcfast.ReLU, (4, 5)),
    ],
)


@OF_EQUAL_SHAPES
def test_out_may_be_the_input(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    expected = layer(x)
    assert layer(x, out=x) is x
    assert_same_bits(x, expected)


@OF_EQUAL_SHAPES
@pytest.mark.parametrize("ahead", [True, False])
def test_out_may_overlap_the_input(make, shape, ahead):
    layer = built(make, shape)
    shared = random((4, *shape))
    x, out = (shared[:-1], shared[1:]) if ahead else (shared[1:], shared[:-1])
    expected = layer(x.copy())
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


@OF_ONE_INPUT
def test_an_out_that_does_not_fit_is_refused(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    y = layer(x)
    with pytest.raises(TypeError, match="out must be a numpy array, not list"):
        layer(x, out=y.tolist())
    with pytest.raises(TypeError, match="out has dtype float64; expected float32"):
        layer(x, out=y.astype("float64"))
    for wrong in (y[:2], y[..., :1], y[0]):
        with pytest.raises(ValueError, match="out has shape"):
            layer(x, out=wrong.copy())
    y.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        layer(x, out=y)


@OF_ONE_INPUT
def test_a_mask_is_refused(make, shape):
    layer = built(make, shape, name="local")
    x, mask = random((3, *shape)), np.ones(3, bool)
    expected = "Layer local does not support masking, but was passed a mask"
    with pytest.raises(TypeError, match=expected):
        layer(x, mask=mask)
    with pytest.raises(TypeError, match=expected):
        layer.compute_mask(x, mask)
    assert layer.compute_mask(x) is None
    assert layer.compute_mask(x, None) is None


@OF_ONE_INPUT
@pytest.mark.parametrize("training", [None, False, True, 0, 1])
def test_training_changes_nothing_or_is_refused(make, shape, training):
    layer = built(make, shape, name="local")
    x = random((3, *shape))
    if training and isinstance(layer, Noise | lcfast.BatchNormalization):
        with pytest.raises(ValueError, match="Layer local was called with training=True"):
            layer(x, training=training)
    else:
        assert_same_bits(layer(x, training=training), layer(x))


def test_calls_take_keras_s_arguments_by_place():
    parameters = inspect.signature(lcfast.Dense.__call__).parameters
    defaults = {name: parameter.default for name, parameter in list(parameters.items())[1:]}
    assert list(defaults.items()) == [
        *(("inputs", NEEDED), ("training", None), ("mask", None), ("out", None)),
        ("call_arguments", NEEDED),  # by name: what the `call` of a subclass takes
    ]


# ---------------------------------------------------------------- weights


@OF_WEIGHTS
def test_weights_come_back_as_they_were_set(make, shape):
    layer = built(make, shape)
    for got, given in zip(layer.get_weights(), positive_weights(layer), strict=True):
        assert_same_bits(got, given.astype("float32"))


@OF_WEIGHTS
def test_weights_are_cast_to_the_dtype_of_the_layer(make, shape):
    layer = built(make, shape)
    values = [np.ones(w.shape, "int8") for w in layer.get_weights()]
    layer.set_weights([value.tolist() for value in values])
    for got in layer.get_weights():
        assert_same_bits(got, np.ones(got.shape, "float32"))


@OF_WEIGHTS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_changing_the_arrays_that_were_given_or_taken_changes_nothing(make, shape, dtype):
    layer = built(make, shape, dtype=dtype)
    given = [value.astype(dtype) for value in positive_weights(layer)]
    expected = [value.copy() for value in given]
    x = random((2, *shape), dtype)
    layer.set_weights(given)
    y = layer(x)
    for array in [*given, *layer.get_weights(), *(weight.numpy() for weight in layer.weights)]:
        array[...] = 77
    for got, wanted in zip(layer.get_weights(), expected, strict=True):
        assert_same_bits(got, wanted)
    assert_same_bits(layer(x), y)


@OF_WEIGHTS
def test_the_weights_themselves_cannot_be_written_to(make, shape):
    layer = built(make, shape)
    for weight in layer.weights:
        with pytest.raises(ValueError, match="read-only"):
            weight.value[...] = 77
        with pytest.raises(AttributeError, match="You cannot assign to the value of the weight"):
            weight.value = 77


@OF_WEIGHTS
@pytest.mark.parametrize("change", [-1, 1, None])
def test_a_wrong_number_of_weights_is_refused(make, shape, change):
    layer = built(make, shape, name="local")
    weights = layer.get_weights()
    given = [] if change is None else weights[:change] if change < 0 else [*weights, weights[0]]
    expected = f"Layer local expects {len(weights)} weights, but {len(given)} were given"
    with pytest.raises(ValueError, match=expected):
        layer.set_weights(given)


@OF_WEIGHTS
def test_weights_of_a_wrong_shape_or_kind_are_refused_and_change_nothing(make, shape):
    layer = built(make, shape, name="local")
    before = layer.get_weights()
    last = layer.weights[-1]
    name = last.name.removeprefix("local/").removesuffix(":0")
    what = f"The weight {name} of layer local"
    good = [weight + 1 for weight in before[:-1]]
    wrong = {
        "has shape": [last.value[..., None], last.value[:-1], last.value.T[None], 3.0],
        "has dtype": [1j * last.value, last.value.astype(object), last.value.astype(str), None],
        "cannot be made into an array": [[[1.0], [1.0, 2.0]]],
    }
    for message, values in wrong.items():
        for value in values:
            error = ValueError if message == "has shape" else TypeError
            with pytest.raises(error, match=f"{what} {message}"):
                layer.set_weights([*good, value])
    for got, expected in zip(layer.get_weights(), before, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("weights", [None, 3, 1.5], ids=repr)
def test_weights_that_are_no_list_are_refused(weights):
    layer = lcfast.Dense(2, input_shape=(3,))
    layer.build((None, 3))
    with pytest.raises(TypeError):
        layer.set_weights(weights)


@OF_WEIGHTS
def test_a_layer_that_is_not_built_has_no_weights(make, shape):
    layer = make(name="local")
    assert not layer.built
    assert layer.get_weights() == layer.weights == layer.trainable_weights == []
    with pytest.raises(ValueError, match="You tried to call `count_params` on local, but"):
        layer.count_params()
    with pytest.raises(ValueError, match="not built yet: call `build` first"):
        layer.set_weights([np.ones(shape)])
    layer(np.ones((1, *shape)))
    assert layer.built
    assert len(layer.get_weights()) == len(layer.weights) > 0


@OF_WEIGHTS
def test_the_first_values_may_be_given_to_the_constructor(make, shape):
    layer = built(make, shape)
    given = [weight + 1 for weight in layer.get_weights()]
    again = make(weights=given)
    again.build((None, *shape))
    for array in given:
        array[...] += 1
    for got, expected in zip(again.get_weights(), layer.get_weights(), strict=True):
        assert_same_bits(got, expected + 1)
    with pytest.raises(ValueError, match="weights, but 0 were given"):
        make(weights=[]).build((None, *shape))


@OF_WEIGHTS
@pytest.mark.parametrize("trainable", [True, False])
def test_weights_have_the_names_and_shapes_of_keras(make, shape, trainable):
    layer = built(make, shape, name="local", trainable=trainable)
    normalizes = isinstance(layer, lcfast.BatchNormalization | lcfast.LayerNormalization)
    trained = (
        ["local/gamma:0", "local/beta:0"] if normalizes else ["local/kernel:0", "local/bias:0"]
    )
    of_batches = isinstance(layer, lcfast.BatchNormalization)
    frozen = ["local/moving_mean:0", "local/moving_variance:0"] if of_batches else []
    names = [weight.name for weight in layer.weights]
    assert names == trained + frozen
    assert [w.name for w in layer.trainable_weights] == (trained if trainable else [])
    assert [w.name for w in layer.non_trainable_weights] == (frozen if trainable else names)
    for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
        assert (weight.shape, weight.dtype) == (value.shape, value.dtype)
        assert_same_bits(np.asarray(weight), value)
        assert_same_bits(np.array(weight, "float64"), value.astype("float64"))
    assert layer.count_params() == sum(value.size for value in layer.get_weights())


@OF_WEIGHTS
def test_weights_that_are_not_trained_keep_their_place(make, shape):
    trained, frozen = built(make, shape), built(make, shape, trainable=False)
    stems = [weight.name.split("/")[1] for weight in trained.weights]
    assert [weight.name.split("/")[1] for weight in frozen.weights] == stems
    x = random((3, *shape))
    (y, pullback), (frozen_y, frozen_pullback) = trained.vjp(x), frozen.vjp(x)
    assert_same_bits(frozen_y, y)
    for got, expected in zip(frozen_pullback(y)[1], pullback(y)[1], strict=True):
        assert_same_bits(got, expected)


# ---------------------------------------------------------------- vjp


@OF_ONE_INPUT
def test_vjp_gives_the_output_and_gradients_in_the_shapes_of_the_weights(make, shape):
    layer = built(make, shape)
    x = random((3, *shape))
    y, pullback = layer.vjp(x)
    assert_same_bits(y, layer(x))
    dx, dweights = pullback(random(y.shape))
    assert (dx.shape, dx.dtype) == (x.shape, x.dtype)
    assert [d.shape for d in dweights] == [w.shape for w in layer.get_weights()]
    assert {d.dtype for d in dweights} <= {np.dtype("float32")}


@OF_ONE_INPUT
def test_a_pullback_gives_the_same_bits_every_time_and_in_every_thread(make, shape):
    layer = built(make, shape)
    y, pullback = layer.vjp(random((5, *shape)))
    dy = random(y.shape, seed=8)
    expected = flat(pullback(dy))
    layer.set_weights([weight + 1 for weight in layer.get_weights()])
    pullback(random(y.shape, seed=9))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: flat(pullback(dy)), range(24)))
    for answer in [flat(pullback(dy)), *answers]:
        for got, wanted in zip(answer, expected, strict=True):
            assert_same_bits(got, wanted)


def flat(gradients):
    dx, dweights = gradients
    return [dx, *dweights]


@OF_ONE_INPUT
def test_a_gradient_that_does_not_have_the_shape_of_the_output_is_refused(make, shape):
    layer = built(make, shape, name="local")
    y, pullback = layer.vjp(random((3, *shape)))
    for wrong in (y[:2], y[0], y[..., None], 1.0):
        with pytest.raises(ValueError, match="The gradient of the output of layer local has shape"):
            pullback(wrong)
    with pytest.raises(TypeError, match="the gradient of the output has dtype complex64"):
        pullback(y * 1j)
    for got, expected in zip(flat(pullback(y.tolist())), flat(pullback(y)), strict=True):
        assert_same_bits(got, expected)


# ---------------------------------------------------------------- symbolic calls


@OF_ONE_INPUT
def test_a_call_on_a_symbolic_tensor_builds_the_layer_and_gives_the_next_one(make, shape):
    layer = make(dtype="float64")
    tensor = layer(lcfast.Input(shape, dtype="float64"))
    assert layer.built
    assert tensor.shape == (None, *layer(np.ones((2, *shape))).shape[1:])
    assert tensor.dtype == "float64"
    assert tensor.name == layer.name
    assert layer.compute_output_shape((None, *shape)) == tensor.shape


def test_symbolic_tensors_and_arrays_do_not_mix():
    mixed = [lcfast.Input((3,)), np.ones((2, 3))]
    with pytest.raises(TypeError, match="symbolic tensors and arrays in one list"):
        lcfast.Add()(mixed)


def test_a_layer_of_one_input_takes_one():
    with pytest.raises(ValueError, match=r"Layer local takes one input\. Received: 2"):
        lcfast.Dense(2, name="local")([lcfast.Input((3,)), lcfast.Input((3,))])


def test_a_layer_that_defines_nothing_says_so():
    layer = lcfast.Layer(name="bare")
    x = np.ones((1, 2))
    with pytest.raises(TypeError, match=r"Layer bare \(Layer\) does not define `forward`"):
        layer(x)
    with pytest.raises(TypeError, match=r"Layer bare \(Layer\) does not define `linearize`"):
        layer.vjp(x)


# ---------------------------------------------------------------- threads


def test_threads_that_make_the_first_call_together_build_one_layer():
    x = np.ones((1, 6, 3))
    for _ in range(20):
        layer, start = lcfast.LocallyConnected1D(4, 3), threading.Barrier(8)

        def first_call(layer=layer, start=start):
            start.wait()
            return layer(x)

        with ThreadPoolExecutor(8) as pool:
            answers = [future.result() for future in [pool.submit(first_call) for _ in range(8)]]
        for answer in answers:
            assert_same_bits(answer, layer(x))


@pytest.fixture
def busy_threads():
    """Threads take turns a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
@pytest.mark.parametrize("engine", ["direct", "reference"])
def test_every_answer_belongs_to_one_whole_set_of_weights(engine):
    # With all weights equal to n every output is 4 n + n, and every dx is 3 n for each window.
    layer = lcfast.LocallyConnected1D(3, 2, engine=engine)
    x = np.ones((2, 12, 2), "f4")
    layer.build(x.shape)
    stop, seen = threading.Event(), set()

    def ask():
        while not stop.is_set():
            y, pullback = layer.vjp(x)
            dx = pullback(np.ones_like(y))[0]
            called = layer(x)
            kernel, bias = layer.get_weights()
            seen.add((y.min() / 5, y.max() / 5, dx.min() / 3, dx.max() / 6))
            seen.add((called.min() / 5, called.max() / 5))
            seen.add((kernel.min(), bias.min(), kernel.max(), bias.max(), kernel[0, 0, 0]))

    layer.set_weights([np.full(shape, 1) for shape in layer.weight_shapes()])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        numbers, give_up = itertools.cycle(range(1, 10)), time.monotonic() + 20
        while len(seen) < 20 and time.monotonic() < give_up and not asked[0].done():
            number = next(numbers)
            layer.set_weights([np.full(shape, number) for shape in layer.weight_shapes()])
        stop.set()
    assert [thread.result() for thread in asked] == [None] * 8
    assert len(seen) >= 20
    assert {len(set(numbers)) for numbers in seen} == {1}
