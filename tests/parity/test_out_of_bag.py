"""Scores of rows that trees left out, by scikit-learn's own procedure: ties, rows without trees, functions, files."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import accuracy_score, r2_score

from fedtrees import (
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    LocalFederation,
    ParameterError,
    Silo,
)

FEW = "Some inputs do not have OOB scores. This probably means too few trees were used to compute any reliable OOB"
RNG = np.random.default_rng(0)
X = RNG.integers(0, 12, (240, 3)).astype(np.float32)
X[RNG.random(X.shape) < 0.05] = np.nan
LABELS = np.array(["ill", "odd", "well"])[np.digitize(np.nan_to_num(X[:, 0]) + RNG.normal(0, 4, 240), [4, 8])]
NUMBERS = np.nan_to_num(X[:, 0]) ** 2 + np.nan_to_num(X[:, 1]) + RNG.normal(size=240)
SILOS = RNG.integers(0, 4, 240)  # interleaved: rows stand elsewhere than in X
FORESTS: list[Any] = [
    FedForestClassifier(25, max_depth=4, oob_score=True),
    FedForestClassifier(25, max_depth=4, oob_score=True, class_weight={"odd": 6.0}, max_samples=0.7),
    FedForestClassifier(25, max_depth=4, oob_score=True, class_weight="balanced_subsample", ccp_alpha=0.01),
    FedExtraTreesClassifier(40, max_depth=4, oob_score=True, bootstrap=True, max_samples=1.6),
    FedForestRegressor(25, max_depth=4, oob_score=True),
    FedExtraTreesRegressor(25, max_depth=4, oob_score=True, bootstrap=True),
]


def target(estimator: Any) -> NDArray[Any]:
    return LABELS if estimator._classifies else NUMBERS


def by_definition(model: Any, y: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`sklearn.ensemble.BaseForest._compute_oob_predictions`, of these trees and these draws."""
    width = len(model.classes_) if model._classifies else 1
    predicted, times = np.zeros((len(y), width)), np.zeros(len(y), int)
    for tree, drawn in zip(model, model.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(len(y)), drawn)
        predict = tree.predict_proba if model._classifies else tree.predict
        predicted[out] += predict(X[out]).reshape(len(out), -1)
        times[out] += 1
    return predicted / np.maximum(times, 1)[:, None], times > 0


@pytest.mark.parametrize("estimator", FORESTS, ids=lambda own: str(own)[:60])
def test_scores_and_predictions_are_those_of_scikit_learns_procedure(estimator: Any) -> None:
    y = target(estimator)
    model = clone(estimator).fit(X, y, silos=SILOS)
    predicted, there = by_definition(model, y)
    assert there.all()
    if model._classifies:
        assert model.oob_decision_function_.tobytes() == predicted.tobytes()
        assert model.oob_score_ == accuracy_score(y, model.classes_[predicted.argmax(axis=1)])
        assert not hasattr(model, "oob_prediction_")
    else:
        assert model.oob_prediction_.tobytes() == predicted[:, 0].tobytes()
        assert model.oob_score_ == pytest.approx(r2_score(y, predicted[:, 0]), abs=1e-6)
        assert not hasattr(model, "oob_decision_function_")


@pytest.mark.parametrize("estimator", FORESTS, ids=lambda own: str(own)[:60])
def test_rows_that_trees_drew_are_those_that_stand_in_their_roots(estimator: Any) -> None:
    y = target(estimator)
    model = clone(estimator).fit(X, y, silos=SILOS, sample_weight=(np.arange(240) % 5 > 0) * 1.0)
    for tree, drawn in zip(model, model.estimators_samples_, strict=True):
        assert (drawn % 5 > 0).all() and (np.diff(drawn) >= 0).all()  # a row without weight is not drawn
        assert tree.tree_.n_node_samples[0] == len(drawn)
        leaves = np.bincount(tree.apply(X[drawn]), minlength=tree.tree_.node_count)
        ends = tree.tree_.children_left < 0
        assert leaves[ends].tolist() == tree.tree_.n_node_samples[ends].tolist()


def test_without_draws_every_tree_has_the_rows_of_the_silos_that_took_part() -> None:
    model = FedExtraTreesClassifier(2, sampling=2, random_state=1).fit(X, LABELS, silos=SILOS)
    one, other = model.estimators_samples_
    assert one.tolist() == other.tolist() and len(set(SILOS[one])) == 2
    assert one.tolist() == np.flatnonzero(np.isin(SILOS, SILOS[one])).tolist()
    assert model[0].tree_.n_node_samples[0] == len(one)
    assert not hasattr(model, "oob_decision_function_")
    drew = FedForestClassifier(2, sampling=2, random_state=1).fit(X, LABELS, silos=SILOS)
    for tree, drawn in zip(drew, drew.estimators_samples_, strict=True):
        assert len(set(SILOS[drawn])) == 2 and tree.tree_.n_node_samples[0] == len(drawn)


