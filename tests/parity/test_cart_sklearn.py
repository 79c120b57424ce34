"""Whether trees by impurity, forests and AdaBoost are what scikit-learn takes for estimators, and for its own."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from families import BECOME, BY_IMPURITY, small_ones
from sklearn.base import clone
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier, export_text
from sklearn.utils.estimator_checks import parametrize_with_checks

from fedtrees import (
    Availability,
    DataError,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
    ParameterError,
    expected_failed_checks,
)

SMALL: list[Any] = small_ones(BY_IMPURITY, 5, max_depth=5)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
X[RNG.random(X.shape) < 0.1] = np.nan
LABELS = np.array(["ill", "so-so", "well"])[np.digitize(np.nan_to_num(X[:, 0]) + X[:, 1] ** 2 % 1, [-0.5, 0.7])]
NUMBERS = np.nan_to_num(X[:, 0]) * 3 + np.nan_to_num(X[:, 1]) ** 2 + 100


def target(estimator: Any) -> Any:
    return LABELS if estimator._classifies else NUMBERS


def named(estimator: Any) -> str:
    return type(estimator).__name__


@pytest.mark.filterwarnings("ignore::fedtrees.OneClassWarning")
@parametrize_with_checks(SMALL, expected_failed_checks=expected_failed_checks)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", SMALL, ids=named)
def test_the_model_is_scikit_learns_own_and_predicts_by_itself(estimator: Any) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = clone(estimator).fit(frame, target(estimator), silos=np.arange(300) % 3)
    assert type(model.model_) is BECOME[type(estimator)]
    assert pickle.loads(pickle.dumps(model)).predict(frame).tolist() == model.predict(frame).tolist()
    if isinstance(model.model_, AdaBoostClassifier | AdaBoostRegressor):  # which refuses what is missing
        frame = frame.dropna()
    back = pickle.loads(pickle.dumps(model.model_))
    assert back.predict(frame).tolist() == model.predict(frame).tolist()
    if model._classifies:
        assert back.predict_proba(frame).tolist() == model.predict_proba(frame).tolist()
        assert model.classes_.tolist() == back.classes_.tolist() == ["ill", "so-so", "well"]
    assert model.feature_importances_.sum() == pytest.approx(1) and model.feature_importances_.argmax() in (0, 1)


@pytest.mark.parametrize("estimator", SMALL, ids=named)
def test_what_the_fitted_object_says_is_said_of_rows_as_they_come(estimator: Any) -> None:
    frame = pd.DataFrame({"a": pd.Categorical(np.where(X[:, 0] > 0, "up", "down")), "b": X[:, 1]})
    model = clone(estimator).fit(frame, target(estimator), silos=np.arange(300) % 3)
    if model._classifies:
        np.testing.assert_array_equal(
            np.exp(model.predict_log_proba(frame)).round(12), model.predict_proba(frame).round(12)
        )
    if hasattr(model, "decision_path"):
        nodes = model.decision_path(frame)
        reached = nodes[0] if isinstance(nodes, tuple) else nodes
        assert reached.shape[0] == 300 and (reached[:, 0].toarray() == 1).all()
    else:
        *_, last = model.staged_predict(frame)
        assert last.tolist() == model.predict(frame).tolist()
    if hasattr(model, "staged_predict_proba"):
        *_, last = model.staged_predict_proba(frame)
        assert last.tolist() == model.predict_proba(frame).tolist()
        assert model.classes_[model.decision_function(frame).argmax(axis=1)].tolist() == model.predict(frame).tolist()


def test_a_tree_reads_well() -> None:
    clinics = pd.DataFrame({"age": [20, 30, 40, 50.0] * 5})
    model = FedTreeClassifier().fit(clinics, ["ill", "ill", "well", "well"] * 5)
    assert export_text(model.model_, feature_names=["age"]).splitlines()[0] == "|--- age <= 35.00"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"criterion": "ginny"}, "did you mean 'gini'"),
        ({"max_depth": 0}, "max_depth=0: give a whole number from 1, or None"),
        ({"max_leaf_nodes": 1}, "max_leaf_nodes=1"),
        ({"min_samples_leaf": 0}, "min_samples_leaf=0: give a whole number from 1, or a share"),
        ({"min_samples_split": 1}, "min_samples_split=1: give a whole number from 2"),
        ({"min_weight_fraction_leaf": 0.6}, "min_weight_fraction_leaf=0.6"),
        ({"min_impurity_decrease": -1}, "min_impurity_decrease=-1"),
        ({"max_features": "all"}, "max_features='all': give a number, a share, 'sqrt', 'log2', or None"),
        ({"ccp_alpha": -0.1}, "ccp_alpha=-0.1"),
        ({"max_bin": 1}, "max_bin=1"),
        ({"missing": None}, "missing=None"),
        ({"missing": 10**400}, "give the number that stands for a missing value, or NaN"),
        ({"max_features": np.array([1, 2])}, "give a number, a share, 'sqrt', 'log2', or None"),
        ({"random_state": 2**64}, "random_state=18446744073709551616: give a whole number of 64 bits"),
        ({"random_state": "one"}, "random_state='one'"),
    ],
)
def test_a_wrong_parameter_is_named_before_anything_is_read(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        FedTreeClassifier(**given).fit("no table", None)
    assert said in str(caught.value)


@pytest.mark.parametrize("criterion", ["absolute_error", "friedman_mse", "squared_error", "poisson", "gini", "entropy"])
def test_criteria_are_those_of_the_kind(criterion: str) -> None:
    """Why there is none is said of numbers; trees of classes name theirs, and the other way round."""
    known = {FedTreeClassifier: ("entropy", "gini", "log_loss"), FedTreeRegressor: ("poisson", "squared_error")}
    for kind, names in known.items():
        y = LABELS if kind is FedTreeClassifier else np.abs(NUMBERS)
        if criterion in names:
            assert kind(criterion=criterion, max_depth=1).fit(X, y).model_.criterion == criterion
            continue
        listed = f"Known: {', '.join(map(repr, names))}"
        reasons = {"absolute_error": "a median follows from rows", "friedman_mse": "scikit-learn has deprecated it"}
        expected = reasons.get(criterion, listed) if kind is FedTreeRegressor else listed
        with pytest.raises(ParameterError, match=f"^criterion='{criterion}'.*{expected}"):
            kind(criterion=criterion).fit(X, y)


def test_other_wrong_calls() -> None:
    with pytest.raises(ParameterError, match="no tree leaves a row out"):
        FedForestClassifier(bootstrap=False, oob_score=True).fit(X, LABELS)
    for wrong in ("cubic", ["linear"]):
        with pytest.raises(ParameterError, match=r"loss=.* is not known"):
            FedAdaBoostRegressor(loss=wrong).fit(X, NUMBERS)
    with pytest.raises(DataError, match="y holds 600 classes; trees by impurity are for 510"):
        FedTreeClassifier().fit(np.zeros((600, 1)), np.arange(600))
    with pytest.raises(DataError, match="y has 2 columns"):
        FedAdaBoostRegressor().fit(X, np.stack([NUMBERS, NUMBERS], axis=1))
    with pytest.raises(DataError, match="no better than chance"):
        FedAdaBoostClassifier().fit(np.zeros((4, 1)), [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"label 1\.0 was not there"):
        FedTreeClassifier().fit(X, LABELS).score(X, np.ones(len(X)))
    for wrong in (3, LocalFederation):
        with pytest.raises(ParameterError, match="federation: give one"):
            FedTreeClassifier().fit_federation(wrong)
    with pytest.raises(ParameterError, match="learning_rate=1000"):
        FedAdaBoostRegressor(learning_rate=1000).fit(X, NUMBERS)
    with pytest.raises(DataError, match="no silo holds any row"):
        FedForestClassifier().fit(X[:0], LABELS[:0], silos=np.arange(0))


@pytest.mark.parametrize("what", ["tree_", "classes_", "get_depth", "get_n_leaves", "feature_importances_"])
def test_a_tree_that_was_not_trained_says_so(what: str) -> None:
    def ask(estimator: Any, what: str) -> Any:
        own = getattr(estimator, what)
        return own() if callable(own) else own

    with pytest.raises(NotFittedError):
        ask(FedTreeClassifier(), what)
    for estimator in (FedForestClassifier(), FedAdaBoostClassifier()):
        with pytest.raises(NotFittedError):
            ask(estimator, "estimators_")


def test_a_node_of_two_classes_is_split_even_where_nothing_is_gained_yet() -> None:
    """Exclusive or: neither column says anything by itself, and below the first split the other says all."""
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, float)
    y = rows[:, 0] != rows[:, 1]
    own = FedTreeClassifier().fit(rows, y, silos=np.arange(20) % 3)
    assert own.score(rows, y) == DecisionTreeClassifier(random_state=0).fit(rows, y).score(rows, y) == 1
    assert FedTreeClassifier(min_impurity_decrease=0.01).fit(rows, y).get_n_leaves() == 1
    assert FedTreeClassifier().fit(rows[:, :1], y).get_n_leaves() == 2
    assert FedTreeClassifier().fit(rows, np.arange(20) > 0, sample_weight=np.arange(20) != 0.5).get_depth() < 3


@pytest.mark.parametrize("share", [np.float32(0.25), np.float64(0.25), 0.25])
def test_shares_are_shares_whatever_type_they_have(share: Any) -> None:
    for name in ("min_samples_leaf", "min_samples_split"):
        leaves = [FedTreeRegressor(**{name: own}).fit(X, NUMBERS).get_n_leaves() for own in (share, 75)]
        assert leaves[0] == leaves[1] < 12


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.parametrize("scale", [1 / 300, 2.0**-8, 1.0, 1e9])
def test_shares_and_scores_out_of_the_bag_do_not_depend_on_the_unit_of_weights(scale: float) -> None:
    weight = np.full(300, scale)
    tree = FedTreeRegressor(min_samples_leaf=0.05, min_samples_split=0.2)
    weighted, plain = clone(tree).fit(X, NUMBERS, sample_weight=weight), tree.fit(X, NUMBERS)
    assert weighted.tree_.threshold.tobytes() == plain.tree_.threshold.tobytes()
    forests = [
        FedForestRegressor(5, oob_score=True).fit(X, NUMBERS, sample_weight=given) for given in (weight, np.ones(300))
    ]
    assert forests[0].oob_score_ == pytest.approx(forests[1].oob_score_, rel=0 if scale in (2.0**-8, 1.0) else 1e-6)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_pruned_forests_are_scored_out_of_the_bag_as_they_predict() -> None:
    """One tree leaves out the same rows however it is pruned: down to a leaf, it says the commonest class."""
    free, pruned, bare = (
        FedForestClassifier(1, ccp_alpha=alpha, oob_score=True, max_features=None).fit(X, LABELS)
        for alpha in (0.0, 0.01, 10.0)
    )
    assert bare.estimators_[0].get_n_leaves() == 1
    assert 1 < pruned.estimators_[0].get_n_leaves() < free.estimators_[0].get_n_leaves()
    assert bare.oob_score_ == pytest.approx(np.mean(bare.predict(X[:1])[0] == LABELS), abs=0.12)
    assert pruned.oob_score_ > bare.oob_score_
    many = FedForestClassifier(10, ccp_alpha=0.01, oob_score=True).fit(X, LABELS, silos=np.arange(300) % 3)
    assert many.oob_score_ > bare.oob_score_


def test_forests_predict_the_same_bytes_however_many_threads_trained_them() -> None:
    model = FedForestRegressor(40, n_jobs=2).fit(X, NUMBERS)
    assert len({model.predict(X).tobytes() for _ in range(20)}) == 1


def test_weights_beyond_whole_numbers_keep_their_nodes() -> None:
    tree = FedTreeClassifier(max_depth=2).fit(X, LABELS, sample_weight=np.full(300, 1e30)).tree_
    assert (tree.n_node_samples > 0).all()


def test_samplers_by_name_draw_the_silos_that_they_name() -> None:
    clinics = np.array(["oslo", "bergen", "tromsø"])[np.arange(300) % 3]
    only = Availability({"oslo": 0.0, "bergen": 1.0, "tromsø": 0.0})
    model = FedTreeRegressor(max_depth=3, sampling=only).fit(X, NUMBERS, silos=clinics)
    own = clinics == "bergen"
    assert model.tree_.n_node_samples[0] == own.sum()
    with pytest.raises(ParameterError, match="'tromsø'"):
        FedForestRegressor(3, sampling=Availability({"oslo": 1.0, "bergen": 1.0})).fit(X, NUMBERS, silos=clinics)


@pytest.mark.parametrize("estimator", SMALL[2:], ids=named)
def test_a_fitted_ensemble_is_the_sequence_of_its_trees(estimator: Any) -> None:
    with pytest.raises(NotFittedError):
        len(clone(estimator))
    model = clone(estimator).fit(X, target(estimator), silos=np.arange(300) % 3)
    assert len(model) == len(model.model_) == 5 and list(model) == model.estimators_ == list(model.model_)
    assert (
        model[0] is model.estimators_[0] and model[-1] is model.estimators_[4] and model[1:3] == model.estimators_[1:3]
    )
    with pytest.raises(IndexError):
        model[5]
    assert type(model.estimator_) is type(model[0]) and not hasattr(model.estimator_, "tree_")
    assert model.estimator_.get_params() == model[0].get_params()


@pytest.mark.parametrize("estimator", SMALL[6:], ids=named)
def test_stages_are_those_of_scikit_learns_own_object(estimator: Any) -> None:
    rows, y = np.nan_to_num(X), target(estimator)
    model = clone(estimator).fit(rows, y, silos=np.arange(300) % 3)
    weight = np.arange(300) % 4
    assert list(model.staged_score(rows, y)) == list(model.model_.staged_score(rows, y))
    assert list(model.staged_score(rows, y, weight)) == list(model.model_.staged_score(rows, y, weight))
    assert list(model.staged_score(rows, y))[-1] == model.score(rows, y) and len(set(model.staged_score(rows, y))) > 1
    if model._classifies:
        for name in ("staged_decision_function", "staged_predict_proba"):
            ours, theirs = list(getattr(model, name)(rows)), list(getattr(model.model_, name)(rows))
            assert len(ours) == 5 and np.array_equal(ours, theirs)
        assert ours[-1].tobytes() == model.predict_proba(rows).tobytes()
        *_, votes = model.staged_decision_function(X)  # missing values and all
        assert votes.tobytes() == model.decision_function(X).tobytes()
        others = np.where(y == "ill", "dead", y)  # which no row of training had: wrong, whatever is predicted
        wrong = [np.mean(others == predicted) for predicted in model.staged_predict(rows)]
        assert list(model.staged_score(rows, others)) == wrong
        with pytest.raises(DataError, match="label 3 was not there"):
            list(model.staged_score(rows, np.full(len(y), 3)))


@pytest.mark.parametrize("kind", [FedTreeClassifier, FedForestRegressor])
@pytest.mark.parametrize("n", [5, 6])
def test_few_features_of_a_node_save_bytes_and_many_cost_no_more_than_all(kind: Any, n: int) -> None:
    """Of two siblings both are asked for where features are drawn, and else the smaller one alone, of all features."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, n)).astype(np.float32)
    y = (rows.sum(axis=1) + rng.normal(size=120) > 0).astype(int)
    given = {"max_depth": 2, "max_bin": 8, "n_jobs": 1} | ({"n_estimators": 1} if kind is FedForestRegressor else {})
    sent = [kind(max_features=most, **given).fit(rows, y).ledger_.bytes_up for most in range(1, n + 1)]
    half = n // 2
    assert sent[:half] == sorted(set(sent[:half])) and sent[half - 1] <= sent[half]
    assert set(sent[half:]) == {sent[-1]}


def test_features_that_a_node_asks_for_and_outputs_have_scikit_learns_names() -> None:
    for most in (None, "sqrt", "log2", 0.7, 3, 9):
        ours, theirs = (
            kind(max_features=most).fit(np.nan_to_num(X), LABELS)
            for kind in (FedTreeClassifier, DecisionTreeClassifier)
        )
        assert ours.max_features_ == ours.model_.max_features_ == min(theirs.max_features_, 4)
        assert ours.n_outputs_ == theirs.n_outputs_ == 1 and ours.model_.max_features == most
    forest = FedForestRegressor(2, max_features=2).fit(X, NUMBERS)
    assert forest.n_outputs_ == 1 and [tree.max_features_ for tree in forest] == [2, 2]
