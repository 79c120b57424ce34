"""Areas under curves of trained models: XGBoost's own numbers, and trainings that stop by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from strategies import Watched
from xgboost_twin import by_xgboost

from fedtrees import DataError, FedAvgClassifier, FedGBTClassifier, FedGBTRanker, LocalFederation, Silo
from fedtrees.core.numeric.rng import stream
from fedtrees.queries.evaluation import MOST_UNCERTAIN
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.messages.training import Begin

Floats = NDArray[np.float32]


# -- of estimators ----------------------------------------------------------------------------------------


def rare(n: int, share: float) -> tuple[Floats, NDArray[np.int64]]:
    rng = stream(0, "rare events")
    X = rng.normal(size=(n, 3)).astype(np.float32)
    return X, (rng.random(n) < 1 / (1 + np.exp(-(np.log(share) - 1 + 1.5 * X[:, 0])))).astype(int)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("share", [2e-3, 0.3])
def test_boosting_of_rare_events_follows_the_right_area(share: float) -> None:
    X, y = rare(60_000, share)
    half = len(y) // 2
    model = FedGBTClassifier(30, max_depth=4, eval_metric=["aucpr", "auc"], early_stopping_rounds=4, n_jobs=1)
    model.fit(X[:half], y[:half], silos=np.arange(half) % 3, eval_set=[(X[half:], y[half:])])
    scores, off = model.evals_result_["validation_0"]["auc"], model.evals_uncertainty_["validation_0"]["auc"]
    ends = [(0, round + 1) for round in range(len(scores))]
    right = [
        roc_auc_score(y[half:], model.booster_.inplace_predict(X[half:], iteration_range=end, predict_type="margin"))
        for end in ends
    ]
    np.testing.assert_array_less(np.abs(np.array(scores) - right), np.array(off) + 1e-12)
    assert max(off) <= MOST_UNCERTAIN and max(right) - right[model.best_iteration] <= 2 * max(off)
    assert len(right) == model.best_iteration + 5 or len(right) == 30


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("share", [2e-4, 1e-4])
def test_one_event_in_ten_thousand_rows_stops_boosting_where_xgboost_stops(share: float) -> None:
    """Of XGBoost with its own bins, whose trees differ a little, and with ours, whose scores are the same."""
    rng, n, half = np.random.default_rng(0), 400_000, 200_000
    X = rng.normal(size=(n, 3))
    y = (rng.random(n) < 1 / (1 + np.exp(-(np.log(share) - 1 + 1.5 * X[:, 0])))).astype(int)
    given: dict[str, Any] = {"n_estimators": 15, "max_depth": 3, "learning_rate": 0.1, "early_stopping_rounds": 5}
    held_out = [(X[half:], y[half:])]
    federation = Watched(LocalFederation.from_table(X[:half], y[:half], eval_set=held_out))
    model = FedGBTClassifier(**given, eval_metric="auc").fit_federation(federation)
    scores, off = (each["validation_0"]["auc"] for each in (model.evals_result_, model.evals_uncertainty_))
    assert federation.log is not None
    (begin,) = (fact for fact in federation.log.facts if isinstance(fact, Begin))
    cuts = np.split(begin.values, begin.offsets[1:-1])
    bins = np.stack([np.searchsorted(own[:-1], x, side="right") for own, x in zip(cuts, X.T, strict=True)], axis=1)
    for table, max_bin, most_off in ((X, 256, 1e-4), (bins.astype(np.float32), 512, max(off) + 1e-7)):
        theirs = xgboost.XGBClassifier(**given, eval_metric="auc", tree_method="hist", max_bin=max_bin)
        theirs.fit(table[:half], y[:half], eval_set=[(table[half:], y[half:])], verbose=False)
        right = theirs.evals_result()["validation_0"]["auc"]
        assert scores[0] == pytest.approx(right[0], abs=most_off)
        assert len(scores) == len(right) < 15 and model.best_iteration == theirs.best_iteration
    np.testing.assert_allclose(scores, right, rtol=0, atol=max(off) + 1e-7)
    assert max(off) <= MOST_UNCERTAIN


@pytest.mark.slow_without_jit
def test_most_areas_take_one_message_a_round() -> None:
    X, y = rare(40_000, 0.3)
    model = FedGBTClassifier(20, max_depth=5, eval_metric="auc", validation_fraction=0.5, n_jobs=1).fit(X, y)
    kinds = model.ledger_.per_round()["kind"]
    assert kinds.str.contains("ForestScores").sum() <= 22
    assert max(model.evals_uncertainty_["validation_0"]["auc"]) <= MOST_UNCERTAIN


@pytest.mark.slow_without_jit
def test_a_network_is_scored_and_stopped_by_the_right_area() -> None:
    X, y = rare(20_000, 0.01)
    model = FedAvgClassifier((), n_rounds=8, batch_size=256, eval_metric=["aucpr", "auc"], target_score=0.99, n_jobs=1)
    model.fit(X[:10_000], y[:10_000], eval_set=[(X[10_000:], y[10_000:])])
    p = model._margins(X[10_000:])[:, 0]
    score, off = (result["validation_0"]["auc"][-1] for result in (model.evals_result_, model.evals_uncertainty_))
    assert score == pytest.approx(roc_auc_score(y[10_000:], p), abs=off + 1e-12) and off <= MOST_UNCERTAIN
    reached = model.set_params(target_score=score - 0.01).fit(
        X[:10_000], y[:10_000], eval_set=[(X[10_000:], y[10_000:])]
    )
    assert reached.evals_result_["validation_0"]["auc"][-1] >= score - 0.01


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("small", [0, 1, 2])
def test_each_set_is_certain_enough_whatever_the_others_are(small: int) -> None:
    rng = stream(0, "certain sets")
    sets, margins = [], []
    for place in range(3):
        n = 2 if place == small else 30_000
        score = np.array([-9e5, 9e5]) if place == small else rng.normal(size=n)
        margins.append((3 + 1e-4 * score).astype(np.float32))  # two far apart, or many that are not told apart at once
        sets.append((np.zeros((n, 1)), (rng.random(n) < 1 / (1 + np.exp(-np.clip(score, -99, 99)))).astype(int)))
    model = FedGBTClassifier(1, eval_metric=["auc", "aucpr"], n_jobs=1)
    model.fit(np.zeros((9, 1)), np.arange(9) % 2, eval_set=sets, base_margin_eval_set=margins)
    for place, ((_, y), margin) in enumerate(zip(sets, margins, strict=True)):
        scores, off = (each[f"validation_{place}"] for each in (model.evals_result_, model.evals_uncertainty_))
        for name in ("auc", "aucpr"):
            assert off[name][0] <= MOST_UNCERTAIN
            assert scores[name][0] == pytest.approx(by_xgboost(margin, y, name), abs=off[name][0] + 1e-6)


def test_scores_that_are_sums_are_certain() -> None:
    X, y = rare(200, 0.3)
    model = FedGBTClassifier(3, eval_metric=["logloss", "auc"], n_jobs=1).fit(X, y, eval_set=[(X, y)])
    assert model.evals_uncertainty_ == {"validation_0": {"logloss": [0.0] * 3, "auc": [0.0] * 3}}
    assert list(model.evals_result_["validation_0"]) == ["logloss", "auc"]
    assert not hasattr(model.fit(X, y), "evals_uncertainty_")


def test_hinge_predicts_one_class_or_the_other_and_that_is_ranked() -> None:
    X, y = rare(300, 0.3)
    model = FedGBTClassifier(4, objective="binary:hinge", eval_metric=["auc", "aucpr", "error"], n_jobs=1)
    model.fit(X, y, eval_set=[(X, y)])
    margin = model.booster_.inplace_predict(X, predict_type="margin")
    for name, values in model.evals_result_["validation_0"].items():
        assert values[-1] == pytest.approx(by_xgboost(margin, y, name, objective="binary:hinge"), rel=1e-6)


def test_three_classes_are_stopped_by_their_area() -> None:
    X, _ = rare(400, 0.3)
    y = np.digitize(X[:, 0] + stream(1, "noise").normal(size=400), [-0.5, 0.8])
    model = FedGBTClassifier(60, max_depth=2, eval_metric=["aucpr", "auc"], early_stopping_rounds=3, n_jobs=1)
    model.fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])])
    scores = model.evals_result_["validation_0"]["auc"]
    assert model.best_iteration == scores.index(max(scores)) and len(scores) == model.best_iteration + 4
    p = model.predict_proba(X[200:]).astype(np.float64)
    right = roc_auc_score(y[200:], p / p.sum(axis=1, keepdims=True), multi_class="ovr", average="weighted")
    assert max(scores) == pytest.approx(right, abs=1e-6)


# -- of rankings ------------------------------------------------------------------------------------------


def ranked(weighted: bool, most: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], Any]:
    rng = stream(most, "rankings")
    sizes = np.array([1, 2, 3, 5, 9, 14, 3, 2, 20])
    n, group = sizes.sum(), np.repeat(np.arange(len(sizes)), sizes)
    y = rng.integers(0, most + 1, n)
    y[group == 4] = 0  # no relevant row
    return rng.normal(size=n).round(1).astype(np.float32), y, sizes, rng.random(len(sizes)) + 0.5 if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "most"), [("auc", 1), ("auc", 4), ("aucpr", 1)])
def test_areas_of_rankings_are_xgboost_s(name: str, most: int, weighted: bool) -> None:
    margin, y, sizes, weight = ranked(weighted, most)
    starts = np.append(0, np.cumsum(sizes))
    each = None if weight is None else np.repeat(weight, sizes).astype(np.float32)
    metric = metric_named(name, "rank:ndcg")
    whole = metric.ask(Rows("rank:ndcg", margin[None], y.astype(np.float32), each, 1, {}, starts))
    right = by_xgboost(margin, y, name, weight, "rank:ndcg", group=sizes)
    assert metric.read(whole) == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize(("name", "most"), [("auc", 4), ("aucpr", 1), ("ndcg", 4), ("map", 1), ("pre@2", 1)])
def test_queries_of_weight_0_are_as_if_not_there(name: str, most: int) -> None:
    margin, y, sizes, weight = ranked(True, most)
    weight[[2, 5, 8]] = 0
    there = np.repeat(weight, sizes) > 0
    metric = metric_named(name, "rank:ndcg")
    read = []
    for rows, groups in ((slice(None), slice(None)), (there, weight > 0)):
        each = np.repeat(weight, sizes)[rows].astype(np.float32)
        starts = np.append(0, np.cumsum(sizes[groups]))
        asked = Rows("rank:ndcg", margin[None, rows], y[rows].astype(np.float32), each, 1, {}, starts)
        read.append(metric.read(metric.ask(asked)))
    assert read[0] == read[1]
    if name != "ndcg":  # of a query without a relevant row, XGBoost counts 1 there, and not its weight
        right = by_xgboost(margin[there], y[there], name, weight[weight > 0], "rank:ndcg", group=sizes[weight > 0])
        assert read[0] == pytest.approx(right, rel=1e-6)


def test_a_ranking_is_stopped_by_its_area() -> None:
    rng = stream(0, "ranking")
    X, qid = rng.normal(size=(240, 3)), np.arange(240) // 8
    y = (X[:, 0] + rng.normal(size=240) > 0.3).astype(int)
    model = FedGBTRanker(40, max_depth=2, eval_metric="auc", early_stopping_rounds=3, n_jobs=1)
    model.fit(X[:120], y[:120], qid=qid[:120], eval_set=[(X[120:], y[120:])], eval_qid=[qid[120:]])
    scores = model.evals_result_["validation_0"]["auc"]
    margin = model.predict(X[120:])
    assert scores[model.best_iteration] == max(scores)
    assert max(scores) == pytest.approx(by_xgboost(margin, y[120:], "auc", None, "rank:ndcg", qid=qid[120:]), rel=1e-6)
    first = int(np.argmax(y > 0))
    for mode in ("fused", "faithful"):
        silo = Silo("mayo", X, 2 * y, qid=qid, eval_set=[(X, 2 * y, None, None, qid)])
        with pytest.raises(DataError, match=rf"^silo 'mayo': y, row {first}: a relevance above 1, .* score by 'ndcg'"):
            FedGBTRanker(2, eval_metric="aucpr").fit_federation(LocalFederation([silo], mode=mode))


# -- laws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [2, 3])
@pytest.mark.parametrize("more", [{"sampling": 2}, {"validation_fraction": 0.4}, {"mode": "bagging"}])
def test_both_modes_of_a_federation_score_areas_alike(outputs: int, more: dict[str, Any]) -> None:
    rng = stream(outputs, "areas by mode")
    X = rng.normal(size=(150, 3)).astype(np.float32)
    y = np.digitize(X[:, 0] + rng.normal(size=150), [-0.4, 0.6][: outputs - 1])
    ends = []
    for mode in ("fused", "faithful"):
        federation = LocalFederation.from_table(
            X[:90], y[:90], silos=np.arange(90) % 3, eval_set=[(X[90:], y[90:])], eval_silos=[np.arange(60) % 3],
            row_id=np.arange(90), n_jobs=1, mode=mode,
        )  # fmt: skip
        names = ["aucpr", "logloss", "auc"] if outputs == 2 else "auc"
        model = FedGBTClassifier(3, max_depth=2, eval_metric=names, **more).fit_federation(federation)
        bills = [model.ledger_.per_round().to_dict(), model.ledger_.per_silo().to_dict()]
        ends.append([model.evals_result_, model.evals_uncertainty_, *bills])
    assert ends[0] == ends[1]


def test_a_network_that_goes_on_keeps_what_was_uncertain() -> None:
    X, y = rare(200, 0.3)
    model = FedAvgClassifier((), n_rounds=2, eval_metric="auc", validation_fraction=0.3, warm_start=True, n_jobs=1)
    for rounds in (2, 4):
        model.fit(X, y)
        assert len(model.evals_result_["validation_0"]["auc"]) == rounds
        assert model.evals_uncertainty_ == {"validation_0": {"auc": [0.0] * rounds}}