@pytest.mark.parametrize("seed", range(4))
def test_of_classes_that_share_the_largest_the_first_counts_as_in_scikit_learn(seed: int) -> None:
    """One column that says nothing: trees predict the shares of what they drew, and many rows' classes tie."""
    y, rows = np.arange(40) % 2, np.zeros((40, 1))
    stumps = FedForestClassifier(2, max_depth=1, oob_score=True, random_state=seed)
    with pytest.warns(UserWarning, match=FEW):
        model = stumps.fit(np.arange(40)[:, None] % 2 // 2, y, silos=np.arange(40) % 3)
    predicted, there = by_definition_of(model, rows, y)
    assert model.oob_score_ == np.mean(predicted[there].argmax(axis=1) == y[there])
    one = FedForestClassifier(30, max_depth=2, oob_score=True, random_state=seed, max_samples=0.3)
    whole = np.array([[0.0], [0.0], [1.0], [1.0]] * 5)
    tied = one.fit(whole, np.arange(20) % 2, silos=np.arange(20) % 3)
    predicted, there = by_definition_of(tied, whole, np.arange(20) % 2)
    assert tied.oob_decision_function_.tobytes() == predicted.tobytes()
    assert tied.oob_score_ == np.mean(predicted.argmax(axis=1) == np.arange(20) % 2)


def by_definition_of(model: Any, rows: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    predicted, times = np.zeros((len(y), 2)), np.zeros(len(y), int)
    for tree, drawn in zip(model, model.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(len(y)), drawn)
        predicted[out] += tree.predict_proba(rows[out])
        times[out] += 1
    return predicted / np.maximum(times, 1)[:, None], times > 0


@pytest.mark.parametrize("kind", [FedForestClassifier, FedForestRegressor])
def test_rows_that_every_tree_drew_are_warned_of_as_in_scikit_learn(kind: Any) -> None:
    theirs = RandomForestClassifier if kind is FedForestClassifier else RandomForestRegressor
    y = LABELS if kind is FedForestClassifier else NUMBERS
    for model in (kind(2, oob_score=True), theirs(2, oob_score=True)):
        with pytest.warns(UserWarning, match=FEW):
            model.fit(X, y)
    silos = [Silo("a", X[:100], y[:100]), Silo("b", X[100:], y[100:])]
    with pytest.warns(UserWarning, match=FEW):
        kind(2, oob_score=True).fit_federation(LocalFederation(silos, mode="faithful"))
    with pytest.warns(UserWarning, match=FEW):
        model = kind(3, oob_score=True, max_samples=16.0).fit(X, y)
    assert model.oob_score_ is None  # no row was left out


@pytest.mark.parametrize("offset", [0.0, 1e6, -3e7])
def test_r2_of_numbers_far_from_0_is_theirs_still(offset: float) -> None:
    y = np.round(NUMBERS) * 8 + offset
    model = FedForestRegressor(25, max_depth=5, oob_score=True).fit(X, y, silos=SILOS)
    assert model.oob_score_ == pytest.approx(r2_score(y, model.oob_prediction_), abs=1e-5)
    assert model.oob_score_ > 0.7


# -- functions ------------------------------------------------------------------------------------------------


def missed(y: Any, predicted: Any) -> Any:
    return np.abs(y - predicted)


def test_a_function_scores_row_by_row() -> None:
    """Of classes it gets places among the sorted labels, as scikit-learn's does; of numbers, numbers."""
    for estimator, encoded in ((FORESTS[0], np.unique(LABELS, return_inverse=True)[1]), (FORESTS[4], NUMBERS)):
        y = target(estimator)
        model = clone(estimator).set_params(oob_score=missed).fit(X, y, silos=SILOS)
        predicted, _ = by_definition(model, y)
        said = predicted.argmax(axis=1) if model._classifies else predicted[:, 0]
        assert model.oob_score_ == pytest.approx(np.abs(encoded - said).mean(), rel=1e-6)
        silos = [Silo(str(k), X[k == SILOS], y[k == SILOS]) for k in range(4)]
        own = [clone(model).fit_federation(LocalFederation(silos, mode=mode)) for mode in ("fused", "faithful")]
        assert own[0].oob_score_ == own[1].oob_score_
        assert own[0].ledger_.per_silo().equals(own[1].ledger_.per_silo())


def test_a_function_of_all_rows_together_is_refused_before_any_work() -> None:
    with pytest.raises(ParameterError, match=r"oob_score: accuracy_score gave one number for 2 rows. Silos add up"):
        FedForestClassifier(2, oob_score=accuracy_score).fit("no table", None)
    with pytest.raises(ParameterError, match="oob_score='accuracy': give True, False, or a function of y_true and"):
        FedForestClassifier(2, oob_score="accuracy").fit(X, LABELS)
    with pytest.raises(ParameterError, match="no tree leaves a row out without bootstrap=True"):
        FedExtraTreesClassifier(2, oob_score=missed).fit(X, LABELS)

    def late(y: Any, predicted: Any) -> Any:
        return np.zeros(2) if len(y) == 2 else 0.5

    with pytest.raises(ParameterError, match="oob_score: late gave one number for"):
        FedForestClassifier(9, oob_score=late).fit(X, LABELS)


# -- where rows are not here ----------------------------------------------------------------------------------


def test_rows_that_stay_in_their_silos_and_files_of_models_say_nothing_of_rows() -> None:
    y = LABELS
    forest = FedForestClassifier(30, oob_score=True)
    here = clone(forest).fit(X, y)
    apart = clone(forest).fit_federation(LocalFederation([Silo("all", X, y)]))
    for model in (pickle.loads(pickle.dumps(here)), apart):  # rows are named by their silos
        assert model.oob_score_ == here.oob_score_
        for name in ("estimators_samples_", "oob_decision_function_"):
            assert not hasattr(model, name)
            with pytest.raises(AttributeError, match=f"{name} is known where fit"):
                getattr(model, name)
    sampled = clone(forest).set_params(sampling=1, oob_score=False)
    for mode in ("fused", "faithful"):
        silos = [Silo(name, X, y) for name in "abc"]
        sampled.fit_federation(LocalFederation(silos, mode=mode))
        for model in (here, apart, sampled):  # nor which silos were drawn
            kept = vars(pickle.loads(pickle.dumps(model)))
            assert not {"_cohort", "_rows_of", "_left_out"} & kept.keys()
    assert pickle.loads(pickle.dumps(here)).predict_proba(X).tobytes() == here.predict_proba(X).tobytes()
    here.fit_federation(LocalFederation([Silo("a", X, y)]))
    assert not hasattr(here, "estimators_samples_") and not hasattr(here, "oob_decision_function_")
    assert not hasattr(FedTreeClassifier().fit(X, y), "estimators_samples_")


def test_sparse_rows_are_left_out_as_dense_ones_are() -> None:
    rows = np.where(np.isnan(X) | (X < 4), 0, X)
    one, other = (
        FedForestClassifier(30, max_depth=3, oob_score=True).fit(own, LABELS) for own in (rows, csr_array(rows))
    )
    assert one.oob_score_ == other.oob_score_
    assert one.oob_decision_function_.tobytes() == other.oob_decision_function_.tobytes()


def test_categories_are_left_out_as_their_codes_are() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(LABELS), "b": X[:, 0]})
    model = FedForestClassifier(30, max_depth=3, oob_score=True).fit(frame, LABELS, silos=SILOS)
    silos = [Silo(str(k), frame[k == SILOS], LABELS[k == SILOS]) for k in range(4)]
    silos[1] = Silo(
        "1",
        frame[SILOS == 1].assign(a=frame["a"][SILOS == 1].cat.reorder_categories(["well", "odd", "ill"])),
        LABELS[SILOS == 1],
    )
    for mode in ("fused", "faithful"):
        apart = clone(model).fit_federation(LocalFederation(silos, mode=mode))
        assert apart.oob_score_ == model.oob_score_ > 0.9


