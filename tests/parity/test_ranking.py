"""Rankings: the trees are XGBoost's, a query's rows never leave their silo, and who holds a query does not matter."""

from __future__ import annotations

import gzip
import math
import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import ndcg_score
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import _num_samples
from strategies import Watched, bring_up_to_date, examples, margins
from xgboost_twin import same_trees, searches

from fedtrees import DataError, FedGBTRanker, FedGBTRegressor, LocalFederation, Silo
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.losses import RankingLoss, loss_named
from fedtrees.trees.silo.state import TreeState

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "lightgbm_lambdarank"
OBJECTIVES = ["rank:ndcg", "rank:pairwise", "rank:map"]
seeds = st.integers(0, 2**32 - 1)


# -- twins --------------------------------------------------------------------------------------------------


def gain(relevance: float, loss: RankingLoss) -> float:
    return 2.0**relevance - 1 if loss.ndcg_exp_gain else relevance


def average_precision(ranked: list[float]) -> float:
    hits = [sum(ranked[: k + 1]) for k in range(len(ranked))]
    return sum(own * hit / (k + 1) for k, (own, hit) in enumerate(zip(ranked, hits, strict=True))) / sum(ranked)


def change(loss: RankingLoss, ranked: list[float], i: int, j: int) -> float:
    """What the metric loses or gains where two rows swap their ranks."""
    if loss.name == "rank:pairwise":
        return 1.0
    swapped = list(ranked)
    swapped[i], swapped[j] = ranked[j], ranked[i]
    if loss.name == "rank:map":
        return abs(average_precision(swapped) - average_precision(ranked))
    top = loss.pairs if loss.is_truncated else len(ranked)
    ideal = sum(gain(own, loss) / math.log2(k + 2) for k, own in enumerate(sorted(ranked, reverse=True)[:top]))
    dcg = [sum(gain(own, loss) / math.log2(k + 2) for k, own in enumerate(own)) for own in (swapped, ranked)]
    return abs(dcg[0] - dcg[1]) / ideal if ideal else 0.0


