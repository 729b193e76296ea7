"""Check before timing that every implementation gives the same results on every engine."""

from __future__ import annotations

import numpy as np

from lcfast.bench.subjects import Engines, geometry_of
from lcfast.local_conv import ops


class EnginesDisagreeError(Exception):
    """Two engines gave different results: a bug in lcfast, or a hardware fault."""


def check_implementations(engines: Engines, x: np.ndarray) -> None:
    """Raise EnginesDisagreeError unless all implementations are bit-identical on each engine.

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
    """Raise EnginesDisagreeError unless the engines' results differ by rounding only.

    Each result is a sum of K products and a bias. Two orders of summation, with one or two
    roundings for each product, differ by at most 2 gamma(K + 2) times the sum of the absolute
    terms. If these sums are bit-identical, the activations of them must be, too.

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
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN, which fails the bound
        apart = np.abs(one - other)
        bound = 2 * roundings / (1 - roundings) * terms
        bound += 2 * (geometry.patch_size + 2) * float(limits.smallest_subnormal)
        _stop_where(~same & ~(apart <= bound), what)


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two arrays hold equal numbers; NaN equals NaN."""
    same: np.ndarray = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def _stop_where(wrong: np.ndarray, what: str) -> None:
    count = int(wrong.sum())
    if count:
        raise EnginesDisagreeError(
            f"{what} disagree in {count:,} of {wrong.size:,} numbers by more than rounding; "
            "nothing was timed. Please report this with the model and the output of "
            "lcfast.show_versions()."
        )
