"""A model does not depend on the direction of a scale: negating columns mirrors every tree, whatever grows it.

Columns have few values, each with a bin of its own, and rows weights of many digits, so that no two cuts gain the same.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import ExtraTreeClassifier
from strategies import examples

from fedtrees import (
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
)
from fedtrees.trees.server.feature_sampling import NodeDraws

BOOSTED: list[Any] = [
    FedGBTClassifier(4, max_depth=4, n_jobs=1),
    FedGBTClassifier(4, max_depth=4, grow_policy="lossguide", max_leaves=6, min_child_weight=3, n_jobs=1),
    FedGBTClassifier(4, max_depth=3, subsample=0.7, colsample_bytree=0.7, colsample_bylevel=0.7, n_jobs=1),
    FedGBTRegressor(4, max_depth=4, reg_alpha=0.1, gamma=0.1, n_jobs=1),
    FedGBTRegressor(3, max_depth=3, objective="reg:absoluteerror", n_jobs=1),
    FedGBTRegressor(3, max_depth=3, num_parallel_tree=2, subsample=0.8, n_jobs=1),
]
BY_IMPURITY: list[Any] = [
    FedTreeClassifier(max_depth=5, n_jobs=1),
    FedTreeClassifier(criterion="entropy", max_leaf_nodes=6, min_samples_leaf=4, n_jobs=1),
    FedTreeRegressor(max_depth=5, min_samples_split=0.1, n_jobs=1),
    FedForestClassifier(4, max_depth=4, max_features=None, n_jobs=1),
    FedForestRegressor(4, max_depth=4, n_jobs=1),
    FedAdaBoostClassifier(4, max_depth=2, n_jobs=1),
    FedAdaBoostRegressor(4, max_depth=2, n_jobs=1),
]
EXTREMELY_RANDOM: list[Any] = [
    FedExtraTreesClassifier(3, max_depth=5, max_features=None, n_jobs=1),
    FedExtraTreesRegressor(3, max_depth=5, bootstrap=True, min_samples_leaf=3, n_jobs=1),
]
SIGNS = st.lists(st.sampled_from([1.0, -1.0]), min_size=4, max_size=4).map(np.array)
Table = tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64]]


def table(seed: int, classifies: bool, missing: float, rows: int = 120) -> Table:
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=int(n)).round(2) for n in rng.integers(2, 9, 4)]
    X = np.stack([rng.choice(own, rows) for own in values], axis=1)
    noisy = X[:, 0] * 2 + (X[:, 1] > 0) * X[:, 2] + rng.normal(size=rows)
    X[rng.random(X.shape) < missing] = np.nan
    y = np.digitize(noisy, [-0.5, 1.0][: 1 + seed % 2]) if classifies else noisy
    return X, y, rng.uniform(0.5, 2, rows)


def said(estimator: Any, X: NDArray[np.float64], rest: Table) -> NDArray[np.float64]:
    _, y, weight = rest
    model = type(estimator)(**estimator.get_params())
    model.fit(X, y, silos=np.arange(len(y)) % 3, sample_weight=weight, row_id=np.arange(len(y)))
    return np.asarray(model.predict_proba(X) if model._classifies else model.predict(X), np.float64)


@pytest.mark.slow_without_jit
@examples(50)
@given(
    estimator=st.sampled_from(BOOSTED + BY_IMPURITY), signs=SIGNS, missing=st.sampled_from([0.0, 0.15]),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_negated_columns_mirror_the_trees(estimator: Any, signs: Any, missing: float, seed: int) -> None:
    rest = table(seed, estimator._classifies, missing)
    np.testing.assert_allclose(said(estimator, rest[0] * signs, rest), said(estimator, rest[0], rest), rtol=1e-5)


@pytest.mark.slow_without_jit
@examples(25)
@given(
    estimator=st.sampled_from(EXTREMELY_RANDOM), signs=SIGNS, missing=st.sampled_from([0.0, 0.15]),
    chance=st.floats(0.01, 0.99), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_negated_columns_and_draws_mirror_extremely_random_trees(
    estimator: Any, signs: Any, missing: float, chance: float, seed: int
) -> None:
    """A draw of 1 - c in a negated column is one of c in the column: here all draws of a column are the same."""
    chance += 1e-3 * np.sqrt(2)  # on no value
    rest = table(seed, estimator._classifies, missing)
    both = []
    for own in (np.ones(4), signs):
        chances = np.where(own > 0, chance, 1 - chance)
        with patch.object(NodeDraws, "draw", lambda _, round, trees, nodes, c=chances: np.tile(c, (len(nodes), 1))):
            both.append(said(estimator, rest[0] * own, rest))
    np.testing.assert_allclose(both[1], both[0], rtol=1e-6)


# -- draws, by how often they come ----------------------------------------------------------------------------


def root_cuts(values: list[float], trees: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many roots cut each gap between the values: of ours, and of scikit-learn's."""
    X = np.repeat(values, 20)[:, None]
    y = np.arange(len(X)) % 2
    own = FedExtraTreesClassifier(trees, max_depth=1).fit(X, y)
    theirs = [ExtraTreeClassifier(max_depth=1, random_state=seed).fit(X, y) for seed in range(trees)]
    return tuple(
        np.histogram([tree.tree_.threshold[0] for tree in forest], values)[0] for forest in (own.estimators_, theirs)
    )


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("values", [[0.0, 1, 2], [-2.0, -1, 0], [0.0, 1, 10], [-10.0, -1, 0], [3.0, 4, 7, 7.5, 12]])
def test_thresholds_are_drawn_as_often_as_scikit_learn_draws_them(values: list[float]) -> None:
    trees = 600
    own, theirs = root_cuts(values, trees)
    gaps = np.diff(values) / (values[-1] - values[0])
    allowed = 4.5 * np.sqrt(trees * gaps * (1 - gaps))
    assert (np.abs(own - trees * gaps) <= allowed).all() and (np.abs(theirs - trees * gaps) <= allowed).all()


