"""Trees and forests of several columns of classes: scikit-learn's trees, of any partition, and labels of any type."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from several_classes import ESTIMATORS, IDS, MANY_X, MANY_Y, ONE_EACH, SILOS, WEIGHT, X, Y, apart, nodes, table
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import compute_sample_weight, get_tags
from strategies import examples

from fedtrees import (
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedTreeClassifier,
    LocalFederation,
    SchemaError,
    Silo,
)
from fedtrees.trees.server import shared_grower

# -- scikit-learn's trees -------------------------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.filterwarnings(ONE_EACH)
@examples(40)
@given(
    seed=st.integers(0, 2**16), classes=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    missing=st.sampled_from([0.0, 0.1]), criterion=st.sampled_from(["gini", "entropy"]), weighted=st.booleans(),
    balance=st.sampled_from([None, "balanced", "by column"]),
    limits=st.sampled_from([
        {"max_depth": 4}, {"max_leaf_nodes": 9}, {"max_depth": 4, "ccp_alpha": 0.01}, {"min_samples_leaf": 12},
        {"max_depth": 5, "min_impurity_decrease": 0.01}, {"min_samples_split": 0.2, "min_weight_fraction_leaf": 0.05},
    ]),
)  # fmt: skip
def test_trees_are_scikit_learns(
    seed: int, classes: list[int], missing: float, criterion: str, weighted: bool, balance: Any, limits: dict[str, Any]
) -> None:
    X, y, weight = table(seed, tuple(classes), missing)
    given = {"criterion": criterion, "max_depth": None, **limits}
    given["class_weight"] = (
        [{0: 1.0 + k, n - 1: 0.5} for k, n in enumerate(classes)] if balance == "by column" else balance
    )
    weight = weight if weighted and balance is None and "min_samples_leaf" not in limits else np.ones(len(X))
    model = FedTreeClassifier(**given).fit(X, y, sample_weight=weight, silos=np.arange(len(y)) % 3)
    trees = [DecisionTreeClassifier(**given, random_state=k).fit(X, y, sample_weight=weight) for k in range(4)]

    def far(tree: Any) -> float:
        both = zip(model.predict_proba(X), tree.predict_proba(X), strict=True)
        return max(float(np.abs(one - other).max(axis=1).mean()) for one, other in both)

    theirs = min(trees, key=far)
    assert far(theirs) < 2e-5 + 0.02 * (far(trees[0]) != far(trees[1]))  # of ties, scikit-learn takes any
    assert model.tree_.impurity[0] == pytest.approx(theirs.tree_.impurity[0], rel=1e-5)
    assert model.tree_.n_node_samples[0] == (theirs.tree_.n_node_samples[0] if not weighted else round(weight.sum()))
    assert model.n_classes_ == theirs.n_classes_.tolist() == classes and model.n_outputs_ == len(classes)
    assert [own.tolist() for own in model.classes_] == [own.tolist() for own in theirs.classes_]
    assert model.predict(X).shape == y.shape and model.predict(X).dtype == theirs.predict(X).dtype
    for name in ("weighted_n_node_samples", "max_n_classes", "n_outputs"):
        assert np.ravel(getattr(model.tree_, name))[0] == pytest.approx(np.ravel(getattr(theirs.tree_, name))[0])


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_the_same_tree_node_by_node_where_nothing_ties(criterion: str) -> None:
    rng = np.random.default_rng(3)
    X = np.round(rng.normal(size=(240, 3)), 2)
    y = np.stack([X[:, 0] > 0.3, X[:, 1] + X[:, 0] > 0, np.digitize(X[:, 2], [-0.5, 0.5])], axis=1).astype(int)
    y[rng.random(y.shape) < 0.1] = 1
    for weight in (None, "balanced"):
        parameters: dict[str, Any] = {"criterion": criterion, "max_depth": 3, "class_weight": weight}
        own = FedTreeClassifier(max_bin=300, **parameters).fit(X, y, silos=np.arange(240) % 4)
        theirs = DecisionTreeClassifier(random_state=0, **parameters).fit(X.astype(np.float32), y)
        for one, other in zip(own.predict_proba(X), theirs.predict_proba(X), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)
        np.testing.assert_array_equal(np.sort(own.tree_.n_node_samples), np.sort(theirs.tree_.n_node_samples))
        np.testing.assert_allclose(np.sort(own.tree_.impurity), np.sort(theirs.tree_.impurity), atol=1e-10)
        np.testing.assert_allclose(own.feature_importances_, theirs.feature_importances_, atol=1e-10)
        path, alphas = (m.cost_complexity_pruning_path(X, y) for m in (own, theirs))
        np.testing.assert_allclose(path.ccp_alphas, alphas.ccp_alphas, atol=1e-10)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", [FedForestClassifier, FedExtraTreesClassifier])
def test_forests_score_as_scikit_learns(kind: Any) -> None:
    X, y, _ = table(5, rows=900)
    theirs = (RandomForestClassifier if kind is FedForestClassifier else ExtraTreesClassifier)(40, random_state=0)
    own, theirs = (model.fit(X[:600], y[:600]) for model in (kind(40, max_depth=None, random_state=0), theirs))
    for column in range(3):
        right = [np.mean(model.predict(X[600:])[:, column] == y[600:, column]) for model in (own, theirs)]
        assert right[0] == pytest.approx(right[1], abs=0.04)
    assert own.predict_log_proba(X)[1].shape == (900, 4)
    mean = np.mean([tree.predict_proba(X)[1] for tree in own], axis=0)
    np.testing.assert_allclose(own.predict_proba(X)[1], mean)
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(own.predict_log_proba(X)[1], np.log(own.predict_proba(X)[1]))


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("weight", ["balanced", "balanced_subsample"])
def test_trees_of_drawn_rows_are_those_of_scikit_learn(criterion: str, weight: str) -> None:
    """A tree of scikit-learn, given the rows that ours drew, weighed as `RandomForestClassifier` weighs them."""
    given: dict[str, Any] = {"criterion": criterion, "max_depth": 2, "max_features": None}
    forest = FedForestClassifier(4, class_weight=weight, **given).fit(X, Y, silos=SILOS)
    for own, drawn in zip(forest, forest.estimators_samples_, strict=True):
        rows = drawn if weight == "balanced_subsample" else None
        weights = np.bincount(drawn, minlength=len(Y)) * compute_sample_weight("balanced", Y, indices=rows)
        theirs = DecisionTreeClassifier(random_state=0, **given).fit(X, Y, sample_weight=weights)
        assert own.tree_.n_node_samples[0] == len(drawn)
        for one, other in zip(own.tree_.value[0], theirs.tree_.value[0], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)
        assert own.tree_.impurity[0] == pytest.approx(theirs.tree_.impurity[0], rel=1e-9)
        for one, other in zip(own.predict_proba(X[drawn]), theirs.predict_proba(X[drawn]), strict=True):
            assert (np.abs(one - other).max(axis=1) < 1e-9).mean() > 0.95  # of ties, scikit-learn takes any


def test_features_that_are_the_same_in_all_rows_do_not_count() -> None:
    """As in scikit-learn, a node that draws no other feature draws again: trees grow until rows are told apart."""
    rng = np.random.default_rng(0)
    wide = np.zeros((80, 16), np.float32)
    wide[:, [3, 11]] = rng.integers(0, 9, (80, 2))
    y = np.stack([wide[:, 3] > 4, wide[:, 11] % 3], axis=1).astype(int)
    for more in ({}, {"max_leaf_nodes": 60}, {"max_features": 1}):
        for kind in (FedForestClassifier, FedExtraTreesClassifier):
            model = kind(4, bootstrap=False, max_depth=None, **more).fit(wide, y, silos=np.arange(80) % 3)
            assert (model.predict(wide) == y).all()
            one = kind(4, bootstrap=False, max_depth=None, **more).fit(wide, y[:, 1])
            assert (one.predict(wide) == y[:, 1]).all()


def test_one_output_twice_is_one() -> None:
    for estimator in (FedTreeClassifier(max_depth=4), FedForestClassifier(3, max_features=3, bootstrap=False)):
        one = clone(estimator).fit(X, Y[:, 1])
        twice = clone(estimator).fit(X, Y[:, [1, 1]])
        for shares in twice.predict_proba(X):
            np.testing.assert_array_equal(shares, one.predict_proba(X))


# -- any partition --------------------------------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("weight", [None, WEIGHT, IDS % 3], ids=["alike", "weighted", "whole"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda own: type(own).__name__)
def test_any_partition_gives_the_pooled_trees(estimator: Any, weight: Any) -> None:
    pooled = clone(estimator).set_params(n_jobs=1).fit(X, Y, sample_weight=weight, row_id=IDS)
    again = clone(estimator).set_params(n_jobs=2).fit(X, Y, sample_weight=weight, row_id=IDS, silos=SILOS)
    assert nodes(again) == nodes(pooled)
    ledgers = []
    for mode in ("fused", "faithful"):
        federation = LocalFederation(apart(row_id=IDS, sample_weight=weight), mode=mode)
        model = clone(estimator).fit_federation(federation)
        assert nodes(model) == nodes(pooled)
        assert nodes(clone(estimator).fit_federation(federation)) == nodes(pooled)  # a federation used again
        ledgers.append(model.ledger_)
    assert ledgers[0].per_silo().equals(ledgers[1].per_silo())
    turned = clone(estimator).set_params(
        class_weight=None if isinstance(estimator.class_weight, list) else estimator.class_weight
    )
    one, two = (clone(turned).fit(X, Y[:, own], row_id=IDS).predict_proba(X) for own in ([0, 1, 2], [2, 0, 1]))
    if not estimator.get_params().get("max_leaf_nodes"):
        np.testing.assert_allclose(one[2], two[0], atol=1e-9)  # outputs have no order


@pytest.mark.parametrize("most", [1, 3000])
def test_trees_do_not_depend_on_how_many_nodes_are_looked_at_at_a_time(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    estimator = FedTreeClassifier(max_depth=4, n_jobs=1)
    whole = nodes(clone(estimator).fit(X, Y, row_id=IDS))
    monkeypatch.setattr(shared_grower, "MOST_INTEGERS", most)
    assert nodes(clone(estimator).fit(X, Y, row_id=IDS)) == whole


# law: sizes_by_silo
def test_bytes_of_schemas_are_those_of_the_silos() -> None:
    texts = np.array(["ill", "odd", "perfectly well"])[Y % 3]
    for y in (Y, texts):
        ledgers = [FedTreeClassifier(max_depth=1).fit(X, y, silos=SILOS).ledger_]
        for mode in ("fused", "faithful"):
            silos = apart(y)[:4]
            ledgers.append(FedTreeClassifier(max_depth=1).fit_federation(LocalFederation(silos, mode=mode)).ledger_)
        assert ledgers[0].per_silo().equals(ledgers[1].per_silo()) and ledgers[1].per_silo().equals(
            ledgers[2].per_silo()
        )


def test_a_silo_that_lost_its_memory_answers_the_same() -> None:
    expected = FedForestClassifier(3, class_weight="balanced_subsample", oob_score=False).fit(X, Y, silos=SILOS)
    silos = apart()[:4]
    federation = LocalFederation(silos, mode="faithful")
    asked = 0
    answer = silos[1].answer

    def forgetful(message: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked % 3 == 0:
            silos[1].forget()
        return answer(message)

    federation._postman.transport._answer["1"] = forgetful  # type: ignore[attr-defined,index]
    model = FedForestClassifier(3, class_weight="balanced_subsample").fit_federation(federation)
    assert asked > 5 and nodes(model) == nodes(expected)


# -- labels of any type ---------------------------------------------------------------------------------------


LARGE = np.array([2**64 - 1, 2**64 - 2, 0], np.uint64)
LABELS: dict[str, Any] = {
    "booleans": (Y > 0, [[False, True]] * 3, "|b1"),
    "texts of other lengths": (np.array([["no", "perhaps", "certainly"][v % 3] for v in Y.ravel()]).reshape(Y.shape),
                               [["no", "perhaps"], ["certainly", "no", "perhaps"], ["certainly", "no", "perhaps"]],
                               "<U9"),
    "below 0": (-(10**12) * Y, [[-(10**12), 0], [-3 * 10**12, -2 * 10**12, -(10**12), 0],
                                [-2 * 10**12, -(10**12), 0]], "<i8"),
    "beyond 63 bits": (LARGE[Y % 3], [[2**64 - 2, 2**64 - 1], [0, 2**64 - 2, 2**64 - 1], [0, 2**64 - 2, 2**64 - 1]],
                       "<u8"),
    "floats": (Y * 1.0, [[0.0, 1.0], [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0]], "<f8"),
    "lists": ([[bool(a), "ab"[b % 2] * (1 + b), int(c)] for a, b, c in Y.tolist()],
              [[False, True], ["a", "aaa", "bb", "bbbb"], [0, 1, 2]], "|O"),
    "frame": (pd.DataFrame({"a": Y[:, 0] > 0, "b": pd.Categorical(Y[:, 1].astype(str)), "c": Y[:, 2]}),
              [[False, True], ["0", "1", "2", "3"], [0, 1, 2]], "|O"),
    "polars": (pl.DataFrame({"a": Y[:, 0], "b": Y[:, 1]}), [[0, 1], [0, 1, 2, 3]], "<i8"),
    "large beside floats": (pd.DataFrame({"a": Y[:, 0] + 2**53, "b": Y[:, 1] * 1.0}),
                            [[2**53, 2**53 + 1], [0.0, 1.0, 2.0, 3.0]], "|O"),
    "nullable": (pd.DataFrame(Y, dtype="Int64"), [[0, 1], [0, 1, 2, 3], [0, 1, 2]], "<i8"),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_each_column_has_its_own_labels(name: str) -> None:
    y, classes, dtype = LABELS[name]
    model = FedTreeClassifier(max_depth=4).fit(X, y, silos=SILOS)
    assert [own.tolist() for own in model.classes_] == classes and {own.dtype.str for own in model.classes_} == {dtype}
    assert [[type(label) for label in own.tolist()] for own in model.classes_] == [
        [type(label) for label in own] for own in classes
    ]
    same = FedTreeClassifier(max_depth=4).fit(X, Y if len(classes) == 3 else Y[:, :2])
    if name not in ("booleans", "texts of other lengths", "beyond 63 bits", "below 0"):
        assert nodes(model) == nodes(same) or name == "lists"
    predicted = model.predict(X)
    for column, known in enumerate(classes):
        assert set(predicted[:, column].tolist()) <= set(known)
        likeliest = model.predict_proba(X)[column].argmax(axis=1)
        assert [known[place] for place in likeliest] == predicted[:, column].tolist()
    by_row = np.array(y, object) if isinstance(y, list) else np.asarray(y)
    forest = FedForestClassifier(2, max_depth=3).fit(X, y, silos=SILOS)
    assert forest.predict(X).dtype == predicted.dtype == np.dtype(dtype) and len(forest.n_classes_) == len(classes)
    if isinstance(y, np.ndarray):
        theirs = DecisionTreeClassifier(max_depth=4).fit(X, y)
        assert [own.tolist() for own in theirs.classes_] == classes and theirs.predict(X).dtype == predicted.dtype
        silos = apart(by_row)
        assert nodes(FedTreeClassifier(max_depth=4).fit_federation(LocalFederation(silos))) == nodes(model)


def test_silos_may_lack_labels_and_differ_in_types() -> None:
    first, second = np.flatnonzero(Y[:, 1] < 2), np.flatnonzero(Y[:, 1] >= 2)
    order = np.concatenate([first, second])
    silos = [Silo("a", X[first], Y[first].astype(np.int8)), Silo("b", X[second], Y[second].astype(np.float32))]
    model = FedTreeClassifier(max_depth=3).fit_federation(LocalFederation(silos, mode="faithful"))
    assert nodes(model) == nodes(FedTreeClassifier(max_depth=3).fit(X[order], Y[order]))
    assert [own.tolist() for own in model.classes_] == [[0, 1], [0, 1, 2, 3], [0, 1, 2]]
    texts = Y.astype(object)
    texts[:, 2] = np.array(["a", "b", "c"])[Y[:, 2]]
    for mode in ("fused", "faithful"):
        silos = [Silo("a", X[first], Y[first]), Silo("b", X[second], texts[second])]
        with pytest.raises(SchemaError, match="silo 'b', unlike silo 'a': column 2 of y holds texts, not numbers"):
            LocalFederation(silos, mode=mode)


# -- multilabel, rows left out, files -------------------------------------------------------------------------


@pytest.mark.slow_without_jit
def test_several_labels_a_row_are_scored_as_in_scikit_learn() -> None:
    for own, theirs in (
        (FedTreeClassifier(max_depth=5), DecisionTreeClassifier(max_depth=5, random_state=0)),
        (FedForestClassifier(40, oob_score=True), RandomForestClassifier(40, random_state=0, oob_score=True)),
    ):
        own.fit(MANY_X, MANY_Y, silos=np.arange(250) % 3), theirs.fit(MANY_X, MANY_Y)
        assert own.score(MANY_X, MANY_Y) == accuracy_score(MANY_Y, own.predict(MANY_X))
        assert own.score(MANY_X, MANY_Y) == pytest.approx(theirs.score(MANY_X, MANY_Y), abs=0.08)
    tags = get_tags(own)
    assert tags.target_tags.multi_output and tags.classifier_tags.multi_label
    assert own.oob_score_ == pytest.approx(theirs.oob_score_, abs=0.12)
    assert own.oob_decision_function_.shape == theirs.oob_decision_function_.shape == (250, 2, 4)
    assert cross_val_score(FedTreeClassifier(), MANY_X, MANY_Y, cv=3).mean() > 0.3


@pytest.mark.parametrize(
    "y", [MANY_Y, np.array(["no", "yes"])[MANY_Y], MANY_Y[:, :2] * [[1, 0]]], ids=["0", "text", "one"]
)
@pytest.mark.parametrize("estimator", [
    FedForestClassifier(25, max_depth=4, oob_score=True),
    FedExtraTreesClassifier(25, max_depth=4, oob_score=True, bootstrap=True, class_weight="balanced"),
], ids=["forest", "extra"])  # fmt: skip
@pytest.mark.filterwarnings(ONE_EACH)
def test_rows_left_out_are_scored_by_definition(estimator: Any, y: Any) -> None:
    model = clone(estimator).fit(MANY_X, y, silos=np.arange(250) % 3)
    outputs = y.shape[1]
    sums, times = np.zeros((250, 2, outputs)), np.zeros(250, int)
    for tree, drawn in zip(model, model.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(250), drawn)
        for k, shares in enumerate(tree.predict_proba(MANY_X[out])):
            sums[out, : shares.shape[1], k] += shares
        times[out] += 1
    decided = sums / np.maximum(times, 1)[:, None, None]
    np.testing.assert_array_equal(model.oob_decision_function_, decided)
    places = np.stack([np.unique(own, return_inverse=True)[1] for own in y.T], axis=1)
    assert (times > 0).all() and model.oob_score_ == np.mean((decided.argmax(axis=1) == places).all(axis=1))

    def share_right(true: Any, said: Any) -> Any:
        return np.mean(true == said, axis=1)

    told = clone(estimator).set_params(oob_score=share_right)
    told.fit(MANY_X, y, silos=np.arange(250) % 3)
    assert told.oob_score_ == pytest.approx(np.mean(decided.argmax(axis=1) == places), rel=1e-6)
    more = clone(estimator).set_params(warm_start=True, n_estimators=20, class_weight=None)
    whole = clone(more).set_params(n_estimators=25).fit(MANY_X, y)
    more.fit(MANY_X, y).set_params(n_estimators=25).fit(MANY_X, y)
    assert nodes(more) == nodes(whole) and more.oob_score_ == whole.oob_score_
    with pytest.warns(UserWarning, match="does not fit new trees"):
        more.set_params(oob_score=False).fit(MANY_X, y).set_params(oob_score=True).fit(MANY_X, y)
    assert more.oob_score_ == whole.oob_score_


@pytest.mark.filterwarnings(ONE_EACH)
def test_fitted_objects_files_and_exports_agree() -> None:
    y = np.concatenate([Y, np.full((len(Y), 1), 7)], axis=1)
    for estimator in (FedTreeClassifier(max_depth=4), FedForestClassifier(5, max_depth=4, class_weight="balanced")):
        model = clone(estimator).fit(X, y, silos=SILOS)
        copy = pickle.loads(pickle.dumps(model))
        for own in (copy, model.model_, pickle.loads(pickle.dumps(model.model_))):
            assert [a.tobytes() for a in own.predict_proba(X)] == [a.tobytes() for a in model.predict_proba(X)]
            assert (own.predict(X) == model.predict(X)).all() and (own.apply(X) == model.apply(X)).all()
        assert len(model.model_.n_classes_) == 4 and model.n_classes_ == [2, 4, 3, 1]
        paths = model.decision_path(X)
        assert (paths[0] if isinstance(paths, tuple) else paths).shape[0] == len(X)
        assert model.feature_importances_.sum() == pytest.approx(1)
        shares = model.predict_proba(X)
        margins = model.to_booster().inplace_predict(X)  # the second of two, else each
        np.testing.assert_allclose(margins, np.column_stack([shares[0][:, 1], *shares[1:]]), rtol=1e-5, atol=1e-7)
        sparse = csr_array(X)
        np.testing.assert_array_equal(model.predict(sparse), model.predict(X))
