"""Silos that hold a single row, over real bytes: the least that may be sent of each answer is enough for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedtrees
from fedtrees import LocalFederation, Silo

N = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
TWO = (X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int)
THREE = TWO + (X[:, 1] > 0.5)
NUMBERS = X[:, 0].astype(float) + 1e-3
TIMES = np.exp(NUMBERS)
WEIGHT = RNG.uniform(0.1, 9, N)
SMALL: dict[str, Any] = {"n_estimators": 2, "max_depth": 2, "n_jobs": 1}
SCORED = ["logloss", "error", "auc", "aucpr", "rmse", "mae", "mphe", "error@0.25"]

FAMILIES: dict[str, tuple[Any, Any]] = {
    "boosting": (fedtrees.FedGBTClassifier(**SMALL, eval_metric=SCORED), TWO),
    "boosting three classes": (
        fedtrees.FedGBTClassifier(**SMALL, eval_metric=["merror", "mlogloss", "auc", "aucpr"]),
        THREE,
    ),
    "boosting of quantiles": (
        fedtrees.FedGBTRegressor(**SMALL, objective="reg:quantileerror", quantile_alpha=[0.3, 0.7]),
        NUMBERS,
    ),
    "boosting of two targets": (
        fedtrees.FedGBTRegressor(**SMALL, eval_metric=["mae", "rmse", "mphe"]),
        np.stack([NUMBERS, NUMBERS**3 + 1], axis=1),
    ),
    "boosting of two labels": (
        fedtrees.FedGBTClassifier(**SMALL, eval_metric=["logloss", "error"]),
        np.stack([TWO, THREE > 1], axis=1).astype(int),
    ),
    "boosting of times": (fedtrees.FedGBTRegressor(**SMALL, objective="survival:cox"), TIMES * np.where(TWO, 1, -1)),
    "boosting of bounds": (
        fedtrees.FedGBTRegressor(
            **SMALL, objective="survival:aft", eval_metric=["aft-nloglik", "interval-regression-accuracy"]
        ),
        np.stack([TIMES, TIMES * 2], axis=1),
    ),
    "boosting of absolute errors": (fedtrees.FedGBTRegressor(**SMALL, objective="reg:absoluteerror"), NUMBERS),
    "bagging": (fedtrees.FedGBTRegressor(**SMALL, mode="bagging", eval_metric=["rmse", "mae"]), NUMBERS),
    "forest": (fedtrees.FedForestClassifier(4, max_depth=2, n_jobs=1, max_features=1), THREE),
    "tree of numbers": (fedtrees.FedTreeRegressor(max_depth=2, n_jobs=1), NUMBERS),
    "AdaBoost of numbers": (fedtrees.FedAdaBoostRegressor(2, max_depth=2, n_jobs=1), NUMBERS),
    "averaging of two targets": (
        fedtrees.FedAvgRegressor((4,), n_rounds=2, n_jobs=1, eval_metric=["mae", "rmse"]),
        np.stack([NUMBERS, NUMBERS**3 + 1], axis=1),
    ),
    "averaging": (fedtrees.FedAvgClassifier((4,), n_rounds=2, n_jobs=1, eval_metric=["auc", "logloss"]), TWO),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_messages_are_long_enough(family: str) -> None:
    """A silo refuses to send an answer with more integers than its rows are said to touch, or beyond their bound."""
    estimator, y = FAMILIES[family]
    scored = hasattr(estimator, "eval_metric")
    frame = pd.DataFrame(X, columns=list("abc"))
    if isinstance(estimator, fedtrees.FedGBTClassifier):
        frame["d"] = pd.Categorical(np.arange(N) % 5)
    silos = [
        Silo(
            f"{k:02d}", frame[k : k + 1], y[k : k + 1], sample_weight=WEIGHT[k : k + 1], n_jobs=1,
            eval_set=[(frame[::5], y[::5], WEIGHT[::5]) if k == 7 else (frame[k : k + 1], y[k : k + 1])] * scored,
        )
        for k in range(N)
    ]  # fmt: skip
    found = []
    for mode in ("faithful", "fused"):
        model = estimator.fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
        ledger = model.ledger_.per_silo().to_dict()
        found.append((repr(model.predict(frame).tolist()), repr(getattr(model, "evals_result_", None)), ledger))
    assert found[0] == found[1]
