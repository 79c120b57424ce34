"""Features drawn by weights, and scores to start from for each output: as XGBoost takes them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees import FedGBTClassifier, FedGBTRegressor, MoreTrees, ParameterError, Silo
from fedtrees.core.data.silo_column import schema_with_silos
from fedtrees.estimators.boosting.settings import _feature_weights
from fedtrees.trees.server.feature_sampling import FeatureSampling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = X.sum(axis=1) + RNG.normal(size=300)
SILO = np.arange(300) % 3
WEIGHTS = (8.0, 4.0, 2.0, 1.0)
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}


def roots(booster: xgboost.Booster) -> list[str]:
    return [tree.splitlines()[0].split("[")[1].split("<")[0] for tree in booster.get_dump()]


def test_features_are_drawn_one_after_the_other_by_their_share_of_those_left() -> None:
    columns = FeatureSampling(4, 0, bytree=0.5, weights=WEIGHTS)
    drawn = Counter(tuple(columns.of_tree(round, 0).tree.tolist()) for round in range(6000))
    for (first, second), times in drawn.items():
        one, other, whole = WEIGHTS[first], WEIGHTS[second], sum(WEIGHTS)
        chance = one / whole * other / (whole - one) + other / whole * one / (whole - other)
        assert times / 6000 == pytest.approx(chance, abs=0.02)
    assert len(drawn) == 6


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("share", ["colsample_bytree", "colsample_bylevel", "colsample_bynode"])
def test_heavy_features_are_asked_oftener_as_in_xgboost(share: str) -> None:
    params = {"n_estimators": 400, "max_depth": 1, "n_jobs": 1, share: 0.25, "feature_weights": np.array(WEIGHTS)}
    ours = FedGBTRegressor(**params).fit(X, Y, silos=SILO)
    theirs = xgboost.XGBRegressor(**params).fit(X, Y)
    for booster in (ours.booster_, theirs.get_booster()):
        seen = Counter(roots(booster))
        assert [seen[f"f{f}"] / 400 for f in range(4)] == pytest.approx([w / 15 for w in WEIGHTS], abs=0.08)
    assert ours.booster_.save_raw() == FedGBTRegressor(**params).fit(X, Y).booster_.save_raw()
    other = FedGBTRegressor(**params | {"random_state": 1}).fit(X, Y).booster_
    assert roots(other) != roots(ours.booster_)


def test_without_a_draw_weights_change_nothing_and_personal_trees_have_them() -> None:
    plain = FedGBTRegressor(**SMALL).fit(X, Y)
    weighted = FedGBTRegressor(**SMALL, feature_weights=WEIGHTS).fit(X, Y)
    assert plain.booster_.save_raw() == weighted.booster_.save_raw()
    assert "feature_weights" not in weighted.get_xgb_params()
    shared = FedGBTRegressor(1, max_depth=1, colsample_bytree=0.25, feature_weights=[1e6, 1, 1, 1], n_jobs=1).fit(X, Y)
    personal = shared.personalize(Silo("own", X, Y), MoreTrees(30))
    assert roots(personal.booster_).count("f0") > 25
    apart = FedGBTRegressor(**SMALL, feature_weights=WEIGHTS, colsample_bynode=0.5, split_on_silo=True)
    assert apart.fit(X, Y, silos=SILO).booster_.num_features() == 5


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**9])
@pytest.mark.parametrize("split_on_silo", [False, True])
def test_weights_of_features_are_shares_whatever_their_unit(scale: float, split_on_silo: bool) -> None:
    """That of the silo's column, too, which is the mean of the others."""
    own, scaled = (
        FedGBTRegressor(12, max_depth=3, n_jobs=1, feature_weights=np.array(WEIGHTS) * by, colsample_bynode=0.4,
                        split_on_silo=split_on_silo).fit(X, Y, silos=SILO)
        for by in (1.0, scale)
    )  # fmt: skip
    assert own.booster_.save_raw() == scaled.booster_.save_raw()
    asked = set(own.booster_.get_score(importance_type="weight"))
    assert len(asked) == 4 + split_on_silo


