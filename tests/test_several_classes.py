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
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import compute_sample_weight, get_tags
from strategies import examples

from fedtrees import (
    DataError,
    DataTypeError,
    FedAdaBoostClassifier,
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedGBTClassifier,
    FedTreeClassifier,
    LocalFederation,
    ParameterError,
    ProtocolError,
    SchemaError,
    Silo,
)
from fedtrees.core.column_labels import LabelsByColumn
from fedtrees.core.ring import Vector
from fedtrees.core.threads import Threads
from fedtrees.trees.impurity import Impurity
from fedtrees.trees.output_weights import OutputClassSums, TreeFactors, balanced
from fedtrees.trees.split import Grounds, Limits, Units
from fedtrees.trees.tree import Cuts

Table = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]
ONE_EACH = "ignore:y holds one class only"


def table(seed: int, classes: tuple[int, ...] = (2, 4, 3), missing: float = 0.0, rows: int = 300) -> Table:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 15, (rows, 4)).astype(np.float32)
    score = [X[:, k % 4] * (k + 1) + X[:, 0] + rng.normal(size=rows) * 4 for k in range(len(classes))]
    y = [np.digitize(own, np.quantile(own, np.arange(1, n) / n)) for own, n in zip(score, classes, strict=True)]
    X[rng.random(X.shape) < missing] = np.nan
    return X, np.stack(y, axis=1), rng.uniform(0.5, 2, rows)


X, Y, WEIGHT = table(0)
SILOS = np.random.default_rng(1).integers(0, 4, len(X))
IDS = np.arange(len(X))
ESTIMATORS: list[Any] = [
    FedTreeClassifier(max_depth=4),
    FedTreeClassifier(max_depth=None, max_leaf_nodes=9, criterion="entropy", class_weight="balanced"),
    FedTreeClassifier(max_depth=5, max_features=2, class_weight=[{0: 3.0}, {1: 0.5, 3: 4.0}, {}], min_samples_leaf=5),
    FedForestClassifier(3, max_depth=4, max_samples=0.6),
    FedForestClassifier(3, max_depth=4, class_weight="balanced_subsample", min_samples_split=9),
    FedExtraTreesClassifier(3, max_depth=5, class_weight="balanced", bootstrap=True),
    FedExtraTreesClassifier(3, max_depth=5),
]


def nodes(model: Any) -> list[bytes]:
    states = [own.tree_.__getstate__() for own in getattr(model, "estimators_", [model.model_])]
    return [state["nodes"].tobytes() + state["values"].tobytes() for state in states]


def apart(y: Any = Y, X: Any = X, **given: Any) -> list[Silo]:
    rows = [np.flatnonzero(k == SILOS) for k in range(5)]  # the last holds none
    silos = []
    for k, own in enumerate(rows):
        columns = {name: values[own] for name, values in given.items() if values is not None}
        silos.append(Silo(str(k), X[own], y[own] if len(own) else [], n_jobs=1, **columns))
    return silos


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


MANY_X, MANY_Y = make_multilabel_classification(250, 6, n_classes=4, random_state=0)
MANY_X = MANY_X.astype(np.float32)


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


# -- what is refused, and warned of ---------------------------------------------------------------------------


def test_what_has_no_meaning_for_several_outputs_is_refused() -> None:
    for kind in (AdaBoostClassifier, FedAdaBoostClassifier):
        with pytest.raises(ValueError, match=r"1d array|y has 3 columns; FedAdaBoostClassifier is for one"):
            kind().fit(X, Y)
    for kind in (RandomForestClassifier, FedForestClassifier):
        with pytest.raises(ValueError, match=r"multiclass-multioutput|y has 3 columns, and column 1 holds 4"):
            kind(oob_score=True).fit(X, Y)
        with pytest.raises(ValueError, match="onotonic"):
            kind(monotonic_cst=[1, 0, 0, 0]).fit(X, MANY_Y[np.arange(300) % 250])
    for kind in (DecisionTreeClassifier, FedTreeClassifier):
        model = kind().fit(X, Y)
        with pytest.raises(ValueError, match="multiclass-multioutput is not supported"):
            model.score(X, Y)
        with pytest.raises((ValueError, TypeError), match="parse"):
            kind().fit(X, csr_array(Y))
    with pytest.raises(DataTypeError, match="y is a sparse matrix; give an array"):
        FedForestClassifier().fit(X, csr_array(Y))
    with pytest.raises(DataError, match=r"y: label 0\.5 was not there in training"):
        FedTreeClassifier().fit(X, Y).score(X, np.where(Y == 3, 0.5, Y))
    assert FedTreeClassifier(max_depth=1).fit(X, Y).n_outputs_ == 3


