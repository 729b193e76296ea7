"""Select the cases that the fast tier runs of each parametrised test."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping

import pytest

#: The most cases of one test function in the fast tier.
MOST_CASES = 8

Values = frozenset[tuple[Hashable, ...]]


def representatives(cases: Mapping[str, Values], most: int = MOST_CASES) -> set[str]:
    """Choose a small set of cases in which every value occurs at least once.

    The cover is greedy. Ties are broken by a checksum of the case's name, so that different pairs
    of values occur together, and the result does not depend on the order of the cases.

    Parameters
    ----------
    cases : mapping of str to frozenset
        The values of each case.
    most : int
        The most cases to choose. With more values than that, those chosen first cover the most.

    Returns
    -------
    set of str
        The names of the chosen cases.
    """
    order = sorted(cases, key=lambda name: (zlib.crc32(name.encode()), name))
    missing = set().union(*cases.values())
    chosen: set[str] = set()
    while len(chosen) < most and (missing or not chosen):
        best = max(order, key=lambda name: len(cases[name] & missing))
        chosen.add(best)
        missing -= cases[best]
    return chosen


def values_of(item: pytest.Function) -> Values:
    """The values of an item's parameters, and the parts of its id, which describe large values."""
    values: set[tuple[Hashable, ...]] = set()
    for name, value in item.callspec.params.items():
        try:
            hash(value)
        except TypeError:
            value = id(value)  # one object for all cases of a product of parameters
        values.add((name, type(value), value))
    values |= {("part of id", *each) for each in enumerate(item.callspec.id.split("-"))}
    return frozenset(values)


def left_out(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """The items that the fast tier leaves out: most cases, and tests marked thorough."""
    functions: defaultdict[str, dict[str, pytest.Item]] = defaultdict(dict)
    skipped = set()
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("large"):
            continue
        if item.get_closest_marker("thorough"):
            skipped.add(item)
        elif hasattr(item, "callspec"):
            functions[item.nodeid.removesuffix(f"[{item.callspec.id}]")][item.nodeid] = item
    for cases in functions.values():
        kept = representatives({name: values_of(item) for name, item in cases.items()})
        skipped |= {item for name, item in cases.items() if name not in kept}
    return skipped
