"""Sums of more rows than a packed word of 32 bits a half can hold, by count, weight and draws: exact all the same.

A bin of one value takes all rows, each as heavy as can be, so that a word that is emptied a row too late runs over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flat import of_trees

from fedtrees import (
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreeRegressor,
    LocalFederation,
    Silo,
)
from fedtrees.core.data.row_ids import placed_row_ids
from fedtrees.trees.kernels.histogram import WORD_ROWS
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.row_draws import RowDraws

N = 2 * WORD_ROWS + 5
X = np.zeros((N, 2), np.float32)
X[:, 1] = np.arange(N) % 2
GIVEN: dict[str, Any] = {"n_estimators": 1, "reg_lambda": 0.0, "learning_rate": 1.0, "base_score": 0.0, "n_jobs": 1}


def covers(model: Any) -> list[float]:
    """Of the nodes in their order."""
    table = model.booster_.trees_to_dataframe()
    return [float(own) for own in table.Cover]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("depth", [1, 2])
def test_sums_of_as_many_rows_as_there_are(depth: int, sign: float) -> None:
    """A gradient that is the largest of all in every row: of the root, and of nodes further down."""
    table = np.column_stack([X, np.arange(N) % 4 < 2, np.zeros(N)])
    y = np.full(N, sign, np.float32)
    model = FedGBTRegressor(**GIVEN, max_depth=depth).fit(table, y, silos=np.arange(N) % 3)
    assert covers(model)[0] == N
    np.testing.assert_allclose(model.predict(table), y, rtol=1e-6)
    y += np.float32(sign) * (table[:, 1] + 2 * table[:, 2]).astype(np.float32)
    model = FedGBTRegressor(**GIVEN, max_depth=2).fit(table, y, silos=np.arange(N) % 3)
    halves = [np.count_nonzero(table[:, 2] == k) for k in (0, 1)]
    assert covers(model)[:3] == [N, *halves]
    np.testing.assert_allclose(model.predict(table), y, rtol=1e-5)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("weight", [2, 16])
def test_rows_that_count_several_times_are_as_many_rows(weight: int) -> None:
    y = (X[:, 1] + 1).astype(np.float32)
    weights = np.full(N, weight, np.float32)
    weights[0] = 1
    heavy = FedGBTRegressor(**GIVEN, max_depth=2).fit(X, y, sample_weight=weights, silos=np.arange(N) % 3)
    often = FedGBTRegressor(**GIVEN, max_depth=2).fit(*(np.repeat(own, weights.astype(int), axis=0) for own in (X, y)))
    assert heavy.booster_.save_raw() == often.booster_.save_raw()
    assert covers(heavy)[0] == weights.sum()
    np.testing.assert_allclose(heavy.predict(X), y, rtol=1e-6)
    classes = FedGBTClassifier(**GIVEN | {"base_score": 0.5}, max_depth=1).fit(X, X[:, 1], sample_weight=weights)
    assert covers(classes)[0] == pytest.approx(weights.sum() / 4, rel=1e-6)
    tree = FedTreeRegressor(max_depth=1).fit(X, y, sample_weight=weights)
    assert tree.tree_.weighted_n_node_samples[0] == weights.sum()
    np.testing.assert_allclose(tree.predict(X), y, rtol=1e-6)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("share", [1.0, 12.0])
def test_rows_that_are_drawn_several_times_are_as_many_rows(share: float) -> None:
    """As often as a Poisson variable says that is read off each row's draw, for both ways that forests sum rows."""
    y = (X[:, 1] + 1).astype(np.float32)
    for features in (None, 1):
        given: dict[str, Any] = {"max_depth": 1, "max_features": features, "random_state": 5, "n_jobs": 1}
        model = FedForestRegressor(2, max_samples=round(share * N), **given).fit(X, y)
        draws = RowDraws(2, 5, 0, round(share * N) / N)
        shares = draws.shares()[0]
        for tree, own in enumerate(model.estimators_):
            keys = draws.keys(tree)
            lots = mixed(mixed(placed_row_ids(["all"], np.array([0, N])) ^ keys[0]) + keys[1]) >> np.uint64(11)
            times = (lots[:, None] < shares).sum(axis=1)
            assert abs(times.mean() - share) < 0.1 * share and times.max() > share
            assert own.tree_.weighted_n_node_samples[0] == times.sum()
            by_value = [times[X[:, 1] == k].sum() for k in (0, 1)]
            assert own.tree_.weighted_n_node_samples[1:].tolist() in (by_value, [])


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("features", [1, 2])
def test_histograms_of_rows_that_are_drawn_several_times_are_their_sums(features: int) -> None:
    """Each row's words as often as it was drawn, of a root and of nodes below, in bins that hold nearly all rows."""
    table, y = X[:, :features], np.where(np.arange(N) % 2, -1.0, 1.0)
    silo = Silo("all", table, y, n_jobs=1)
    begin = Begin(
        "reg:squarederror", None, np.zeros(1, np.float32), np.float32([1, 2] * features), np.arange(features + 1) * 2,
        np.zeros(features, bool), bootstrap=True, subsample=12.0, seed=5,
    )  # fmt: skip
    begin.apply(silo)
    keys, shares = begin.draws().keys(0), begin.draws().shares()[0]
    lots = mixed(mixed(placed_row_ids(["all"], np.array([0, N])) ^ keys[0]) + keys[1]) >> np.uint64(11)
    times = (lots[:, None] < shares).sum(axis=1)
    stump = {
        "feature": np.int32([features - 1, -1, -1]), "bin": np.zeros(3, np.int32), "default_left": np.zeros(3, bool),
        "left": np.int32([1, -1, -1]),
    }  # fmt: skip
    below = table[:, features - 1] >= 1
    for nodes, build, masks in ((1, [0], [np.ones(N, bool)]), (3, [1, 2], [~below, below])):
        arrays = {name: own[1:2] if nodes == 1 else own for name, own in stump.items()}
        query = of_trees(
            Histograms, rows=20 * N, features=features, bins=2 * features, exponents=GradientScale(0, 0), **arrays,
            build=np.int32(build), build_ends=np.int32([len(build)]),
        )  # fmt: skip
        found = query.read(query.ask(silo))
        for node, mask in zip(found, masks, strict=True):
            for f in range(features):
                rows = [mask & (table[:, f] == b) for b in (0, 1)]
                assert node[1, 2 * f : 2 * f + 2].tolist() == [int(times[own].sum()) << 20 for own in rows]
                assert node[0, 2 * f : 2 * f + 2].tolist() == [-int((times * y)[own].sum()) << 19 for own in rows]


def mixed(words: Any) -> Any:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_draws_of_more_rows_than_there_are_stay_within_what_silos_state(mode: str) -> None:
    rows, y = np.zeros((90, 2)), np.arange(90) % 2
    rows[:, 1] = y
    silos = [Silo(str(k), rows[30 * k : 30 * k + 30], y[30 * k : 30 * k + 30], n_jobs=1) for k in range(3)]
    for features in (None, 1):
        model = FedForestClassifier(3, max_samples=900, max_features=features, random_state=0)
        model.fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
        assert all(600 < tree.tree_.weighted_n_node_samples[0] < 1200 for tree in model.estimators_)
