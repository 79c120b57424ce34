"""Silos' own trees at their ends: weights, parameters, rounds without anyone, and messages that are wrong by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import log_loss, root_mean_squared_error

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRegressor,
    LocalFederation,
    ParameterError,
    ProtocolError,
    Silo,
)
from fedtrees.bagging.facts import GrowAlone, Joined
from fedtrees.bagging.local_tree import LocalTree, of_integers, to_integers
from fedtrees.bagging.questions import JoinedScores, LocalTrees
from fedtrees.core.numeric.rng import stream
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.federation import Reply
from fedtrees.core.protocol.ledger import Grouped, grouped, groups_of
from fedtrees.runtime.unreliable import UnreliableFederation

N = 120
X = stream(0, "bagged").normal(size=(N, 4)).astype(np.float32)
Y = X[:, 0] + np.sin(3 * X[:, 1]) + 0.1 * stream(1, "bagged").normal(size=N)
TWO = (Y > 0).astype(int)
WEIGHT = stream(2, "bagged").uniform(0.1, 4, N).astype(np.float32)
SMALL: dict[str, Any] = {"max_depth": 3, "mode": "bagging", "n_jobs": 1}


# -- what a silo's XGBoost is told --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"max_bin": 8}, {"reg_alpha": 1.5}, {"reg_lambda": 9.0}, {"gamma": 2.0}, {"min_child_weight": 12.0},
        {"max_delta_step": 0.2}, {"subsample": 0.6}, {"colsample_bytree": 0.5}, {"colsample_bylevel": 0.5},
        {"colsample_bynode": 0.5}, {"max_leaves": 3}, {"grow_policy": "lossguide", "max_leaves": 5},
        {"num_parallel_tree": 2, "subsample": 0.5}, {"learning_rate": 0.05}, {"monotone_constraints": "(1,0,0,0)"},
    ],
    ids=lambda own: next(iter(own)),
)  # fmt: skip
def test_every_parameter_reaches_it(params: dict[str, Any]) -> None:
    """Outside reference: XGBoost on the same rows and weights, from the same intercept and seed."""
    fitted = FedGBTRegressor(1, **SMALL | params, random_state=5).fit(X, Y, sample_weight=WEIGHT)
    seed = int(stream(5, "local trees", 0, "all").integers(2**31 - 1))
    matrix = xgboost.QuantileDMatrix(X, Y, weight=WEIGHT, nthread=1, max_bin=params.get("max_bin", 256))
    given = {"max_depth": 3, "tree_method": "hist", "nthread": 1, "seed": seed, **params}
    theirs = xgboost.train({**given, "base_score": float(fitted.intercept_[0])}, matrix, 1)
    np.testing.assert_allclose(fitted.predict(X), theirs.predict(xgboost.DMatrix(X)), rtol=1e-5, atol=1e-6)
    assert len(np.unique(fitted.predict(X))) > 1


def test_parameters_of_an_objective_reach_it_too() -> None:
    for objective, params in (
        ("reg:pseudohubererror", {"huber_slope": 0.2}),
        ("reg:tweedie", {"tweedie_variance_power": 1.1}),
    ):
        models = [
            FedGBTRegressor(2, objective=objective, **own, **SMALL).fit(X, np.abs(Y)).predict(X) for own in ({}, params)
        ]
        assert np.abs(models[0] - models[1]).max() > 1e-3, objective


def test_a_schedule_of_learning_rates_reaches_it() -> None:
    seen: list[int] = []

    class Watch(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            seen.append(model.num_boosted_rounds())
            return False

    rates = [0.5, 0.25, 0.0625]
    callbacks = [xgboost.callback.LearningRateScheduler(rates), Watch()]
    fitted = FedGBTRegressor(3, **SMALL, callbacks=callbacks).fit(X, Y)
    matrix = xgboost.QuantileDMatrix(X, Y, nthread=1)
    given = {"max_depth": 3, "tree_method": "hist", "nthread": 1, "base_score": float(fitted.intercept_[0])}
    theirs = xgboost.train(given, matrix, 3, callbacks=[xgboost.callback.LearningRateScheduler(rates)])
    np.testing.assert_allclose(fitted.predict(X), theirs.predict(xgboost.DMatrix(X)), rtol=1e-4, atol=1e-5)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("mode", ["bagging", "cyclic"])
def test_leaves_that_are_quantiles_keep_to_directions(mode: str) -> None:
    y = np.where(X[:, 0] < 0, X[:, 0], -X[:, 0]) + 0.3 * X[:, 1]
    fitted = FedGBTRegressor(
        12, objective="reg:absoluteerror", mode=mode, monotone_constraints=(1, 0, 0, 0), max_depth=4, n_jobs=1
    ).fit(X, y, silos=np.arange(N) % 2)
    line = np.zeros((60, 4), np.float32)
    line[:, 0] = np.linspace(-2, 2, 60)
    assert (np.diff(fitted.predict(line)) >= 0).all()


def test_leaves_times_a_share_are_rounded_once_and_thresholds_stay() -> None:
    value = np.random.default_rng(0).normal(size=99).astype(np.float32)
    feature = np.where(np.arange(99) < 49, np.arange(99) % 3, -1).astype(np.int32)
    left = np.where(feature < 0, -1, 2 * np.arange(99) + 1).astype(np.int32)
    tree = LocalTree(feature, value, feature == 0, left, value, value)
    for factor in (1 / 3, 0.1, 7 / 11, 1.0):
        scaled = tree.scaled(factor)
        expected = np.where(feature < 0, np.float32([float(own) * factor for own in value]), value)
        assert scaled.value.tobytes() == expected.tobytes()
        assert all(getattr(scaled, own) is getattr(tree, own) for own in ("feature", "default_left", "left", "cover"))


# -- weights ------------------------------------------------------------------------------------------------


def test_a_silo_counts_by_the_weight_of_its_rows_and_grows_by_them() -> None:
    silos = np.where(np.arange(N) % 3, "a", "b")
    given: dict[str, Any] = {**SMALL, "base_score": 0.0}
    model = FedGBTRegressor(1, **given).fit(X, Y, silos=silos, sample_weight=WEIGHT)
    mean = np.zeros(N)
    for name in "ab":
        own = silos == name
        alone = FedGBTRegressor(1, **given).fit(X[own], Y[own], sample_weight=WEIGHT[own])
        mean += WEIGHT[own].sum() / WEIGHT.sum() * alone.predict(X)
    np.testing.assert_allclose(model.predict(X), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["bagging", "cyclic"])
def test_a_silo_of_no_weight_grows_no_tree(mode: str) -> None:
    silos = np.where(np.arange(N) % 3, "a", "b")
    both = FedGBTRegressor(4, **SMALL | {"mode": mode}, weighting={"a": 1, "b": 0}).fit(X, Y, silos=silos)
    trees = both.booster_.get_dump()
    assert both.booster_.num_boosted_rounds() == 4
    if mode == "bagging":
        own = silos == "a"
        alone = FedGBTRegressor(4, **SMALL).fit(X[own], Y[own], sample_weight=np.full(80, N / 80))
        assert len(trees) == 4
        np.testing.assert_allclose(both.predict(X), alone.predict(X), rtol=1e-5)
    else:  # the rounds of the other are a leaf each
        assert sum(tree.count("leaf") == 1 for tree in trees) == 2


def test_weights_beyond_what_adds_up_are_refused() -> None:
    weight = np.where(np.arange(N) == 3, 1e-30, 1.0)
    with pytest.raises(DataError, match=r"^sample_weight: the heaviest row weighs about"):
        FedGBTRegressor(1, **SMALL).fit(X, Y, sample_weight=weight)


# -- evaluation sets ----------------------------------------------------------------------------------------


def test_scores_are_weighted_and_start_from_margins_that_are_given() -> None:
    margin = X[:, 2].astype(np.float32)
    fitted = FedGBTClassifier(3, **SMALL, eval_metric=["error", "logloss"])
    fitted.fit(
        X, TWO, silos=np.arange(N) % 2, eval_set=[(X, TWO), (X, TWO)], sample_weight_eval_set=[WEIGHT, None],
        base_margin_eval_set=[margin, None],
    )  # fmt: skip
    for name, weight, start in (("validation_0", WEIGHT, margin), ("validation_1", None, None)):
        p = fitted.predict_proba(X, base_margin=start)[:, 1].astype(np.float64)
        said = fitted.evals_result_[name]
        assert said["logloss"][-1] == pytest.approx(log_loss(TWO, p, sample_weight=weight), rel=1e-5)
        assert said["error"][-1] == pytest.approx(np.average((p > 0.5) != TWO, weights=weight), rel=1e-5)


def test_scores_of_two_targets_weigh_each_row_twice() -> None:
    both = np.stack([Y, Y**2], axis=1)
    fitted = FedGBTRegressor(3, **SMALL).fit(X, both, eval_set=[(X, both)], sample_weight_eval_set=[WEIGHT])
    right = np.sqrt(np.average((fitted.predict(X) - both) ** 2, axis=0, weights=WEIGHT).mean())
    assert fitted.evals_result_["validation_0"]["rmse"][-1] == pytest.approx(right, rel=1e-5)


# law: GrowingAlone
def test_a_silo_that_forgets_scores_all_rounds_again() -> None:
    silos = [Silo(name, X[k::2], Y[k::2], eval_set=[(X[k::3], Y[k::3])], n_jobs=1) for k, name in enumerate("ab")]

    class Forget(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            silos[epoch % 2].forget()
            return False

    fits = [
        FedGBTRegressor(5, **SMALL, callbacks=own).fit_federation(LocalFederation(silos, mode="faithful"))
        for own in ([], [Forget()])
    ]
    assert fits[0].evals_result_ == fits[1].evals_result_
    held = np.concatenate([X[k::3] for k in range(2)]), np.concatenate([Y[k::3] for k in range(2)])
    last = root_mean_squared_error(held[1], fits[0].predict(held[0]))
    assert fits[0].evals_result_["validation_0"]["rmse"][-1] == pytest.approx(last, rel=1e-5)


def test_rows_held_out_are_drawn_by_the_seed() -> None:
    def scores(seed: int, mode: str = "bagging") -> list[float]:
        given = SMALL | {"mode": mode, "max_depth": 0, "max_leaves": 2, "learning_rate": 1e-30}
        fitted = FedGBTRegressor(1, **given, base_score=0.0, validation_fraction=0.3, random_state=seed).fit(X, Y)
        return fitted.evals_result_["validation_0"]["rmse"]

    assert scores(1) == scores(1) != scores(2)
    assert scores(1) == pytest.approx(scores(1, "histogram")) and scores(2) == pytest.approx(scores(2, "histogram"))


# -- rounds without anyone ----------------------------------------------------------------------------------


def test_a_round_that_everyone_misses_changes_nothing() -> None:
    federation = UnreliableFederation(LocalFederation.from_table(X, TWO + (Y > 1), silos=np.arange(N) % 2), 0.999)
    fitted = FedGBTClassifier(3, **SMALL).fit_federation(federation)
    assert fitted.booster_.num_boosted_rounds() == 3 and len(fitted.booster_.get_dump()) == 9
    assert len(np.unique(fitted.predict_proba(X), axis=0)) == 1


def test_who_vanishes_is_drawn_by_seed_round_and_silo() -> None:
    def answers(seed: int, rate: float = 0.5) -> list[tuple[int, ...]]:
        federation = LocalFederation.from_table(X, Y, silos=np.arange(N) % 6)
        ledger = FedGBTRegressor(8, **SMALL).fit_federation(UnreliableFederation(federation, rate, seed)).ledger_
        grown = ledger.per_round().query("kind == 'LocalTrees'").index
        each = [ledger.detail(name).query("bytes_up > 0").index for name in ledger.names]
        return [tuple(round in own for own in each) for round in grown]

    one, other = answers(1), answers(2)
    assert one == answers(1) != other and len(set(one)) > 4 and len(set(zip(*one, strict=True))) > 4
    rare, often = (sum(map(sum, answers(3, rate))) for rate in (0.1, 0.9))
    assert rare > 30 > 18 > often  # of 48


def test_the_bill_of_those_who_are_there_is_the_same_in_both_modes() -> None:
    """Silos of 3 to 60 rows and names of every length: their questions and answers are of other bytes."""
    silos = np.repeat(["a", "bb", "ccc" * 40, "d"], [3, 20, 37, 60])
    bills = []
    for mode in ("fused", "faithful"):
        held = LocalFederation.from_table(X, Y, silos=silos, mode=mode, n_jobs=1)
        federation = UnreliableFederation(held, 0.5, seed=4)
        ledger = FedGBTRegressor(6, **SMALL, eval_metric="mae").fit_federation(federation).ledger_
        bills.append((ledger.per_silo().to_dict(), ledger.per_round().to_dict()))
        assert repr(federation) == f"UnreliableFederation({held!r}, rate=0.5)"
    assert bills[0] == bills[1] and len(set(bills[0][0]["bytes_down"].values())) > 1
    sets = LocalFederation.from_table(X, Y, eval_set=[(X, Y)])
    for rate in (1, 1.0, -0.1, 1.5, "a"):
        with pytest.raises(ParameterError, match="give a number from 0 to below 1"):
            UnreliableFederation(sets, rate)


class Billed(LocalFederation):
    """Silos that answer with one number, each with bytes of its own."""

    def sum(self, call: Any, cohort: Any) -> Reply:
        """Of silo k, 10 + k bytes of questions; answers are of 7 bytes each."""
        return Reply(np.zeros(1, np.int64), grouped(*groups_of(10 + cohort)), 7)


@pytest.mark.parametrize("seed", range(4))
def test_who_vanishes_is_billed_nothing_and_the_others_what_they_sent(seed: int) -> None:
    federation = UnreliableFederation(Billed([Silo(name, X[:2], Y[:2]) for name in "abcdef"]), 0.5, seed)
    bills, everyone = [], np.arange(6)
    for partial in (True, False):
        call: Any = SimpleNamespace(partial=partial, round=0)
        reply = federation.sum(call, everyone)
        bills.append([own.each() if isinstance(own, Grouped) else np.zeros(6) + own for own in (reply.down, reply.up)])
    lots = np.array([stream(seed, "vanished", 0, name).random() for name in "abcdef"])
    for (down, up), there in zip(bills, (lots >= 0.5, everyone >= 0), strict=True):
        assert down.tolist() == np.where(there, 10 + everyone, 0).tolist() and up.tolist() == (7 * there).tolist()


# -- messages -----------------------------------------------------------------------------------------------


def begun(outputs: int = 1) -> Silo:
    silo = Silo("a", X[:20], Y[:20], n_jobs=1)
    params = {"objective": "reg:squarederror", "max_depth": 2, "tree_method": "hist"}
    GrowAlone(None, np.zeros(outputs, np.float32), params, 0).apply(silo)
    return silo


def test_trees_of_other_outputs_or_features_are_refused() -> None:
    Joined.of([[LocalTree.stump()]], 4, np.zeros(1, np.float32)).apply(begun())
    for outputs, features in ((2, 4), (1, 5), (1, 3)):
        joined = Joined.of([[LocalTree.stump()]] * outputs, features, np.zeros(outputs, np.float32))
        with pytest.raises(ProtocolError):
            joined.apply(begun())
    for outputs in (1, 2, 3):
        joined = Joined.of([[LocalTree.stump()]] * outputs, 4, np.zeros(outputs, np.float32))
        if outputs == 2:
            joined.apply(begun(2))
        else:
            with pytest.raises(ProtocolError, match="of other outputs"):
                joined.apply(begun(2))
    with pytest.raises(ProtocolError, match="before silos began to grow any"):
        Joined.of([[LocalTree.stump()]], 4, np.zeros(1, np.float32)).apply(Silo("a", X[:20], Y[:20]))


def test_questions_for_trees_that_do_not_fit_are_refused() -> None:
    silo = begun()
    silo.ask_only(None)
    assert LocalTrees(0, 0.3, 1, 7, 20).ask(silo)[-1] > 0
    for trees, most in ((1, 6), (2, 7)):
        with pytest.raises(ProtocolError, match="trees were grown, or larger ones than there is room for"):
            LocalTrees(0, 0.3, trees, most, 20).ask(silo)
    with pytest.raises(ProtocolError, match="before silos began"):
        LocalTrees(0, 0.3, 1, 7, 20).ask(Silo("a", X[:20], Y[:20]))
    assert LocalTrees(0, 0.3, 1, 7, 2**40).bound() == 2**40 and LocalTrees(0, 0.3, 1, 7, 5).bound() == 2**32 - 1


def test_scores_of_other_metrics_are_refused() -> None:
    silo = Silo("a", X[:20], Y[:20], eval_set=[(X[:5], Y[:5])])
    GrowAlone(None, np.zeros(1, np.float32), {"objective": "reg:squarederror"}, 0).apply(silo)
    for metrics in (["logloss"], ["rmse", "merror"]):
        with pytest.raises(ProtocolError, match="are not all metrics of reg:squarederror"):
            JoinedScores(0, 1, metrics, 5, 0).ask(silo)


def test_a_float_of_more_than_32_bits_is_none() -> None:
    for place in (4, 5, 6):
        wrong = to_integers([LocalTree.stump()], 3)
        wrong[place] = 2**32
        with pytest.raises(ProtocolError, match="a tree with numbers that are none"):
            of_integers(wrong, 1, 2)


def test_the_largest_trees_that_a_message_has_room_for() -> None:
    silos = np.arange(N) % 2
    for params in ({"max_depth": 15}, {"max_depth": 0, "max_leaves": 2**15}):
        with pytest.raises(xgboost.core.XGBoostError, match="stop here"):
            FedGBTRegressor(1, **SMALL | params, callbacks=[Stop()]).fit(X, Y, silos=silos)
    for params in ({"max_depth": 16}, {"max_depth": 0, "max_leaves": 2**15 + 1}):
        with pytest.raises(ParameterError, match="silos' own trees have up to 65536 nodes; set max_leaves"):
            FedGBTRegressor(1, **SMALL | params, callbacks=[Stop()]).fit(X, Y, silos=silos)


class Stop(xgboost.callback.TrainingCallback):
    """Ends a training before it grows anything."""

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        raise xgboost.core.XGBoostError("stop here")


@pytest.mark.parametrize("mode", ["bagging", "cyclic"])
def test_whatever_needs_histograms_is_refused_by_name(mode: str) -> None:
    frame = pd.DataFrame(X, columns=list("abcd")).assign(e=pd.Categorical(np.arange(N) % 3))
    for params, table, y, text in (
        ({}, frame, Y, "columns of categories"),
        ({"split_on_silo": True}, X, Y, "split_on_silo"),
        ({"feature_weights": [1, 2, 3, 4]}, X, Y, "feature_weights"),
        ({"min_bin_rows": 2}, X, Y, "min_bin_rows"),
        ({"objective": "survival:cox"}, X, np.exp(Y), "objective='survival:cox'"),
        ({"max_depth": 0}, X, Y, "max_depth=0 without max_leaves"),
    ):
        with pytest.raises(ParameterError, match=f"^mode='{mode}' does not go with {text}; mode='histogram' does"):
            FedGBTRegressor(1, **{"mode": mode, "n_jobs": 1} | params).fit(table, y, silos=np.arange(N) % 2)


def test_every_silo_grows_with_the_threads_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    train = xgboost.train

    def noted(params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        seen.append(params["nthread"])
        return train(params, *args, **kwargs)

    monkeypatch.setattr(xgboost, "train", noted)
    FedGBTRegressor(1, mode="bagging", n_jobs=1, max_depth=1).fit(X, Y)
    FedGBTRegressor(1, mode="bagging", n_jobs=2, max_depth=1).fit(X, Y)
    assert seen == [1, Threads(2).n]


@pytest.mark.parametrize(
    ("params", "nodes"),
    [
        ({"max_depth": 2}, 7), ({"max_depth": 0, "max_leaves": 3}, 5), ({"max_depth": 1, "max_leaves": 9}, 3),
        ({"max_depth": 4, "max_leaves": 4}, 7),
    ],
    ids=str,
)  # fmt: skip
def test_a_message_has_room_for_the_largest_tree_and_no_node_more(params: dict[str, Any], nodes: int) -> None:
    ledger = FedGBTRegressor(2, **SMALL | params, num_parallel_tree=2).fit(X, Y, silos=np.arange(N) % 3).ledger_
    grown = ledger.detail("1").query("kind == 'LocalTrees'")
    assert grown["integers"].tolist() == [2 * (1 + 6 * nodes) + 1] * 2