def twin(loss: RankingLoss, margin: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    """Burges (2010), a pair at a time, of one query."""
    n = len(y)
    order = sorted(range(n), key=lambda row: -margin[row])
    ranked = [y[row] for row in order]
    g, h, total = [0.0] * n, [0.0] * n, 0.0
    for i in range(min(n, loss.pairs)):
        for j in range(i + 1, n):
            if ranked[i] == ranked[j]:
                continue
            better, worse = (order[i], order[j]) if ranked[i] > ranked[j] else (order[j], order[i])
            delta = change(loss, ranked, i, j)
            ahead = margin[better] - margin[worse]
            if loss.lambdarank_score_normalization and max(margin) != min(margin):
                delta /= abs(ahead) + 0.01
            p = 1 / (1 + math.exp(-ahead))
            g[better] -= (1 - p) * delta
            g[worse] += (1 - p) * delta
            h[better] += 2 * p * (1 - p) * delta
            h[worse] += 2 * p * (1 - p) * delta
            total += 2 * (1 - p) * delta
    scale = math.log2(1 + total) / total if loss.lambdarank_normalization and total > 0 else 1.0
    return [own * scale for own in g], [own * scale for own in h]


@examples(60, plain=60)
@given(
    seed=seeds,
    name=st.sampled_from(OBJECTIVES),
    pairs=st.sampled_from([None, 1, 3]),
    switches=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    scale=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_gradients_are_those_of_the_twin(
    seed: int, name: str, pairs: int | None, switches: tuple[bool, bool, bool], scale: float
) -> None:
    rng = np.random.default_rng(seed)
    names = ("lambdarank_normalization", "lambdarank_score_normalization", "ndcg_exp_gain")
    params = dict(zip(names, switches, strict=True)) | ({"lambdarank_num_pair_per_sample": pairs} if pairs else {})
    loss = loss_named(name, params)
    assert isinstance(loss, RankingLoss)
    starts = np.cumsum([0, *rng.integers(1, 9, 4)])
    y = rng.integers(0, 2 if name == "rank:map" else 5, starts[-1]).astype(np.float32)
    margin = (scale * rng.normal(size=len(y))).round(1).astype(np.float32)
    weight = rng.uniform(0.5, 2, len(y)).astype(np.float32)
    g, h = np.full(len(y), np.nan), np.full(len(y), np.nan)
    nothing = np.zeros(4, np.uint64)
    loss.lambdas(
        margin,
        y,
        weight,
        starts,
        nothing,
        np.array([[0, 2], [2, 4]]),
        nothing[:2],
        np.zeros((2, 0)),
        np.zeros((2, 0)),
        g,
        h,
    )
    for start, stop in pairwise(starts):
        own_g, own_h = twin(loss, margin[start:stop].tolist(), y[start:stop].tolist())
        np.testing.assert_allclose(g[start:stop], np.array(own_g) * weight[start], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(h[start:stop], np.array(own_h) * weight[start], rtol=1e-9, atol=1e-12)
    bound = loss.bound()
    if bound is not None:
        assert np.abs(g).max() <= bound[0] * 2 and h.max() <= bound[1] * 2


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_queries_of_the_same_rows_draw_pairs_of_their_own(mode: str) -> None:
    """And each its own whoever else there is: the lots of a query are those of its name."""
    X, y = np.tile(np.arange(12.0), 8)[:, None], np.tile(np.arange(12) % 3, 8)
    qid = np.repeat(np.arange(8), 12)
    gradients = []
    for own in (slice(None), slice(36, 60)):
        silo = Silo("a", X[own], y[own], qid=qid[own])
        federation = LocalFederation([silo], mode=mode)
        FedGBTRanker(1, lambdarank_pair_method="mean").fit_federation(federation)
        state = (federation._fused if mode == "fused" else silo).states.find(TreeState)
        gradients.append(state.gradients.statistics[0, 0].reshape(-1, 12))
    assert len(np.unique(gradients[0], axis=0)) == 8
    np.testing.assert_array_equal(gradients[1], gradients[0][3:5])


@examples(20, plain=20)
@given(seed=seeds, pairs=st.integers(1, 4), normalised=st.booleans(), weight=st.sampled_from([1.0, 3.0]))
def test_drawn_pairs_are_of_other_relevances_and_as_many_as_said(
    seed: int, pairs: int, normalised: bool, weight: float
) -> None:
    """Of ``rank:pairwise`` without scores, each pair adds a half to one row and takes it from another.

    A half of the query's weight; normalised, as XGBoost has it, of its share for each pair of a row.
    """
    rng = np.random.default_rng(seed)
    params = {
        "lambdarank_pair_method": "mean", "lambdarank_num_pair_per_sample": pairs,
        "lambdarank_normalization": normalised,
    }  # fmt: skip
    loss = loss_named("rank:pairwise", params)
    assert isinstance(loss, RankingLoss)
    y = rng.integers(0, 3, 12).astype(np.float32)
    names, keys = np.array([seed], np.uint64), rng.integers(2**64, size=2, dtype=np.uint64)
    g, h = np.empty(12), np.empty(12)
    loss.lambdas(
        np.zeros(12, np.float32),
        y,
        np.float32([weight]),
        np.array([0, 12]),
        names,
        np.array([[0, 1]]),
        keys,
        np.zeros((2, 0)),
        np.zeros((2, 0)),
        g,
        h,
    )
    drawn = 12 * pairs if len(set(y.tolist())) > 1 else 0
    half = 0.5 * weight / (pairs if normalised else 1)
    assert g.sum() == pytest.approx(0) and h.sum() == pytest.approx(2 * half * drawn)
    assert (h >= half * pairs - 1e-12).all() or not drawn
    assert (g[y == y.max()] <= 0).all() and (g[y == y.min()] >= 0).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("norm", [1.0, 0.5, 0.3, 7.0])
def test_weights_of_queries_are_multiplied_by_what_makes_their_mean_one(objective: str, norm: float) -> None:
    loss: Any = replace(loss_named(objective), weight_norm=norm)
    weight = np.float32([0.5, 2, 3])
    np.testing.assert_allclose(loss.weighted(weight, np.zeros(3, np.float32)), weight * norm, rtol=1e-6)
    plain = loss_named(objective).bound()
    if plain is not None:
        np.testing.assert_allclose(loss.bound(), np.array(plain) * norm, rtol=2e-3)
        assert (np.array(loss.bound()) >= np.array(plain) * norm * (1 - 1e-3)).all()


@pytest.mark.parametrize("seed", range(3))
def test_each_pair_of_a_row_is_drawn_anew(seed: int) -> None:
    """One relevant row of twelve draws 64 others: all eleven come up, about as often."""
    params = {
        "lambdarank_pair_method": "mean", "lambdarank_num_pair_per_sample": 64, "lambdarank_normalization": False,
    }  # fmt: skip
    loss, y = loss_named("rank:pairwise", params), np.eye(12, dtype=np.float32)[seed]
    assert isinstance(loss, RankingLoss)
    names, keys = np.array([seed], np.uint64), np.array([7, seed], np.uint64)
    g, h, nothing = np.empty(12), np.empty(12), np.zeros((2, 0))
    loss.lambdas(
        np.zeros(12, np.float32), y, np.ones(1, np.float32), np.array([0, 12]), names, np.array([[0, 1]]), keys,
        nothing, nothing, g, h,
    )  # fmt: skip
    times = np.delete(2 * h, seed) - 64  # those that they drew themselves are with the one
    assert times.sum() == 64 and times.min() >= 1 and times.max() < 20


# -- as XGBoost ---------------------------------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"lambdarank_num_pair_per_sample": 3},
        {"lambdarank_normalization": False},
        {"lambdarank_score_normalization": False, "ndcg_exp_gain": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_trees_and_scores_are_xgboost_s(objective: str, params: dict[str, Any], weighted: bool) -> None:
    X, y, qid = searches(2000, 100, objective=objective)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(np.unique(qid))) if weighted else None
    metrics = ["pre@5", "map@3", "map", "ndcg-"] if objective == "rank:map" else ["ndcg@5", "ndcg@3-", "ndcg"]
    common: dict[str, Any] = {
        "n_estimators": 5, "objective": objective, "max_depth": 3, "max_bin": 512, "eval_metric": metrics, **params,
    }  # fmt: skip
    held_out: dict[str, Any] = {"eval_set": [(X, y)], "eval_qid": [qid]}
    weights = {"sample_weight": weight, "sample_weight_eval_set": None if weight is None else [weight]}
    ours = FedGBTRanker(**common).fit(X, y, silos=qid % 4, qid=qid, **held_out, **weights)
    theirs = xgboost.XGBRanker(**common, tree_method="hist")
    theirs.fit(X, y, qid=qid, **held_out, **weights, verbose=False)
    assert same_trees(ours.booster_, theirs.get_booster()) > 50
    for name, values in theirs.evals_result()["validation_0"].items():
        np.testing.assert_allclose(ours.evals_result_["validation_0"][name], values, rtol=1e-5)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-4)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("pairs", [{}, {"lambdarank_pair_method": "mean", "lambdarank_num_pair_per_sample": 8}])
@pytest.mark.parametrize("objective", ["rank:ndcg", "rank:pairwise"])
def test_web_searches_are_ranked_as_well_as_by_pooled_xgboost(objective: str, pairs: dict[str, Any]) -> None:
    """The documented tutorial's calls, on the ranking example of LightGBM; silos are drawn by lot, query by query."""
    if not DATA.is_dir():
        pytest.skip("the ranking data is not here")
    X, y, qid = read("train")
    X_test, y_test, qid_test = read("test")
    params: dict[str, Any] = {
        "n_estimators": 40, "learning_rate": 0.1, "max_depth": 5, "objective": objective, "n_jobs": 2, **pairs,
    }  # fmt: skip
    ours = FedGBTRanker(**params, random_state=0).fit(X, y, silos=qid % 7, qid=qid)
    theirs = xgboost.XGBRanker(**params, tree_method="hist", random_state=0).fit(X, y, qid=qid)
    scores = [mean_ndcg(y_test, model.predict(X_test), qid_test, 10) for model in (ours, theirs)]
    assert scores[0] > scores[1] - 0.005


def read(part: str) -> tuple[Any, Any, Any]:
    with gzip.open(DATA / f"rank.{part}.gz") as file:
        X, y = load_svmlight_file(file, n_features=301)
    sizes = np.loadtxt(DATA / f"rank.{part}.query", dtype=int)
    return X.toarray().astype(np.float32), y, np.repeat(np.arange(len(sizes)), sizes)


def mean_ndcg(y: Any, predicted: Any, qid: Any, top: int) -> float:
    own = [(2.0 ** y[qid == q] - 1, predicted[qid == q]) for q in np.unique(qid)]
    return float(np.mean([ndcg_score([gains], [scores], k=top) for gains, scores in own if gains.any()]))


# -- the laws -----------------------------------------------------------------------------------------------


# law: FedGBTRanker
@examples(12)
@given(
    seed=seeds,
    n=st.integers(1, 60),
    n_silos=st.integers(1, 5),
    objective=st.sampled_from(OBJECTIVES),
    method=st.sampled_from(["topk", "mean"]),
    weighted=st.sampled_from([None, "any", "whole"]),
    n_jobs=st.integers(1, 3),
)
def test_whoever_holds_a_query_the_model_is_the_pooled_one(
    seed: int, n: int, n_silos: int, objective: str, method: str, weighted: str | None, n_jobs: int
) -> None:
    rng = np.random.default_rng(seed)
    X, y, qid = searches(n, 12, seed, objective)
    holder = rng.integers(n_silos, size=12)
    of_query = rng.uniform(0.5, 2, 12) if weighted == "any" else rng.integers(1, 4, 12).astype(float)
    estimator = FedGBTRanker(
        3, objective=objective, lambdarank_pair_method=method, max_depth=3, n_jobs=n_jobs, random_state=seed % 5
    )

    def weights(ids: Any) -> Any:
        return None if weighted is None else of_query[ids[np.sort(np.unique(ids, return_index=True)[1])]]

    pooled = estimator.fit(X, y, qid=qid, sample_weight=weights(qid)).booster_.save_raw()
    moved = np.argsort(rng.integers(12, size=12)[qid], kind="stable")  # queries in another order, and with gaps
    ids = qid[moved]
    again = estimator.fit(X[moved], y[moved], silos=holder[ids], sample_weight=weights(ids), qid=ids)
    assert again.booster_.save_raw() == pooled
    sent = []
    for mode in ("fused", "faithful"):
        own = [holder[qid] == k for k in range(n_silos)]
        silos = [
            Silo(f"{k}", X[o], y[o] if o.any() else [], sample_weight=weights(qid[o]), qid=qid[o])
            for k, o in enumerate(own)
        ]
        federation = Watched(LocalFederation(silos, mode=mode))
        model = estimator.fit_federation(federation)
        assert model.booster_.save_raw() == pooled
        sent.append(model.ledger_.per_silo())
        assert federation.log is not None
        for silo in [federation.inner._fused] if mode == "fused" else silos:
            silo.forget()
            bring_up_to_date(silo, federation.log)
            if silo.table.n_rows:
                rows = silo.table.X if silo.table.order is None else silo.table.X[silo.table.order]
                assert silo.states.find(TreeState).margin.tobytes() == margins(model, rows).tobytes()
    assert sent[0].equals(sent[1])


@pytest.mark.slow_without_jit
def test_queries_are_held_out_whole() -> None:
    X, y, qid = searches(600, 60)
    parts = {"a": qid < 20, "b": qid >= 20}
    federation = LocalFederation([Silo(name, X[own], y[own], qid=qid[own]) for name, own in parts.items()])
    model = FedGBTRanker(40, validation_fraction=0.3, early_stopping_rounds=3).fit_federation(federation)
    silo = federation._fused
    held = set(silo.held_out[-1].groups.tolist())
    assert held and not held & set(silo.table.groups.tolist())
    assert model.evals_result_["validation_0"]["ndcg@32"][model.best_iteration] == model.best_score
    pooled = FedGBTRanker(40, validation_fraction=0.3, early_stopping_rounds=3).fit(X, y, qid=qid)
    assert pooled.booster_.save_raw() == model.booster_.save_raw()


# -- an estimator -------------------------------------------------------------------------------------------


def test_it_is_cloned_pickled_saved_and_read(tmp_path: Any) -> None:
    X, y, qid = searches(300, 20)
    model = FedGBTRanker(4, lambdarank_num_pair_per_sample=5, ndcg_exp_gain=False)
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y, qid=qid)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    model.save_model(tmp_path / "model.json")
    np.testing.assert_array_equal(FedGBTRanker().load_model(tmp_path / "model.json").predict(X), model.predict(X))
    said = xgboost.XGBRanker()
    said.load_model(tmp_path / "model.json")
    np.testing.assert_array_equal(said.predict(X), model.predict(X))
    with pytest.raises(DataError, match="a model of 'rank:ndcg' is not for FedGBTRegressor"):
        FedGBTRegressor().load_model(tmp_path / "model.json")
    on = FedGBTRanker(3, lambdarank_num_pair_per_sample=5, ndcg_exp_gain=False)
    assert on.fit(X, y, qid=qid, xgb_model=model).booster_.num_boosted_rounds() == 7


class OneQuery(FedGBTRanker):
    """A ranker whose rows are all of one query, as scikit-learn's checks name none."""

    def fit(self, X: Any, y: Any = None) -> Any:  # type: ignore[override]
        return super().fit(X, y, qid=np.zeros(_num_samples(X), int))


def test_scikit_learn_s_checks_pass() -> None:
    results = check_estimator(OneQuery(3, max_depth=2, n_jobs=1), on_skip=None, on_fail=None)
    assert not {result["check_name"] for result in results if result["status"] == "failed"}
    assert sum(result["status"] == "passed" for result in results) > 35


def test_its_score_is_the_mean_ndcg() -> None:
    X, y, qid = searches(300, 20)
    model = FedGBTRanker(4, max_depth=2, eval_metric="ndcg").fit(X, y, qid=qid)
    assert model.score(X, y, qid=qid) == pytest.approx(mean_ndcg(y, model.predict(X), qid, 10**6), abs=2e-3)
    whole = Rows("rank:ndcg", model.predict(X)[None], y.astype(np.float32), None, 0, {}, np.array([0, len(y)]))
    metric = metric_named("ndcg")
    assert model.score(X, y) == metric.read(metric.ask(whole))
