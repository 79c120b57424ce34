"""Several quantiles of one target: an output of each, as XGBoost has them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, problems

from fedtrees import DataError, FedGBTRegressor, LocalFederation, ParameterError, Silo

ALPHAS = [0.1, 0.5, 0.9]


def noisy(n: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Whole numbers, few of each column, and noise that grows with one of them; weights of 1 to 3."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 30, (n, 3)).astype(np.float32)
    return X, np.sin(X[:, 0] / 3) * 9 + rng.normal(size=n) * (1 + X[:, 1] / 5), rng.integers(1, 4, n).astype(np.float32)


@examples(15)
@given(
    problem=problems(most_silos=5, objectives=["reg:quantileerror"]),
    alphas=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4),
)
def test_every_partition_gives_the_pooled_model(problem: Any, alphas: list[float]) -> None:
    pooled = problem.pooled(quantile_alpha=alphas)
    for mode in ("fused", "faithful"):
        assert problem.federated(LocalFederation(problem.silos(), mode=mode), quantile_alpha=alphas) == pooled


@pytest.mark.parametrize("weighted", [False, True])
def test_trees_and_scores_are_xgboost_s(weighted: bool) -> None:
    X, y, weight = noisy(900)
    train, test = slice(0, 600), slice(600, 900)
    params: dict[str, Any] = {
        "n_estimators": 8, "max_depth": 4, "learning_rate": 0.3, "objective": "reg:quantileerror",
        "quantile_alpha": np.array(ALPHAS), "min_child_weight": 5,
    }  # fmt: skip
    given: dict[str, Any] = {"sample_weight": weight[train] if weighted else None, "eval_set": [(X[test], y[test])]}
    ours = FedGBTRegressor(**params).fit(X[train], y[train], silos=np.arange(600) % 4, **given)
    theirs = xgboost.XGBRegressor(**params, tree_method="hist").fit(X[train], y[train], **given, verbose=False)
    assert ours.predict(X).shape == (900, 3)
    if not weighted:  # XGBoost interpolates no weighted quantile, and takes a weight for no row
        near = np.isclose(ours.predict(X), theirs.predict(X), atol=1e-3)
        assert near.mean() > 0.98
        scores = [model.evals_result_["validation_0"]["quantile"] for model in (ours,)]
        np.testing.assert_allclose(scores[0], theirs.evals_result()["validation_0"]["quantile"], rtol=5e-3)
    below = (y[test, None] <= ours.predict(X[test])).mean(axis=0)
    np.testing.assert_allclose(below, ALPHAS, atol=0.1)


def test_the_metric_is_that_of_the_model_s_predictions() -> None:
    X, y, weight = noisy(200)
    given: dict[str, Any] = {"eval_set": [(X, y)], "sample_weight_eval_set": [weight]}
    model = FedGBTRegressor(3, objective="reg:quantileerror", quantile_alpha=ALPHAS).fit(X, y, **given)
    miss = y[:, None] - model.predict(X)
    pinball = np.where(miss >= 0, np.array(ALPHAS) * miss, (np.array(ALPHAS) - 1) * miss)
    expected = np.average(pinball.mean(axis=1), weights=weight)
    assert model.evals_result_["validation_0"]["quantile"][-1] == pytest.approx(expected, rel=1e-5)


def test_one_quantile_of_several_is_that_of_one_alone() -> None:
    X, y, _ = noisy(300)
    together = FedGBTRegressor(5, objective="reg:quantileerror", quantile_alpha=ALPHAS).fit(X, y)
    for k, alpha in enumerate(ALPHAS):
        alone = FedGBTRegressor(5, objective="reg:quantileerror", quantile_alpha=alpha).fit(X, y)
        np.testing.assert_array_equal(alone.predict(X), together.predict(X)[:, k])


def test_a_model_of_several_is_read_back_and_continued(tmp_path: Any) -> None:
    X, y, _ = noisy(300)
    params: dict[str, Any] = {"objective": "reg:quantileerror", "quantile_alpha": ALPHAS}
    model = FedGBTRegressor(2, **params).fit(X, y)
    model.save_model(tmp_path / "model.json")
    said = json.loads(xgboost.Booster(model_file=tmp_path / "model.json").save_config())["learner"]["objective"]
    assert json.loads(said["quantile_loss_param"]["quantile_alpha"]) == pytest.approx(ALPHAS)
    again = FedGBTRegressor().load_model(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    on = FedGBTRegressor(2, **params).fit(X, y, xgb_model=tmp_path / "model.json")
    assert on.booster_.num_boosted_rounds() == 4 and on.predict(X).shape == (300, 3)


def test_an_empty_silo_does_not_mind() -> None:
    X, y, _ = noisy(60)
    federation = LocalFederation([Silo("a", X, y), Silo("b", X[:0], y[:0])], mode="faithful")
    model = FedGBTRegressor(2, objective="reg:quantileerror", quantile_alpha=ALPHAS).fit_federation(federation)
    assert model.predict(X).shape == (60, 3)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"quantile_alpha": []}, "give a number above 0 and below 1, or several"),
        ({"quantile_alpha": [0.5, 1.0]}, "give a number above 0 and below 1, or several"),
        ({"quantile_alpha": [0.5, "half"]}, "quantile_alpha="),
        ({"quantile_alpha": [0.5, 0.9], "eval_metric": "rmse"}, "eval_metric='rmse' says nothing of what"),
    ],
)
def test_quantiles_that_mean_nothing_are_refused(params: dict[str, Any], error: str) -> None:
    X, y, _ = noisy(30)
    with pytest.raises(ParameterError, match=error):
        FedGBTRegressor(1, objective="reg:quantileerror", **params).fit(X, y)


def test_several_quantiles_of_several_targets_are_refused() -> None:
    X, y, _ = noisy(30)
    with pytest.raises((ParameterError, DataError), match="2 quantiles of 2 targets"):
        FedGBTRegressor(1, objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]).fit(X, np.stack([y, y], axis=1))
