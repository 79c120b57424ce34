"""Trees by impurity exactly at their boundaries: an alpha that is a link's own, votes of many classes, least rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from fedtrees import FedAdaBoostClassifier, FedForestClassifier, FedTreeClassifier, FedTreeRegressor

# rows and positives of each value: all shares are binary fractions, so that both packages' alphas are exact
SIZES, POSITIVE = [4, 4, 1, 1, 2, 4], [2, 1, 1, 1, 1, 0]
X = np.repeat(np.arange(6.0), SIZES)[:, None]
Y = np.concatenate([np.arange(n) < k for n, k in zip(SIZES, POSITIVE, strict=True)]).astype(int)
ALPHAS = [0.0, 1 / 64, 1 / 32, 3 / 64, 3 / 32]  # scikit-learn's, and Breiman's by hand


def test_a_split_that_saves_exactly_what_a_leaf_costs_is_pruned() -> None:
    path = DecisionTreeClassifier(random_state=0).fit(X, Y).cost_complexity_pruning_path(X, Y)
    assert path.ccp_alphas.tolist() == ALPHAS
    for k, alpha in enumerate(ALPHAS):
        for near in (np.nextafter(alpha, 0), alpha, np.nextafter(alpha, 1)):
            own = FedTreeClassifier(ccp_alpha=max(near, 0.0)).fit(X, Y, silos=np.arange(16) % 3)
            theirs = DecisionTreeClassifier(ccp_alpha=max(near, 0.0), random_state=0).fit(X, Y)
            assert own.get_n_leaves() == theirs.get_n_leaves() == 5 - k + (0 < near < alpha)
            assert own.predict_proba(X).tolist() == theirs.predict_proba(X).tolist()
    forest = FedForestClassifier(2, ccp_alpha=ALPHAS[2], bootstrap=False).fit(X, Y)
    assert [tree.get_n_leaves() for tree in forest.estimators_] == [3, 3]


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**-12, 1.0, 2.0**20])
def test_an_alpha_is_in_the_targets_unit_however_small(unit: float) -> None:
    """Of squares: a target in another unit has the same tree at the unit's square times alpha."""
    y = unit * np.repeat([0.0, 1, 5, 7, 20, 26], SIZES)
    path = DecisionTreeRegressor(random_state=0).fit(X, y).cost_complexity_pruning_path(X, y)
    counts = []
    for alpha in (path.ccp_alphas[1:] + path.ccp_alphas[:-1]) / 2:
        own = FedTreeRegressor(ccp_alpha=alpha, n_jobs=1).fit(X, y)
        theirs = DecisionTreeRegressor(ccp_alpha=alpha, random_state=0).fit(X, y)
        assert own.get_n_leaves() == theirs.get_n_leaves()
        counts.append(own.get_n_leaves())
    assert counts[0] > counts[-1]


def test_what_pruning_leaves_keeps_its_bits() -> None:
    whole, pruned = (FedTreeClassifier(ccp_alpha=alpha).fit(X, Y).tree_ for alpha in (0.0, ALPHAS[2]))
    kept = [(f, t, v.tobytes(), n) for f, t, v, n in nodes_of(pruned) if f >= 0]
    assert len(kept) == 2 and set(kept) <= set(nodes_of_bytes(whole))


def nodes_of(tree: Any) -> Any:
    return zip(tree.feature, tree.threshold, tree.value, tree.weighted_n_node_samples, strict=True)


def nodes_of_bytes(tree: Any) -> list[tuple[Any, ...]]:
    return [(f, t, v.tobytes(), n) for f, t, v, n in nodes_of(tree)]


@pytest.mark.parametrize("alike", ["min_samples_split", "min_samples_leaf", "min_weight_fraction_leaf"])
def test_limits_that_a_node_meets_exactly_let_it_be(alike: str) -> None:
    for value in (2, 4, 5, 8, 9) if alike != "min_weight_fraction_leaf" else (1 / 16, 4 / 16, np.nextafter(0.25, 1)):
        own, theirs = (kind(**{alike: value}).fit(X, Y) for kind in (FedTreeClassifier, DecisionTreeClassifier))
        assert own.get_n_leaves() == theirs.get_n_leaves()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("learning_rate", [1.0, 0.5])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_votes_of_many_classes_are_scikit_learns(classes: int, learning_rate: float) -> None:
    """SAMME's votes have log(K - 1) in them, and the weights of rows that were missed follow from the votes."""
    rng = np.random.default_rng(classes)
    rows = rng.integers(0, 60, (900, 4)).astype(np.float32)
    score = rows[:, 0] + rows[:, 1] / 3 + rng.normal(scale=9, size=900)
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    own = FedAdaBoostClassifier(6, max_depth=2, learning_rate=learning_rate).fit(rows, y, silos=np.arange(900) % 4)
    stump = DecisionTreeClassifier(max_depth=2, random_state=0)
    theirs = AdaBoostClassifier(stump, n_estimators=6, learning_rate=learning_rate, random_state=0).fit(rows, y)
    np.testing.assert_allclose(own.estimator_errors_, theirs.estimator_errors_, rtol=1e-4)
    np.testing.assert_allclose(own.estimator_weights_, theirs.estimator_weights_, rtol=2e-4)
    errors = theirs.estimator_errors_
    by_hand = learning_rate * (np.log((1 - errors) / errors) + np.log(classes - 1))  # Zhu et al. (2009), algorithm 2
    np.testing.assert_allclose(own.estimator_weights_, by_hand, rtol=2e-4)
    np.testing.assert_allclose(own.decision_function(rows), theirs.decision_function(rows), atol=1e-4)
    np.testing.assert_allclose(own.predict_proba(rows), theirs.predict_proba(rows), atol=1e-4)
    for ours, other in zip(own.staged_predict(rows), theirs.staged_predict(rows), strict=True):
        assert np.mean(ours == other) > 0.995
    said = own.to_booster().inplace_predict(rows)
    expected = own.predict_proba(rows)
    np.testing.assert_allclose(said, expected if classes > 2 else expected[:, 1], atol=1e-5)
