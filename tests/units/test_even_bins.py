"""Bins of about equal mass: what they promise, and that neither end of a scale is the better one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedtrees import FedForestClassifier, FedGBTClassifier, FedTreeClassifier
from fedtrees.queries.even_bins import _bins_of_runs, divide_evenly

few_or_many = st.one_of(st.integers(1, 5), st.integers(1, 1000))


def masses_of(counts: list[int], most: int) -> list[int]:
    ends = divide_evenly(np.array(counts), most)
    assert 1 <= len(ends) <= most and ends[-1] == len(counts) - 1 and (np.diff(ends) > 0).all()
    return [sum(own) for own in (counts[a:b] for a, b in zip([0, *ends[:-1] + 1], ends + 1, strict=True))]


@given(counts=st.lists(few_or_many, min_size=1, max_size=60), most=st.integers(1, 40))
@example(counts=[1, 2, 3], most=2)
@example(counts=[1, 50, 1, 50, 1], most=3)
@example(counts=[1, 50, 1, 50, 1], most=2)
def test_all_bins_are_used_and_none_is_much_heavier_than_its_share(counts: list[int], most: int) -> None:
    masses = masses_of(counts, most)
    heaviest = max(counts)
    assert max(masses) <= 2 * sum(counts) / most + 2 * heaviest
    if most >= len(counts):
        assert masses == counts


# law: divide_evenly
@given(counts=st.lists(st.integers(10**6, 10**7), min_size=1, max_size=60, unique=True), most=st.integers(1, 40))
def test_the_opposite_order_gives_the_opposite_bins(counts: list[int], most: int) -> None:
    assert masses_of(counts[::-1], most) == masses_of(counts, most)[::-1]


# law: divide_evenly
@pytest.mark.parametrize(("counts", "lower"), [([1, 2, 1], [1, 3]), ([2, 2, 2], [2, 4]), ([3, 2, 3], [3, 5])])
def test_of_two_cuts_equally_near_the_lower_one_is_taken(counts: list[int], lower: list[int]) -> None:
    assert masses_of(counts, 2) == lower


@pytest.mark.parametrize(
    ("counts", "most", "masses"),
    [
        ([50, 1, 50, 1, 50], 4, [50, 1, 51, 50]),  # as light on either side: the lower
        ([50, 1, 51, 1, 50], 4, [50, 1, 51, 51]),
        ([50, 1, 51, 1, 52], 4, [50, 1, 52, 52]),
        ([1, 50, 2, 50], 3, [51, 2, 50]),  # nothing lies below
        ([50, 2, 50, 1], 3, [50, 2, 51]),  # nor above
    ],
)
def test_what_has_no_bin_joins_the_lighter_neighbour(counts: list[int], most: int, masses: list[int]) -> None:
    assert masses_of(counts, most) == masses


@pytest.mark.parametrize(
    ("counts", "most", "masses"),
    [([1, 2, 3, 1], 3, [1, 2, 4]), ([2, 1, 3, 1], 3, [2, 1, 4]), ([1, 4, 2, 3], 3, [5, 2, 3])],
)
def test_what_holds_just_its_share_of_what_the_heavier_leave_has_its_own_bin(
    counts: list[int], most: int, masses: list[int]
) -> None:
    """Of 1, 2, 3, 1 the 3 is above a third; the other two bins share 4, and the 2 is half of it."""
    assert masses_of(counts, most) == masses


@given(masses=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 10**6)), min_size=1, max_size=12), more=st.data())
@example(masses=[100, 1, 1, 1], more=None)
def test_every_run_has_a_bin_before_any_has_a_second_one(masses: list[int], more: Any) -> None:
    """The others go to the heavy ones: none has fewer than a lighter one has."""
    for bins in (len(masses), len(masses) + 2, more.draw(st.integers(1, 30)) if more else 5):
        each = _bins_of_runs(np.array(masses), bins)
        assert each.sum() == bins and each.min() >= (bins >= len(masses)) and (bins >= len(masses) or each.max() == 1)
        ascending = np.argsort(masses, kind="stable")
        heavier = np.diff(np.array(masses)[ascending]) > 0
        assert (np.diff(each[ascending])[heavier] >= 0).all()


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_value_that_many_rows_share_takes_one_bin_and_no_room_of_others(place: int) -> None:
    counts = [1] * 6
    counts.insert(place, 90)
    assert sorted(masses_of(counts, 4)) == [2, 2, 2, 90] or place == 3
    assert len(masses_of(counts, 4)) == 4


@pytest.mark.slow_without_jit
@pytest.mark.parametrize(
    "estimator",
    [FedGBTClassifier(20, max_bin=8, max_depth=3), FedTreeClassifier(max_bin=8), FedForestClassifier(40, max_bin=8)],
    ids=lambda own: type(own).__name__,
)
def test_few_bins_serve_both_directions_of_a_scale(estimator: Any) -> None:
    """Two fifths of each column are 0, all else lies on one side of it."""
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(4000, 4)) * 1.5)
    X[rng.random(X.shape) < 0.4] = 0
    noisy = np.log1p(X[:, 0]) + np.log1p(X[:, 1]) * (X[:, 2] > 1) + rng.normal(size=4000) / 2
    y = (noisy > 1.2).astype(int)
    scores = [estimator.fit(sign * X[:3000], y[:3000]).score(sign * X[3000:], y[3000:]) for sign in (1, -1)]
    assert scores[0] == pytest.approx(scores[1], abs=0.012)
