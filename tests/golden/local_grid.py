"""Single layers over the whole grid: every implementation, padding, format, stride and parity.

A cell is one choice of dimensions, implementation, padding, data format, strides and kernel. What
the cell leaves open (sizes, channels, filters, bias, dtype) is drawn.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from activations import NAMES
from locally_connected import Case, built_layer, described
from support import FORMATS, Arrays, normal, run_both_ways, seeded, write_arrays

IMPLEMENTATIONS = ((1, "valid"), (2, "valid"), (2, "same"), (3, "valid"), (3, "same"))
LARGEST_INPUT = 8
LARGEST_KERNEL = 1500  # numbers in a stored kernel, to keep the file small
EVEN, ODD = (2, 4), (1, 3, 5)

# Per cell the strides, and the kernel sizes, to draw from.
STRIDES = {
    1: [[(1,)], [(2,)], [(3,)]],
    2: [[(1, 1)], [(2, 2)], [(3, 3)], [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)]],
}
KERNELS = {
    1: [[(size,)] for size in (1, 2, 3, 4, 5)],
    2: [list(product(rows, columns)) for rows, columns in product((EVEN, ODD), repeat=2)],
}
WIDER_THAN_THE_INPUT = [
    ((3,), (4,), (1,)),
    ((4,), (5,), (2,)),
    ((3,), (5,), (3,)),
    ((3, 4), (5, 4), (1, 2)),
    ((3, 3), (4, 5), (1, 1)),
    ((4, 3), (5, 5), (2, 3)),
]


@dataclass(frozen=True)
class GridCase(Case):
    @property
    def name(self) -> str:
        dimensions, rest = super().name.split("-", 1)
        return f"{dimensions}-impl{self.implementation}-{self.padding}-{rest}"

    @property
    def output_size(self) -> tuple[int, ...]:
        return tuple(
            math.ceil(n / s) if self.padding == "same" else (n - k) // s + 1
            for n, k, s in zip(self.size, self.kernel, self.strides, strict=True)
        )

    @property
    def stored(self) -> int:
        """How many numbers the kernel holds; an upper bound for implementation 3 with same."""
        seen = self.size if self.implementation == 2 else self.kernel
        return math.prod((*seen, *self.output_size)) * self.channels * self.filters


def axes(case: GridCase) -> dict[str, str]:
    """The coordinates of a case that must occur in pairs."""
    parities = {"odd" if k % 2 else "even" for k in case.kernel}
    return {
        "implementation": str(case.implementation),
        "padding": case.padding,
        "format": case.data_format,
        "stride": str(case.strides[0]) if len(set(case.strides)) == 1 else "mixed",
        "kernel": parities.pop() if len(parities) == 1 else "mixed",
    }


def drawn_case(cell: tuple, activation: str) -> GridCase:
    (implementation, padding), data_format, strides, kernels = cell
    rng = seeded(f"grid {cell}")
    while True:
        kernel, stride = tuple(rng.choice(kernels).tolist()), tuple(rng.choice(strides).tolist())
        smallest = [max(3, k) if padding == "valid" else 3 for k in kernel]
        case = GridCase(
            data_format,
            tuple(int(rng.integers(n, LARGEST_INPUT + 1)) for n in smallest),
            kernel,
            stride,
            channels=int(rng.integers(1, 4)),
            filters=int(rng.integers(1, 5)),
            bias=bool(rng.random() < 0.7),
            activation=activation,
            dtype="float64" if rng.random() < 0.2 else "float32",
            implementation=implementation,
            padding=padding,
        )
        if case.stored <= LARGEST_KERNEL:
            return case


def grid_cases() -> Iterator[GridCase]:
    for dimensions, implementation in product((1, 2), IMPLEMENTATIONS):
        cells = [
            (implementation, *rest)
            for rest in product(FORMATS, STRIDES[dimensions], KERNELS[dimensions])
        ]
        activations = [*NAMES, *["linear"] * (len(cells) - len(NAMES))]
        seeded(f"activations {dimensions} {implementation}").shuffle(activations)
        for cell, activation in zip(cells, activations, strict=True):
            yield drawn_case(cell, activation)
    for data_format, implementation, geometry in product(FORMATS, (2, 3), WIDER_THAN_THE_INPUT):
        form = {"implementation": implementation, "padding": "same"}
        yield GridCase(data_format, *geometry, channels=2, filters=3, **form)
    # A softmax runs over the last axis, which here is one of positions.
    for activation, implementation in product(("softmax", "log_softmax"), (1, 2, 3)):
        form = {"activation": activation, "implementation": implementation}
        yield GridCase("channels_first", (7,), (3,), (1,), channels=2, filters=4, **form)
        yield GridCase("channels_first", (5, 6), (2, 3), (1, 2), channels=2, filters=3, **form)


def grid_arrays(case: GridCase) -> Arrays:
    rng = seeded(case.name)
    layer = built_layer(case)
    kernel, *bias = layer.get_weights()
    # Scaled by the fan-in, so that an activation sees numbers of a few units. What implementation
    # 2 stores outside its mask is random too: nothing may depend on it.
    spread = 3 / math.sqrt(math.prod(case.kernel) * case.channels)
    weights = [spread * normal(rng, kernel.shape, case.dtype)]
    weights += [normal(rng, b.shape, case.dtype) for b in bias]
    layer.set_weights(weights)
    x = normal(rng, (int(rng.integers(1, 4)), *case.input_shape), case.dtype)
    return {**described(layer), **run_both_ways(layer, [x], layer.trainable_weights, rng)}


def check_pairs(cases: list[GridCase]) -> int:
    """How often the rarest pair of coordinates occurs; each that can occur must."""
    found = [axes(case) for case in cases]
    rarest = len(cases)
    for first, second in combinations(found[0], 2):
        pairs = Counter((axis[first], axis[second]) for axis in found)
        for pair in product(*({axis[name] for axis in found} for name in (first, second))):
            if (first, second, *pair) != ("implementation", "padding", "1", "same"):
                assert pairs[pair], f"{first} {pair[0]} never meets {second} {pair[1]}"
                rarest = min(rarest, pairs[pair])
    return rarest


def report_grid(cases: list[GridCase]) -> None:
    for dimensions in (1, 2):
        chosen = [case for case in cases if len(case.size) == dimensions]
        print(f"  {dimensions}D: {len(chosen)}; the rarest pair occurs {check_pairs(chosen)} times")
        for name in axes(chosen[0]):
            print(f"    {name}: {counted(axes(case)[name] for case in chosen)}")
        print(f"    bias: {counted(case.bias for case in chosen)}")
        print(f"    dtype: {counted(case.dtype for case in chosen)}")
        print(f"    activation: {counted(case.activation for case in chosen)}")
        wide = (any(k > n for k, n in zip(case.kernel, case.size, strict=True)) for case in chosen)
        print(f"    kernel wider than the input: {counted(wide)}")


def counted(values: Iterator) -> str:
    return ", ".join(f"{value} {count}" for value, count in sorted(Counter(values).items()))


def write_local_grid() -> None:
    cases = list(grid_cases())
    assert len({case.name for case in cases}) == len(cases), "two cases share a name"
    arrays = {
        f"{case.name}/{key}": array for case in cases for key, array in grid_arrays(case).items()
    }
    write_arrays("local_grid", arrays, f"{len(cases)} cases")
    report_grid(cases)
