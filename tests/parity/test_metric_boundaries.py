"""Metrics where they are decided by a hair: thresholds, ties, ends of ranges; against XGBoost or the definition."""

from __future__ import annotations

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

from fedtrees import FedGBTClassifier, FedGBTRegressor
from fedtrees.core.numeric.fixed_point import exponent_of
from fedtrees.core.numeric.rng import stream
from fedtrees.estimators.common.early_stopping import Best
from fedtrees.export.objectives import OBJECTIVES
from fedtrees.queries.areas import Area
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import METRICS, metric_named, metric_of
from fedtrees.queries.score_histogram import ScoreHistogram
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
    sides = set()
    for margin in (
        0.5,
        0.7,
        -0.3,
        -0.7,
    ):  # in decimal, below their float32 or above: no prediction lies between the two
        p = Rows("binary:logistic", np.float32([[margin]]), np.ones(1, np.float32), None, 0).prediction()[0]
        assert ours("binary:logistic", [margin], [1], f"error@{p!s}") == 1
        sides.add(float(str(p)) < float(p))
    assert sides == {True, False}


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


PREDICTED = [-1.5, -1.0, -0.5, 0.0, 1e-30, 9e-17, 1e-16, 1.2e-16, 1e-8, 9e-7, 1e-6, 1.2e-6, 0.25, 0.5, 0.75, 1.0, 7.0]
ALONE = ["logloss", "error", "error@0.25", "rmse", "mae", "mape", "rmsle", "mphe", "poisson-nloglik", "gamma-nloglik"]
ALONE += ["gamma-deviance", "tweedie-nloglik@1.3", "tweedie-nloglik@1.9"]


@pytest.mark.parametrize("name", ALONE)
def test_a_prediction_at_the_limits_of_a_metric_is_scored_as_in_xgboost(name: str) -> None:
    """Of 0 and 1, at a threshold, and at what a probability, a mean or a deviance is never taken for less than."""
    params = {"eval_metric": name, "base_score": 0.5, "disable_default_eval_metric": 1, "nthread": 1}
    booster = xgboost.train(params, xgboost.DMatrix(np.zeros((1, 1)), [1.0]), 0)
    for y in (0.0, 1.0) if name.startswith(("logloss", "error")) else (0.0, 1.0, 2.5):
        for margin in PREDICTED:
            row = xgboost.DMatrix(np.zeros((1, 1)), [y], base_margin=[margin], nthread=1)
            right = float(booster.eval(row).split(":")[-1])
            found = ours("reg:squarederror", np.float32([margin]), [y], name)
            assert found == pytest.approx(right, rel=1e-3, abs=5e-8, nan_ok=True), (margin, y)


