"""Silos that are there at times, and cohorts of those that are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import Availability, BySize, FedGBTRegressor, FixedFraction, FixedNumber, ParameterError, Period, Poisson
from fedtrees.core.sampling.samplers import as_sampler

ROUNDS = 3000


def times_drawn(sampler: Availability, n: int) -> np.ndarray:
    drawn = np.zeros((ROUNDS, n))
    for round in range(ROUNDS):
        drawn[round, sampler.draw(n, 4, round)] = 1
    return drawn


def test_each_silo_is_there_as_often_as_its_chance_says_and_by_itself() -> None:
    chances = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    drawn = times_drawn(Availability(chances), 5)
    assert np.abs(drawn.mean(axis=0) - chances).max() < 5 * np.sqrt(0.25 / ROUNDS)
    assert np.abs(np.corrcoef(drawn[:, 1:4].T)[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(ROUNDS)
    assert drawn[:, 0].sum() == 0 and drawn[:, 4].all()


@given(st.integers(1, 40), st.floats(0.05, 1), st.integers(), st.integers(0, 99), st.integers(1, 9))
def test_who_is_there_does_not_depend_on_how_many_are_drawn(
    n: int, chance: float, seed: int, round: int, number: int
) -> None:
    there = Availability(chance).draw(n, seed, round)
    for sampling, most in ((number, number), (0.3, max(1, int(0.3 * len(there) + 0.5))), (Poisson(0.5), n)):
        cohort = Availability(chance, sampling).draw(n, seed, round)
        assert set(cohort) <= set(there)
        if not isinstance(sampling, Poisson):
            assert len(cohort) == min(most, len(there))


def test_of_those_that_are_there_each_is_drawn_as_often() -> None:
    drawn = times_drawn(Availability(0.6, 2), 8)
    share = drawn.mean()
    assert np.abs(drawn.mean(axis=0) - share).max() < 5 * np.sqrt(share * (1 - share) / ROUNDS)


def test_a_round_may_draw_nobody() -> None:
    assert min(len(Availability(0.2, 1).draw(3, 0, round)) for round in range(50)) == 0
    assert Availability(lambda round, n: 0.0).draw(5, 0, 0).tolist() == []
    assert Availability(1.0).draw(5, 0, 0).tolist() == [0, 1, 2, 3, 4]


def test_a_function_tells_who_is_there() -> None:
    weekend = Availability(lambda round, n: [round % 7 >= 5] * n)
    assert [len(weekend.draw(4, 0, round)) for round in range(8)] == [0, 0, 0, 0, 0, 4, 4, 0]
    fading = Availability(lambda round, n: 0.5**round)
    assert [len(fading.draw(1000, 0, round)) // 100 for round in range(4)] == [10, 5, 2, 1]


@given(st.integers(1, 30), st.data())
def test_a_period_has_each_silo_there_for_some_rounds_in_a_row(length: int, data: st.DataObject) -> None:
    present, n = data.draw(st.integers(1, length)), data.draw(st.integers(1, 40))
    there = np.array([Period(length, present)(round, n) for round in range(2 * length)])
    assert (there[:length] == there[length:]).all()
    assert (there[:length].sum(axis=0) == present).all()
    starts = (there & ~np.roll(there, 1, axis=0)).sum(axis=0)
    assert (starts == (2 if present < length else 0)).all()  # in a row: once a period
    if n % length == 0:  # as many are there in every round
        assert set(there.sum(axis=1).tolist()) == {n // length * present}


def test_chances_by_name_are_in_the_order_of_the_federation() -> None:
    by_name = Availability({"ucla": 1.0, "mayo": 0.0}, 1)
    assert by_name.draw(2, 0, 0).tolist() == [1]  # sorted
    assert as_sampler(by_name, ["ucla", "mayo"]).draw(2, 0, 0).tolist() == [0]
    with pytest.raises(ParameterError, match=r"^sampling: chances: there is no silo 'mayo'"):
        as_sampler(by_name, ["ucla"])
    assert as_sampler(Availability(0.5), ["a"]) == Availability(0.5)


def test_a_model_is_trained_on_those_that_are_there() -> None:
    rng = np.random.default_rng(0)
    X, silos = rng.normal(size=(200, 2)), np.arange(200) % 6
    sampler = Availability(Period(3, 1), 1)
    model = FedGBTRegressor(6, max_depth=2, sampling=sampler, n_jobs=1).fit(X, X[:, 0], silos=silos)
    cohorts = {tuple(entry.cohort.tolist()) for entry in model.ledger_.entries if "Histograms" in entry.kind}
    assert cohorts and cohorts <= {tuple(sampler.draw(6, 0, round).tolist()) for round in range(6)}


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "sampling", "message"),
    [
        (0.0, 1, r"^sampling: a chance lies above 0 and up to 1, not at 0.0"),
        (1.2, 1, r"^sampling: a chance lies above 0 and up to 1, not at 1.2"),
        (float("nan"), 1, r"^sampling: a chance lies"),
        ([0.5, 1.2], 1, r"^sampling: chances: silo 1 has 1.2; give a finite number from 0 to 1"),
        ({"mayo": -0.1}, 1, r"^sampling: chances: silo 'mayo' has -0.1"),
        ([0, 0], 1, r"^sampling: all chances are 0; some silo must be there at times"),
        ("always", 1, r"^sampling: present='always'; give a chance"),
        (None, 1, r"^sampling: present=None"),
        (True, 1, r"^sampling: present=True"),
        (0.5, 0, r"^sampling: a round needs at least 1 silo"),
        (0.5, BySize([1, 2]), r"^sampling: of those that are there, BySize.* cannot draw, as it tells silos apart"),
        (0.5, Availability(0.5), r"^sampling: of those that are there, Availability"),
    ],
)
def test_what_means_nothing_is_refused(present: Any, sampling: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Availability(present, sampling)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (1.5, r"^sampling: in round 7, present returned 1.5 for all silos; give chances from 0 to 1"),
        ([0.5, np.nan, 0.5], r"^sampling: in round 7, present returned nan for silo 1"),
        ([0.5, 0.5], r"^sampling: in round 7, present returned float64 of shape \(2,\); .* for all silos, or 3\."),
        (None, r"^sampling: in round 7, present returned object of shape \(\)"),
    ],
)
def test_a_function_that_returns_no_chances_is_named(told: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Availability(lambda round, n: told).draw(3, 0, 7)


@pytest.mark.parametrize(("length", "present"), [(0, 0), (3, 4), (3, 0), (2.5, 1), (5, "2")])
def test_a_period_that_there_is_not_is_refused(length: Any, present: Any) -> None:
    with pytest.raises(ParameterError, match=r"^sampling: silos cannot be there in .* rounds; give whole numbers"):
        Period(length, present)


def test_chances_of_other_silos_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"^sampling: chances are given for 2 silos"):
        Availability([0.5, 0.5]).draw(3, 0, 0)


def test_equal_samplers_are_equal() -> None:
    assert Availability(0.5, 0.1) == Availability(0.5, FixedFraction(0.1)) != Availability(0.5, FixedNumber(1))
    assert repr(Availability([0.5] * 9, 2)) == "Availability(present=9 silos, sampling=FixedNumber(number=2))"
