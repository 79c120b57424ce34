"""Proportional hazards: gradients are the slopes of the partial likelihood, of risk sets that run over silos."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import Watched, assert_booster_s_margins, examples
from xgboost_twin import same_trees, trees_of

from fedtrees import Channel, DataError, FedGBTRegressor, LocalFederation, ParameterError, Silo
from fedtrees.queries.hazards import bound_of_limbs, hazard_limbs, restore_limbs
from fedtrees.trees.server.hazards import time_bins
from fedtrees.trees.silo.state import TreeState
from fedtrees.trees.silo.time_bins import bins_of

seeds = st.integers(0, 2**32 - 1)


# -- proportional hazards -----------------------------------------------------------------------------------

COX = "survival:cox"


def deaths(n: int, seed: int = 0, ties: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whole numbers, few of each column, and times of which a third are censored; ``ties`` is how many there are."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 24, (n, 3)).astype(np.float32)
    t = (rng.exponential(np.exp(X[:, 1] / 12 - X[:, 0] / 8)) + 1e-3).astype(np.float32)
    if ties:
        t = np.ceil(t * ties / t.max()).astype(np.float32)
    return X, np.where(rng.random(n) < 1 / 3, -t, t).astype(np.float32)


def partial_likelihood(margin: Any, y: Any, weight: Any) -> float:
    """Minus the logarithm; Breslow's ties, a risk set at a time."""
    at_risk = [(weight * np.exp(margin))[np.abs(y) >= time].sum() for time in y]
    return float(
        sum(w * (np.log(risk) - m) for m, time, w, risk in zip(margin, y, weight, at_risk, strict=True) if time > 0)
    )


@examples(20)
@given(seed=seeds, n=st.integers(2, 25), ties=st.sampled_from([0, 3]), whole=st.booleans())
def test_gradients_are_the_slopes_of_the_partial_likelihood(seed: int, n: int, ties: int, whole: bool) -> None:
    X, y = deaths(n, seed, ties)
    y[0] = abs(y[0])
    rng = np.random.default_rng(seed)
    weight = rng.integers(1, 4, n).astype(np.float32) if whole else rng.uniform(0.5, 2, n).astype(np.float32)
    start = rng.normal(size=n).astype(np.float32)
    silo = Silo("a", X, y, sample_weight=weight, base_margin=start, n_jobs=1)
    federation = Watched(LocalFederation([silo], mode="faithful"))
    FedGBTRegressor(1, objective=COX, max_depth=1, n_jobs=1).fit_federation(federation)
    g, h = (own[0].copy() for own in silo.states.find(TreeState).gradients.statistics)
    times = silo.states.find(TreeState).rows.repeats if whole and weight.max() > 1 else np.ones(n)
    g, h = g * times, h * times
    step, exact = 1e-4, start.astype(float)
    for row in range(n):
        moved = np.eye(n)[row] * step
        right, here, left = (
            partial_likelihood(exact + own, y, weight.astype(float)) for own in (moved, 0 * moved, -moved)
        )
        assert g[row] == pytest.approx((right - left) / (2 * step), rel=1e-4, abs=1e-5)
        if not whole:  # of a row that counts twice, each is at risk beside the other
            assert h[row] == pytest.approx((right - 2 * here + left) / step**2, rel=1e-2, abs=1e-5)


# law: ProportionalHazards
def test_with_as_many_bins_as_times_trees_and_scores_are_xgboost_s() -> None:
    X, y = deaths(900)
    assert len(np.unique(np.abs(y))) == 900
    params: dict[str, Any] = {"objective": COX, "max_depth": 3, "max_bin": 512}
    model = FedGBTRegressor(6, **params).fit(X, y, silos=np.arange(900) % 4, eval_set=[(X, y)])
    matrix, scores = xgboost.QuantileDMatrix(X, y, max_bin=512), {}
    theirs = xgboost.train(
        {"tree_method": "hist", **params}, matrix, 6, evals=[(matrix, "t")], evals_result=scores, verbose_eval=False
    )
    assert same_trees(model.booster_, theirs) > 60
    np.testing.assert_allclose(
        model.evals_result_["validation_0"]["cox-nloglik"], scores["t"]["cox-nloglik"], rtol=1e-6
    )
    np.testing.assert_allclose(model.predict(X), theirs.predict(matrix), rtol=1e-3)


@pytest.mark.slow_without_jit
def test_of_more_times_than_bins_little_is_lost() -> None:
    X, y = deaths(12_000)
    train, test = slice(0, 9000), slice(9000, 12_000)
    params: dict[str, Any] = {"objective": COX, "max_depth": 3, "learning_rate": 0.1}
    ours = FedGBTRegressor(40, **params).fit(X[train], y[train])
    theirs = xgboost.XGBRegressor(n_estimators=40, tree_method="hist", **params).fit(X[train], y[train])
    losses = [
        partial_likelihood(np.log(model.predict(X[test])), y[test], np.ones(3000)) / (y[test] > 0).sum()
        for model in (ours, theirs)
    ]
    assert losses[0] < 1.001 * losses[1]


