"""Which cases of a parametrised test the fast tier runs: a few in which every value occurs."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping

import pytest

#: The most cases of one test function in the fast tier, in seconds rather than in claims.
MOST_CASES = 24

Values = frozenset[tuple[Hashable, ...]]


def representatives(cases: Mapping[str, Values], most: int = MOST_CASES) -> set[str]:
    """Choose few cases in which every value occurs at least once, but no more than `most`.

    The cover is greedy. Among cases that add equally many values a checksum of the case's name
    decides, so that values meet in different pairs and the order of the cases does not matter.

    Parameters
    ----------
    cases : mapping of str to frozenset
        The values of each case.
    most : int
        The most cases that are chosen; the first ones add the most values.

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
    """The values of an item's parameters, and the words of its id, which describe large values."""
    values: set[tuple[Hashable, ...]] = set()
    for name, value in item.callspec.params.items():
        try:
            hash(value)
        except TypeError:
            value = id(value)  # the same object in all cases of a product of parameters
        values.add((name, type(value), value))
    values |= {("word", *each) for each in enumerate(item.callspec.id.split("-"))}
    return frozenset(values)


def left_out(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """The items that the fast tier does not run."""
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
