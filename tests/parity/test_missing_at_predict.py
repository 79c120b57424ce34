"""Rows that miss what no row of training missed: as in scikit-learn, they follow the larger child."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from families import BY_IMPURITY, small
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    FedGBTClassifier,
    FedTreeRegressor,
)

CLASSIFIERS, REGRESSORS = ([small(kinds[k], 15, max_depth=10) for kinds in BY_IMPURITY.values()] for k in (0, 1))
ZEROS, ONES = [0.0] * 8 + [1.0] * 2, [0.0] * 2 + [1.0] * 8


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("column", [ZEROS, ONES, [0.0] * 5 + [1.0] * 5])
@pytest.mark.parametrize("estimator", CLASSIFIERS + REGRESSORS, ids=lambda own: type(own).__name__)
def test_what_is_missing_in_no_row_of_training_follows_the_larger_child(estimator: Any, column: list[float]) -> None:
    X, y = np.array(column)[:, None], np.array(column, int)
    nothing = np.array([[np.nan]])
    expected = DecisionTreeClassifier().fit(X, y).predict(nothing)
    model = type(estimator)(**estimator.get_params()).fit(X, y, silos=np.arange(10) % 3)
    if not (estimator in CLASSIFIERS[1:2] + REGRESSORS[1:2] and sum(column) == 5):  # who draws rows draws no tie
        assert model.predict(nothing).round(4) == expected
        if "AdaBoost" not in type(estimator).__name__:
            assert model.model_.predict(nothing).round(4) == expected
            assert model.to_booster().inplace_predict(nothing).round() == expected
    for theirs in (RandomForestClassifier(15), ExtraTreesClassifier(15)) if sum(column) != 5 else ():
        assert theirs.fit(X, y).predict(nothing) == expected


def nodes_without_missing(tree: Any, X: NDArray[np.float32]) -> list[tuple[int, int, int]]:
    """Of the nodes none of whose rows misses what they ask for: (node, rows that go left, and right)."""
    reached = tree.decision_path(X).toarray().astype(bool)
    nodes, found = tree.tree_, []
    for node in np.flatnonzero(nodes.feature >= 0).tolist():
        rows = reached[:, node]
        if not np.isnan(X[rows, nodes.feature[node]]).any():
            left, right = nodes.children_left[node], nodes.children_right[node]
            found.append((node, int(reached[:, left].sum()), int(reached[:, right].sum())))
    return found


@pytest.mark.slow_without_jit
@examples(40)
@given(
    seed=st.integers(0, 2**16), missing=st.sampled_from([0.0, 0.02, 0.3]),
    estimator=st.sampled_from([*CLASSIFIERS[:3], *REGRESSORS[:3]]),
    weighted=st.sampled_from([None, {0: 3.0}, "balanced"]),
)  # fmt: skip
def test_every_node_without_missing_rows_sends_them_where_more_rows_go(
    seed: int, missing: float, estimator: Any, weighted: Any
) -> None:
    """Rows are counted, whatever their classes weigh."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(80, 3)), 1).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=80) > 0).astype(int)
    X[rng.random(X.shape) < missing] = np.nan
    params = {"max_depth": 4, "class_weight": weighted, "bootstrap": False}
    given = estimator.get_params()
    model = type(estimator)(**given | {name: own for name, own in params.items() if name in given}).fit(X, y)
    for tree in getattr(model, "estimators_", [model.model_]):
        for node, left, right in nodes_without_missing(tree, X):
            assert tree.tree_.missing_go_to_left[node] == (left > right)


@pytest.mark.slow_without_jit
@examples(30)
@given(seed=st.integers(0, 2**16), gaps=st.booleans())
def test_trees_predict_rows_with_missing_values_as_scikit_learns_do(seed: int, gaps: bool) -> None:
    """Numbers without ties in leaves of many rows, so that both grow the same tree."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 12, (60, 3)).astype(np.float32)
    if gaps:
        X[rng.random(60) < 0.2, 2] = np.nan
    y = rng.normal(size=60)
    rows = np.where(rng.random((200, 3)) < 0.3, np.nan, rng.integers(-1, 14, (200, 3))).astype(np.float32)
    own = FedTreeRegressor(max_depth=4, min_samples_leaf=7).fit(X, y, silos=np.arange(60) % 4)
    theirs = DecisionTreeRegressor(max_depth=4, min_samples_leaf=7, random_state=0).fit(X, y)
    np.testing.assert_allclose(own.predict(rows), theirs.predict(rows), atol=1e-4)
    np.testing.assert_allclose(own.model_.predict(rows), theirs.predict(rows), atol=1e-4)
    np.testing.assert_allclose(own.to_booster().inplace_predict(rows), theirs.predict(rows), atol=1e-4)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("column", [ZEROS, ONES])
def test_boosted_trees_send_them_where_xgboost_does(column: list[float]) -> None:
    X, y = np.array(column)[:, None], np.array(column, int)
    own = FedGBTClassifier(5, min_child_weight=0).fit(X, y, silos=np.arange(10) % 3)
    theirs = xgboost.XGBClassifier(n_estimators=5, min_child_weight=0, base_score=own.intercept_[0]).fit(X, y)
    nothing = np.array([[np.nan]])
    np.testing.assert_allclose(own.predict_proba(nothing), theirs.predict_proba(nothing), rtol=1e-4)