# law: ProportionalHazards
@examples(12)
@given(
    seed=seeds, n=st.integers(1, 60), n_silos=st.integers(1, 5), ties=st.sampled_from([0, 4]),
    weighted=st.sampled_from([None, "any", "whole"]), subsample=st.sampled_from([1.0, 0.7]),
)  # fmt: skip
def test_risk_sets_run_over_silos(
    seed: int, n: int, n_silos: int, ties: int, weighted: str | None, subsample: float
) -> None:
    X, y = deaths(n, seed, ties)
    y[0] = abs(y[0])
    rng = np.random.default_rng(seed)
    weight = {"any": rng.uniform(0.5, 2, n), "whole": rng.integers(1, 4, n).astype(float), None: None}[weighted]
    silo, ids = rng.integers(n_silos, size=n), np.arange(n)
    estimator = FedGBTRegressor(3, objective=COX, max_depth=3, subsample=subsample, n_jobs=1)
    pooled = estimator.fit(X, y, sample_weight=weight, row_id=ids).booster_.save_raw()
    for mode in ("fused", "faithful"):
        silos = [
            Silo(
                f"{k}",
                X[own],
                y[own] if own.any() else [],
                sample_weight=None if weight is None else weight[own],
                row_id=ids[own],
            )
            for k, own in enumerate(silo == k for k in range(n_silos))
        ]
        federation = Watched(LocalFederation(silos, mode=mode))
        if mode == "faithful":
            federation.before = lambda round, silos=silos: silos[round % len(silos)].forget()  # type: ignore[misc]
        model = estimator.fit_federation(federation)
        assert model.booster_.save_raw() == pooled
        assert federation.log is not None
        for own in [federation.inner._fused] if mode == "fused" else silos:
            own.forget()
            assert_booster_s_margins(own, federation.log, model)


def test_a_cohort_that_sees_no_event_learns_nothing() -> None:
    X, y = deaths(60)
    y[:] = np.where(np.arange(60) < 30, np.abs(y), -np.abs(y))  # one silo has all the events
    model = FedGBTRegressor(6, objective=COX, sampling=1, random_state=1).fit(X, y, silos=np.arange(60) // 30)
    sizes = [len(tree["left_children"]) for tree in trees_of(model.booster_)]
    assert 1 in sizes and max(sizes) > 1


# law: hazard_limbs
@examples(40)
@given(seed=seeds, n=st.integers(1, 40))
def test_sums_of_hazards_are_exact(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    margin = (rng.normal(size=n) * rng.choice([1, 10, 60])).astype(np.float32)
    weight, bins = rng.uniform(1e-3, 1e3, n).astype(np.float32), rng.integers(0, 3, n)
    y = rng.normal(size=n).astype(np.float32)
    limbs = hazard_limbs(margin, y, weight, bins, 3)
    parts = [
        hazard_limbs(margin[own], y[own], weight[own], bins[own], 3) for own in (slice(0, n // 2), slice(n // 2, n))
    ]
    np.testing.assert_array_equal(limbs, parts[0] + parts[1])
    assert limbs.max() <= bound_of_limbs(n)
    hazards, events = restore_limbs(limbs[0]), restore_limbs(limbs[1])
    for k in range(3):
        own = bins == k
        exact = math.fsum(weight[own].astype(float) * np.exp(np.clip(margin[own].astype(float), -80, 80)))
        assert float(hazards[k]) == pytest.approx(exact, rel=1e-12)
        assert float(events[k]) == math.fsum(weight[own & (y > 0)].astype(float))


@pytest.mark.parametrize(("times", "most"), [([1, 1, 2, 5, 5, 5], 4096), (list(range(1, 9001)), 4096)])
def test_bins_of_time_are_one_a_time_or_about_as_full(times: list[int], most: int) -> None:
    y = np.array(times, np.float32) * np.where(np.arange(len(times)) % 3, 1, -1)
    federation = LocalFederation([Silo("a", np.zeros((len(y), 1)), y)])
    starts = time_bins(Channel(federation), np.arange(1), len(y))
    if len(set(times)) <= most:
        assert starts.view(np.float32).tolist() == sorted(set(times))
        return
    sizes = np.bincount(bins_of(y, starts))
    assert len(starts) <= most and len(starts) > most // 2 and sizes.max() <= 8 * len(y) // most


@pytest.mark.parametrize(
    ("y", "error"),
    [
        ([-1.0, -2.0, -3.0], "nothing ever happens"),
        ([[1.0, 2.0]] * 3, "survival:cox needs y of one column, and it has 2"),
        ([1.0, np.inf, 2.0], "y, row 1: NaN, infinity or None"),
    ],
)
def test_times_that_are_none_are_refused(y: Any, error: str) -> None:
    with pytest.raises((DataError, ParameterError), match=error):
        FedGBTRegressor(1, objective=COX).fit(np.zeros((3, 1)), y)
