"""One layer of each class, for tests of what all layers have in common."""

import numpy as np
import pytest

import lcfast


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
MOVERS = [  # layers that return their input values unchanged
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
    """Random weights for a layer; positive, because a variance must be."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 0.5, shape) for shape in layer.weight_shapes()]


def built(make, shape, **options):
    layer = make(**options)
    layer.build((None, *shape))
    layer.set_weights(positive_weights(layer))
    return layer


def flat(gradients):
    dx, dweights = gradients
    return [dx, *dweights]
