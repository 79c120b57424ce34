"""Metrics where they are decided by a hair: thresholds, ties, ends of ranges; against XGBoost or the definition."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import examples

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor
from fedtrees.core.numeric.fixed_point import exponent_of
from fedtrees.core.numeric.rng import stream
from fedtrees.estimators.best import Best
from fedtrees.export.objectives import OBJECTIVES
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.losses import loss_named

Floats = NDArray[np.float32]


def ours(objective: str, margin: Floats, y: Any, name: str, weight: Any = None) -> float:
    metric, columns = metric_named(name, objective), np.atleast_2d(np.asarray(margin, np.float32))
    weight = None if weight is None else np.asarray(weight, np.float32)
    exponent = 0 if weight is None else exponent_of(float(weight.max()))
    with np.errstate(all="ignore"):
        return metric.read(metric.ask(Rows(objective, columns, np.asarray(y, np.float32), weight, exponent)))


def theirs(objective: str, margin: Floats, y: Any, name: str, weight: Any = None) -> float:
    columns = np.atleast_2d(np.asarray(margin, np.float32))
    params = {"objective": objective, "eval_metric": name, "base_score": 0.5, "disable_default_eval_metric": 1}
    params |= {"num_class": len(columns)} if len(columns) > 1 else {}
    data = xgboost.DMatrix(np.zeros((len(y), 1)), y, weight=weight, base_margin=columns.T)
    return float(re.findall(r":(\S+)", xgboost.train(params, data, 0).eval(data))[-1])


def agree(one: float, other: float) -> bool:
    return (
        one == other or (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-8)
    )


# -- thresholds and ties ----------------------------------------------------------------------------------


def test_a_prediction_at_the_threshold_is_of_the_negative_class() -> None:
    for objective in ("binary:logistic", "reg:logistic"):
        for y, wrong in ((0, 0.0), (1, 1.0)):
            assert ours(objective, [0.0], [y], "error") == theirs(objective, [0.0], [y], "error") == wrong
    for margin, wrong in ((0.0, 1.0), (-0.0, 1.0), (1e-45, 0.0)):  # of a hinge, at 0
        assert ours("binary:hinge", [margin], [1], "error") == theirs("binary:hinge", [margin], [1], "error") == wrong


def test_a_threshold_is_a_float32_as_predictions_are() -> None:
    p = Rows("binary:logistic", np.float32([[0.7]]), np.ones(1, np.float32), None, 0).prediction()[0]
    above, below = (float(np.nextafter(p, np.float32(end))) for end in (1, 0))
    assert [ours("binary:logistic", [0.7], [1], f"error@{t!r}") for t in (below, float(p), above)] == [0, 1, 1]
    # 0.66818774 in decimal lies below its float32: no prediction lies between the two
    shorter = str(p)
    assert ours("binary:logistic", [0.7], [1], f"error@{shorter}") == 1


def test_of_classes_that_share_the_top_score_the_first_is_predicted() -> None:
    margin = np.float32([[1, 1, 0], [1, 0, 1], [0, 1, 1], [2, 2, 2]]).T  # the fourth row shares it thrice
    for label in range(3):
        y = np.full(4, label)
        expected = np.mean([first != label for first in (0, 0, 1, 0)])
        assert ours("multi:softprob", margin, y, "merror") == theirs("multi:softprob", margin, y, "merror") == expected
    close = np.float32([[1], [np.nextafter(np.float32(1), np.float32(2))]])  # as likely, in float32
    for label in (0, 1):
        assert ours("multi:softprob", close, [label], "merror") == theirs("multi:softprob", close, [label], "merror")


def test_probabilities_of_0_and_1_cost_no_more_than_the_least_one() -> None:
    for margin, y in ((200.0, 0), (-200.0, 1), (88.0, 0), (-88.0, 1), (16.7, 0), (17.5, 0)):
        mine, right = (of("binary:logistic", [margin], [y], "logloss") for of in (ours, theirs))
        assert mine == pytest.approx(right, rel=1e-6)
    assert ours("binary:logistic", [200.0], [0], "logloss") == pytest.approx(-math.log(1e-16), rel=1e-6)
    margin = np.float32([[0], [500]])
    assert ours("multi:softprob", margin, [0], "mlogloss") == pytest.approx(-math.log(1e-16), rel=1e-6)


# -- every metric on odd rows -----------------------------------------------------------------------------

SWEPT = {
    "binary:logistic": ["logloss", "error", "error@0.3", "rmse", "mae", "mape"],
    "binary:hinge": ["logloss", "error", "rmse"],
    "reg:logistic": ["logloss", "error", "rmse"],
    "reg:squarederror": ["rmse", "mae", "mape", "rmsle", "mphe", "gamma-deviance", "tweedie-nloglik@1.3"],
    "count:poisson": ["poisson-nloglik", "rmse"],
    "reg:gamma": ["gamma-nloglik", "gamma-deviance"],
    "reg:tweedie": ["tweedie-nloglik@1.5", "tweedie-nloglik@1.99"],
    "multi:softprob": ["mlogloss", "merror"],
}
SCALES = [1.0, 0.0, 1e-30, 30.0]


@examples(60)
@given(
    st.sampled_from([(objective, name) for objective, names in SWEPT.items() for name in names]),
    st.sampled_from(SCALES), st.sampled_from([None, "some 0", "over orders"]), st.integers(0, 99), st.booleans(),
)  # fmt: skip
def test_metrics_of_odd_rows_are_xgboost_s(
    which: tuple[str, str], scale: float, weighted: str | None, seed: int, ties: bool
) -> None:
    (objective, name), rng, n = which, stream(seed, "odd rows"), 30
    outputs = 3 if objective.startswith("multi:") else 1
    margin = (rng.normal(size=(outputs, n)) * scale).astype(np.float32)
    margin = margin.round(1) if ties else margin
    y = rng.integers(0, outputs if outputs > 1 else 2 if "logistic" in objective or "hinge" in objective else 4, n)
    y = y + (objective == "reg:gamma")
    weight = None
    if weighted is not None:
        weight = rng.integers(0, 2, n) if weighted == "some 0" else 10.0 ** rng.uniform(-9, 9, n)
        weight[0] = 1
    with xgboost.config_context(verbosity=0):
        right = theirs(objective, margin, y, name, weight)
    if math.isfinite(right) or weighted != "some 0":  # there, XGBoost's infinities times 0 are NaN
        assert agree(ours(objective, margin, y, name, weight), right)


@pytest.mark.parametrize("name", ["rmsle", "gamma-deviance", "tweedie-nloglik@1.3"])
def test_metrics_of_a_row_are_xgboost_s_where_logarithms_are_none_or_infinite(name: str) -> None:
    for margin, y in ((-2.0, 1.0), (-1.0, 0.0), (-1.0, 1.0), (0.0, 0.0), (-0.0, 1.0)):
        found, right = (of("reg:squarederror", [margin], [y], name) for of in (ours, theirs))
        assert agree(found, right), (margin, y, found, right)


# -- defaults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_the_metric_of_an_objective_is_the_one_that_xgboost_reports(objective: str) -> None:
    y = np.arange(12) % 2 + 1.0 * (objective == "reg:gamma")
    data = xgboost.DMatrix(np.zeros((12, 1)), y, group=[12] if objective.startswith("rank:") else None)
    params: dict[str, Any] = {"objective": objective}
    if objective == "survival:aft":
        for bound in ("label_lower_bound", "label_upper_bound"):
            data.set_float_info(bound, y + 1)
    params |= {"num_class": 2} if objective.startswith("multi:") else {}
    params |= {"quantile_alpha": 0.5} if objective == "reg:quantileerror" else {}
    (reported,) = re.findall(r"eval-([^:]+):", xgboost.train(params, data, 1).eval(data))
    assert loss_named(objective, {}, objective.startswith(("binary:", "multi:"))).metric() == reported


@pytest.mark.parametrize("power", [1.2, 1.5, 1.875])
def test_the_metric_of_a_tweedie_regression_is_of_its_power(power: float) -> None:
    X, y = np.arange(30.0)[:, None], np.arange(30) % 4 * 1.0
    fitted = FedGBTRegressor(3, objective="reg:tweedie", tweedie_variance_power=power, n_jobs=1)
    (name,) = fitted.fit(X, y, eval_set=[(X, y)]).evals_result_["validation_0"]
    (reported,) = re.findall(r"eval-([^:]+):(\S+)", fitted.booster_.eval(xgboost.DMatrix(X, y)))
    assert name == reported[0] == f"tweedie-nloglik@{power}"
    assert fitted.evals_result_["validation_0"][name][-1] == pytest.approx(float(reported[1]), rel=1e-5)


# -- early stopping ---------------------------------------------------------------------------------------


def test_of_rounds_with_equal_scores_the_first_is_the_best() -> None:
    for maximise, scores in ((True, [0.5, 0.9, 0.9, 0.7, 0.9]), (False, [0.5, 0.1, 0.1, 0.3, 0.1])):
        best = Best(3, maximise)
        ended = [best.is_past(round, score, "set") for round, score in enumerate(scores)]
        assert (best.round, best.score) == (1, scores[1]) and ended == [False] * 4 + [True]


def test_rounds_with_equal_scores_stop_a_training_where_xgboost_stops() -> None:
    """After a few rounds every row is right, and the error is 0 from then on."""
    X = np.arange(40.0)[:, None]
    y = (X[:, 0] > 25).astype(int)
    given: dict[str, Any] = {"n_estimators": 30, "early_stopping_rounds": 4, "max_depth": 2, "min_child_weight": 0}
    given |= {"eval_metric": "error", "learning_rate": 0.1, "n_jobs": 1}
    fitted = FedGBTClassifier(**given).fit(X, y, eval_set=[(X, y)])
    xgb = xgboost.XGBClassifier(**given, tree_method="hist").fit(X, y, eval_set=[(X, y)], verbose=False)
    said, right = fitted.evals_result_["validation_0"]["error"], xgb.evals_result()["validation_0"]["error"]
    assert said == right and said.count(min(said)) == 5
    assert fitted.best_iteration == xgb.best_iteration == said.index(min(said))


def test_two_cuts_equally_near_a_quantile_are_decided_as_xgboost_does() -> None:
    for values in ([0, 1, 1, 2], [0, 0, 1, 1, 1, 1, 2, 2], [0, 1, 1, 2, 3, 3, 4, 5, 5, 6]):
        X = np.array(values, float)[:, None]
        fitted = FedGBTRegressor(1, max_bin=2, max_depth=1, min_child_weight=0, n_jobs=1).fit(X, X[:, 0])
        (cut,) = fitted.booster_.trees_to_dataframe()["Split"].dropna()
        theirs = xgboost.QuantileDMatrix(X, X[:, 0], max_bin=2).get_quantile_cut()[1][1]
        np.testing.assert_array_equal(X[:, 0] < cut, X[:, 0] < theirs)


# -- what an exported model knows of its training ---------------------------------------------------------

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


# -- margins that no hazard can hold ----------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4, 1e30])
def test_the_partial_likelihood_is_that_of_margins_within_80(spread: float) -> None:
    rng = np.random.default_rng(8)
    X, margin = rng.normal(size=(60, 1)), (spread * rng.normal(size=60)).astype(np.float32)
    times = np.arange(1.0, 61.0)
    happened = rng.random(60) < 0.5
    y = np.where(happened, times, -times)
    model = FedGBTRegressor(1, objective="survival:cox", learning_rate=1e-12)
    model.fit(X, y, base_margin=margin, eval_set=[(X, y)], base_margin_eval_set=[margin])
    near = np.clip(margin.astype(np.float64), -80, 80)
    right = np.mean([np.logaddexp.reduce(near[event:]) - near[event] for event in np.flatnonzero(happened)])
    assert right >= 0
    np.testing.assert_allclose(model.evals_result_["validation_0"]["cox-nloglik"], right, rtol=1e-6)
