"""Split finding against an exhaustive search."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import examples

from fedtrees.core.numeric.threads import Threads
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G, STATISTIC_BITS_H
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.server.split import SMALLEST_GAIN, SplitRule, Splits, Units, best_splits

seeds = st.integers(0, 2**32 - 1)
rules = st.builds(
    SplitRule,
    reg_lambda=st.sampled_from([0.0, 0.1, 1.0]),
    reg_alpha=st.sampled_from([0.0, 0.0, 0.3, 5.0]),
    gamma=st.sampled_from([0.0, 0.0, 0.5, 1e9]),
    min_child_weight=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    max_cat_to_onehot=st.sampled_from([1, 4, 9]),
    max_cat_threshold=st.sampled_from([1, 3, 64]),
)
UNITS = Units(2.0**-10, 2.0**-12)


def random_node(
    rng: np.random.Generator, n_bins: NDArray[np.int64], n_rows: int, few: bool
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """The histogram of some random rows, int64 (2, bins), and their sums; few different statistics tie often."""
    codes = rng.integers(0, n_bins, (n_rows, len(n_bins)))
    if few:
        codes[:, -1] = np.minimum(codes[:, 0], n_bins[-1] - 1)  # a column that says what another says
        g, h = rng.choice([-512, 0, 512], n_rows), np.full(n_rows, 1024)
    else:
        g, h = rng.integers(-2000, 2001, n_rows), rng.integers(0, 4001, n_rows)
    offsets = np.concatenate(([0], np.cumsum(n_bins)))
    sums = twins.histogram(codes, g, h, np.arange(n_rows), offsets)
    return sums, (int(g.sum()), int(h.sum()))


def random_layout(rng: np.random.Generator, few: bool, categories: bool = False) -> Cuts:
    """Features of up to eight bins, some of them with one for the missing, one perhaps with no other."""
    n_values, missing = rng.integers(1, 9, rng.integers(1, 6)), None
    missing = rng.random(len(n_values)) < 0.5
    n_values[missing & (rng.random(len(n_values)) < 0.2)] = 0
    if few:
        n_values[-1], missing[-1] = n_values[0], missing[0]
    offsets = np.concatenate(([0], np.cumsum(n_values)))
    categorical = (rng.random(len(n_values)) < 0.5) & categories
    return Cuts(np.arange(offsets[-1], dtype=np.float32), offsets, missing, categorical)


# law: best_splits
@examples(300, plain=300)
@given(
    seed=seeds, few=st.booleans(), rule=rules, n_nodes=st.integers(1, 5), n_jobs=st.integers(1, 3),
    categories=st.booleans(),
)  # fmt: skip
def test_splits_are_those_of_an_exhaustive_search(
    seed: int, few: bool, rule: SplitRule, n_nodes: int, n_jobs: int, categories: bool
) -> None:
    rng = np.random.default_rng(seed)
    cuts = random_layout(rng, few, categories)
    nodes = [random_node(rng, cuts.n_bins, int(rng.integers(0, 40)), few) for _ in range(n_nodes)]
    histograms, totals = np.stack([sums for sums, _ in nodes]), np.array([total for _, total in nodes])

    splits = best_splits(histograms, np.arange(len(totals)), totals, cuts, rule, UNITS, Threads(n_jobs))

    for node, (sums, total) in enumerate(nodes):
        gain, best = twins.best_split(sums.tolist(), total, cuts, rule, UNITS)
        if best is None or gain <= SMALLEST_GAIN or gain < rule.gamma:
            assert splits.feature[node] == -1
            continue
        assert (splits.feature[node], splits.bin[node]) == (best.feature, best.bin)
        assert splits.default_left[node] == best.default_left
        right = splits.categories.get(node)
        assert (None if right is None else right.tolist()) == (None if best.right is None else sorted(best.right))
        assert splits.gain[node] == gain
        assert splits.left[node].tolist() == [best.g, best.h]
        assert splits.right[node].tolist() == [total[0] - best.g, total[1] - best.h]


@examples(100, plain=100)
@given(seed=seeds, few=st.booleans(), rule=rules)
def test_no_split_gains_more_in_exact_arithmetic(seed: int, few: bool, rule: SplitRule) -> None:
    rng = np.random.default_rng(seed)
    cuts = random_layout(rng, few)
    sums, total = random_node(rng, cuts.n_bins, int(rng.integers(1, 40)), few)
    splits = best_splits(sums[None], np.zeros(1, np.int64), np.array([total]), cuts, rule, UNITS, Threads(1))
    exact = {split: twins.gain(split, total, rule, UNITS, Fraction) for split in twins.candidates(sums.tolist(), cuts)}
    most = max((gain for gain in exact.values() if gain is not None), default=Fraction(0))
    scale = 1e-12 * (1 + abs(total[0] * UNITS.g) ** 2)
    if splits.feature[0] < 0:
        assert most <= max(SMALLEST_GAIN, rule.gamma) + scale
        return
    found = (int(splits.feature[0]), int(splits.bin[0]), bool(splits.default_left[0]))
    (own,) = (gain for split, gain in exact.items() if split[:3] == found)
    assert own >= most - Fraction(scale)
    assert splits.gain[0] == pytest.approx(float(own), rel=1e-9, abs=scale)


def one_feature(g: list[int], h: list[int], missing: bool = False, rule: SplitRule | None = None) -> Splits:
    """The best split of one feature's bins, each unit standing for 1."""
    n = len(g) - missing
    cuts = Cuts(np.arange(n, dtype=np.float32), np.array([0, n]), np.array([missing]))
    sums = np.array([[g, h]])
    return best_splits(
        sums, np.arange(len(sums)), sums.sum(axis=2), cuts, rule or SplitRule(), Units(1.0, 1.0), Threads(1)
    )


