"""Trees by impurity against scikit-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference_data as data
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import accuracy_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from fedtrees import (
    FedAdaBoostClassifier,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
)

TREES = [("gini", 3), ("gini", 5), ("entropy", 5)]  # deeper, gains tie, and scikit-learn draws lots


@pytest.mark.parametrize(("criterion", "depth"), TREES)
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"min_samples_leaf": 9},
        {"min_samples_leaf": 0.02},
        {"min_samples_split": 100},
        {"min_weight_fraction_leaf": 0.05},
        {"min_impurity_decrease": 0.004},
        {"max_leaf_nodes": 11},
        {"ccp_alpha": 0.01},
    ],
    ids=str,
)
def test_a_tree_of_few_values_is_scikit_learns_own(criterion: str, depth: int, limits: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 40, (1500, 5)).astype(np.float32)
    y = np.digitize(X[:, 0] + X[:, 1] * X[:, 2] / 20 + rng.normal(scale=15, size=1500), [30, 60])
    own = FedTreeClassifier(criterion=criterion, max_depth=depth, **limits).fit(X, y, silos=rng.integers(0, 5, 1500))
    theirs = DecisionTreeClassifier(criterion=criterion, max_depth=depth, random_state=0, **limits).fit(X, y)
    assert own.get_n_leaves() == theirs.get_n_leaves()
    assert own.predict_proba(X).tolist() == theirs.predict_proba(X).tolist()
    assert sorted(own.tree_.impurity) == pytest.approx(sorted(theirs.tree_.impurity))
    np.testing.assert_allclose(own.feature_importances_, theirs.feature_importances_, atol=1e-12)


@pytest.mark.parametrize("limits", [{}, {"min_samples_leaf": 9}, {"ccp_alpha": 1.0}, {"max_leaf_nodes": 12}])
def test_a_regression_tree_of_few_values_is_scikit_learns_own(limits: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    X = rng.integers(0, 40, (1500, 5)).astype(np.float32)
    y = X[:, 0] + X[:, 1] * X[:, 2] / 20 + rng.normal(scale=5, size=1500)
    own = FedTreeRegressor(max_depth=6, **limits).fit(X, y, silos=rng.integers(0, 5, 1500))
    theirs = DecisionTreeRegressor(max_depth=6, random_state=0, **limits).fit(X, y)
    assert own.get_n_leaves() == theirs.get_n_leaves()
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=1e-4)
    np.testing.assert_allclose(own.feature_importances_, theirs.feature_importances_, atol=1e-4)


def test_missing_values_go_where_they_gain_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    X = rng.integers(0, 20, (800, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    y = (np.nan_to_num(X[:, 0], nan=25) > 12).astype(int) ^ (rng.random(800) < 0.1)
    own = FedTreeClassifier(max_depth=4).fit(X, y)
    theirs = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    assert own.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.005)
    assert own.tree_.impurity[0] == pytest.approx(theirs.tree_.impurity[0])


PAIRS: dict[str, tuple[Any, Any]] = {
    "tree": (lambda k: FedTreeClassifier(max_depth=k), lambda k: DecisionTreeClassifier(max_depth=k, random_state=0)),
    "forest": (
        lambda k: FedForestClassifier(60, max_depth=k + 4, random_state=1),
        lambda k: RandomForestClassifier(60, max_depth=k + 4, random_state=0, n_jobs=2),
    ),
    "adaboost": (
        lambda k: FedAdaBoostClassifier(50),
        lambda k: AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=50, random_state=0),
    ),
}


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", sorted(PAIRS))
@pytest.mark.parametrize("name", ["adult_income", "a9a", "insteval_depts"])
def test_on_real_silos_we_score_as_scikit_learn_does(kind: str, name: str) -> None:
    X, y, silos, train = getattr(data, name)()
    filled = X.fillna(-1)  # scikit-learn's AdaBoost takes none that are missing
    own, theirs = (make(6) for make in PAIRS[kind])
    own.fit(filled[train], y[train], silos=silos[train])
    theirs.fit(filled[train], y[train])
    scores = [accuracy_score(y[~train], model.predict(filled[~train])) for model in (own, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=0.005)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", ["tree", "adaboost"])
def test_over_four_hospitals_we_score_as_scikit_learn_does(kind: str) -> None:
    """A fold is too few rows to tell half a hundredth: five are averaged."""
    scores = []
    for fold in range(5):
        X, y, silos, train = data.heart_disease_4hospitals(fold)
        filled = X.fillna(-1)
        own, theirs = (make(6) for make in PAIRS[kind])
        own.fit(filled[train], y[train], silos=silos[train])
        theirs.fit(filled[train], y[train])
        scores.append([model.score(filled[~train], y[~train]) for model in (own, theirs)])
    mean = np.mean(scores, axis=0)
    assert mean[0] == pytest.approx(mean[1], abs=0.005)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")  # a few rows are in all 20 bags
@pytest.mark.slow_without_jit
def test_a_forest_of_diamonds_scores_as_scikit_learns() -> None:
    X, y, silos, train = data.diamonds()
    own = FedForestRegressor(20, max_features=4, oob_score=True).fit(X[train], y[train], silos=silos[train])
    theirs = RandomForestRegressor(20, max_depth=10, max_features=4, random_state=0, n_jobs=2).fit(X[train], y[train])
    assert own.score(X[~train], y[~train]) == pytest.approx(theirs.score(X[~train], y[~train]), abs=0.005)
    assert own.oob_score_ == pytest.approx(own.score(X[~train], y[~train]), abs=0.01)
