"""Which metrics go with which objectives, and that a training's scores of them are those that XGBoost finds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.metrics import log_loss, roc_auc_score

from fedtrees import (
    FedAvgClassifier,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    ParameterError,
)
from fedtrees.core.numeric.rng import stream
from fedtrees.queries.custom_metric import register_metric
from fedtrees.queries.evaluation import EXACT_ROWS, MOST_UNCERTAIN
from fedtrees.queries.metrics import CUSTOM, metric_named
from fedtrees.trees.losses import LOSSES

N = 60
X = stream(0, "features").normal(size=(N, 3)).astype(np.float32)
NOISE = stream(1, "noise").normal(size=N)
TWO = (X[:, 0] + NOISE > 0).astype(int)
COUNTS = stream(2, "counts").poisson(np.exp(X[:, 0])).astype(float)
QID = np.arange(N) // 6
WEIGHT = stream(3, "weights").uniform(0.2, 3, N).astype(np.float32)

# of every objective, the metrics that say something of what it predicts, but for those of other parameters
ROWS = ["rmse", "mae", "mape", "rmsle", "mphe", "poisson-nloglik", "gamma-nloglik", "gamma-deviance"]
ROWS += ["tweedie-nloglik@1.3"]
SHARES = ["logloss", "error", "error@0.3"]
RANKS = ["ndcg", "map", "pre", "ndcg@2-", "auc", "aucpr"]
FITTING = {
    "binary:": [*ROWS, *SHARES, "auc", "aucpr"],
    "multi:": ["mlogloss", "merror", "auc", "aucpr"],
    "reg:logistic": [*ROWS, *SHARES],
    "reg:quantileerror": [*ROWS, "quantile"],
    "survival:aft": ["aft-nloglik", "interval-regression-accuracy"],
    "survival:cox": ["cox-nloglik"],
    "rank:": RANKS,
}
EVERY = sorted({name for own in (ROWS, *FITTING.values()) for name in own})


@pytest.mark.parametrize("objective", sorted(LOSSES))
def test_metrics_go_with_the_objectives_that_they_are_of(objective: str) -> None:
    fitting = next((own for start, own in FITTING.items() if objective.startswith(start)), ROWS)
    assert {name for name in EVERY if metric_named(name, objective).fits(objective)} == set(fitting)


@pytest.mark.parametrize(
    ("kind", "y", "objective", "metrics"),
    [
        (FedGBTRegressor, TWO, "reg:logistic", ["logloss", "error", "error@0.3", "rmse", "mae"]),
        (FedGBTClassifier, TWO, "binary:logitraw", ["auc", "aucpr"]),
        (FedGBTClassifier, TWO, "binary:hinge", ["error", "rmse", "auc"]),
        (FedGBTRegressor, np.exp(NOISE), "reg:gamma", ["gamma-nloglik", "gamma-deviance", "rmse", "mape"]),
        (FedGBTRegressor, COUNTS, "reg:tweedie", ["tweedie-nloglik@1.2", "rmse", "mphe"]),
        (FedGBTRegressor, np.exp(NOISE), "reg:squaredlogerror", ["rmsle", "rmse", "mae"]),
        (FedGBTRegressor, NOISE, "reg:quantileerror", ["quantile", "mae", "rmse"]),
    ],
    ids=lambda own: own if isinstance(own, str) else "",
)
def test_scores_of_a_training_are_those_of_its_booster(kind: Any, y: Any, objective: str, metrics: list[str]) -> None:
    fitted = kind(3, objective=objective, eval_metric=metrics, n_jobs=1)
    fitted.fit(X, y, eval_set=[(X, y)], sample_weight_eval_set=[WEIGHT])
    found = re.findall(r"eval-([^:]+):(\S+)", fitted.booster_.eval(xgboost.DMatrix(X, y, weight=WEIGHT)))
    said = {name: values[-1] for name, values in fitted.evals_result_["validation_0"].items()}
    assert said == {name: pytest.approx(float(value), rel=2e-5) for name, value in found}


def test_margins_of_two_classes_are_scored_as_the_probabilities_that_they_are() -> None:
    """XGBoost takes the margins of ``binary:logitraw`` for probabilities there, and so has no logarithm of most."""
    fitted = FedGBTClassifier(3, objective="binary:logitraw", eval_metric=["logloss", "error"], n_jobs=1)
    said = fitted.fit(X, TWO, eval_set=[(X, TWO)], sample_weight_eval_set=[WEIGHT]).evals_result_["validation_0"]
    p = fitted.predict_proba(X)[:, 1].astype(np.float64)
    assert said["logloss"][-1] == pytest.approx(log_loss(TWO, p, sample_weight=WEIGHT), rel=1e-5)
    assert said["error"][-1] == pytest.approx(1 - fitted.score(X, TWO, sample_weight=WEIGHT), rel=1e-5)


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@3", "map@2", "pre@4", "pre@9", "auc", "aucpr", "ndcg-"])
@pytest.mark.parametrize("objective", ["rank:ndcg", "rank:map", "rank:pairwise"])
def test_a_ranking_is_scored_by_its_last_metric(metric: str, objective: str) -> None:
    """Queries are of 6 rows; some hold no relevant one, and one holds nothing else."""
    y = np.where(QID == 0, 1, np.where(QID == 1, 0, TWO))
    fitted = FedGBTRanker(3, objective=objective, eval_metric=["map", metric], max_depth=2, n_jobs=1).fit(X, y, qid=QID)
    found = re.findall(r"eval-([^:]+):(\S+)", fitted.booster_.eval(xgboost.DMatrix(X, y, qid=QID)))
    assert fitted.score(X, y, qid=QID) == pytest.approx(float(found[-1][1]), rel=1e-5)


@pytest.mark.parametrize("exponential", [True, False])
def test_a_score_of_rankings_has_the_gain_of_the_training(exponential: bool) -> None:
    y = np.clip(np.round(X[:, 0] + NOISE), 0, 3).astype(int)
    fitted = FedGBTRanker(2, ndcg_exp_gain=exponential, eval_metric="ndcg@3", max_depth=2, n_jobs=1)
    fitted.fit(X, y, qid=QID, eval_set=[(X, y)], eval_qid=[QID])
    theirs = xgboost.XGBRanker(
        n_estimators=2, ndcg_exp_gain=exponential, eval_metric="ndcg@3", max_depth=2, tree_method="hist"
    ).fit(X, y, qid=QID, eval_set=[(X, y)], eval_qid=[QID], verbose=False)
    right = theirs.evals_result()["validation_0"]["ndcg@3"][-1]
    assert fitted.score(X, y, qid=QID) == pytest.approx(right, rel=1e-5)
    assert fitted.evals_result_["validation_0"]["ndcg@3"][-1] == pytest.approx(right, rel=1e-5)


# -- parameters of metrics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FedGBTRegressor, FedAvgClassifier])
@pytest.mark.parametrize(
    "name",
    [
        "tweedie-nloglik@1", "tweedie-nloglik@2", "tweedie-nloglik@0.5", "tweedie-nloglik@nan", "error@inf",
        "error@-inf", "error@nan",
    ],
)  # fmt: skip
def test_what_follows_the_at_lies_inside_its_range(kind: Any, name: str) -> None:
    with pytest.raises(ParameterError, match=f"eval_metric='{name}': what follows the @ lies between"):
        kind(eval_metric=name).fit(X, TWO)


@pytest.mark.parametrize("name", ["tweedie-nloglik@1.0001", "tweedie-nloglik@1.9999", "error@-7", "error@0"])
def test_whatever_lies_inside_is_taken(name: str) -> None:
    assert metric_named(name).name == name


@pytest.mark.parametrize("name", ["ndcg@0", "map@-1", "pre@1.5", "ndcg@", "pre@0-"])
def test_ranks_are_counted_from_1(name: str) -> None:
    with pytest.raises(ParameterError, match=f"eval_metric='{name}': what follows the @ is a number of ranks"):
        metric_named(name)


# -- functions ----------------------------------------------------------------------------------------------


def test_a_function_gets_what_the_booster_predicts() -> None:
    """Of times in proportional hazards, of several targets, of quantiles, of labels and of margins as well."""
    given: list[Any] = []

    def seen(y: Any, p: Any) -> Any:
        given.append(np.array(p))
        return np.zeros(len(y))

    name = register_metric(seen, "what is seen")
    both = np.stack([TWO, 1 - TWO], axis=1)
    for kind, y, objective in (
        (FedGBTRegressor, np.exp(NOISE) + 0.1, "survival:cox"),
        (FedGBTRegressor, np.exp(NOISE), "reg:gamma"),
        (FedGBTRegressor, both * NOISE[:, None], "reg:squarederror"),
        (FedGBTClassifier, TWO, "binary:hinge"),
        (FedGBTClassifier, TWO + (NOISE > 1), "multi:softprob"),
    ):
        fitted = kind(2, objective=objective, eval_metric=name, n_jobs=1).fit(X, y, eval_set=[(X, y)])
        expected = fitted.booster_.inplace_predict(X)
        if objective == "reg:squarederror":
            expected = expected.T.ravel()  # every target of a row is a row of its own
        assert given[-1].shape == expected.shape, objective
        np.testing.assert_allclose(given[-1], expected, rtol=1e-5)
    FedGBTRegressor(2, objective="reg:quantileerror", quantile_alpha=[0.2, 0.8], eval_metric=name, n_jobs=1).fit(
        X, NOISE, eval_set=[(X, NOISE)]
    )
    assert given[-1].shape == (N, 2)


def test_a_function_of_a_metrics_name_is_told_apart_from_it() -> None:
    def logloss(y: Any, p: Any) -> Any:
        return np.full(len(y), 7.0)

    fitted = FedGBTClassifier(1, eval_metric=["logloss", logloss], n_jobs=1).fit(X, TWO, eval_set=[(X, TWO)])
    own, other = fitted.evals_result_["validation_0"].items()
    assert own[0] == "logloss" and own[1][0] < 1 and other == ("logloss 2", [7.0])
    assert "logloss" not in CUSTOM


@pytest.mark.parametrize("shape", [(), (1,), (N, 1), (N + 1,)])
def test_a_function_of_other_than_a_number_a_row_is_refused(shape: tuple[int, ...]) -> None:
    name = register_metric(lambda y, p: np.ones(shape), "of the wrong shape")
    with pytest.raises(ParameterError, match=r"of the wrong shape gave .* for 60 rows.* return a number for each row"):
        FedGBTRegressor(1, eval_metric=name, n_jobs=1).fit(X, NOISE, eval_set=[(X, NOISE)])


# -- areas --------------------------------------------------------------------------------------------------


def test_areas_are_as_certain_as_docstrings_say() -> None:
    text = " ".join((FedGBTClassifier.__doc__ or "").split())
    (rows, most) = re.findall(r"of sets of more than (\d+) rows are read from histograms .* certain to (\S+) at", text)[
        0
    ]
    assert (EXACT_ROWS, MOST_UNCERTAIN) == (int(rows), float(most)) == (4096, 1e-4)


def test_areas_of_three_classes_have_room_for_heavy_rows() -> None:
    """Whole weights are added up as they are, as far as all classes' rows together leave room."""
    y = TWO + (NOISE > 1)
    for most in (2.0**20, 2.0**52, 2.0**60):
        weight = np.where(np.arange(N) % 2, most, 1.0)
        fitted = FedGBTClassifier(2, eval_metric="auc", max_depth=2, n_jobs=1)
        fitted.fit(X, y, eval_set=[(X, y)], sample_weight_eval_set=[weight])
        p = fitted.predict_proba(X).astype(np.float64)
        shares = np.array([weight[y == k].sum() for k in range(3)])
        each = [roc_auc_score(y == k, p[:, k], sample_weight=weight) for k in range(3)]
        assert fitted.evals_result_["validation_0"]["auc"][-1] == pytest.approx(shares @ each / shares.sum(), abs=1e-4)
