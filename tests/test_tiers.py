"""The fast tier: few cases of each test, in which every value occurs."""

from itertools import product

import pytest

from tests.support import tiers


def cases_of(*parameters):
    """Every combination of the values, by name."""
    return {"-".join(map(str, case)): frozenset(enumerate(case)) for case in product(*parameters)}


def test_every_value_occurs_in_few_cases():
    cases = cases_of("abcdef", range(3), "xy")
    chosen = tiers.representatives(cases)
    assert set().union(*(cases[name] for name in chosen)) == set().union(*cases.values())
    assert len(chosen) == 6  # as many as the longest parameter has values
    assert tiers.representatives(dict(reversed(cases.items()))) == chosen


def test_functions_get_other_combinations():
    names = cases_of(range(6), range(6))
    one, other = (
        {name[1:] for name in tiers.representatives({kind + n: v for n, v in names.items()})}
        for kind in "ab"
    )
    assert one != other


@pytest.mark.parametrize("most", [1, 5])
def test_no_more_cases_than_the_most(most):
    assert len(tiers.representatives(cases_of(range(40), "ab"), most)) == most
