"""Times of 0, of minus 0 and of ties at the ends of bins: an event lies above 0, as XGBoost has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees import Channel, FedGBTRegressor, LocalFederation, Silo
from fedtrees.trees.kernels import survival as survival_kernels
from fedtrees.trees.messages import risk_sets
from fedtrees.trees.server import hazards
from fedtrees.trees.server.hazards import time_bins
from fedtrees.trees.silo.time_bins import bins_of, time_keys

SMALLEST = float(np.nextafter(np.float32(0), np.float32(1)))


@pytest.mark.parametrize("first", [0.0, -0.0, SMALLEST, -SMALLEST])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_only_times_above_0_are_events(first: float, weight: float) -> None:
    """By the definition of the gradient: a row's hazard times the rates up to its time, less its event."""
    y, margin = np.float32([first, 2, -3]), np.float32([[0.5, -0.25, 1]])
    bins = np.array([0, 1, 2])
    rates, squares = np.array([0.1, 0.4, 0.4]), np.array([0.01, 0.05, 0.05])
    g, h = np.zeros(3), np.zeros(3)
    survival_kernels.cox_statistics(
        margin[0], y, np.float32([weight]), bins, rates, squares, np.array([[0, 3]]), g, h
    )  # fmt: skip
    hazard = weight * np.exp(margin[0].astype(np.float64))
    np.testing.assert_allclose(g, hazard * rates - weight * np.array([first > 0, True, False]), rtol=1e-12)
    np.testing.assert_allclose(h, hazard * rates - hazard**2 * squares, rtol=1e-12)


@pytest.mark.parametrize(("margin", "counts_as"), [(80.0, 80), (81.0, 80), (1e30, 80), (-80.0, -80), (-1e30, -80)])
def test_margins_count_as_80_beyond_it_and_no_hessian_is_below_0(margin: float, counts_as: float) -> None:
    g, h = np.zeros(2), np.zeros(2)
    rates, squares = np.array([1e-3, 1e-3]), np.array([0.0, 1e40])
    survival_kernels.cox_statistics(
        np.float32([margin] * 2), np.float32([-1, -1]), np.float32([2]), np.array([0, 1]), rates, squares,
        np.array([[0, 2]]), g, h,
    )  # fmt: skip
    at_risk = 2 * np.exp(float(counts_as)) * 1e-3
    curve = at_risk - (2 * np.exp(float(counts_as))) ** 2 * squares
    np.testing.assert_allclose(g, at_risk, rtol=1e-12)
    np.testing.assert_allclose(h, np.maximum(curve, 0), rtol=1e-12)


def test_times_sort_by_their_size_and_stand_in_the_last_bin_that_starts_before_them() -> None:
    y = np.float32([0.0, -0.0, SMALLEST, 1, -2, 2, 3.5, -np.inf])
    keys = time_keys(y)
    assert keys.tolist() == sorted(keys.tolist()) and keys[0] == keys[1] < keys[2] and keys[4] == keys[5]
    starts = time_keys(np.float32([SMALLEST, 1, 2, 3]))
    assert bins_of(y, starts).tolist() == [0, 0, 0, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_trees_of_times_some_of_which_are_0_are_xgboosts(mode: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 8, (90, 2)).astype(np.float32)
    y = (rng.permutation(90) + 1).astype(np.float32)  # no two alike
    y[rng.random(90) < 0.3] *= -1
    y[3] = 0.0  # until which nothing happened
    given: dict[str, Any] = {
        "n_estimators": 3, "max_depth": 2, "objective": "survival:cox", "min_child_weight": 0, "base_score": 1.0,
        "learning_rate": 0.5,
    }  # fmt: skip
    silos = [Silo(str(k), X[k::3], y[k::3], n_jobs=1) for k in range(3)]
    ours = FedGBTRegressor(**given, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    theirs = xgboost.XGBRegressor(**given, tree_method="hist").fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=2e-3)


@pytest.mark.parametrize("different", [7, 8, 9, 40])
@pytest.mark.parametrize("often", [1, 30])
def test_as_many_times_as_bins_have_a_bin_each(different: int, often: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However unlike in number; of one time more, bins are shared, by the definition of a share of the rows."""
    for module in (risk_sets, hazards):
        monkeypatch.setattr(module, "MOST_BINS", 8)
    times = np.arange(1, different + 1, dtype=np.float32) + np.float32(0.1 if different <= 8 else 0)  # of many bits
    y = np.concatenate([np.repeat(times[:1], often), times[1:], times[1:2]])
    federation = LocalFederation([Silo("a", np.zeros((len(y), 1)), y), Silo("b", np.zeros((1, 1)), [-times[-1]])])
    y = np.append(y, times[-1])
    starts = time_bins(Channel(federation), np.arange(2), len(y))
    found = starts.view(np.float32).tolist()
    if different <= 8:
        assert found == times.tolist()
    else:  # a bin starts with the first time whose rows before it reach the next eighth
        before = [int(np.count_nonzero(y < time)) for time in times]
        eighths = [n * 8 // len(y) for n in before]
        assert found == [float(time) for k, time in enumerate(times) if not k or eighths[k] > eighths[k - 1]]
