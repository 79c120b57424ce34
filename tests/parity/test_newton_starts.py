"""Margins that start by a Newton step from 0: XGBoost's, whatever the unit of y and the slope of the loss."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees import FedGBTRegressor, LocalFederation, Silo

RNG = np.random.default_rng(0)
X = RNG.integers(0, 9, (120, 2)).astype(np.float32)
WEIGHTS: dict[str, Any] = {
    "plain": None,
    "whole": RNG.integers(1, 4, 120).astype(np.float32),
    "parts": RNG.uniform(0.1, 5, 120).astype(np.float32),
}


def base_score(booster: xgboost.Booster) -> float:
    said = json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]
    return float(json.loads(said)[0] if said.startswith("[") else said)


@pytest.mark.parametrize(("weight", "mode"), [("plain", "fused"), ("whole", "faithful"), ("parts", "fused")])
@pytest.mark.parametrize(
    ("slope", "unit"), [(1e-3, 1e-3), (1e-3, 1e9), (1.0, 1.0), (1e7, 1e-3), (1e7, 1e6), (1e7, 1e9)]
)
def test_a_slope_far_above_or_below_the_targets(unit: float, slope: float, weight: str, mode: str) -> None:
    """Gradients are up to the slope, or to the targets, each of which may be many orders above 1."""
    y = ((X[:, 0] + RNG.normal(size=120) + 3) * unit).astype(np.float32)
    own = np.arange(120) % 2 == 0
    silos = [
        Silo(name, X[rows], y[rows], sample_weight=None if WEIGHTS[weight] is None else WEIGHTS[weight][rows], n_jobs=1)
        for name, rows in (("a", own), ("b", ~own))
    ]
    given: dict[str, Any] = {
        "n_estimators": 1,
        "max_depth": 1,
        "objective": "reg:pseudohubererror",
        "huber_slope": slope,
    }
    ours = FedGBTRegressor(**given, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    theirs = xgboost.XGBRegressor(**given, tree_method="hist").fit(X, y, sample_weight=WEIGHTS[weight])
    expected = base_score(theirs.get_booster())
    assert base_score(ours.booster_) == pytest.approx(expected, rel=1e-4)
    if slope >= unit * 1e3:  # squares, as far as anybody can see
        assert expected == pytest.approx(np.average(y, weights=WEIGHTS[weight]), rel=1e-3)


@pytest.mark.parametrize("targets", [[1e-6, 2e-6, 3e-6], [0.0, 1e38, 3e38], [-0.99999994, -0.5, 0.0]])
def test_logarithms_of_targets_at_the_ends_of_float32(targets: list[float]) -> None:
    y = np.tile(np.float32(targets), 40)
    given: dict[str, Any] = {"n_estimators": 1, "max_depth": 1, "objective": "reg:squaredlogerror"}
    ours = FedGBTRegressor(**given, n_jobs=1).fit(X, y, silos=np.arange(120) % 3)
    theirs = xgboost.XGBRegressor(**given, tree_method="hist").fit(X, y)
    assert base_score(ours.booster_) == pytest.approx(base_score(theirs.get_booster()), rel=1e-4)
