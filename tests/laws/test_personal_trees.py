"""A silo's own trees over the shared ensemble."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_iris

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FineTuning,
    MoreTrees,
    OwnLeaves,
    ParameterError,
    SchemaError,
    Silo,
)

RNG = np.random.default_rng(0)
SILOS = np.repeat(["a", "b", "c"], 300)
X = RNG.normal(size=(900, 4)).astype(np.float32)
TURNED = np.where(SILOS == "c", -1, 1)
Y = 3 * X[:, 0] * TURNED + X[:, 1] + 0.1 * RNG.normal(size=900)
OWN = SILOS == "c"


def halves() -> tuple[Silo, Any, Any]:
    """A silo, and rows of it to score on."""
    return Silo("c", X[OWN][::2], Y[OWN][::2]), X[OWN][1::2], Y[OWN][1::2]


@pytest.mark.parametrize("how", [None, MoreTrees(20), OwnLeaves()], ids=repr)
def test_a_personal_model_fits_its_silo_better_and_the_shared_one_stays(how: Any) -> None:
    shared = FedGBTRegressor(20, max_depth=4).fit(X, Y, silos=SILOS)
    before = bytes(shared.booster_.save_raw())
    silo, table, y = halves()
    personal = shared.personalize(silo, how)
    assert personal.score(table, y) > shared.score(table, y) + 0.5
    assert bytes(shared.booster_.save_raw()) == before
    assert bytes(personal.booster_.save_raw()) == bytes(shared.personalize(silo, how).booster_.save_raw())


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("how", [MoreTrees(2), OwnLeaves(), "own branches"], ids=repr)
def test_a_personal_model_takes_the_threads_that_it_is_given(how: Any, n_jobs: int) -> None:
    own_branches = how == "own branches"
    shared = FedGBTRegressor(3, n_jobs=n_jobs, split_on_silo=own_branches).fit(X, Y, silos=SILOS)
    personal = shared.personalize(halves()[0], None if own_branches else how)
    config = json.loads(personal.booster_.save_config())
    assert config["learner"]["generic_param"]["nthread"] == str(n_jobs)


def test_more_trees_are_those_of_xgboost_that_goes_on() -> None:
    shared = FedGBTRegressor(5, max_depth=3, n_jobs=1).fit(X, Y, silos=SILOS)
    silo, table, _ = halves()
    personal = shared.personalize(silo, MoreTrees(4))
    assert personal.booster_.num_boosted_rounds() == 9
    params = {"max_depth": 3, "learning_rate": 0.3, "objective": "reg:squarederror", "nthread": 1}
    matrix = xgboost.DMatrix(X[OWN][::2], Y[OWN][::2])
    theirs = xgboost.train(params, matrix, 4, xgb_model=shared.booster_.copy())
    np.testing.assert_allclose(personal.predict(table), theirs.predict(xgboost.DMatrix(table)), rtol=1e-5)
    np.testing.assert_allclose(personal.predict(table, iteration_range=(0, 5)), shared.predict(table), rtol=1e-5)


def test_own_leaves_keep_the_splits() -> None:
    shared = FedGBTRegressor(5, max_depth=3).fit(X, Y, silos=SILOS)
    personal = shared.personalize(halves()[0], OwnLeaves())
    columns = ["Tree", "Node", "Feature", "Split", "Yes", "No"]
    one, other = (model.booster_.trees_to_dataframe()[columns[:3] + columns[4:]] for model in (shared, personal))
    assert one.equals(other)


def test_own_leaves_are_of_all_rows_of_the_silo_whatever_rounds_drew() -> None:
    params: dict[str, Any] = {"learning_rate": 0.5, "reg_lambda": 2.0, "subsample": 0.3, "max_depth": 2}
    shared = FedGBTRegressor(3, base_score=1.0, **params).fit(X, Y, silos=SILOS)
    personal = shared.personalize(halves()[0], OwnLeaves())
    table, y = X[OWN][::2], Y[OWN][::2]
    margin = np.ones(len(y))
    for leaf in shared.apply(table).T:  # by definition: each tree fits what those before it left
        for own in np.unique(leaf):
            rows = leaf == own
            margin[rows] += 0.5 * (y[rows] - margin[rows]).sum() / (rows.sum() + 2)
    np.testing.assert_allclose(personal.predict(table), margin, rtol=1e-4, atol=1e-5)


def test_of_classes_and_saved(tmp_path: Any) -> None:
    table, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    shared = FedGBTClassifier(3, max_depth=2).fit(table, names, silos=np.arange(150) % 3)
    personal = shared.personalize(Silo("a", table[50:], names[50:]), MoreTrees(3))
    assert personal.classes_.tolist() == shared.classes_.tolist() and personal.score(table[50:], names[50:]) > 0.95
    personal.save_model(tmp_path / "own.json")
    again = FedGBTClassifier().load_model(tmp_path / "own.json")
    np.testing.assert_array_equal(again.predict(table), personal.predict(table))


def test_more_trees_follow_the_best_round() -> None:
    shared = FedGBTRegressor(60, validation_fraction=0.3, early_stopping_rounds=2).fit(X, Y, silos=SILOS)
    silo = halves()[0]
    own = shared.personalize(silo, MoreTrees(20))
    assert own.booster_.num_boosted_rounds() == shared.best_iteration + 1 + 20
    assert not hasattr(own, "best_iteration")
    rows, y = silo.table.X, silo.table.y
    assert own.score(rows, y) > shared.score(rows, y) + 0.01
    assert shared.best_iteration + 1 < shared.booster_.num_boosted_rounds()


def test_a_ranker_learns_from_its_queries() -> None:
    """Outside reference: XGBoost's own training that goes on, of the same queries and their weights."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4)).astype(np.float32)
    qid, weight = np.repeat(np.arange(60), 5), rng.integers(1, 4, 60).astype(np.float32)
    y = np.clip(np.round(rows[:, 0] + 1.5), 0, 3)
    shared = FedGBTRanker(5).fit(rows, y, silos=qid % 3, qid=qid)
    mine = qid % 3 == 1
    each = np.unique(qid[mine])
    own = shared.personalize(Silo("1", rows[mine], y[mine], sample_weight=weight[each], qid=qid[mine]), MoreTrees(4))
    matrix = xgboost.DMatrix(rows[mine], y[mine], qid=qid[mine], weight=weight[each])
    params = {"objective": "rank:ndcg", "max_depth": 6, "learning_rate": 0.3, "tree_method": "hist"}
    expected = xgboost.train(params, matrix, 4, xgb_model=shared.booster_.copy())
    np.testing.assert_allclose(own.predict(rows), expected.inplace_predict(rows), rtol=1e-5)


