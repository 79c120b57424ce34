"""Leaves that say quantiles, of few rows and at exact ranks: XGBoost's rule written out, and its own leaves."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import DataError, FedGBTRegressor
from fedtrees.trees.losses import gradients, loss_named
from fedtrees.trees.messages.leaf_quantiles import ResidualRanks
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.row_draws import keys_of
from fedtrees.trees.server.growing_tree import GrowingTree
from fedtrees.trees.server.quantile_leaves import Quantile

EIGHTHS = [k / 8 for k in range(1, 8)]  # which floats tell exactly


def quantile(values: Any, alpha: Fraction) -> Fraction:
    """XGBoost's, between two neighbours at ``alpha * (n + 1)``: common/stats.h."""
    ordered, n = sorted(values), len(values)
    x = alpha * (n + 1)
    if x <= 1:
        return Fraction(ordered[0])
    if x >= n:
        return Fraction(ordered[-1])
    k = int(x)
    return ordered[k - 1] + (x - k) * (Fraction(ordered[k]) - ordered[k - 1])


def weighted_quantile(values: Any, weights: Any, alpha: Fraction) -> int:
    """The first value up to which lies a share of alpha of the weight."""
    total, upto = sum(weights), 0
    for value, weight in sorted(zip(values, weights, strict=True)):
        upto += weight
        if upto >= alpha * total:
            return int(value)
    raise AssertionError


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=20),
    st.sampled_from(EIGHTHS) | st.floats(0.001, 0.999),
)
def test_ranks_are_xgboosts_of_rows_alike(values: list[int], alpha: float) -> None:
    ordered = sorted(values)
    low, high, between = Quantile((alpha,), weighted=False).ranks(len(values))
    assert 0 <= low <= high < len(values) and 0 <= between < 1
    exact = quantile(values, Fraction(alpha))
    found = ordered[low] + between * (ordered[high] - ordered[low])
    assert found == pytest.approx(float(exact), abs=1e-12 + 1e-9 * abs(float(exact)))


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), min_size=1, max_size=20), st.sampled_from(EIGHTHS))
def test_ranks_are_the_first_that_reaches_the_share_of_the_weight(rows: list[tuple[int, int]], alpha: float) -> None:
    values, weights = zip(*rows, strict=True)
    units = np.repeat(*(np.array(part)[np.argsort(values, kind="stable")] for part in (values, weights)))
    low, high, between = Quantile((alpha,), weighted=True).ranks(len(units))
    assert low == high and between == 0
    assert units[low] == weighted_quantile(values, weights, Fraction(alpha))


def test_each_output_has_a_rank_of_its_own() -> None:
    several = Quantile((0.25, 0.5, 0.75), weighted=False)
    assert [several.ranks(3, k) for k in range(3)] == [(0, 0, 0.0), (1, 2, 0.0), (2, 2, 0.0)]


