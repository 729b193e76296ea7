"""Before anything is timed: every implementation on every engine gives the same answers."""

from __future__ import annotations

import numpy as np

from lcfast.bench.subjects import Engines, geometry_of
from lcfast.local_conv import ops


class EnginesDisagreeError(Exception):
    """Two engines gave different answers, which is a fault of lcfast or of the machine."""


def check_implementations(engines: Engines, x: np.ndarray) -> None:
    """Raise EnginesDisagreeError unless all implementations give an engine's answers, to the bit.

    Examples
    --------
    >>> import numpy as np
    >>> from lcfast.bench.agreement import check_implementations
    >>> from lcfast.bench.subjects import local_layers, model_of, on_each_engine
    >>> engines = on_each_engine(*local_layers(model_of("10x2:4:3")))
    >>> check_implementations(engines, np.ones((5, 10, 2)))
    """
    for engine, layer in engines.items():
        expected = layer(x)
        for other in (1, 2, 3):
            if other == layer.implementation or (other == 1 and layer.padding != "valid"):
                continue
            got = layer.with_implementation(other, engine)(x)
            _stop_where(
                ~_same(got, expected),
                f"The implementations {layer.implementation} and {other} of layer {layer.name} on "
                f"the {engine} engine",
            )


def check_engines(engines: Engines, x: np.ndarray) -> None:
    """Raise EnginesDisagreeError unless the engines' answers differ by rounding alone.

    Each answer is a sum of K products and a bias; two orders of summation, with one rounding or
    two for each product, are at most 2 gamma(K + 2) times the sum of the absolute terms apart.
    Where these sums are the same to the bit, what the activation makes of them is too.

    Examples
    --------
    >>> import numpy as np
    >>> from lcfast.bench.agreement import check_engines
    >>> from lcfast.bench.subjects import local_layers, model_of, on_each_engine
    >>> engines = on_each_engine(*local_layers(model_of("10x2:4:3")))
    >>> check_engines(engines, np.ones((5, 10, 2)))
    """
    direct, sparse = engines["direct"], engines["sparse"]
    geometry = geometry_of(direct)
    one, other = (each.product(each.record(), x, geometry)(ops.LINEAR, None)
                  for each in (direct, sparse))  # fmt: skip
    what = f"The engines direct and sparse of layer {direct.name}"
    same = _same(one, other)
    if same.all():
        _stop_where(~_same(direct(x), sparse(x)), what)
        return
    absolute = tuple(np.abs(array) for array in direct.record())
    terms = direct.product(absolute, np.abs(x), geometry)(ops.LINEAR, None)
    limits = np.finfo(one.dtype)
    roundings = (geometry.patch_size + 3) * float(limits.eps) / 2  # one more: `terms` is rounded
    with np.errstate(invalid="ignore"):  # infinity less infinity, which is not `same`
        apart = np.abs(one - other)
        bound = 2 * roundings / (1 - roundings) * terms
        bound += 2 * (geometry.patch_size + 2) * float(limits.smallest_subnormal)
        _stop_where(~same & ~(apart <= bound), what)


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two arrays hold the same numbers; NaN is the same as NaN."""
    same: np.ndarray = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def _stop_where(wrong: np.ndarray, what: str) -> None:
    count = int(wrong.sum())
    if count:
        raise EnginesDisagreeError(
            f"{what} disagree in {count:,} of {wrong.size:,} numbers by more than rounding, so "
            "nothing was timed; please report it, with the model and what lcfast.show_versions() "
            "prints."
        )
