"""Single layers of implementation 1, linear and with the activations that old models use."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from activations import ACTIVATIONS
from support import FORMATS, Arrays, normal, run_both_ways, seeded, write_arrays
from tf_keras import layers


@dataclass(frozen=True)
class Case:
    data_format: str
    size: tuple[int, ...]  # of the input, without its channels
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    channels: int
    filters: int
    bias: bool = True
    activation: str = "linear"
    dtype: str = "float32"
    implementation: int = 1
    padding: str = "valid"

    @property
    def input_shape(self) -> tuple[int, ...]:
        last = self.data_format == "channels_last"
        return (*self.size, self.channels) if last else (self.channels, *self.size)

    @property
    def name(self) -> str:
        size, kernel, strides = (
            "x".join(map(str, numbers)) for numbers in (self.size, self.kernel, self.strides)
        )
        parts = [f"{len(self.size)}d", self.data_format, f"n{size}", f"c{self.channels}"]
        parts += [f"k{kernel}", f"s{strides}", f"f{self.filters}"]
        parts += ["bias"] if self.bias else []
        parts += [self.activation] if self.activation != "linear" else []
        parts += [self.dtype] if self.dtype != "float32" else []
        return "-".join(parts)


FILTERS = (1, 2, 3, 5, 8, 17)
LARGEST_KERNEL = 600  # numbers in a drawn 2D kernel, to keep the file small

GEOMETRIES_1D = [
    ((size,), (kernel,), (stride,))
    for (kernel, stride), size in zip(
        product((1, 2, 3, 4), (1, 2, 3)), (7, 8, 9, 11, 13, 10, 9, 7, 11, 5, 9, 13), strict=True
    )
]
GEOMETRIES_2D = [
    ((5, 3), (1, 1), (1, 1)),
    ((5, 7), (1, 1), (3, 3)),
    ((7, 5), (2, 2), (1, 1)),
    ((5, 7), (2, 2), (3, 2)),
    ((5, 7), (3, 3), (1, 1)),
    ((7, 5), (3, 3), (2, 2)),
    ((6, 5), (4, 4), (1, 1)),
    ((7, 9), (4, 4), (3, 2)),
    ((7, 5), (2, 3), (1, 1)),
    ((4, 9), (2, 3), (1, 2)),
    ((3, 7), (1, 4), (1, 1)),
    ((3, 9), (1, 4), (1, 2)),
    ((5, 3), (3, 1), (1, 2)),
    ((7, 9), (3, 2), (3, 3)),
    ((7, 9), (4, 3), (2, 3)),
    ((7, 4), (4, 2), (3, 1)),
]
ACTIVATED = {1: ((9,), (3,), (2,)), 2: ((5, 7), (2, 3), (1, 2))}
AT_THE_EDGE = [
    Case("channels_last", (4,), (4,), (1,), 3, 5),  # the kernel is as large as the input
    Case("channels_first", (4,), (4,), (1,), 3, 5),
    Case("channels_last", (3, 4), (3, 4), (1, 1), 2, 5),
    Case("channels_first", (3, 4), (3, 4), (1, 1), 2, 5),
    Case("channels_first", (5,), (4,), (3,), 2, 3),  # the stride leaves one position
    Case("channels_last", (4, 5), (3, 3), (2, 3), 1, 17),
    Case("channels_last", (11,), (3,), (3,), 5, 17),  # windows that do not overlap
    Case("channels_first", (11,), (3,), (3,), 5, 17),
    Case("channels_last", (5, 7), (2, 3), (2, 3), 3, 8),
    Case("channels_first", (5, 7), (2, 3), (2, 3), 3, 17),
    Case("channels_last", (1,), (1,), (1,), 1, 1),  # as small as a layer can be
    Case("channels_last", (1, 1), (1, 1), (1, 1), 1, 1),
    Case("channels_last", (17,), (2,), (1,), 1, 1),  # one channel and one filter, as in genomics
    Case("channels_first", (3, 9), (3, 2), (1, 1), 2, 3),  # one row of positions
]
IN_DOUBLE = [
    Case("channels_last", (9,), (3,), (1,), 3, 5, dtype="float64"),
    Case("channels_first", (9,), (3,), (2,), 3, 5, dtype="float64"),
    Case("channels_last", (7,), (2,), (1,), 2, 17, False, dtype="float64"),
    Case("channels_last", (7,), (2,), (3,), 5, 3, True, "selu", "float64"),
    Case("channels_first", (11,), (4,), (2,), 4, 3, True, "softmax", "float64"),
    Case("channels_last", (5, 7), (2, 3), (2, 1), 2, 3, dtype="float64"),
    Case("channels_first", (3, 7), (2, 3), (1, 2), 2, 5, dtype="float64"),
    Case("channels_last", (4, 3), (3, 2), (1, 1), 2, 17, False, dtype="float64"),
    Case("channels_first", (7, 5), (3, 3), (2, 2), 3, 2, True, "tanh", "float64"),
    Case("channels_last", (5, 7), (1, 4), (3, 2), 2, 8, True, "sigmoid", "float64"),
]


def drawn_linear_case(data_format: str, geometry: tuple, rng: np.random.Generator) -> Case:
    size, kernel, strides = geometry
    channels = int(rng.integers(1, 6))
    output = [(n - k) // s + 1 for n, k, s in zip(size, kernel, strides, strict=True)]
    per_filter = int(np.prod(output) * np.prod(kernel) * channels)
    affordable = [f for f in FILTERS if f * per_filter <= LARGEST_KERNEL] or [1]
    filters = int(rng.choice(affordable))
    return Case(data_format, size, kernel, strides, channels, filters, bias=bool(rng.integers(2)))


def locally_connected_cases() -> Iterator[Case]:
    for data_format, geometry in product(FORMATS, GEOMETRIES_1D + GEOMETRIES_2D):
        yield drawn_linear_case(data_format, geometry, seeded(f"{data_format} {geometry}"))
    for dimensions, activation in product((1, 2), ACTIVATIONS):
        yield Case("channels_first", *ACTIVATED[dimensions], 2, 5, True, activation)
        yield Case("channels_last", *ACTIVATED[dimensions], 3, 3, False, activation)
    yield from AT_THE_EDGE
    yield from IN_DOUBLE


def built_layer(case: Case, **options) -> layers.Layer:
    kind = layers.LocallyConnected1D if len(case.size) == 1 else layers.LocallyConnected2D
    layer = kind(
        case.filters,
        case.kernel,
        strides=case.strides,
        padding=case.padding,
        data_format=case.data_format,
        activation=case.activation,
        use_bias=case.bias,
        implementation=case.implementation,
        dtype=case.dtype,
        name="layer",
        **options,
    )
    layer.build((None, *case.input_shape))
    return layer


def described(layer: layers.Layer) -> Arrays:
    """The config and the weights of a layer."""
    config = {"class_name": type(layer).__name__, "config": layer.get_config()}
    weights = {f"w{i}": w for i, w in enumerate(layer.get_weights())}
    return {"config": np.array(json.dumps(config)), **weights}


def locally_connected_arrays(case: Case) -> Arrays:
    rng = seeded(case.name)
    layer = built_layer(case)
    layer.set_weights([normal(rng, w.shape, case.dtype) / 2 for w in layer.get_weights()])
    x = normal(rng, (int(rng.integers(1, 6)), *case.input_shape), case.dtype)
    return {**described(layer), **run_both_ways(layer, [x], layer.trainable_weights, rng)}


def write_locally_connected() -> None:
    cases = list(locally_connected_cases())
    arrays = {
        f"{case.name}/{key}": array
        for case in cases
        for key, array in locally_connected_arrays(case).items()
    }
    assert len({case.name for case in cases}) == len(cases), "two cases share a name"
    write_arrays("locally_connected", arrays, f"{len(cases)} cases")
