"""Silos drawn by their sizes, and numbers given by silo."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import BySize, FedGBTRegressor, FixedFraction, FixedNumber, ParameterError, Poisson
from fedtrees.core.sampling.samplers import as_sampler
from fedtrees.datasets import describe_partition, partition_sizes

ROUNDS = 4000


def shares_drawn(sampler: BySize, n: int) -> np.ndarray:
    drawn = np.zeros(n)
    for round in range(ROUNDS):
        drawn[sampler.draw(n, 5, round)] += 1
    return drawn / ROUNDS


def chance_of_being_drawn(sizes: list[float], number: int) -> np.ndarray:
    """The twin: over all orders in which silos may be drawn, one after the other, by the sizes of those left."""
    chance = np.zeros(len(sizes))
    for order in permutations(range(len(sizes)), number):
        left, p = sum(sizes), 1.0
        for silo in order:
            p *= sizes[silo] / left
            left -= sizes[silo]
        chance[list(order)] += p
    return chance


@pytest.mark.parametrize("number", [1, 2, 3])
def test_silos_are_drawn_by_their_sizes_without_replacement(number: int) -> None:
    sizes = [600, 300, 60, 30, 10]
    expected = chance_of_being_drawn(sizes, number)
    if number == 1:
        np.testing.assert_allclose(expected, np.array(sizes) / 1000)
    found = shares_drawn(BySize(sizes, number), 5)
    assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / ROUNDS)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any), st.integers(1, 15), st.integers(0, 99))
def test_as_many_are_drawn_as_asked_and_none_without_rows(sizes: list[int], number: int, round: int) -> None:
    cohort = BySize(sizes, number).draw(len(sizes), 0, round)
    assert len(cohort) == min(number, np.count_nonzero(sizes))
    assert all(sizes[place] > 0 for place in cohort)


@given(st.integers(1, 60), st.floats(0.01, 1))
def test_a_fraction_is_the_number_that_a_fixed_fraction_draws(n: int, fraction: float) -> None:
    assert len(BySize([1] * n, fraction).draw(n, 0, 0)) == len(FixedFraction(fraction).draw(n, 0, 0))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 99))
def test_only_proportions_play_a_part_and_larger_cohorts_hold_smaller_ones(sizes: list[int], round: int) -> None:
    n = len(sizes)
    cohorts = [set(BySize(sizes, number).draw(n, 3, round).tolist()) for number in range(1, n + 1)]
    assert all(small < large for small, large in pairwise(cohorts))
    assert set(BySize(np.array(sizes) * 8.0, 1).draw(n, 3, round).tolist()) == cohorts[0]


# -- names ------------------------------------------------------------------------------------------------


def test_sizes_by_name_are_in_the_order_of_the_federation() -> None:
    names = ["ucla", "mayo", "charité"]
    sizes = {"ucla": 5, "charité": 1, "mayo": 3}
    sorted_ones, own = as_sampler(BySize(sizes, 1), sorted(sizes)), as_sampler(BySize(sizes, 1), names)
    assert sorted_ones == BySize(sizes, 1) and own != sorted_ones
    for round in range(20):
        np.testing.assert_array_equal(own.draw(3, 0, round), BySize([5, 3, 1], 1).draw(3, 0, round))
        np.testing.assert_array_equal(sorted_ones.draw(3, 0, round), BySize([1, 3, 5], 1).draw(3, 0, round))
    assert as_sampler(own, sorted(sizes)) == sorted_ones  # back again


def test_the_rows_of_a_description_are_sizes() -> None:
    y = np.arange(400) % 2
    silos = partition_sizes(400, 12, 1.5)
    rows = describe_partition(y, silos=silos).table["rows"]
    names, counts = np.unique(silos, return_counts=True)
    expected = BySize(dict(zip(names.tolist(), counts.tolist(), strict=True)), 3)
    assert BySize(rows, 3) == BySize(rows.sample(frac=1, random_state=0), 3) == expected
    assert BySize(pd.Series(silos).value_counts(), 3) == expected
    assert BySize(pd.Series(counts), 3) == BySize(counts, 3) != expected  # no names, only places
    assert BySize({2: 5, 10: 6}, 1).sizes.names == ("2", "10")  # as fit(silos=) sorts numbers


def test_a_model_is_trained_on_cohorts_by_size() -> None:
    rng = np.random.default_rng(0)
    X, silos = rng.normal(size=(300, 2)), partition_sizes(300, 10, 1.5)
    sampler = BySize(describe_partition(silos, silos=silos).table["rows"], 2)
    model = FedGBTRegressor(6, max_depth=2, sampling=sampler, weighting="equal", n_jobs=1).fit(X, X[:, 0], silos=silos)
    grown = [entry for entry in model.ledger_.entries if "Histograms" in entry.kind]
    cohorts = {tuple(entry.cohort.tolist()) for entry in grown}
    assert cohorts <= {tuple(sampler.draw(10, 0, round).tolist()) for round in range(6)} and len(cohorts) > 1


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "sampling", "message"),
    [
        ([0, 0], 1, r"^sampling: all sizes are 0; some silo must have rows"),
        ([], 1, r"^sampling: sizes name no silo"),
        ([3, -1], 1, r"^sampling: sizes: silo 1 has -1; give a finite number of 0 or above"),
        ({"mayo": float("nan")}, 1, r"^sampling: sizes: silo 'mayo' has nan"),
        ({"mayo": "many"}, 1, r"^sampling: sizes: silo 'mayo' has 'many'"),
        (7, 1, r"^sampling: sizes=7: give a number a silo, or a dict by name"),
        ([1, 2], 0, r"^sampling: a round needs at least 1 silo, not 0"),
        ([1, 2], 1.5, r"^sampling: a fraction lies above 0 and up to 1, not at 1.5"),
        ([1, 2], Poisson(0.5), r"^sampling: by size, a fraction or a number of silos is drawn, not Poisson"),
        ([1, 2], None, r"^sampling=None: give a fraction"),
    ],
)
def test_what_cannot_be_drawn_by_is_refused(sizes: Any, sampling: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        BySize(sizes, sampling)


def test_sizes_of_other_silos_are_refused() -> None:
    by_name = BySize({"mayo": 1, "ucla": 2})
    with pytest.raises(ParameterError, match=r"^sampling: sizes: no number for silo 'maya'; did you mean 'mayo'\?"):
        as_sampler(by_name, ["maya", "ucla"])
    with pytest.raises(ParameterError, match=r"^sampling: sizes: there is no silo 'ucla'\."):
        as_sampler(by_name, ["mayo"])
    for refused in (lambda: as_sampler(BySize([1, 2]), ["a", "b", "c"]), lambda: by_name.draw(3, 0, 0)):
        with pytest.raises(ParameterError, match=r"^sampling: sizes are given for 2 silos, .* has 3\."):
            refused()


def test_it_says_what_it_is_in_a_line() -> None:
    assert repr(BySize(range(10_000), 0.1)) == "BySize(sizes=10000 silos, sampling=FixedFraction(fraction=0.1))"
    assert BySize([1], FixedNumber(2)).sampling == FixedNumber(2)