@pytest.mark.parametrize("weights", [(8.0, 4.0, 2.0, 1.0), (1.0, 1.0, 1.0, 5.0)])
def test_the_column_of_silos_weighs_as_the_mean_of_the_others(weights: tuple[float, ...]) -> None:
    plain = FedGBTRegressor(1).fit(X, Y)._schema
    hidden = FedGBTRegressor(1, feature_weights=weights, split_on_silo=True)
    assert _feature_weights(hidden, schema_with_silos(plain, ["a", "b"])) == (*weights, sum(weights) / 4)
    assert _feature_weights(FedGBTRegressor(1, feature_weights=weights), plain) == weights


@pytest.mark.parametrize(
    "wrong", [[1, 2, 3], [1, 2, 3, 0], [1, 2, 3, -1], [1, 2, 3, np.nan], "abcd", [[1, 2, 3, 4]]], ids=str
)
def test_weights_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError, match="give a number above 0 for each of 4 features"):
        FedGBTRegressor(feature_weights=wrong).fit(X, Y)


def test_silos_own_trees_draw_features_alike() -> None:
    with pytest.raises(ParameterError, match="mode='bagging' does not go with feature_weights"):
        FedGBTRegressor(feature_weights=WEIGHTS, mode="bagging").fit(X, Y)


# -- base scores --------------------------------------------------------------------------------------------

SEVERAL = np.stack([Y, 3 - Y], axis=1)
STARTS: list[tuple[Any, Any, Any, Any]] = [
    (FedGBTRegressor, {}, SEVERAL, [0.5, -2.0]),
    (FedGBTRegressor, {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}, Y, [-1.0, 0.0, 1.0]),
    (FedGBTRegressor, {"objective": "reg:tweedie"}, np.exp(SEVERAL / 9), [0.5, 2.0]),
    (FedGBTClassifier, {}, np.digitize(Y, [-1, 1]), [0.1, 0.2, 0.7]),
    (FedGBTClassifier, {}, (SEVERAL > 1).astype(int), [0.2, 0.6]),
    (FedGBTClassifier, {}, (Y > 0).astype(int), [0.3]),
]


@pytest.mark.parametrize(("kind", "params", "y", "start"), STARTS, ids=range(len(STARTS)))
def test_each_output_starts_from_its_score_as_in_xgboost(kind: Any, params: Any, y: Any, start: Any) -> None:
    options = {**SMALL, **params, "base_score": start, "max_bin": 512}
    ours = kind(**options).fit(X, y, silos=SILO)
    theirs = (xgboost.XGBClassifier if kind is FedGBTClassifier else xgboost.XGBRegressor)(**options).fit(X, y)
    np.testing.assert_allclose(ours.intercept_, np.atleast_1d(theirs.intercept_), rtol=1e-3)
    np.testing.assert_allclose(ours.predict(X, output_margin=True), theirs.predict(X, output_margin=True), atol=1e-3)
    same = kind(**options | {"base_score": np.array(start)}).fit(X, y)
    assert same.booster_.save_raw() == ours.booster_.save_raw()


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ParameterError, match="base_score has 3 numbers for 2 outputs; give one, or one of each"):
        FedGBTRegressor(base_score=[1, 2, 3]).fit(X, SEVERAL)
    for wrong in ([], [1.0, np.nan], ["a"]):
        with pytest.raises(ParameterError, match="give a finite number, or one an output, or None"):
            FedGBTRegressor(base_score=wrong).fit(X, SEVERAL)
    with pytest.raises(ParameterError, match="give a probability above 0 and below 1"):
        FedGBTClassifier(objective="binary:logistic", base_score=[0.5, 1.0]).fit(X, (SEVERAL > 1).astype(int))
