"""What a split of a tree by impurity must reach, exactly there: scikit-learn's, with weights of rows and of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from fedtrees import FedForestRegressor, FedTreeClassifier, FedTreeRegressor, Silo
from fedtrees.core.data.row_ids import placed_row_ids
from fedtrees.trees.messages.out_of_bag import OutOfBag
from fedtrees.trees.model.row_draws import RowDraws

# four values of two, two, four and eight rows: shares, masses and what splits save are binary fractions
X = np.repeat([0.0, 1.0, 2.0, 3.0], [2, 2, 4, 8])[:, None]
Y = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0])
SILOS = np.arange(16) % 3


def same(own: Any, theirs: Any, y: Any = Y, **fit: Any) -> int:
    """Fit both; returns the leaves that both have."""
    own.fit(X, y, silos=SILOS, **fit)
    theirs.fit(X, y, **fit)
    assert own.get_n_leaves() == theirs.get_n_leaves()
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=1e-6)
    return int(theirs.get_n_leaves())


def decreases(tree: Any) -> list[float]:
    """What each split saves, as scikit-learn compares it."""
    found = []
    for node in np.flatnonzero(tree.children_left >= 0):
        left, right = tree.children_left[node], tree.children_right[node]
        mass = tree.weighted_n_node_samples
        below = (mass[left] * tree.impurity[left] + mass[right] * tree.impurity[right]) / mass[node]
        found.append(float(mass[node] / mass[0] * (tree.impurity[node] - below)))
    return found


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_split_that_saves_exactly_the_least_is_made(kind: str) -> None:
    ours, theirs = (
        (FedTreeClassifier, DecisionTreeClassifier) if kind == "classes" else (FedTreeRegressor, DecisionTreeRegressor)
    )
    y = Y if kind == "classes" else np.repeat([0.0, 4.0, 8.0, 8.0], [2, 2, 4, 8])
    saved = decreases(theirs(random_state=0).fit(X, y).tree_)
    leaves = set()
    for value in saved:
        for near in (value * (1 - 1e-6), value, value * (1 + 1e-6)):
            given = {"min_impurity_decrease": near}
            leaves.add(same(ours(**given), theirs(**given, random_state=0), y))
    assert len(leaves) > 2


@pytest.mark.parametrize(
    "given",
    [
        {"min_samples_split": 1.0}, {"min_samples_split": 0.5}, {"min_samples_split": 0.25}, {"min_samples_split": 8},
        {"min_samples_split": 9}, {"min_samples_leaf": 0.5}, {"min_samples_leaf": 0.25}, {"min_samples_leaf": 0.125},
        {"min_samples_leaf": 2}, {"min_samples_leaf": 3}, {"min_weight_fraction_leaf": 0.125},
        {"min_weight_fraction_leaf": 0.25}, {"min_weight_fraction_leaf": 0.5},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("weights", [None, {0: 1, 1: 4}, {0: 0.25, 1: 1}, "balanced"], ids=str)
def test_rows_are_counted_and_weights_are_weighed(given: dict[str, Any], weights: Any) -> None:
    """Samples are rows, whatever their classes weigh; a weight fraction is of what all weigh so."""
    leaves = same(
        FedTreeClassifier(class_weight=weights, **given),
        DecisionTreeClassifier(class_weight=weights, random_state=0, **given),
    )
    if weights is None:
        y = np.repeat([0.0, 4.0, 8.0, 9.0], [2, 2, 4, 8])
        leaves = same(FedTreeRegressor(**given), DecisionTreeRegressor(random_state=0, **given), y)
    assert leaves >= 1


@pytest.mark.parametrize("given", [{"min_samples_leaf": 8}, {"min_samples_split": 9}], ids=str)
@pytest.mark.parametrize("kind", [FedTreeClassifier, FedTreeRegressor])
def test_nodes_too_small_to_split_are_not_asked_for(kind: Any, given: dict[str, Any]) -> None:
    """Two children of eight rows each: the silos are asked no more than of one level."""
    kinds = []
    for limits in ({"max_depth": 1}, {"max_depth": 5}):
        model = kind(**limits, **given).fit(X, np.repeat([0, 1], 8))
        assert model.get_n_leaves() == 2
        mixed = kind(**limits, **given).fit(X, np.where(np.arange(16) % 8 == 3, 1, np.repeat([0, 1], 8)))
        kinds.append(mixed.ledger_.per_round()["kind"].tolist())
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("given", [{"min_weight_fraction_leaf": 0.25}, {"min_weight_fraction_leaf": 0.5}], ids=str)
def test_weights_of_rows_are_part_of_the_fraction(given: dict[str, Any]) -> None:
    weight = np.repeat([8.0, 1.0, 1.0, 1.0], [2, 2, 4, 8])
    same(FedTreeClassifier(**given), DecisionTreeClassifier(**given, random_state=0), sample_weight=weight)


# -- rows out of the bag ----------------------------------------------------------------------------------------


def predicted(question: OutOfBag, rows: Any, ids: Any, kinds: Any) -> tuple[list[Any], list[int]]:
    """By a walk of each row through each tree that did not draw it, in whole numbers of any size."""
    mask = 2**64 - 1

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & mask
        return word ^ (word >> 31)

    starts = [0, *question.ends.tolist()[:-1]]
    keys = [own.keys(tree) for own in question.draws for tree in range(own.trees)]
    shares = [own.shares()[:, 0].tolist() for own in question.draws for _ in range(own.trees)]
    means, times = [], []
    for row, name, kind in zip(rows, ids, kinds, strict=True):
        said = []
        for start, (first, second), share in zip(starts, keys, shares, strict=True):
            if mixed((mixed(int(name) ^ int(first)) + int(second)) & mask) >> 11 < share[kind % len(share)]:
                continue
            at = start
            while question.feature[at] >= 0:
                x = row[question.feature[at]]
                left = question.missing_left[at] if np.isnan(x) else x <= question.threshold[at]
                at = start + (question.left[at] if left else question.right[at])
            said.append(question.values[at])
        means.append(np.mean(said, axis=0) if said else np.zeros(question.values.shape[1]))
        times.append(len(said))
    return means, times


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("factors", [None, [1.0, 0.25, 2.0]], ids=str)
def test_rows_out_of_the_bag_walk_their_trees(factors: list[float] | None, share: float) -> None:
    """Among them rows exactly at a threshold, and rows that miss the feature, of nodes that send these either way."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, (70, 2)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    kinds = np.zeros(70, int) if factors is None else rng.integers(0, 3, 70)
    silo = Silo("a", rows, rng.normal(size=70) if factors is None else kinds, n_jobs=1)
    by_class = np.array(factors or [])
    question = OutOfBag(
        rows=70, labels=None if factors is None else [0, 1, 2], ends=np.array([3, 8, 9]),
        draws=[RowDraws(2, 3, 0, share, by_class), RowDraws(1, 3, 1, share, by_class)],
        feature=np.int32([0, -1, -1, 1, 0, -1, -1, -1, -1]), threshold=np.array([1.0, 0, 0, 2, 1, 0, 0, 0, 0]),
        missing_left=np.array([True, False, False, False, True, False, False, False, False]),
        left=np.int32([1, -1, -1, 1, 3, -1, -1, -1, -1]), right=np.int32([2, -1, -1, 2, 4, -1, -1, -1, -1]),
        values=np.arange(9.0)[:, None] ** np.arange(2, 3 if factors is None else 5), centre=np.zeros(1),
    )  # fmt: skip
    found, times = question.predictions(silo)
    means, expected = predicted(question, rows, placed_row_ids(["a"], np.array([0, 70])), kinds)
    assert times.tolist() == expected and len(set(expected)) > 2
    np.testing.assert_allclose(found, means, rtol=1e-12)


def test_targets_without_spread_have_no_score() -> None:
    """R2 divides by the spread, of each target: where one has none, nothing is said."""
    flat = np.column_stack([np.arange(40.0), np.ones(40)])
    for y, known in ((flat[:, 0], True), (flat[:, 1], False), (flat, False), (flat[:, [0, 0]], True)):
        model = FedForestRegressor(30, oob_score=True, max_depth=3, random_state=0, n_jobs=1)
        model.fit(np.arange(40.0)[:, None], y)
        assert (model.oob_score_ is not None) == known
