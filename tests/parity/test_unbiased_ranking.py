"""Rankings without the bias of positions: estimates are XGBoost's, and the same whoever holds a query."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import Watched, bring_up_to_date, examples, margins
from xgboost_twin import same_trees

from fedtrees import FedGBTRanker, LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.trees.losses import loss_named
from fedtrees.trees.messages.position_bias import PositionBias, PositionCosts
from fedtrees.trees.silo.state import TreeState

PARAMS: list[dict[str, Any]] = [
    {},
    {"lambdarank_bias_norm": 0.0},
    {"lambdarank_bias_norm": 2.5, "lambdarank_num_pair_per_sample": 6},
    {"lambdarank_normalization": False},
    {"lambdarank_score_normalization": False, "ndcg_exp_gain": False},
]
OBJECTIVES = ["rank:ndcg", "rank:pairwise", "rank:map"]


def clicks(queries: int = 150, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Whole numbers, few of each column; relevant rows are clicked, oftener those that were shown higher up."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 15, queries)
    qid = np.repeat(np.arange(queries), sizes)
    X = rng.integers(0, 24, (len(qid), 4)).astype(np.float32)
    place = np.concatenate([np.arange(size) for size in sizes])
    relevant = X[:, 0] / 6 + 0.5 * rng.normal(size=len(qid)) > 2
    return X, (relevant & (rng.random(len(qid)) < (1 + place) ** -0.7)).astype(np.int64), qid


def biases(booster: xgboost.Booster) -> NDArray[np.float64]:
    objective = json.loads(booster.save_config())["learner"]["objective"]
    return np.array([objective["ti+"], objective["tj-"]], np.float64)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_trees_and_biases_are_those_of_xgboost(params: dict[str, Any], objective: str) -> None:
    X, y, qid = clicks()
    options: dict[str, Any] = {"max_depth": 3, "objective": objective, "n_jobs": 1, "max_bin": 64, "base_score": 0.5}
    options |= {"lambdarank_unbiased": True, **params}
    for rounds in (1, 3):
        ours = FedGBTRanker(rounds, **options).fit(X, y, qid=qid, silos=qid % 3).booster_
        theirs = xgboost.XGBRanker(n_estimators=rounds, **options).fit(X, y, qid=qid).get_booster()
        np.testing.assert_allclose(biases(ours), biases(theirs), rtol=2e-3 if rounds > 1 else 1e-6)
        assert same_trees(ours, theirs) > 3 * rounds
    plain = FedGBTRanker(3, **options | {"lambdarank_unbiased": False}).fit(X, y, qid=qid)
    assert plain.booster_.get_dump() != ours.get_dump()
    # positions further down are clicked less
    if "lambdarank_num_pair_per_sample" not in params and params.get("lambdarank_bias_norm") is None:
        assert biases(ours)[0, 1:].mean() < 0.9


@pytest.mark.slow_without_jit
@examples(6)
@given(
    seed=st.integers(0, 1000),
    n_silos=st.integers(1, 5),
    params=st.sampled_from(PARAMS),
    method=st.sampled_from(["topk", "mean"]),
    mode=st.sampled_from(["fused", "faithful"]),
)
def test_whoever_holds_a_query_the_model_is_the_same_bytes(
    seed: int, n_silos: int, params: dict[str, Any], method: str, mode: str
) -> None:
    X, y, qid = clicks(30, seed)
    owner = np.random.default_rng(seed).integers(0, n_silos, 30)[qid]
    options: dict[str, Any] = {"n_jobs": 2, "max_depth": 3, "lambdarank_unbiased": True, **params}
    options |= {"lambdarank_pair_method": method}
    pooled = FedGBTRanker(4, **options).fit(X, y, qid=qid)
    silos = [Silo(f"silo {k}", X[owner == k], y[owner == k], qid=qid[owner == k], n_jobs=1) for k in range(n_silos)]
    federation = Watched(LocalFederation(silos, mode=mode))
    apart = FedGBTRanker(4, **options).fit_federation(federation)
    assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")
    half = FedGBTRanker(2, **options).fit(X, y, qid=qid, silos=owner)
    rest = FedGBTRanker(2, **options).fit(X, y, qid=qid, silos=owner, xgb_model=half)
    assert rest.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")
    assert federation.log is not None
    silo = federation.inner._fused if mode == "fused" else silos[int(owner[0])]
    silo.forget()  # what it lost, the facts bring back
    bring_up_to_date(silo, federation.log)
    rows = silo.table.X if silo.table.order is None else silo.table.X[silo.table.order]
    state = silo.states.find(TreeState)
    assert state.margin.tobytes() == margins(apart, rows).tobytes()  # type: ignore[arg-type]
    assert (state.gradients.bias.astype(np.float32) == biases(apart.booster_).astype(np.float32)).all()


@pytest.mark.parametrize("margin", [np.linspace(-2, 2, 7), np.linspace(3, -3, 7), np.zeros(7)], ids=["up", "down", "0"])
@pytest.mark.parametrize("positions", range(2, 10))
def test_pairs_are_weighed_by_the_bias_of_both_positions(margin: Any, positions: int) -> None:
    """Equations 30 and 31 of Hu et al. (2019), pair by pair; positions beyond those tracked are left as they are."""
    rng = np.random.default_rng(0)
    y, bias = np.float32([0, 1, 1, 0, 1, 0, 0]), rng.uniform(0.5, 2, (2, positions))
    bias[0, 0], bias[1, 1] = 0.0, 0.0  # nothing is divided by
    names = ("lambdarank_normalization", "lambdarank_score_normalization")
    loss = loss_named("rank:pairwise", {"lambdarank_unbiased": True, **dict.fromkeys(names, False)})
    g, h, costs = np.zeros(7), np.zeros(7), np.full((2, 7), 9.0)
    key = np.zeros(2, np.uint64)
    loss.lambdas(  # type: ignore[attr-defined]
        margin.astype(np.float32), y, np.ones(1, np.float32), np.array([0, 7]), key[:1], np.array([[0, 1]]), key, bias,
        costs, g, h,
    )  # fmt: skip
    slope, bend, expected = np.zeros(7), np.zeros(7), np.zeros((2, 7))
    for better, worse in ((i, j) for i in range(7) for j in range(7) if y[i] > y[j]):
        p = 1 / (1 + np.exp(np.float32(margin[worse]) - np.float32(margin[better])))
        weight = 1.0
        if better < positions and worse < positions:
            plus, minus = bias[0, better], bias[1, worse]
            cost = np.log(1 / (1 - p))
            expected[0, better] += cost / minus if minus else 0
            expected[1, worse] += cost / plus if plus else 0
            weight = plus * minus or 1.0
        slope[[better, worse]] += np.array([-1, 1]) * (1 - p) / weight
        bend[[better, worse]] += 2 * p * (1 - p) / weight
    np.testing.assert_allclose(costs, expected, rtol=1e-6)
    np.testing.assert_allclose(g, slope, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(h, bend, rtol=1e-6)


def test_what_means_nothing_is_refused() -> None:
    X, y, qid = clicks(10)
    with pytest.raises(ParameterError, match="biases are estimated of 4096 positions at the most"):
        FedGBTRanker(lambdarank_unbiased=True, lambdarank_num_pair_per_sample=4097).fit(X, y, qid=qid)
    with pytest.raises(ParameterError, match="lambdarank_unbiased='yes': give True or False"):
        FedGBTRanker(lambdarank_unbiased="yes").fit(X, y, qid=qid)
    with pytest.raises(ParameterError, match="lambdarank_bias_norm=-1: give a number from 0"):
        FedGBTRanker(lambdarank_bias_norm=-1).fit(X, y, qid=qid)
    federation = Watched(LocalFederation.from_table(X, y, qid=qid))
    FedGBTRanker(1, lambdarank_unbiased=True).fit_federation(federation)
    assert federation.log is not None
    silo = federation.inner._fused
    bring_up_to_date(silo, federation.log)
    with pytest.raises(ProtocolError, match="costs were asked for of other positions"):
        PositionCosts(31, 100).ask(silo)
    with pytest.raises(ProtocolError, match="costs of positions"):
        PositionCosts(32, 100).ask(Silo("new", X, y, qid=qid))
    for bias in (np.ones((2, 31), np.float32), np.full((2, 32), -1, np.float32), np.full((2, 32), np.nan, np.float32)):
        with pytest.raises(ProtocolError, match="biases were sent of other positions"):
            PositionBias(bias).apply(silo)


@pytest.mark.parametrize("clicked", ["nothing", "everything", "the last alone"])
def test_positions_that_no_pair_compares_keep_their_bias(clicked: str) -> None:
    """Of clicks that are all alike no pair is made: nothing is divided by, and XGBoost's model comes out."""
    X, _, qid = clicks(20)
    last = np.append(qid[1:] != qid[:-1], True)
    y = {"nothing": np.zeros(len(qid), int), "everything": np.ones(len(qid), int), "the last alone": last.astype(int)}[
        clicked
    ]
    given: dict[str, Any] = {"n_estimators": 2, "max_depth": 2, "lambdarank_unbiased": True, "n_jobs": 1, "max_bin": 64}
    given |= {"lambdarank_num_pair_per_sample": 4, "base_score": 0.5}
    ours = FedGBTRanker(**given).fit(X, y, qid=qid, silos=qid % 2)
    theirs = xgboost.XGBRanker(**given, tree_method="hist").fit(X, y, qid=qid)
    np.testing.assert_allclose(biases(ours.booster_), biases(theirs.get_booster()), rtol=2e-3)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-3, atol=1e-5)
    if clicked != "the last alone":
        assert (biases(ours.booster_) == 1).all() and len(set(ours.predict(X).tolist())) == 1
