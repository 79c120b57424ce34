"""Silos' own trees, joined or passed on: none is lost, messages change nothing, and one silo is plain XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from strategies import examples

from fedtrees import FedGBTClassifier, FedGBTRegressor, LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.bagging.growing_alone import GrowingAlone
from fedtrees.bagging.local_tree import LocalTree, of_integers, read_trees, thresholds, to_integers
from fedtrees.core.numeric.rng import stream
from fedtrees.core.sampling.by_turns import OneAfterAnother
from fedtrees.core.sampling.samplers import FixedFraction, FixedNumber
from fedtrees.runtime.unreliable import UnreliableFederation

X, Y = load_breast_cancer(return_X_y=True)
X = X.astype(np.float32)
SILOS = (np.arange(len(Y)) % 4).astype(str)
MODES = ["bagging", "cyclic"]


def margins(model: Any, table: Any) -> Any:
    return model.predict(table, output_margin=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("params", [{}, {"max_leaves": 5, "grow_policy": "lossguide", "max_depth": 0}], ids=str)
def test_of_one_silo_it_is_plain_xgboost(mode: str, params: dict[str, Any]) -> None:
    """Outside reference: the same parameters on the same rows, from the same intercept."""
    params = {"max_depth": 4, "learning_rate": 0.3, **params}
    ours = FedGBTClassifier(8, mode=mode, n_jobs=1, **params).fit(X, Y)
    matrix = xgboost.QuantileDMatrix(X, Y, nthread=1)
    own = {**params, "objective": "binary:logistic", "tree_method": "hist", "nthread": 1}
    theirs = xgboost.train({**own, "base_score": float(ours.intercept_[0])}, matrix, 8)
    np.testing.assert_allclose(margins(ours, X), theirs.predict(xgboost.DMatrix(X), output_margin=True), rtol=1e-5)
    for kind in ("weight", "gain", "cover"):
        same = theirs.get_score(importance_type=kind)
        got = ours.booster_.get_score(importance_type=kind)
        assert got.keys() == same.keys() and all(got[name] == pytest.approx(same[name], rel=1e-4) for name in same)


# law: Bagging
@pytest.mark.parametrize("parallel", [1, 2])
def test_every_tree_of_every_silo_class_and_place_is_joined(parallel: int) -> None:
    """A known implementation keeps 82 of 240 trees on three classes."""
    table, y = load_iris(return_X_y=True)
    silos = np.arange(150) % 4
    model = FedGBTClassifier(10, max_depth=2, mode="bagging", num_parallel_tree=parallel, subsample=0.9)
    model.fit(table, y, silos=silos)
    assert len(model.booster_.get_dump()) == 10 * 3 * 4 * parallel and model.booster_.num_boosted_rounds() == 10
    assert model.score(table, y) > 0.93
    alone = [tree.splitlines()[0] for tree in model.booster_.get_dump()]
    assert sum("leaf" in tree for tree in alone) < 15  # hardly any is a stump that only holds a place


def test_a_round_moves_margins_by_the_weighted_mean_of_what_silos_would() -> None:
    table, y = load_diabetes(return_X_y=True)
    silos = np.where(np.arange(len(y)) % 3, "a", "b")
    model = FedGBTRegressor(1, max_depth=3, mode="bagging", n_jobs=1, base_score=100.0).fit(table, y, silos=silos)
    mean = np.zeros(len(y))
    for name in "ab":
        own = silos == name
        alone = FedGBTRegressor(1, max_depth=3, mode="bagging", n_jobs=1, base_score=100.0).fit(table[own], y[own])
        mean += own.mean() * (alone.predict(table) - 100)
    np.testing.assert_allclose(model.predict(table), 100 + mean, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampling", [1.0, 0.5])
def test_fused_is_faithful_and_the_booster_s_margins_are_those_of_training(mode: str, sampling: float) -> None:
    weight = np.random.default_rng(0).choice([0.5, 1, 2], len(Y))
    found = []
    for how in ("fused", "faithful"):
        federation = LocalFederation.from_table(
            X, Y, silos=SILOS, sample_weight=weight, eval_set=[(X[:100], Y[:100])], mode=how, n_jobs=1
        )
        model = FedGBTClassifier(6, max_depth=3, mode=mode, sampling=sampling, n_jobs=1).fit_federation(federation)
        ledger = model.ledger_
        found.append((bytes(model.booster_.save_raw()), ledger.bytes_up, ledger.bytes_down, repr(model.evals_result_)))
        if how == "fused":
            own = federation.table
            np.testing.assert_array_equal(
                federation._fused.states.find(GrowingAlone).margin[0], margins(model, own.X[own.order])
            )
    assert found[0] == found[1]
    p = model.predict_proba(X[:100])[:, 1].astype(np.float64)
    loss = -np.mean(np.where(Y[:100] == 1, np.log(p), np.log(1 - p)))
    assert model.evals_result_["validation_0"]["logloss"][-1] == pytest.approx(loss, rel=1e-5)


# law: GrowingAlone
def test_a_silo_that_forgets_hears_of_the_joined_trees_again() -> None:
    silos = [Silo(name, X[name == SILOS], Y[name == SILOS], n_jobs=1) for name in "0123"]
    whole = FedGBTClassifier(5, max_depth=3, mode="bagging").fit_federation(LocalFederation(silos, mode="faithful"))

    class Forget(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            silos[epoch % 4].forget()
            return False

    model = FedGBTClassifier(5, max_depth=3, mode="bagging", callbacks=[Forget()])
    model.fit_federation(LocalFederation(silos, mode="faithful"))
    assert model.booster_.save_raw() == whole.booster_.save_raw()


def test_rounds_go_on_without_silos_that_vanish() -> None:
    federation = UnreliableFederation(LocalFederation.from_table(X, Y, silos=SILOS), rate=0.5, seed=2)
    model = FedGBTClassifier(8, max_depth=3, mode="bagging").fit_federation(federation)
    answers = model.ledger_.per_round().query("kind == 'LocalTrees'").answers
    assert answers.min() < answers.max() <= 4 and model.score(X, Y) > 0.93


@examples(30)
@given(
    sampler=st.sampled_from([FixedFraction(1.0), FixedFraction(0.5), FixedNumber(2)]),
    seed=st.integers(0, 2**32),
    silos=st.integers(1, 9),
)
def test_the_model_passes_every_silo_of_a_cohort_once(sampler: Any, seed: int, silos: int) -> None:
    after = OneAfterAnother(sampler)
    visits = [int(own) for round in range(12) for own in after.draw(silos, seed, round)]
    assert len(visits) == 12
    start, turn = 0, 0
    while start < 12:
        cohort = sampler.draw(silos, seed, turn).tolist()
        part = visits[start : start + len(cohort)]
        assert sorted(part) == cohort or (start + len(cohort) > 12 and set(part) <= set(cohort))
        start, turn = start + len(cohort), turn + 1


def test_early_stopping_and_validation_fractions_work_as_for_histograms() -> None:
    model = FedGBTClassifier(
        300, mode="bagging", learning_rate=1.0, early_stopping_rounds=3, validation_fraction=0.3, eval_metric="logloss"
    )
    model.fit(X, Y, silos=SILOS)
    scores = model.evals_result_["validation_0"]["logloss"]
    assert len(scores) == model.best_iteration + 4 < 300 and model.best_score == min(scores)


@given(seed=st.integers(0, 2**32), depth=st.integers(1, 5))
@examples(20)
def test_trees_are_read_as_what_was_written(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(200, 3)).astype(np.float32)
    table[rng.random(table.shape) < 0.1] = np.nan
    matrix = xgboost.DMatrix(table, np.nan_to_num(table).sum(axis=1))
    booster = xgboost.train({"max_depth": depth, "nthread": 1, "base_score": 0.0}, matrix, 3)
    (trees,) = read_trees(booster)
    most = 2 ** (depth + 1) - 1
    again = of_integers(to_integers(trees, most), 3, 3)
    for one, other in zip(trees, again, strict=True):
        for name in ("feature", "value", "default_left", "left", "gain", "cover"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    cuts = thresholds(trees, 3)
    for tree in trees:
        inner = tree.feature >= 0
        binned = tree.binned(cuts)
        own = [cuts.of(int(f))[b] for f, b in zip(binned.feature[inner], binned.bin[inner], strict=True)]
        np.testing.assert_array_equal(own, tree.value[inner])


def test_trees_that_are_none_are_refused() -> None:
    good = to_integers([LocalTree.stump()], 3)
    assert len(of_integers(good, 1, 2)) == 1
    for place, value in ((0, 0), (0, 4), (1, 4), (2, 2), (3, 2), (4, 2**33), (4, 0x7FC00000)):
        wrong = good.copy()
        wrong[place] = value
        with pytest.raises(ProtocolError, match="a tree"):
            of_integers(wrong, 1, 2)


EARLIER = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(np.arange(4.0)[:, None], [0, 1, 0, 1]), 1)
WRONG: dict[str, tuple[dict[str, Any], Any, str]] = {
    "an unknown mode": ({"mode": "bag"}, {}, "mode='bag' is not known"),
    "an earlier model": ({"mode": "bagging"}, {"xgb_model": EARLIER}, "does not go with xgb_model"),
    "a function": ({"mode": "bagging", "objective": lambda y, m: (m - y, y)}, {}, "does not go with objective="),
    "no limit": ({"mode": "bagging", "max_depth": 0}, {}, "does not go with max_depth=0 without max_leaves"),
    "trees without end": ({"mode": "bagging", "max_depth": 20}, {}, "up to 65536 nodes; set max_leaves"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_mode_cannot_do_is_refused(case: str) -> None:
    params, more, match = WRONG[case]
    with pytest.raises(ParameterError, match=match):
        FedGBTClassifier(2, **params).fit(X, Y, silos=SILOS, **more)


def test_constraints_reach_every_silo() -> None:
    rng = np.random.default_rng(0)
    table = rng.uniform(size=(600, 2)).astype(np.float32)
    y = table[:, 0] + np.sin(6 * table[:, 1]) + 0.3 * rng.normal(size=600)
    model = FedGBTRegressor(20, mode="bagging", monotone_constraints=(1, 0), interaction_constraints=[[0], [1]])
    model.fit(table, y, silos=np.arange(600) % 3)
    line = np.stack([np.linspace(0, 1, 50), np.full(50, 0.4)], axis=1)
    assert (np.diff(model.predict(line)) >= 0).all()
    paths = model.booster_.trees_to_dataframe().groupby("Tree").Feature.agg(lambda own: set(own) - {"Leaf"})
    assert all(len(own) <= 1 for own in paths)


# -- draws --------------------------------------------------------------------------------------------------


def test_silos_draw_anew_each_round_and_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    train = xgboost.train

    def noted(params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        seen.append(params["seed"])
        return train(params, *args, **kwargs)

    monkeypatch.setattr(xgboost, "train", noted)
    FedGBTClassifier(3, max_depth=2, mode="bagging", subsample=0.5, random_state=7, n_jobs=1).fit(X, Y, silos=SILOS)
    names = sorted(set(SILOS))
    wanted = [int(stream(7, "local trees", round, name).integers(2**31 - 1)) for round in range(3) for name in names]
    assert seen == wanted and len(set(seen)) == 12


@pytest.mark.parametrize("mode", MODES)
def test_trees_of_two_rounds_see_other_rows(mode: str) -> None:
    """With steps too small to move a margin, rounds differ by what they draw alone."""
    still = {"max_depth": 3, "mode": mode, "learning_rate": 1e-30, "n_jobs": 1}
    for params, differ in (({"subsample": 0.5}, True), ({"colsample_bytree": 0.2}, True), ({}, False)):
        model = FedGBTClassifier(4, **still, **params).fit(X, Y)
        trees = [read_trees(model.booster_[k : k + 1])[0][0] for k in range(4)]
        asked = {(tree.feature.tobytes(), tree.value[tree.feature >= 0].tobytes()) for tree in trees}
        assert len(asked) == (4 if differ else 1), params


def test_silos_take_turns_in_an_order_drawn_anew_for_each_pass() -> None:
    sampler = OneAfterAnother(FixedFraction(1.0))
    passes = [[int(sampler.draw(5, 3, 5 * turn + place)[0]) for place in range(5)] for turn in range(12)]
    assert all(sorted(order) == list(range(5)) for order in passes)
    assert passes == [stream(3, "who comes next", turn).permutation(np.arange(5)).tolist() for turn in range(12)]
    assert len({tuple(order) for order in passes}) > 6
    other = [int(OneAfterAnother(FixedFraction(1.0)).draw(5, 4, place)[0]) for place in range(60)]
    assert other != [silo for order in passes for silo in order]
