"""Forests that grow on: earlier trees stay the same bytes, new ones follow, and what is wrong is refused."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from test_out_of_bag import LABELS, NUMBERS, SILOS, X, by_definition

from fedtrees import (
    DataError,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    LocalFederation,
    ParameterError,
    Poisson,
    SchemaError,
    Silo,
)

WEIGHT = np.random.default_rng(1).uniform(0.5, 2, 240)
KINDS: list[Any] = [
    FedForestClassifier(4, max_depth=4, warm_start=True),
    FedForestRegressor(4, max_depth=4, max_features=2, warm_start=True),
    FedExtraTreesClassifier(4, max_depth=4, warm_start=True),
    FedExtraTreesRegressor(4, max_depth=4, bootstrap=True, warm_start=True),
]


def named(estimator: Any) -> str:
    return type(estimator).__name__


def target(estimator: Any) -> Any:
    return LABELS if estimator._classifies else NUMBERS


def nodes(trees: Any) -> list[bytes]:
    states = [tree.tree_.__getstate__() for tree in trees]
    return [state["nodes"].tobytes() + state["values"].tobytes() for state in states]


def grown(estimator: Any, *numbers: int, **how: Any) -> Any:
    model = clone(estimator)
    for n in numbers:
        model.set_params(n_estimators=n).fit(X, target(estimator), **how)
    return model


@pytest.mark.parametrize("estimator", KINDS, ids=named)
def test_earlier_trees_stay_and_others_follow(estimator: Any) -> None:
    model, y = clone(estimator).fit(X, target(estimator), silos=SILOS), target(estimator)
    first = nodes(model)
    model.set_params(n_estimators=9).fit(X, y, silos=SILOS)
    assert len(model) == len(model.model_) == 9 and nodes(model)[:4] == first
    assert len(set(nodes(model))) == 9  # none is grown twice
    model.set_params(n_estimators=11).fit(X, y, silos=SILOS)
    assert nodes(model)[:4] == first and len(set(nodes(model))) == 11
    cold = clone(model).set_params(warm_start=False, n_estimators=4).fit(X, y, silos=SILOS)
    assert nodes(cold) == first
    assert nodes(model.set_params(warm_start=False, n_estimators=4).fit(X, y, silos=SILOS)) == first
    mean = np.mean([tree.predict_proba(X) if model._classifies else tree.predict(X) for tree in model], axis=0)
    np.testing.assert_allclose(model.predict_proba(X) if model._classifies else model.predict(X), mean)


WAYS: list[dict[str, Any]] = [
    {},
    {"max_leaf_nodes": 7},
    {"max_features": 2, "max_depth": None},
    {"sampling": 0.5, "random_state": 3, "oob_score": True, "bootstrap": True},
    {"sampling": Poisson(0.7), "min_bin_rows": 4},
    {"max_samples": 0.4, "bootstrap": True, "oob_score": True},
    {"min_samples_leaf": 3, "bootstrap": False},
]


# law: NodeGrower
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("estimator", KINDS, ids=named)
def test_some_trees_and_then_others_are_all_of_them(estimator: Any, way: dict[str, Any]) -> None:
    """As scikit-learn's test_warm_start asks: draws are named by a tree's number in the forest."""
    model = clone(estimator).set_params(**way)
    how = {"silos": SILOS, "sample_weight": WEIGHT}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
        at_once, in_stages = grown(model, 9, **how), grown(model, 2, 3, 9, **how)
    assert nodes(in_stages) == nodes(at_once)
    assert getattr(in_stages, "oob_score_", None) == getattr(at_once, "oob_score_", None)
    drawn = zip(in_stages.estimators_samples_, at_once.estimators_samples_, strict=True)
    assert all((one == other).all() for one, other in drawn)


@pytest.mark.parametrize("weight", [{"odd": 9.0}, "balanced", "balanced_subsample"])
@pytest.mark.filterwarnings("ignore:class_weight")
def test_classes_that_weigh_and_several_outputs_grow_on_likewise(weight: Any) -> None:
    model = clone(KINDS[0]).set_params(class_weight=weight, n_jobs=1)
    assert nodes(grown(model, 2, 6, silos=SILOS)) == nodes(grown(model, 6, silos=SILOS))
    numbers = np.stack([NUMBERS, X[:, 1] == 3, -NUMBERS], axis=1)
    one, two = (clone(KINDS[k]).set_params(n_estimators=2).fit(X, numbers) for k in (1, 3))
    for own in (one, two):
        cold = clone(own).set_params(n_estimators=5).fit(X, numbers)
        assert nodes(own.set_params(n_estimators=5).fit(X, numbers)) == nodes(cold)


@pytest.mark.filterwarnings("ignore:class_weight")
@pytest.mark.parametrize("kind", [FedForestClassifier, FedExtraTreesClassifier])
def test_trees_balance_the_rows_that_they_drew_whichever_grow_beside_them(kind: Any) -> None:
    """Of few rows, some trees drew one class as often as the next tree, and others not."""
    rows, y = X[:18], np.arange(18) % 3
    model = kind(14, class_weight="balanced_subsample", bootstrap=True, random_state=0, n_jobs=1)
    together = model.fit(rows, y, row_id=np.arange(18)).estimators_
    one = clone(model).set_params(warm_start=True)
    for n in range(1, 15):
        one.set_params(n_estimators=n).fit(rows, y, row_id=np.arange(18))
    assert nodes(one) == nodes(together)
    drawn = np.array([np.bincount(y[own], minlength=3) for own in model.estimators_samples_])
    same = drawn[1:] == drawn[:-1]
    assert (same.any(axis=1) & ~same.all(axis=1)).sum() > 1


def test_a_federation_grows_on_as_it_would_have_at_once() -> None:
    silos = [Silo(str(k), X[k == SILOS], LABELS[k == SILOS]) for k in range(4)]
    ledgers = []
    for mode in ("fused", "faithful"):
        model = clone(KINDS[0]).set_params(sampling=2)
        for n in (3, 8):
            model.set_params(n_estimators=n).fit_federation(LocalFederation(silos, mode=mode))
        ledgers.append(model.ledger_)
        assert nodes(model) == nodes(clone(model).fit_federation(LocalFederation(silos)))
    assert ledgers[0].per_silo().equals(ledgers[1].per_silo())


@pytest.mark.parametrize("estimator", KINDS, ids=named)
def test_the_model_is_that_of_every_partition(estimator: Any) -> None:
    ids, y = np.arange(240), target(estimator)
    pooled = grown(estimator, 3, 7, row_id=ids)
    assert nodes(grown(estimator, 3, 7, silos=SILOS, row_id=ids)) == nodes(pooled)
    silos = [Silo(str(k), X[k == SILOS], y[k == SILOS], row_id=ids[k == SILOS]) for k in range(4)]
    for mode in ("fused", "faithful"):
        model = clone(estimator).set_params(n_estimators=3).fit_federation(LocalFederation(silos, mode=mode))
        model = pickle.loads(pickle.dumps(model))  # on another day
        model.set_params(n_estimators=7).fit_federation(LocalFederation(silos, mode=mode))
        assert nodes(model) == nodes(pooled)


@pytest.mark.parametrize("estimator", [KINDS[0], KINDS[3]], ids=named)
def test_rows_left_out_are_those_of_all_trees(estimator: Any) -> None:
    y = target(estimator)
    model = grown(clone(estimator).set_params(oob_score=True), 20, 34, silos=SILOS)
    predicted, there = by_definition(model, y)
    assert there.all() and len(model.estimators_samples_) == 34
    kept = model.oob_decision_function_ if model._classifies else model.oob_prediction_[:, None]
    assert kept.tobytes() == predicted.tobytes()
    if model._classifies:
        assert model.oob_score_ == np.mean(model.classes_[predicted.argmax(axis=1)] == y)
    silos = [Silo(str(k), X[k == SILOS], y[k == SILOS]) for k in range(4)]
    apart = [clone(model), clone(model)]
    for own, mode in zip(apart, ("fused", "faithful"), strict=True):
        for n in (20, 34):
            own.set_params(n_estimators=n).fit_federation(LocalFederation(silos, mode=mode))
    assert apart[0].oob_score_ == apart[1].oob_score_ == model.oob_score_
    assert apart[0].ledger_.per_silo().equals(apart[1].ledger_.per_silo())


def test_a_score_may_be_asked_for_afterwards() -> None:
    model = grown(KINDS[0], 30, silos=SILOS).set_params(oob_score=True)
    with pytest.warns(UserWarning, match="Warm-start fitting without increasing n_estimators does not fit new trees"):
        model.fit(X, LABELS, silos=SILOS)
    fresh = clone(model).fit(X, LABELS, silos=SILOS)
    assert model.oob_score_ == fresh.oob_score_
    assert model.oob_decision_function_.tobytes() == fresh.oob_decision_function_.tobytes()
    before = nodes(model)
    with pytest.warns(UserWarning, match="does not fit new trees"):
        model.fit(X, LABELS, silos=SILOS)
    assert nodes(model) == before and model.oob_score_ == fresh.oob_score_


def test_other_rows_may_follow_and_each_tree_has_its_own() -> None:
    model = clone(KINDS[2]).fit(X[:100], LABELS[:100])
    first, before = nodes(model), model.estimators_samples_
    model.set_params(n_estimators=6).fit(X[100:], LABELS[100:])
    assert nodes(model)[:4] == first
    assert [own.tolist() for own in model.estimators_samples_[:4]] == [own.tolist() for own in before]
    assert [len(own) for own in model.estimators_samples_] == [100] * 4 + [140] * 2


def test_fewer_trees_are_refused_as_in_scikit_learn() -> None:
    theirs = RandomForestClassifier(5, warm_start=True).fit(X, LABELS).set_params(n_estimators=3)
    model = grown(KINDS[0], 5).set_params(n_estimators=3)
    for forest in (theirs, model):
        with pytest.raises(
            ValueError, match=r"n_estimators=3 must be larger or equal to len.estimators_.=5 when warm_st"
        ):
            forest.fit(X, LABELS)
    with pytest.raises(ParameterError, match="n_estimators=3 must be larger"):
        model.fit("no table", None)
    assert len(model) == 5


def test_other_columns_and_classes_are_refused_and_the_model_stays() -> None:
    frame = pd.DataFrame(X, columns=list("abc"))
    model = clone(KINDS[0]).fit(frame, LABELS).set_params(n_estimators=6)
    before = nodes(model)
    for rows, y, error, said in (
        (
            frame[["a", "b"]],
            LABELS,
            DataError,
            "X has 2 features, but FedForestClassifier is expecting 3 features as input, those of the earlier training",
        ),
        (frame[["b", "a", "c"]], LABELS, SchemaError, "the columns stand in another order"),
        (frame, np.where(LABELS == "odd", "ill", LABELS), DataError, "y holds the classes"),
        (frame.assign(a=pd.Categorical(frame["a"])), LABELS, SchemaError, "column 'a' is a category"),
    ):
        with pytest.raises(error, match=said):
            model.fit(rows, y)
        assert nodes(model) == before and model.predict(frame).shape == (240,)


@pytest.mark.parametrize("weight", ["balanced", "balanced_subsample"])
def test_weights_of_each_fits_own_rows_are_warned_of(weight: str) -> None:
    with pytest.warns(UserWarning, match=f"class_weight='{weight}' with warm_start"):
        FedForestClassifier(2, warm_start=True, class_weight=weight).fit(X, LABELS)
    with pytest.raises(ParameterError, match="warm_start=1: give True or False"):
        FedForestClassifier(2, warm_start=1).fit(X, LABELS)