def test_margins_to_start_from_and_constraints_hold_for_personal_trees_too() -> None:
    silo, start = halves()[0], 5 * Y[: len(halves()[0].table.y)]
    table = silo.table
    shared = FedGBTRegressor(2, monotone_constraints=np.array([1, 0, 0, 0]), interaction_constraints=[[0, 1]])
    shared.fit(X, Y, silos=SILOS)
    plain, other = (
        shared.personalize(Silo("a", table.X, table.y, base_margin=margin), MoreTrees(5)) for margin in (None, start)
    )
    assert plain.predict(X).tolist() != other.predict(X).tolist()
    falling = np.tile(X[:1], (50, 1))
    falling[:, 0] = np.linspace(-3, 3, 50)
    assert (np.diff(plain.predict(falling)) >= 0).all()


def test_what_has_no_personal_model_says_so() -> None:
    shared = FedGBTRegressor(2, objective=lambda y, margin: (margin - y, np.ones(len(y)))).fit(X, Y, silos=SILOS)
    with pytest.raises(ParameterError, match="models whose objective is a function are not made personal"):
        shared.personalize(halves()[0])
    times = FedGBTRegressor(2, objective="survival:aft").fit(X, np.stack([Y - Y.min() + 1] * 2, axis=1), silos=SILOS)
    with pytest.raises(ParameterError, match="models whose objective is survival:aft are not made personal"):
        times.personalize(halves()[0])


def test_wrong_silos_are_refused() -> None:
    shared = FedGBTRegressor(2).fit(X, Y, silos=SILOS)
    with pytest.raises(SchemaError, match="3 columns, not 4"):
        shared.personalize(Silo("a", X[:, :3], Y))
    with pytest.raises(DataError, match="silo 'a' holds no row to learn from"):
        shared.personalize(Silo("a", X[:0], Y[:0]))
    with pytest.raises(ParameterError, match=r"give a fedtrees.Silo, and not a tuple"):
        shared.personalize((X, Y))  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="give a MoreTrees or an OwnLeaves"):
        shared.personalize(halves()[0], "leaves")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"MoreTrees\(0\): give a whole number from 1"):
        shared.personalize(halves()[0], MoreTrees(0))
    with pytest.raises(ParameterError, match=r"MoreTrees\(True\): give a whole number from 1"):
        shared.personalize(halves()[0], MoreTrees(True))
    with pytest.raises(ParameterError, match="give a MoreTrees or an OwnLeaves"):
        shared.personalize(halves()[0], MoreTrees)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="give a MoreTrees or an OwnLeaves"):
        shared.personalize(halves()[0], FineTuning())  # type: ignore[arg-type]
    classes = FedGBTClassifier(2).fit(X, Y > 0, silos=SILOS)
    with pytest.raises(DataError, match="label 2 is none of the agreed ones"):
        classes.personalize(Silo("a", X[:3], [0, 1, 2]))
