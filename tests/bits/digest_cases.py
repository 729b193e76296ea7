"""The fixed cases of the digest: layers and models, their weights and inputs, from integers alone.

No number comes from numpy's random stream or from libm, which change with their versions: they
are integers of splitmix64, scaled by powers of two, and so the same everywhere.  `digests.csv`
belongs to these very cases: a change of one changes its line, a new one adds a line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import lcfast

DTYPES = ("float32", "float64")
FIRST = {"data_format": "channels_first"}
SAME = {"padding": "same"}
ACTIVATIONS = (
    *("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "softmax", "softplus", "softsign", "swish", "tanh"),
)


@dataclass(frozen=True)
class Case:
    """A layer or model for inputs of these shapes, without the batch; `indices` for integers."""

    make: Callable[[str], Any]
    shapes: tuple[tuple[int, ...], ...]
    rows: int
    indices: int = 0
    positive_weights: bool = False


def layer(kind: str, shape: tuple[int, ...], rows: int, *arguments: Any, **options: Any) -> Case:
    """The case of one layer."""

    def make(dtype: str) -> Any:
        return getattr(lcfast, kind)(*arguments, dtype=dtype, **options)

    return Case(make, (shape,), rows)


def every_activation(dtype: str) -> Any:
    x = lcfast.Input((40,), dtype=dtype)
    made = [lcfast.Activation(name, dtype=dtype)(x) for name in ACTIVATIONS]
    return lcfast.Model(x, lcfast.Concatenate(dtype=dtype)(made))


def bidirectional(dtype: str) -> Any:
    inner = lcfast.GRU(5, return_sequences=True, reset_after=False, dtype=dtype)
    return lcfast.Bidirectional(inner, dtype=dtype)


def pooled(dtype: str) -> Any:
    of = {"dtype": dtype}
    x = lcfast.Input((9, 8, 3), **of)
    pools = [
        lcfast.AveragePooling2D(3, strides=2, padding="same", **of)(x),
        lcfast.MaxPooling2D(2, **of)(x),
        lcfast.UpSampling2D(2, interpolation="bilinear", **of)(x),
    ]
    flat = [lcfast.Flatten(**of)(pool) for pool in pools]
    ends = [lcfast.GlobalAveragePooling2D(**of)(x), lcfast.GlobalMaxPooling2D(**of)(x)]
    return lcfast.Model(x, lcfast.Concatenate(**of)(flat + ends))


def normalized(dtype: str) -> Any:
    of = {"dtype": dtype}
    layers = [
        lcfast.BatchNormalization(**of),
        lcfast.LayerNormalization(**of),
        lcfast.PReLU(**of),
    ]
    return lcfast.Sequential([lcfast.InputLayer((6, 5), **of), *layers])


def attending(dtype: str) -> Any:
    a, b = (lcfast.Input((5, 12), dtype=dtype) for _ in range(2))
    return lcfast.Model([a, b], lcfast.Dot(2, normalize=True, dtype=dtype)([a, b]))


def words(dtype: str) -> Any:
    x = lcfast.Input((7,), dtype="int32")
    vectors = lcfast.Embedding(11, 6, dtype=dtype)(x)
    return lcfast.Model(x, lcfast.LSTM(9, dtype=dtype)(vectors))


def face(dtype: str) -> Any:
    """A small DeepFace: shared and unshared convolutions, pooling, dense layers."""
    of = {"dtype": dtype}
    layers = [
        lcfast.Conv2D(6, 5, activation="relu", **of),
        lcfast.MaxPooling2D(3, strides=2, padding="same", **of),
        lcfast.LocallyConnected2D(8, 3, activation="relu", **of),
        lcfast.LocallyConnected2D(3, 3, strides=2, implementation=3, activation="tanh", **of),
        lcfast.Flatten(**of),
        lcfast.Dense(150, activation="elu", **of),
        lcfast.Dense(10, activation="softmax", **of),
    ]
    return lcfast.Sequential([lcfast.InputLayer((21, 19, 3), **of), *layers])


L1, L2 = "LocallyConnected1D", "LocallyConnected2D"
CASES = {
    "local-1d-filters": layer(L1, (12, 3), 9, 64, 3, activation="tanh"),
    "local-1d-batch": layer(L1, (9, 5), 53, 7, 3, activation="sigmoid"),
    "local-1d-positions": layer(L1, (251, 1), 37, 2, 3, strides=3),
    "local-1d-taps": layer(L1, (70, 4), 19, 3, 60, strides=5),
    "local-1d-first": layer(L1, (3, 41), 26, 5, 4, strides=2, **FIRST),
    "local-1d-streaming": layer(L1, (128, 1), 1030, 64, 1),
    "local-2d-filters": layer(L2, (7, 6, 5), 13, 64, (3, 2), activation="elu"),
    "local-2d-batch": layer(L2, (8, 9, 2), 50, 4, (3, 3), strides=(2, 1), activation="softmax"),
    "local-2d-positions": layer(L2, (20, 21, 1), 5, 1, (3, 4), activation="selu"),
    "sparse-1d-same": layer(L1, (30, 2), 23, 5, 4, implementation=3, **SAME),
    "sparse-2d-first": layer(L2, (2, 8, 7), 18, 3, 3, implementation=2, **SAME, **FIRST),
    "dense-narrow": layer("Dense", (2100,), 14, 5),
    "dense-packed": layer("Dense", (300,), 29, 211, activation="relu"),
    "conv-1d-causal": layer("Conv1D", (40, 6), 11, 9, 5, padding="causal", dilation_rate=3),
    "conv-2d-same-groups": layer("Conv2D", (13, 11, 6), 10, 8, (3, 4), strides=2, groups=2, **SAME),
    "conv-2d-transpose": layer("Conv2DTranspose", (6, 5, 4), 8, 7, 3, strides=2, **SAME),
    "depthwise-2d": layer("DepthwiseConv2D", (12, 10, 5), 12, 3, depth_multiplier=2),
    "separable-1d": layer("SeparableConv1D", (25, 6), 15, 10, 4, activation="gelu"),
    "recurrent-words": Case(words, ((7,),), 22, indices=11),
    "recurrent-bidirectional": Case(bidirectional, ((9, 4),), 17),
    "activations": Case(every_activation, ((40,),), 27),
    "normalized": Case(normalized, ((6, 5),), 33, positive_weights=True),
    "pooled": Case(pooled, ((9, 8, 3),), 16),
    "cosine": Case(attending, ((5, 12), (5, 12)), 24),
    "model": Case(face, ((21, 19, 3),), 20),
}


def numbers(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Numbers between -2 and 2 of several magnitudes, exact in `dtype`."""
    drawn = integers(shape, seed)
    bits = 24 if dtype == "float32" else 53
    whole = (drawn >> np.uint64(64 - bits)).astype(np.int64) - (1 << (bits - 1))
    halvings = (drawn & np.uint64(3)).astype(np.int64) + (bits - 2)
    return (whole.astype(dtype) / (np.int64(1) << halvings).astype(dtype)).astype(dtype)


def integers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The numbers of splitmix64, 64 bits each."""
    count = int(np.prod(shape, dtype=np.int64))
    z = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)
    z = z * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).reshape(shape)
