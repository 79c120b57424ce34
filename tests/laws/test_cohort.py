"""What every sampler promises, and what each of them promises besides."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from fedtrees import Availability, BySize, FixedFraction, FixedNumber, ParameterError, Period, Poisson
from fedtrees.core.sampling.samplers import Sampler, as_sampler

SAMPLERS = [
    FixedFraction(),
    FixedFraction(0.3),
    FixedFraction(1e-9),
    FixedNumber(1),
    FixedNumber(4),
    Poisson(0.3),
    Poisson(1e-9),
    Poisson(1.0),
]

# A draw that has ever been made stays what it was.
PINNED = [
    (FixedFraction(0.25), [1, 2, 11]),
    (FixedNumber(5), [0, 2, 3, 9, 10]),
    (Poisson(0.3), [0, 2, 7, 9]),
    (BySize(range(12), 4), [7, 8, 9, 10]),
    (Availability(0.5), [1, 6, 7, 9, 11]),
    (Availability([0.3, 0.9] * 6, 3), [1, 3, 11]),
    (Availability(Period(6, 2), 2), [4, 5]),
]

# Those that tell silos apart, for so many of them.
TELLING: dict[str, Callable[[int], Sampler]] = {
    "by size": lambda n: BySize(np.arange(n) + 1.0, 3),
    "by size, some of none": lambda n: BySize(np.arange(n) % 3 + (n == 1), 0.4),
    "by size, named": lambda n: BySize({f"silo {k:02d}": k + 1 for k in range(n)}),
    "a chance each": lambda n: Availability((np.arange(n) + 1) / n, 0.5),
    "a chance each, named": lambda n: Availability({f"silo {k:02d}": 0.7 for k in range(n)}, Poisson(0.5)),
    "a period": lambda n: Availability(Period(5, 2), 4),
}

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
every_maker = pytest.mark.parametrize(
    "make", [*((lambda n, own=own: own) for own in SAMPLERS), *TELLING.values()], ids=[*map(repr, SAMPLERS), *TELLING]
)


# -- the contract -----------------------------------------------------------------------------------------


@every_maker
@given(st.integers(1, 50), st.integers(), st.integers(0, 10**6))
def test_a_cohort_is_places_of_silos_ascending_each_once(
    make: Callable[[int], Sampler], n: int, seed: int, round: int
) -> None:
    cohort = make(n).draw(n, seed, round)
    assert cohort.dtype == np.int64 and cohort.ndim == 1
    assert (np.diff(cohort) > 0).all()
    assert ((cohort >= 0) & (cohort < n)).all()


# law: Availability, BySize, Sampler
@every_maker
@given(st.integers(1, 50), st.integers(), st.integers(0, 10**6))
def test_a_draw_depends_on_its_arguments_alone(make: Callable[[int], Sampler], n: int, seed: int, round: int) -> None:
    sampler = make(n)
    first = sampler.draw(n, seed, round)
    sampler.draw(n, seed, round + 1)
    np.random.default_rng().random()
    other = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(other.draw(n, seed, round), first)


@every_sampler
def test_every_silo_is_drawn_as_often_as_any_other(sampler: Sampler) -> None:
    n, rounds = 10, 3000
    drawn = np.zeros(n)
    for round in range(rounds):
        drawn[sampler.draw(n, 1, round)] += 1
    share = drawn.mean() / rounds
    assert np.abs(drawn / rounds - share).max() <= 5 * np.sqrt(share * (1 - share) / rounds)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.draw(40, 0, 0).size not in (0, 40)], ids=repr)
def test_rounds_and_seeds_draw_different_cohorts(sampler: Sampler) -> None:
    cohorts = {tuple(sampler.draw(40, seed, round)) for seed in range(5) for round in range(20)}
    assert len(cohorts) > 30


@every_maker
def test_samplers_are_samplers_and_as_sampler_leaves_them_be(make: Callable[[int], Sampler]) -> None:
    sampler = make(12)
    assert isinstance(sampler, Sampler)
    assert as_sampler(sampler) is sampler
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy == sampler and hash(copy) == hash(sampler)
    assert clone(sampler, safe=False) == sampler  # as scikit-learn does with an estimator's parameters


@every_maker
def test_names_of_silos_in_their_order_change_nothing(make: Callable[[int], Sampler]) -> None:
    sampler, names = make(12), [f"silo {k:02d}" for k in range(12)]
    assert as_sampler(sampler, names) == sampler
    np.testing.assert_array_equal(as_sampler(sampler, names).draw(12, 1, 2), sampler.draw(12, 1, 2))


# -- each of them -----------------------------------------------------------------------------------------


# law: Sampler
@pytest.mark.parametrize(("sampler", "cohort"), PINNED, ids=repr)
def test_the_draws_are_what_they_always_were(sampler: Sampler, cohort: list[int]) -> None:
    assert sampler.draw(12, seed=3, round=4).tolist() == cohort


@pytest.mark.parametrize(
    ("fraction", "n", "size"),
    [(1.0, 7, 7), (0.5, 7, 4), (0.5, 8, 4), (0.25, 10, 3), (0.24, 10, 2), (0.01, 10, 1), (0.999, 10, 10), (0.1, 1, 1)],
)
def test_a_fraction_is_rounded_and_never_nobody(fraction: float, n: int, size: int) -> None:
    assert {FixedFraction(fraction).draw(n, 0, round).size for round in range(5)} == {size}


@pytest.mark.parametrize(("number", "n", "size"), [(1, 5, 1), (5, 5, 5), (9, 5, 5), (3, 100, 3)])
def test_a_number_is_kept_to_where_there_are_enough(number: int, n: int, size: int) -> None:
    assert {FixedNumber(number).draw(n, 0, round).size for round in range(5)} == {size}


def test_poisson_draws_each_silo_by_itself() -> None:
    n, rounds, rate = 20, 3000, 0.3
    drawn = np.zeros((rounds, n))
    for round in range(rounds):
        drawn[round, Poisson(rate).draw(n, 2, round)] = 1
    sizes = drawn.sum(axis=1)
    deviation = np.sqrt(n * rate * (1 - rate))
    assert abs(sizes.mean() - n * rate) < 5 * deviation / np.sqrt(rounds)
    assert abs(sizes.std() / deviation - 1) < 0.1  # a fixed number would not vary at all
    correlations = np.corrcoef(drawn.T)[np.triu_indices(n, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(rounds)


def test_poisson_may_draw_nobody_and_everybody() -> None:
    assert min(Poisson(0.3).draw(3, 0, round).size for round in range(200)) == 0
    assert Poisson(1e-9).draw(1000, 0, 0).size == 0
    assert Poisson(1.0).draw(1000, 0, 0).size == 1000


# -- the parameter ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sampler"),
    [
        (10, FixedNumber(10)),
        (np.int32(10), FixedNumber(10)),
        (1, FixedNumber(1)),
        (1.0, FixedFraction(1.0)),
        (0.1, FixedFraction(0.1)),
        (np.float64(0.1), FixedFraction(0.1)),
    ],
)
def test_whole_numbers_are_silos_and_others_fractions(value: Any, sampler: Sampler) -> None:
    assert as_sampler(value) == sampler


def test_anything_that_draws_is_a_sampler() -> None:
    class First:
        def draw(self, n_silos: int, seed: int, round: int) -> np.ndarray:
            return np.arange(1)

    first = First()
    assert as_sampler(first) is first


@pytest.mark.parametrize("value", ["abc", None, True, False, [0.5], FixedFraction, Poisson, 1j])
def test_what_is_no_sampler_is_refused(value: Any) -> None:
    with pytest.raises(
        ParameterError, match=r"^sampling=.*: give a fraction \(0.1\), a number of silos \(10\) or a sampler"
    ):
        as_sampler(value)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5, float("nan"), float("inf")])
def test_a_fraction_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ParameterError, match=rf"^sampling: a fraction lies above 0 and up to 1, not at {value}"):
        as_sampler(value)


@pytest.mark.parametrize("value", [0, -3])
def test_fewer_than_one_silo_are_refused(value: int) -> None:
    with pytest.raises(ParameterError, match=rf"^sampling: a round needs at least 1 silo, not {value}"):
        as_sampler(value)


@pytest.mark.parametrize(
    ("kind", "value"), [(FixedFraction, "0.5"), (Poisson, None), (Poisson, 0), (Poisson, 2), (FixedNumber, 2.5)]
)
def test_samplers_check_what_they_are_made_of(kind: Any, value: Any) -> None:
    with pytest.raises(ParameterError, match=r"^sampling: a .* not "):
        kind(value)


def test_all_silos_can_be_asked_for_by_number_and_no_more() -> None:
    assert as_sampler(3, ["a", "b", "c"]) == FixedNumber(3)
    with pytest.raises(ParameterError, match=r"^sampling=4: the federation has 3 silos; ask for no more"):
        as_sampler(4, ["a", "b", "c"])
    assert [FixedNumber(3).count(n) for n in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert FixedNumber(4).draw(3, 0, 0).tolist() == FixedNumber(3).draw(3, 5, 7).tolist() == [0, 1, 2]