@pytest.mark.parametrize("alpha", EIGHTHS)
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_leaves_of_few_rows_are_xgboosts(rows: int, alpha: float) -> None:
    """Where ``alpha * (n + 1)`` is 1, n or whole, a value itself is meant, and there is none beyond the last."""
    X = np.repeat(np.arange(2.0), rows)[:, None]
    y = np.r_[np.arange(rows) ** 2, 100 + np.arange(rows) ** 2].astype(np.float32)
    given: dict[str, Any] = {
        "n_estimators": 1, "max_depth": 1, "learning_rate": 0.5, "objective": "reg:quantileerror", "base_score": 0.0,
        "quantile_alpha": alpha, "min_child_weight": 0, "reg_lambda": 0,
    }  # fmt: skip
    own = FedGBTRegressor(**given, n_jobs=1).fit(X, y, silos=np.arange(2 * rows) % 2).predict(X)
    theirs = xgboost.XGBRegressor(**given, tree_method="hist").fit(X, y).predict(X)
    np.testing.assert_allclose(own, theirs, rtol=1e-6)
    if len(set(own.tolist())) == 2:
        halves = [quantile(y[X[:, 0] == k].astype(int).tolist(), Fraction(alpha)) / 2 for k in (0, 1)]
        np.testing.assert_allclose(own[[0, rows]], np.array(halves, float), rtol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_leaves_are_quantiles_of_the_rows_that_their_tree_drew(several: bool) -> None:
    """Of each output and tree side by side its own: as the rows that a tree drew, by their ids, say by hand."""
    rng = np.random.default_rng(0)
    X, y = np.repeat([0.0, 1.0], 40)[:, None], rng.permutation(80).astype(np.float32)
    alphas = [0.25, 0.75] if several else [0.25]
    model = FedGBTRegressor(
        1, max_depth=1, learning_rate=1.0, objective="reg:quantileerror", quantile_alpha=alphas, subsample=0.5,
        num_parallel_tree=2, min_child_weight=0, reg_lambda=0, base_score=0.0, random_state=3, n_jobs=1,
    ).fit(X, y, row_id=np.arange(80), silos=np.arange(80) % 3)  # fmt: skip
    table = model.booster_.trees_to_dataframe()
    leaves = {tree: own.Gain.to_numpy()[own.Feature == "Leaf"] for tree, own in table.groupby("Tree")}
    assert len(leaves) == 2 * len(alphas)
    for tree, found in leaves.items():
        drawn = drawn_by(keys_of(3, tree, 0), 0.5)
        sides = [drawn & (X[:, 0] == k) for k in (0, 1)] if len(found) == 2 else [drawn]
        # the two trees of an output share the learning rate
        by_hand = [float(quantile(y[own].astype(int).tolist(), Fraction(alphas[tree // 2]))) / 2 for own in sides]
        np.testing.assert_allclose(found, np.array(by_hand), rtol=1e-6)


def test_rows_are_drawn_anew_for_each_tree_round_and_seed() -> None:
    keys = [keys_of(*given).tobytes() for given in np.ndindex(3, 4, 5)]
    assert len(set(keys)) == 60


def drawn_by(keys: Any, share: float) -> Any:
    """See `core.data.row_ids.drawn`, in whole numbers of any size."""
    mask = 2**64 - 1

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & mask
        return word ^ (word >> 31)

    first, second = (int(key) for key in keys)
    lots = [mixed((mixed(row ^ first) + second) & mask) >> 11 for row in range(80)]
    return np.array(lots) < share * 2**53


def test_a_leaf_that_no_row_reaches_says_nothing() -> None:
    question = Quantile((0.5, 0.5), weighted=False)
    counts = {0: [0, 0], 1: [3, 0]}

    def count(low: Any, log_keys: int, log_child: int) -> Any:
        out = np.zeros((2, 2, 1 << (log_keys - log_child)), np.int64)
        for leaf, (rows, _) in counts.items():
            key = 0xBF800000  # of 1.0
            for side in range(2):
                offset = key - int(low[leaf, side])
                if 0 <= offset < 1 << log_keys:
                    out[leaf, side, offset >> log_child] += rows
        return out

    assert question.search(np.array([0, 1]), count).tolist() == [0.0, 1.0]
    two = ResidualRanks(5, None, FlatTrees.of([GrowingTree(), GrowingTree()]), np.zeros((2, 2), np.uint32), 32, 22)
    assert two.touches() == 4 and two.size() == 2 * 2 * 1024  # a row in both of its intervals, of each tree


@pytest.mark.parametrize(
    ("alphas", "least"), [([0.5], 0.5), ([0.25], 0.25), ([0.75], 0.25), ([0.999], 0.001), ([0.5, 0.9, 0.2], 0.1)]
)
def test_the_least_gradient_is_that_of_the_quantile_furthest_out(alphas: list[float], least: float) -> None:
    loss = loss_named("reg:quantileerror", {"quantile_alpha": alphas})
    assert loss.least_share(np.ones(1)) == pytest.approx(least)
    y = np.zeros((2, len(alphas)), np.float32) if len(alphas) > 1 else np.zeros(2, np.float32)
    g, _ = gradients(loss, np.tile(np.float32([-1, 1]), (len(alphas), 1)), y)
    assert np.abs(g).min() == pytest.approx(least, rel=1e-4)


def test_leaves_beyond_float32_are_refused() -> None:
    X, y = np.arange(20.0)[:, None], np.where(np.arange(20) < 10, -1.5e38, 1.5e38)
    given: dict[str, Any] = {"n_estimators": 3, "max_depth": 1, "objective": "reg:absoluteerror", "min_child_weight": 0}
    FedGBTRegressor(**given, learning_rate=1.0).fit(X, y)
    with pytest.raises(DataError, match=r"^round 0: a leaf is beyond float32; lower learning_rate, or scale y down"):
        FedGBTRegressor(**given, learning_rate=3.0).fit(X, y)
