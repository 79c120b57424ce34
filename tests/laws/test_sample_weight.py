"""What a sample weight means: a row of weight k is k rows, one of weight 0 none at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, examples, problems

from fedtrees import FedGBTClassifier, FedGBTRegressor, LocalFederation, ProtocolError, Silo
from fedtrees.core.protocol.count_weights import MOST_REPEATS, CountWeights


def repeated(problem: Problem, times: np.ndarray[Any, Any]) -> Problem:
    """Each row so often, without weights."""
    rows = np.repeat(np.arange(len(problem.y)), times)
    return replace(problem, X=problem.X[rows], y=problem.y[rows], weight=None, silo=problem.silo[rows])


@pytest.mark.parametrize("row", [0, 7, 19])
def test_a_single_row_of_weight_two_is_that_row_twice(row: int) -> None:
    """One row more than there are is no rounding."""
    X, y = np.arange(20.0)[:, None], np.arange(20) % 5 / 2.0
    weight = np.ones(20)
    weight[row] = 2
    model = FedGBTRegressor(3, max_depth=2, n_jobs=1)
    once = model.fit(X, y).booster_.save_raw()
    weighted = model.fit(X, y, sample_weight=weight).booster_.save_raw()
    twice = model.fit(np.append(X, X[[row]], 0), np.append(y, y[row])).booster_.save_raw()
    assert weighted == twice != once


# law: CountWeights
@examples(40)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1), most=st.sampled_from([1, 2, 5, MOST_REPEATS]))
def test_whole_weights_are_repetitions_to_the_last_bit(problem: Problem, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    times = rng.integers(0, most + 1, len(problem.y))
    # every class stays, and some row counts
    times[np.unique(problem.y, return_index=True)[1]] = most
    weighted = replace(problem, weight=times.astype(np.float32))
    expected = repeated(problem, times).pooled()
    assert weighted.pooled() == expected
    assert weighted.federated() == expected
    silos = weighted.silos()
    assert weighted.federated(LocalFederation(silos, mode="faithful")) == expected


@examples(20)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1))
def test_rows_of_weight_zero_leave_no_trace(problem: Problem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.choice([0.0, 0.3, 1.7], len(problem.y)).astype(np.float32)
    weight[np.unique(problem.y, return_index=True)[1]] = 0.3
    counts = weight > 0
    present = replace(
        problem, X=problem.X[counts], y=problem.y[counts], weight=weight[counts], silo=problem.silo[counts]
    )
    assert replace(problem, weight=weight).federated() == present.pooled()


@pytest.mark.slow_without_jit
def test_heavy_rows_do_not_overflow_an_accumulator() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 2)).astype(np.float32)
    y = np.where(X[:, 0] > 0, 1e6, -1e6) + rng.normal(size=len(X))
    times = np.full(len(X), MOST_REPEATS)
    times[0] = 1
    rows = np.repeat(np.arange(len(X)), times)
    parameters = {"n_estimators": 3, "max_depth": 4}
    weighted = FedGBTRegressor(**parameters).fit(X, y, sample_weight=times)
    plain = FedGBTRegressor(**parameters).fit(X[rows], y[rows])
    assert weighted.booster_.save_raw("ubj") == plain.booster_.save_raw("ubj")


def test_cut_points_lie_where_the_weight_is() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.uniform(0, 1, 2000), rng.uniform(1, 2, 2000)])[:, None]
    y = (np.sin(40 * X[:, 0]) > 0).astype(int)
    weight = np.where(X[:, 0] < 1, 100.5, 0.01)
    model = FedGBTClassifier(20, max_bin=16, max_depth=4, min_child_weight=0).fit(X, y, sample_weight=weight)
    thresholds = model.booster_.trees_to_dataframe()["Split"].dropna().to_numpy()
    assert (thresholds < 1).mean() > 0.9


def test_whole_weights_that_are_not_are_refused() -> None:
    counting = CountWeights(3, whole=True)
    assert counting.counts(np.float32([1, 8])).tolist() == [1, 8]
    for wrong in (0.5, 0, MOST_REPEATS + 1):
        with pytest.raises(ProtocolError, match="weights that are not whole, 1 to 16, were said to be"):
            counting.counts(np.float32([1, wrong]))
    fractions = CountWeights(3, whole=False)
    assert fractions.counts(np.float32([8, 4, 0, 1e-30])).tolist() == [65536, 32768, 1, 1]


def test_a_silo_of_rows_without_weight_is_an_empty_one() -> None:
    X, y = np.arange(40.0)[:, None], np.arange(40) // 20
    full, nobody = Silo("full", X, y), Silo("nobody", X + 100, y, sample_weight=np.zeros(40))
    both = FedGBTClassifier(2, max_depth=1).fit_federation(LocalFederation([full, nobody]))
    alone = FedGBTClassifier(2, max_depth=1).fit(X, y)
    assert both.booster_.save_raw("ubj") == alone.booster_.save_raw("ubj")