@pytest.mark.parametrize("low", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("high", [1.0, 2.0, math.inf])
def test_a_time_at_a_bound_lies_within_it_as_in_xgboost(low: float, high: float) -> None:
    matrix = xgboost.DMatrix(np.zeros((1, 1)), base_margin=[0.0])  # of a predicted time of 1
    bounds = np.float32([[low, max(low, high)]])
    matrix.set_float_info("label_lower_bound", bounds[0, :1])
    matrix.set_float_info("label_upper_bound", bounds[0, 1:])
    name = "interval-regression-accuracy"
    booster = xgboost.Booster({"objective": "survival:aft", "eval_metric": name, "nthread": 1}, [matrix])
    right = float(booster.eval(matrix).split(":")[-1])
    assert ours("survival:aft", [0.0], bounds, name) == right == float(low <= 1 <= high)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_partial_likelihood_is_that_of_its_definition(seed: int, weighted: bool) -> None:
    """Breslow's: of each event, by its weight, the log of the hazards at risk less its margin; by the weight of all."""
    rng, n = stream(seed, "partial likelihood"), 25
    margin, bins = rng.normal(size=n).astype(np.float32), rng.integers(0, 9, n)
    y = np.where(rng.random(n) < 0.6, 1.0, -1.0) * (bins + 1)
    weight = rng.uniform(0.1, 4, n).astype(np.float32) if weighted else None
    metric, w = metric_named("cox-nloglik", "survival:cox"), np.ones(n) if weight is None else weight.astype(float)
    hazard = w * np.exp(margin.astype(float))
    events = np.flatnonzero(y > 0)
    losses = [w[i] * (math.log(hazard[bins >= bins[i]].sum()) - margin[i]) for i in events]
    rows = Rows("survival:cox", margin[None], y.astype(np.float32), weight, 3, bins=bins)
    assert metric.read(metric.ask(rows)) == pytest.approx(sum(losses) / w[events].sum(), rel=1e-6)
    assert np.isnan(metric.read(metric.ask(Rows("survival:cox", margin[None], -abs(rows.y), weight, 3, bins=bins))))


RANKINGS = ["ndcg", "ndcg@1", "ndcg@2", "ndcg@3-", "ndcg-", "map", "map@1", "map@2", "map-", "pre", "pre@1", "pre@2"]
RANKINGS += ["pre@9", "auc", "aucpr"]


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_odd_queries_are_xgboost_s(name: str, weighted: bool) -> None:
    """Of one row, of two and three, without a relevant row, with nothing else, and with ties."""
    params = {"objective": "rank:ndcg", "eval_metric": name, "disable_default_eval_metric": 1, "nthread": 1}
    for seed in range(6):
        rng = stream(seed, "odd queries")
        sizes = rng.permutation([1, 1, 2, 2, 3, 3, 4, 6])
        starts, n = np.concatenate([[0], np.cumsum(sizes)]), int(sizes.sum())
        graded = name.startswith("ndcg") or name == "auc"
        y = rng.integers(0, 4 if graded else 2, n) * np.repeat(rng.integers(0, 2, len(sizes)), sizes)
        y[starts[2] : starts[3]] = 1
        largest = starts[int(np.argmax(sizes))]
        y[largest : largest + 2] = 1, 0  # of which there are precisions
        if weighted and graded and not name.endswith("-"):
            y[starts[:-1]] = 1  # of queries without a relevant row, XGBoost leaves weights out
        margin = rng.normal(size=n).round(seed % 2).astype(np.float32)
        weight = rng.integers(1, 5, len(sizes)).astype(np.float32) if weighted else None
        matrix = xgboost.DMatrix(np.zeros((n, 1)), y, weight=weight, base_margin=margin, group=sizes)
        right = float(re.findall(r":(\S+)", xgboost.train(params, matrix, 0).eval(matrix))[-1])
        metric = metric_named(name, "rank:ndcg")
        each = None if weight is None else np.repeat(weight, sizes)
        rows = Rows("rank:ndcg", margin[None], y.astype(np.float32), each, 3, groups=starts)
        assert metric.read(metric.ask(rows)) == pytest.approx(right, rel=1e-5), seed


# -- directions -------------------------------------------------------------------------------------------

FIRST = {  # of what objective a metric is asked
    "aft-nloglik": "survival:aft", "interval-regression-accuracy": "survival:aft", "cox-nloglik": "survival:cox",
    "quantile": "reg:quantileerror", "mlogloss": "multi:softprob", "merror": "multi:softprob",
    "ndcg": "rank:ndcg", "map@2": "rank:map", "pre@3": "rank:pairwise", "mape": "reg:squarederror",
    "rank auc": "rank:ndcg", "rank aucpr": "rank:map",
}  # fmt: skip
DIRECTED = sorted({*FIRST, *METRICS, "error@0.3", "tweedie-nloglik@1.5"})


@pytest.mark.parametrize("name", DIRECTED)
def test_a_better_model_has_a_better_score(name: str) -> None:
    """In the direction that early stopping takes a metric in; XGBoost's own, where it knows the metric."""
    objective, n = FIRST.get(name, "binary:logistic"), 40
    metric = metric_named(name.removeprefix("rank "), objective)
    y = (np.arange(n) % 2).astype(np.float32)
    target, margin = y, 2 * y[None] - 1
    if objective.startswith("multi:"):
        margin = np.stack([1 - y, y])
    elif objective == "survival:aft":
        target, margin = np.stack([y + 0.5, y + 2], axis=1), np.log(y[None] + 1)
    elif objective == "survival:cox":
        target = 2 - y  # who is at a higher hazard goes first
    elif objective.startswith("reg:"):
        target, margin = y + 1, y[None] + np.float32(1)
    params = {"aft_loss_distribution": "normal", "aft_loss_distribution_scale": 1.0, "quantile_alpha": [0.5]}
    scores = []
    for own in (margin, -margin if objective.startswith("survival:") else margin[:, ::-1]):
        own = np.ascontiguousarray(own, np.float32)
        rows = Rows(objective, own, target, None, 0, params, np.arange(0, n + 1, 8), (2 - y).astype(np.int64))
        if isinstance(metric, Area):
            histogram = ScoreHistogram.of_rows(rows.scores()[0], y > 0)
            scores.append(metric.read_histograms([histogram]).value)
        else:
            scores.append(metric.read(metric.ask(rows)))
    assert scores[0] != scores[1] and (scores[0] > scores[1]) == metric.maximise
    if name != "interval-regression-accuracy":  # which XGBoost's early stopping takes for a loss
        stop = xgboost.callback.EarlyStopping(rounds=1)
        for score in (0.0, 1.0):
            stop._update_rounds(score=score, name="set", metric=metric.name, model=xgboost.Booster(), epoch=0)
        assert stop.maximize == metric.maximise


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
    assert objective.startswith("rank:") or metric_of(objective) == reported


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