def test_several_outputs_are_scored_by_the_mean_of_theirs() -> None:
    y = np.stack([NUMBERS, X[:, 2] * 3 + 7, -NUMBERS], axis=1)
    y[np.isnan(y)] = 0.0
    model = FedForestRegressor(25, max_depth=4, oob_score=True).fit(X, y, silos=SILOS)
    predicted, times = np.zeros(y.shape), np.zeros(240)
    for tree, drawn in zip(model, model.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(240), drawn)
        predicted[out] += tree.predict(X[out])
        times[out] += 1
    predicted /= times[:, None]
    assert model.oob_prediction_.tobytes() == predicted.tobytes()
    assert model.oob_score_ == pytest.approx(r2_score(y, predicted), abs=1e-6)
    parts = [Silo(str(k), X[k == SILOS], y[k == SILOS]) for k in range(4)]
    apart = clone(model).fit_federation(LocalFederation(parts, mode="faithful"))
    assert apart.oob_score_ == model.oob_score_

    def worst(y: Any, predicted: Any) -> Any:
        return np.abs(y - predicted).max(axis=1)

    scored = clone(model).set_params(oob_score=worst).fit(X, y, silos=SILOS)
    assert scored.oob_score_ == pytest.approx(np.abs(y - predicted).max(axis=1).mean(), rel=1e-5)