WEIGHTS: list[tuple[Any, str]] = [
    ({0: 2.0}, "y has 3 columns; give a list of a dict for each"),
    ([{0: 2.0}], r"1 entries for 3 columns of y"),
    ([{}, {5: 2.0}, {}], r"class_weight names 5, which column 1 of y does not hold. Labels: \[0, 1, 2, 3\]"),
    ([{}, {1: 0}, {}], "label 1 weighs 0"),
    ([{}, None, {}], "give 'balanced', a weight for each label in a dict"),
    ("balanced_subsample", "give 'balanced', a weight for each label in a dict"),
]


@pytest.mark.parametrize(("weight", "message"), WEIGHTS, ids=str)
def test_what_is_no_weight_of_several_columns_is_refused(weight: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FedTreeClassifier(class_weight=weight).fit(X, Y)


def test_weights_by_column_are_for_several_and_may_span_orders() -> None:
    with pytest.raises(ParameterError, match="a list is for several columns of y; give a dict"):
        FedTreeClassifier(class_weight=[{0: 1.0}]).fit(X, Y[:, 0])
    heavy = [{0: 1e4}, {3: 1e-3}, {}]
    own, theirs = (
        kind(max_depth=3, class_weight=heavy).fit(X, Y) for kind in (FedTreeClassifier, DecisionTreeClassifier)
    )
    for one, other in zip(own.predict_proba(X), theirs.predict_proba(X), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(DataError, match="the heaviest row weighs about"):
        FedTreeClassifier(class_weight=[{0: 1e12}, {3: 1e-12}, {}]).fit(X, Y)


def test_wrong_labels_are_named_by_silo_column_and_row() -> None:
    with pytest.raises(DataError, match="silo 'all': y, column 1, row 3: NaN, infinity or None"):
        FedTreeClassifier().fit(X, np.where((IDS[:, None] == 3) & (np.arange(3) == 1), np.nan, Y))
    silos = [Silo("a", X[:9], Y[:9]), Silo("b", X[9:], np.where(np.arange(3) == 2, Y[9:] + 0.5, Y[9:]))]
    with pytest.raises(DataError, match="silo 'b': y, column 2, row 0: Unknown label type: y is continuous"):
        FedTreeClassifier().fit_federation(LocalFederation(silos, mode="faithful"))
    with pytest.raises(SchemaError, match="silo 'b', unlike silo 'a': y has 2 columns, not 3"):
        LocalFederation([Silo("a", X[:9], Y[:9]), Silo("b", X[9:], Y[9:, :2])])
    with pytest.raises(DataError, match="row 0: a text; give numbers in several columns"):
        FedGBTClassifier(n_estimators=1).fit(X, np.array(["a", "b"])[Y % 2])
    many = np.stack([np.arange(1200) % 2, np.arange(1200)], axis=1)
    with pytest.raises(DataError, match="column 1 of y holds 1200 classes; trees by impurity are for 510"):
        FedTreeClassifier().fit(np.arange(1200.0)[:, None], many)


@pytest.mark.filterwarnings(ONE_EACH)
@pytest.mark.parametrize("kind", [FedTreeClassifier, FedForestClassifier, FedExtraTreesClassifier])
def test_columns_of_one_class_are_warned_of(kind: Any) -> None:
    y = np.stack([Y[:, 0], np.full(len(Y), 5), np.full(len(Y), 6)], axis=1)
    with pytest.warns(UserWarning, match="y holds one class only, 5 in column 1, 6 in column 2: the model"):
        model = kind(max_depth=2).fit(X, y, silos=SILOS)
    assert (model.predict(X)[:, 1:] == [5, 6]).all() and model.n_classes_ == [2, 1, 1]
    with pytest.warns(UserWarning, match="y holds one class only, 5 in column 0, 6 in column 1: the model"):
        model = kind(max_depth=2).fit(X, y[:, 1:])
    assert [shares.tolist() for shares in model.predict_proba(X[:2])] == [[[1.0], [1.0]]] * 2


def test_other_columns_of_labels_do_not_go_on() -> None:
    model = FedForestClassifier(2, max_depth=2, warm_start=True).fit(X, Y).set_params(n_estimators=3)
    with pytest.raises(DataError, match="y holds the classes"):
        model.fit(X, np.where(Y == 3, 2, Y))
    with pytest.raises(DataError, match="y has 2 targets, and the earlier training had 3"):
        model.fit(X, Y[:, :2])
    assert len(model.fit(X, Y)) == 3


# -- the search for splits, and messages ----------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@examples(60)
@given(
    seed=st.integers(0, 2**16), outputs=st.integers(2, 3), classes=st.integers(2, 4), apart=st.booleans(),
    leaf=st.sampled_from([1, 4, 0.2]),
)  # fmt: skip
def test_splits_are_those_of_an_exhaustive_search(
    criterion: str, seed: int, outputs: int, classes: int, apart: bool, leaf: float
) -> None:
    rng, unit = np.random.default_rng(seed), 0.5
    rows, bins = int(rng.integers(2, 25)), 6
    place, y = rng.integers(0, bins, rows), rng.integers(0, classes, (rows, outputs))
    weight = rng.integers(1, 4, rows) if apart else np.ones(rows, np.int64)
    each = np.concatenate([np.eye(classes, dtype=np.int64)[own] * weight[:, None] for own in y.T], axis=1) * 2
    if apart:  # an output more, where rows weigh as they count
        each = np.concatenate([each, np.full((rows, 1), 2), np.zeros((rows, classes - 1), np.int64)], axis=1)
    sums = np.stack([np.bincount(place, weights=own, minlength=bins) for own in each.T]).astype(np.int64)
    total, blocks = sums.sum(axis=1), outputs + apart
    cuts = Cuts(np.arange(bins, dtype=np.float32), np.array([0, bins]), np.zeros(1, bool))
    rule = Impurity(criterion, classes, min_samples_leaf=leaf, counts_apart=apart).of_outputs(blocks)
    grounds = Grounds(cuts, Units(unit, unit), Threads(1), Limits(roots=total[None]))
    splits = rule.splits(sums[None], np.zeros(1, np.int64), total[None], grounds)
    least = leaf * rows if isinstance(leaf, float) else leaf

    def impure(sums: Vector) -> float:  # times the mass, in the mean of outputs
        shares = sums[: outputs * classes].reshape(outputs, classes) * unit
        mass = shares[0].sum()
        shares = shares / mass
        if criterion == "gini":
            return float(mass * np.mean(1 - (shares**2).sum(axis=1)))
        logs = np.log2(np.where(shares > 0, shares, 1))
        return float(mass * np.mean(-(shares * logs).sum(axis=1)))

    gains = {}
    for cut in range(bins - 1):
        left = sums[:, : cut + 1].sum(axis=1)
        counts = [np.count_nonzero(place <= cut), np.count_nonzero(place > cut)]
        if min(counts) > 0 and min(counts) >= least:
            gains[tuple(left)] = impure(total) - impure(left) - impure(total - left)
    if splits.feature[0] < 0:
        assert not gains or all((y == y[0]).all(axis=0))
        return
    assert splits.gain[0] == pytest.approx(max(gains.values()), abs=1e-9)
    assert gains[tuple(splits.left[0].tolist())] == pytest.approx(splits.gain[0], abs=1e-9)


def test_sums_and_factors_are_those_of_numpy_and_scikit_learn() -> None:
    silo = Silo("a", X, Y, sample_weight=WEIGHT)
    LabelsByColumn([[0, 1], [0, 1, 2, 3], [0, 1, 2]]).apply(silo)
    question = OutputClassSums(len(X), 3, 4)
    sums = question.read(question.ask(silo))[0]
    weight = WEIGHT.astype(np.float32)
    expected = [[weight[Y[:, k] == place].sum(dtype=np.float64) for place in range(4)] for k in range(3)]
    np.testing.assert_allclose(
        sums / sums.sum(axis=1, keepdims=True), expected / weight.sum(dtype=np.float64), rtol=1e-12
    )
    counts = np.stack([np.bincount(own, minlength=4) for own in Y.T]).astype(float)
    product = np.prod([balanced(counts)[k][Y[:, k]] for k in range(3)], axis=0)
    np.testing.assert_allclose(product, compute_sample_weight("balanced", Y))
    assert abs(question.ask(silo)).max() <= question.bound() and len(question.ask(silo)) == question.size()


def test_silos_refuse_messages_that_make_no_sense() -> None:
    silo = Silo("a", X, Y)
    with pytest.raises(ProtocolError, match="labels of 2 columns, and y has 3"):
        LabelsByColumn([[0, 1], [0, 1]]).apply(silo)
    with pytest.raises(DataError, match=r"column 1, row .*: label 3 is none of the agreed ones"):
        LabelsByColumn([[0, 1], [0, 1, 2], [0, 1, 2]]).apply(silo)
    LabelsByColumn([[0, 1], [0, 1, 2, 3], [0, 1, 2]]).apply(silo)
    with pytest.raises(ProtocolError, match="classes of 2 outputs were asked for"):
        OutputClassSums(len(X), 2, 4).ask(silo)
    with pytest.raises(ProtocolError, match="before there are any"):
        TreeFactors(np.ones((2, 3, 4))).apply(silo)
    with pytest.raises(ProtocolError, match="before there are any"):
        OutputClassSums(len(X), 3, 4, trees=2).ask(silo)