# law: best_splits
def test_ties_go_to_the_lowest_feature_and_bin() -> None:
    # both features, and in each the cuts after bin 0 and after bin 2, gain the same
    g, h = [-4, 4, -4, 4] * 2, [2, 2, 2, 2] * 2
    cuts = Cuts(np.arange(8, dtype=np.float32), np.array([0, 4, 8]), np.array([False, False]))
    splits = best_splits(
        np.array([[g, h]]), np.zeros(1, np.int64), np.array([[0, 8]]), cuts, SplitRule(), Units(1.0, 1.0), Threads(1)
    )
    assert (splits.feature[0], splits.bin[0], splits.default_left[0]) == (0, 0, False)


def test_a_gap_of_empty_bins_is_cut_at_its_lowest_end() -> None:
    assert one_feature([-5, 0, 0, 5], [3, 0, 0, 3]).bin.tolist() == [0]


# law: best_splits
def test_the_missing_go_where_they_gain_and_right_where_it_is_all_the_same() -> None:
    left = one_feature([-5, 5, -5], [3, 3, 3], missing=True)
    right = one_feature([-5, 5, 5], [3, 3, 3], missing=True)
    nobody = one_feature([-5, 5, 0], [3, 3, 0], missing=True)
    assert [s.default_left[0] for s in (left, right, nobody)] == [True, False, False]
    assert left.left.tolist() == [[-10, 6]] and right.left.tolist() == [[-5, 3]]


def test_the_present_may_part_from_the_missing() -> None:
    splits = one_feature([-3, -3, 6], [3, 3, 6], missing=True)
    assert (splits.feature[0], splits.bin[0], splits.default_left[0]) == (0, 1, False)
    assert splits.left.tolist() == [[-6, 6]] and splits.right.tolist() == [[6, 6]]


def test_what_a_split_must_reach() -> None:
    g, h = [-5, 5], [3, 3]
    assert one_feature(g, h).gain[0] == 25 / 4 + 25 / 4
    assert one_feature(g, h, rule=SplitRule(gamma=12.5)).feature.tolist() == [0]
    assert one_feature(g, h, rule=SplitRule(gamma=12.51)).feature.tolist() == [-1]
    assert one_feature(g, h, rule=SplitRule(min_child_weight=3)).feature.tolist() == [0]
    assert one_feature(g, h, rule=SplitRule(min_child_weight=3.01)).feature.tolist() == [-1]
    assert one_feature(g, h, rule=SplitRule(reg_alpha=4)).gain[0] == 2 * 1 / 4
    assert one_feature(g, h, rule=SplitRule(reg_alpha=5)).feature.tolist() == [-1]
    assert one_feature([0, 0], h).feature.tolist() == [-1]
    for more, feature in ((1_999_999, -1), (1_999_998, 0), (2_000_000, -1)):  # XGBoost's kRtEps: above 1e-6
        assert one_feature([-1, 1], [more, more]).feature.tolist() == [feature]
    assert one_feature([-5], [3]).feature.tolist() == [-1]


def test_nodes_without_rows_are_not_split() -> None:
    assert one_feature([0, 0], [0, 0], rule=SplitRule(min_child_weight=0, reg_lambda=0)).feature.tolist() == [-1]


def test_huge_sums_do_not_overflow() -> None:
    rows = 2**31
    g, h = [-(rows << STATISTIC_BITS_G), rows << STATISTIC_BITS_G], [rows << STATISTIC_BITS_H] * 2
    splits = one_feature(g, h)
    assert splits.feature.tolist() == [0] and np.isfinite(splits.gain).all()
    assert splits.left.tolist() == [[g[0], h[0]]]


@examples(100, plain=100)
@given(
    g=st.integers(-(10**6), 10**6), h=st.integers(0, 10**6), rule=rules, most=st.sampled_from([0.0, 0.05, 0.7, 30.0]),
    rate=st.sampled_from([1.0, 0.3]),
)  # fmt: skip
def test_leaves_are_those_of_the_twin(g: int, h: int, rule: SplitRule, most: float, rate: float) -> None:
    rule = replace(rule, max_delta_step=most, learning_rate=rate)
    own = rule.leaf(np.array([g * UNITS.g]), np.array([h * UNITS.h]))
    assert own.dtype == np.float32
    assert own.tobytes() == twins.leaf(g, h, rule, UNITS).tobytes()


def test_a_leaf_is_newtons_step() -> None:
    rule = SplitRule(reg_lambda=1, reg_alpha=2, learning_rate=0.5)
    assert rule.leaf(np.array([8.0, -8.0, 1.0]), np.array([3.0, 3.0, 3.0])).tolist() == [-0.75, 0.75, 0.0]
    most = float(np.finfo(np.float32).max)  # what a model can say
    far = replace(rule, reg_lambda=0.0, learning_rate=1.0).leaf(np.array([1e39, -1e300, most / 2]), np.full(3, 1.0))
    assert far.tolist() == [-most, most, -most / 2]


@given(g=st.integers(-149, 128), h=st.integers(-149, 128), extra=st.integers(0, 19))
def test_units_are_steps_of_the_grids(g: int, h: int, extra: int) -> None:
    units = Units.of(GradientScale(g, h, extra))
    assert units.g * 2 ** (STATISTIC_BITS_G + extra) == 2.0**g
    assert units.h * 2 ** (STATISTIC_BITS_H + extra) == 2.0**h