@pytest.mark.slow_without_jit
def test_wide_bins_are_cut_about_where_scikit_learn_cuts_within_them() -> None:
    """Of columns with more values than bins, in both directions: the shares of rows that go left at the root."""
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=1000))
    shares = {}
    for sign in (1, -1):
        y = rng.integers(0, 2, 1000)
        forests = FedExtraTreesClassifier(500, max_depth=1), ExtraTreesClassifier(500, max_depth=1)
        for name, forest in zip("ot", forests, strict=True):
            forest.set_params(random_state=1).fit(sign * x[:, None], y)
            cuts = np.array([sign * tree.tree_.threshold[0] for tree in forest.estimators_])
            shares[name, sign] = np.sort((x < cuts[:, None]).mean(axis=1)).mean()
    for sign in (1, -1):
        assert shares["o", sign] == pytest.approx(shares["t", sign], abs=0.05)
    assert shares["o", 1] == pytest.approx(shares["o", -1], abs=0.03)


@pytest.mark.slow_without_jit
def test_genotypes_are_told_as_well_in_either_direction_as_by_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    X = rng.binomial(2, 0.3, (1500, 30)).astype(float)
    score = X @ (rng.normal(size=30) * (np.arange(30) < 12))
    y = (score + rng.normal(size=1500) / 2 > np.median(score)).astype(int)
    accuracy = {}
    for name, Z in (("as is", X), ("mirrored", 2 - X)):
        own, theirs = (
            kind(60, max_depth=4, random_state=0).fit(Z[:900], y[:900]).score(Z[900:], y[900:])
            for kind in (FedExtraTreesClassifier, ExtraTreesClassifier)
        )
        accuracy[name] = own
        assert own == pytest.approx(theirs, abs=0.04)
    assert accuracy["as is"] == pytest.approx(accuracy["mirrored"], abs=0.03)


@pytest.mark.slow_without_jit
def test_random_forests_of_drawn_features_cut_negated_columns_as_often() -> None:
    X, y, weight = table(3, classifies=True, missing=0.1, rows=300)
    roots = []
    for sign in (1, -1):
        forest = FedForestClassifier(400, max_depth=1, random_state=7).fit(sign * X, y, sample_weight=weight)
        nodes = [tree.tree_ for tree in forest.estimators_]
        roots.append({f: sign * np.median([t.threshold[0] for t in nodes if t.feature[0] == f]) for f in range(4)})
        roots[-1] |= {f"n{f}": np.mean([t.feature[0] == f for t in nodes]) for f in range(4)}
    for key, own in roots[0].items():
        assert own == pytest.approx(roots[1][key], abs=0.12)
