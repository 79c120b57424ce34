"""Rounds of some silos only: whose turn it is changes, is named by the round of the model, and is XGBoost's on them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from xgboost_twin import same_trees

from fedtrees import (
    FedAdaBoostClassifier,
    FedAvgClassifier,
    FedForestClassifier,
    FedGBTClassifier,
    FedGBTRegressor,
    FixedNumber,
    LocalFederation,
    Silo,
)

N = 240
RNG = np.random.default_rng(0)
X = RNG.integers(0, 12, (N, 3)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=N) * 3 > 6).astype(int)
SILOS = np.arange(N) % 8
FAMILIES: dict[str, Any] = {
    "boosting": FedGBTClassifier(9, max_depth=2, n_jobs=1, sampling=2, random_state=5),
    "AdaBoost": FedAdaBoostClassifier(9, max_depth=2, n_jobs=1, sampling=2, random_state=5),
    "networks": FedAvgClassifier((2,), n_rounds=9, n_jobs=1, sampling=2, random_state=5),
}


def cohorts(model: Any) -> list[list[int]]:
    """Of each round of training, in which fewer than all are asked."""
    found: list[list[int]] = []
    for entry in model.ledger_.entries:
        if len(entry.cohort) < 8 and ("Histograms" in entry.kind or "LocalUpdate" in entry.kind):
            cohort = entry.cohort.tolist()
            # a tree is grown in several messages to the same silos: its first one asks for the root
            if "LocalUpdate" in entry.kind or not found or found[-1] != cohort:
                found.append(cohort)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_each_round_has_a_cohort_of_its_own(family: str) -> None:
    model = clone(FAMILIES[family]).fit(X, Y, silos=SILOS)
    drawn = [FixedNumber(2).draw(8, 5, round).tolist() for round in range(9)]
    different = [own for place, own in enumerate(drawn) if not place or own != drawn[place - 1]]
    assert len({tuple(own) for own in drawn}) > 5
    expected = drawn if family == "networks" else different
    assert cohorts(model) == expected[: len(cohorts(model))] and len(cohorts(model)) > 4
    other = clone(FAMILIES[family]).set_params(random_state=6).fit(X, Y, silos=SILOS)
    assert cohorts(other) != cohorts(model)


def test_a_forest_of_one_round_has_one_cohort_and_a_model_that_goes_on_the_next() -> None:
    forest = FedForestClassifier(3, max_depth=2, sampling=2, n_jobs=1, random_state=5).fit(X, Y, silos=SILOS)
    assert cohorts(forest) == [FixedNumber(2).draw(8, 5, 0).tolist()]
    first = FedGBTClassifier(4, max_depth=2, sampling=2, n_jobs=1, random_state=5).fit(X, Y, silos=SILOS)
    second = FedGBTClassifier(3, max_depth=2, sampling=2, n_jobs=1, random_state=5).fit(
        X, Y, silos=SILOS, xgb_model=first
    )
    assert cohorts(second) == [FixedNumber(2).draw(8, 5, round).tolist() for round in (4, 5, 6)]


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:pseudohubererror"])
def test_silos_by_turns_train_as_xgboost_does_on_each(objective: str, mode: str) -> None:
    """Of which one has targets a million times as large: what bounds one cohort's gradients bounds no other's."""
    table = np.tile(np.array(np.meshgrid(np.arange(4), np.arange(5), np.arange(3))).reshape(3, -1).T, (2, 1)).astype(
        np.float32
    )
    rng = np.random.default_rng(1)
    large = np.arange(120) >= 60
    y = (table @ [3.0, -1, 2] + rng.normal(size=120)).astype(np.float32) * np.where(
        large, np.float32(2**20), np.float32(1)
    )
    silos = [Silo("small", table[~large], y[~large], n_jobs=1), Silo("large", table[large], y[large], n_jobs=1)]
    given: dict[str, Any] = {"max_depth": 3, "learning_rate": 0.5, "base_score": 0.0, "objective": objective}
    if objective == "reg:pseudohubererror":
        given["huber_slope"] = 1e7
    sampler = FixedNumber(1)
    turns = [int(sampler.draw(2, 3, round)[0]) for round in range(8)]
    assert 0 in turns and 1 in turns and any(a == 0 and b == 1 for a, b in pairwise(turns))
    own = FedGBTRegressor(8, **given, sampling=1, random_state=3, n_jobs=1)
    own.fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    booster = None
    for turn in turns:
        rows = large if turn else ~large
        data = xgboost.QuantileDMatrix(table[rows], y[rows], max_bin=256)
        booster = xgboost.train(given | {"tree_method": "hist", "nthread": 1}, data, 1, xgb_model=booster)
    assert booster is not None
    asked = own.ledger_.per_round()["kind"].tolist()
    assert asked.count("GradientExponents") == 8  # a cohort that was drawn anew is asked how large its gradients are
    np.testing.assert_allclose(own.predict(table) / 2**20, booster.inplace_predict(table) / 2**20, rtol=1e-4, atol=1e-4)
    assert same_trees(own.booster_, booster) >= 4
