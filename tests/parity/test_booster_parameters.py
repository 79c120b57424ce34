"""What an exported model has of its training: XGBoost's parameters, metrics and learning rate, in memory alone."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor
from fedtrees.core.numeric.rng import stream

Floats = NDArray[np.float32]

TRAINED: dict[str, Any] = {
    "max_depth": 3, "learning_rate": 0.17, "reg_lambda": 2.5, "reg_alpha": 0.3, "gamma": 0.1, "min_child_weight": 2,
    "max_bin": 64, "subsample": 0.75, "colsample_bytree": 0.75, "colsample_bynode": 0.5, "grow_policy": "lossguide",
    "max_leaves": 5, "max_delta_step": 0.5, "num_parallel_tree": 2, "random_state": 7,
    "monotone_constraints": (1, 0, 0), "interaction_constraints": [[0, 1], [2]],
}  # fmt: skip


def config(booster: xgboost.Booster) -> dict[str, Any]:
    return json.loads(booster.save_config())["learner"]


def some_table(n: int = 60) -> tuple[Floats, NDArray[np.int64]]:
    X = stream(0, "table").normal(size=(n, 3)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(int)


def test_a_booster_has_the_parameters_of_its_training() -> None:
    X, y = some_table()
    fitted = FedGBTClassifier(2, **TRAINED, eval_metric=["auc", "error@0.3"], scale_pos_weight=2.0).fit(X, y)
    given = TRAINED | {"interaction_constraints": "[[0, 1], [2]]"}
    xgb = xgboost.XGBClassifier(
        n_estimators=2, **given, eval_metric=["auc", "error@0.3"], scale_pos_weight=2.0, tree_method="hist"
    ).fit(X, y)
    mine, right = config(fitted.booster_), config(xgb.get_booster())
    for part in ("tree_train_param", "gbtree_train_param", "gbtree_model_param"):
        assert mine["gradient_booster"][part] == right["gradient_booster"][part]
    assert mine["metrics"] == right["metrics"] and mine["objective"] == right["objective"]
    assert mine["generic_param"]["seed"] == right["generic_param"]["seed"] == "7"
    said = fitted.booster_.eval(xgboost.DMatrix(X, y))
    assert re.findall(r"eval-([^:]+):", said) == ["auc", "error@0.3"]


def test_a_booster_without_metrics_evaluates_by_the_objective_s() -> None:
    X, y = some_table()
    fitted = FedGBTRegressor(2, objective="reg:gamma", n_jobs=1).fit(X, y + 1.0, eval_set=[(X, y + 1.0)])
    ((name, value),) = re.findall(r"eval-([^:]+):(\S+)", fitted.booster_.eval(xgboost.DMatrix(X, y + 1.0)))
    assert list(fitted.evals_result_["validation_0"]) == [name]
    assert fitted.evals_result_["validation_0"][name][-1] == pytest.approx(float(value), rel=1e-5)


def test_a_booster_knows_the_last_learning_rate_and_no_function() -> None:
    X, y = some_table()
    schedule = xgboost.callback.LearningRateScheduler([0.5, 0.25])
    fitted = FedGBTClassifier(2, callbacks=[schedule], eval_metric=lambda y, p: abs(y - p), n_jobs=1).fit(X, y)
    mine = config(fitted.booster_)
    assert mine["gradient_booster"]["tree_train_param"]["eta"] == "0.25" and mine["metrics"] == []


def test_saved_models_hold_none_of_it() -> None:
    X, y = some_table()
    plain = FedGBTClassifier(2, n_jobs=1).fit(X, y).booster_.save_raw("json")
    scored = FedGBTClassifier(2, n_jobs=1, eval_metric="auc", max_leaves=64).fit(X, y).booster_
    assert scored.save_raw("json") == plain


@pytest.mark.parametrize(
    ("objective", "params"),
    [
        ("reg:pseudohubererror", {"huber_slope": 2.0, "eval_metric": "mphe"}),
        ("reg:quantileerror", {"quantile_alpha": [0.25, 0.75], "eval_metric": "quantile"}),
        ("count:poisson", {"eval_metric": ["poisson-nloglik", "rmse"]}),
    ],
)
def test_a_booster_evaluates_as_its_training_did(objective: str, params: dict[str, Any]) -> None:
    X, y = some_table()
    fitted = FedGBTRegressor(3, objective=objective, **params, n_jobs=1).fit(X, y * 1.0, eval_set=[(X, y)])
    found = dict(re.findall(r"eval-([^:]+):(\S+)", fitted.booster_.eval(xgboost.DMatrix(X, y))))
    said = fitted.evals_result_["validation_0"]
    assert {name: float(value) for name, value in found.items()} == {
        name: pytest.approx(values[-1], rel=1e-5) for name, values in said.items()
    }


def test_a_ranker_s_booster_evaluates_as_its_training_did() -> None:
    X, y = some_table()
    qid = np.arange(60) // 6
    fitted = FedGBTRanker(3, eval_metric=["ndcg@3", "map", "auc"], n_jobs=1)
    fitted.fit(X, y, qid=qid, eval_set=[(X, y)], eval_qid=[qid])
    found = dict(re.findall(r"eval-([^:]+):(\S+)", fitted.booster_.eval(xgboost.DMatrix(X, y, qid=qid))))
    said = {name: values[-1] for name, values in fitted.evals_result_["validation_0"].items()}
    assert {name: float(value) for name, value in found.items()} == {name: pytest.approx(v) for name, v in said.items()}
