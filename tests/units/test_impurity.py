"""Splits by impurity against an exhaustive search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from strategies import examples

from fedtrees import (
    DataError,
)
from fedtrees.core.data.row_ids import MOST_DRAWS
from fedtrees.core.numeric.threads import Threads
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.row_draws import RowDraws
from fedtrees.trees.server.impurity import OF_NUMBERS, Impurity
from fedtrees.trees.server.split import Grounds, Limits, Units

seeds = st.integers(0, 2**32 - 1)
UNITS = Units(0.5, 0.25)


def impurity(criterion: str, sums: list[float]) -> float:
    """Mass times impurity; of squares, without the sum of squares, which no split changes."""
    if criterion == "squared_error":
        return -(sums[0] ** 2) / sums[1]
    if criterion == "poisson":  # without the sum of y log y
        return sums[0] * math.log(-sums[0] / sums[1])
    mass = sum(sums)
    if criterion == "gini":
        return mass - sum(own**2 for own in sums) / mass
    return -sum(own * math.log2(own / mass) for own in sums if own > 0)


def mass_of(criterion: str, sums: list[float]) -> float:
    return sums[1] if criterion in OF_NUMBERS else sum(sums)


def all_splits(sums: NDArray[np.int64], cuts: Cuts) -> list[tuple[int, int, bool, list[int]]]:
    """Every (feature, bin, missing left, what goes left)."""
    found = []
    for f in range(cuts.n_features):
        first, n = int(cuts.bin_offsets[f]), int(cuts.n_values[f])
        missing = sums[:, first + n] if cuts.missing[f] else np.zeros(len(sums), np.int64)
        for to_left in (False, True):
            for b in range(n):
                left = sums[:, first : first + b + 1].sum(axis=1) + missing * to_left
                found.append((f, b, to_left, left.tolist()))
    return found


# law: Impurity.splits
@examples(200, plain=200)
@given(
    seed=seeds, criterion=st.sampled_from(["gini", "entropy", *OF_NUMBERS]), leaf=st.sampled_from([1, 3, 0.2]),
    n_jobs=st.integers(1, 2), classes=st.integers(2, 5), weighted=st.booleans(), fraction=st.sampled_from([0.0, 0.15]),
)  # fmt: skip
def test_splits_are_those_of_an_exhaustive_search(
    seed: int, criterion: str, leaf: float, n_jobs: int, classes: int, weighted: bool, fraction: float
) -> None:
    rng = np.random.default_rng(seed)
    n_values, missing = rng.integers(1, 7, rng.integers(1, 4)), rng.random(3) < 0.5
    missing = missing[: len(n_values)]
    cuts = Cuts(np.arange(n_values.sum(), dtype=np.float32), np.append(0, np.cumsum(n_values)), missing)
    statistics = 2 if criterion in OF_NUMBERS else classes
    rows = int(rng.integers(1, 30))
    codes = np.stack([rng.integers(0, n, rows) for n in cuts.n_bins], axis=1)
    each = rng.integers(1, 4, (rows, statistics)) if criterion in OF_NUMBERS else None
    if each is not None and criterion == "poisson":
        each[:, 0] = -rng.integers(0, 3, rows)
    if each is None:
        each = np.eye(classes, dtype=np.int64)[rng.integers(0, classes, rows)] * 4
    sums = np.zeros((statistics, cuts.total_bins), np.int64)
    for f in range(cuts.n_features):
        for s in range(statistics):
            np.add.at(sums[s], cuts.bin_offsets[f] + codes[:, f], each[:, s])
    total = each.sum(axis=0)
    weights = rng.choice([0.25, 1.0, 7.0], statistics) if weighted and criterion not in OF_NUMBERS else None
    told = None if weights is None else tuple(weights.tolist())
    rule = Impurity(criterion, statistics, 2, leaf, fraction, class_weight=told)
    unit = np.where(np.arange(statistics) % 2 == 0, UNITS.g, UNITS.h)
    real = unit if weights is None else unit * weights
    whole, rows_there = (mass_of(criterion, (total * own).tolist()) for own in (real, unit))
    grounds = Grounds(cuts, UNITS, Threads(n_jobs), Limits(roots=total[None]))
    splits = rule.splits(sums[None], np.zeros(1, np.int64), total[None], grounds)

    least = leaf * rows_there if isinstance(leaf, float) else (0 if leaf == 1 else leaf)
    gains = {}
    for f, b, to_left, left in all_splits(sums, cuts):
        parts = [(np.array(own) * real).tolist() for own in (left, total - left)]
        masses = [mass_of(criterion, own) for own in parts]
        counts = [mass_of(criterion, (np.array(own) * unit).tolist()) for own in (left, total - left)]
        if criterion == "poisson" and max(own[0] for own in parts) >= 0:
            continue  # nothing ever happens in a child
        if min(masses) > 0 and min(masses) >= fraction * whole and min(counts) >= least:
            before = impurity(criterion, (total * real).tolist())
            gains[f, b, to_left] = before - sum(impurity(criterion, own) for own in parts)
    most = max(gains.values(), default=0.0)
    if splits.feature[0] < 0:
        # a node of several classes, or of any numbers, is split wherever it can be, as something may be gained below
        assert not gains if criterion in OF_NUMBERS or np.count_nonzero(total) > 1 else most <= 1e-9 * whole
        return
    found = int(splits.feature[0]), int(splits.bin[0]), bool(splits.default_left[0])
    assert splits.gain[0] == pytest.approx(most, rel=1e-9, abs=1e-9)
    assert gains[found] == pytest.approx(most, rel=1e-9, abs=1e-9)
    lowest = min(key[0] for key, own in gains.items() if own > most - 1e-9)
    assert found[0] == lowest  # ties go to the lowest feature
    left = next(own for *key, own in all_splits(sums, cuts) if tuple(key) == found)
    assert splits.left[0].tolist() == left and splits.right[0].tolist() == (total - left).tolist()


SAME: list[
    tuple[list[list[int]], bool, int, bool]
] = [  # (zeros and ones of each bin, a bin for the missing, bin, left)
    ([[4, 0], [0, 4], [0, 4], [4, 0]], False, 0, False),
    ([[0, 4], [4, 0], [2, 2], [4, 0], [0, 4]], False, 0, False),
    ([[4, 0], [0, 4], [2, 2]], True, 0, False),  # the missing with either side
    ([[2, 0], [0, 4], [0, 2]], True, 0, False),
    ([[2, 0], [0, 4], [2, 0]], True, 0, True),
    ([[2, 0], [2, 0], [0, 4]], True, 1, False),  # by themselves
    ([[4, 0], [0, 4], [0, 0]], True, 0, False),  # where none is missing, the others go with more rows, right of equals
    ([[4, 0], [0, 3], [0, 0]], True, 0, True),
    ([[4, 0], [0, 4]], False, 0, False),
    ([[5, 0], [0, 4]], False, 0, True),
]


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error", "poisson"])
@pytest.mark.parametrize(("sums", "missing", "bin", "default_left"), SAME, ids=str)
def test_of_splits_that_gain_alike_the_first_is_made(
    sums: list[list[int]], missing: bool, bin: int, default_left: bool, criterion: str
) -> None:
    """The lowest feature's; of one feature, that which sends the missing right, then that of the lowest bin."""
    own = np.array(sums).T
    if criterion in OF_NUMBERS:  # zeros and ones, or ones and twos where a mean of 0 would be refused: (-sum, weight)
        own = np.stack([-own[1] - (own.sum(axis=0) if criterion == "poisson" else 0), own.sum(axis=0)])
    values = own.shape[1] - missing
    for copies in (1, 2):
        ends = np.arange(copies + 1) * values
        cuts = Cuts(
            np.tile(np.arange(values, dtype=np.float32), copies), ends, np.full(copies, missing),
            middles=np.tile(np.arange(values, dtype=float), copies),
        )  # fmt: skip
        histograms, totals = np.tile(own, copies)[None], own.sum(axis=1)[None]
        rule, grounds = Impurity(criterion, 2), Grounds(cuts, Units(1.0, 1.0), Threads(1), Limits())
        split = rule.splits(histograms, np.zeros(1, np.int64), totals, grounds)
        assert (split.feature[0], split.bin[0], split.default_left[0]) == (0, bin, default_left)


@pytest.mark.parametrize(
    ("values", "bin"), [([0, 1, 2, 3, 4, 5], 2), ([0, 1, 2, 3, 8, 9], 3), ([0, 9, 9.5, 10, 11, 12], 0)]
)
def test_a_gap_of_empty_bins_is_cut_in_its_middle(values: list[float], bin: int) -> None:
    """Where scikit-learn cuts it: values up to the middle go left."""
    cuts = Cuts(np.arange(6, dtype=np.float32), np.array([0, 6]), np.array([False]), middles=np.array(values, float))
    sums = np.array([[[4, 0, 0, 0, 0, 0], [0, 0, 0, 0, 4, 4]]])
    grounds = Grounds(cuts, Units(1.0, 1.0), Threads(1), Limits())
    split = Impurity("gini", 2).splits(sums, np.zeros(1, np.int64), sums.sum(axis=2), grounds)
    assert split.bin.tolist() == [bin] and split.left.tolist() == [[4, 0]] and split.gain[0] == 12 - (16 + 64) / 12


@pytest.mark.parametrize(("chance", "bin"), [(0.0, 0), (0.11, 0), (0.12, 1), (0.3, 2), (0.999, 2)])
def test_where_chance_decides_one_threshold_is_tried(chance: float, bin: int) -> None:
    cuts = Cuts(np.arange(4, dtype=np.float32), np.array([0, 4]), np.array([False]), middles=np.array([0, 1, 2, 9.0]))
    sums = np.array([[[4, 1, 3, 0], [0, 3, 1, 4]]])
    limits = Limits(chance=np.array([[chance]]))
    split = Impurity("gini", 2).splits(
        sums, np.zeros(1, np.int64), sums.sum(axis=2), Grounds(cuts, UNITS, Threads(1), limits)
    )
    assert split.bin.tolist() == [bin]


@pytest.mark.parametrize("filled", [1, 2])
def test_where_chance_decides_the_missing_may_still_go_by_themselves(filled: int) -> None:
    cuts = Cuts(np.arange(3, dtype=np.float32), np.array([0, 3]), np.array([True]), middles=np.arange(3.0))
    sums = np.array([[[2, 2, 0, 0], [0, 0, 0, 5]]]) if filled == 2 else np.array([[[0, 4, 0, 0], [0, 0, 0, 5]]])
    limits = Limits(chance=np.array([[0.5]]))
    grounds = Grounds(cuts, UNITS, Threads(1), limits)
    split = Impurity("gini", 2).splits(sums, np.zeros(1, np.int64), sums.sum(axis=2), grounds)
    assert split.bin.tolist() == [2] and split.default_left.tolist() == [False] and split.left.tolist() == [[4, 0]]


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error", "poisson"])
@pytest.mark.parametrize(
    ("on_left", "on_right", "low", "high", "rises", "falls"),
    [
        (0.25, 0.75, -np.inf, np.inf, True, False),
        (0.75, 0.25, -np.inf, np.inf, False, True),
        (0.25, 0.75, 0.25, 0.75, True, False),  # exactly at the bounds
        (0.75, 0.25, 0.25, 0.75, False, True),
        (0.25, 0.75, np.nextafter(0.25, 1), 1.0, False, False),
        (0.25, 0.75, 0.0, np.nextafter(0.75, 0), False, False),
        (0.75, 0.25, np.nextafter(0.25, 1), 1.0, False, False),
        (0.75, 0.25, 0.0, np.nextafter(0.75, 0), False, False),
        (0.5, 0.5, 0.5, 0.5, True, True),  # nothing falls, and below it something may be gained
        (0.5, 0.5, np.nextafter(0.5, 1), 1.0, False, False),
    ],
    ids=str,
)
def test_children_keep_to_a_direction_and_to_bounds(
    on_left: float, on_right: float, low: float, high: float, rises: bool, falls: bool, criterion: str
) -> None:
    """As in scikit-learn: equal children go both ways, and bounds may be reached."""
    ones = np.array([on_left, on_right]) * 8
    own = np.stack([-ones, [8, 8]] if criterion in OF_NUMBERS else [8 - ones, ones]).astype(np.int64)
    cuts = Cuts(np.arange(2, dtype=np.float32), np.array([0, 2]), np.array([False]), middles=np.arange(2.0))
    for direction, fine in ((1, rises), (-1, falls), (0, True)):
        limits = Limits(direction=np.int8([direction]), bounds=np.array([[low, high]]))
        grounds = Grounds(cuts, Units(1.0, 1.0), Threads(1), limits)
        split = Impurity(criterion, 2).splits(own[None], np.zeros(1, np.int64), own.sum(axis=1)[None], grounds)
        assert split.feature.tolist() == [0 if fine else -1]


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.008, 0.009, 0.0165, 0.0175, 0.19, 0.21])
def test_children_that_are_no_further_apart_than_noise_gain_nothing(criterion: str, outputs: int, noise: float) -> None:
    """The squared distance of means, or of shares of classes, is compared with their squares, output by output."""
    pairs = [(1, 2), (7, 8), (3, 1)][:outputs]
    numbers = criterion in OF_NUMBERS
    own = [[[-8 * a, -8 * b], [8, 8]] if numbers else [[9 - a, 9 - b], [a, b]] for a, b in pairs]
    sums = np.array(own).reshape(2 * outputs, 2)
    apart = [
        (a - b) ** 2 / (a * a + b * b if numbers else a * a + b * b + (9 - a) ** 2 + (9 - b) ** 2) for a, b in pairs
    ]
    apart = [share if numbers else 2 * share for share in apart]
    parts = [[child.tolist() for child in np.array(pair).T] for pair in own]
    saved = [
        impurity(criterion, np.sum(both, axis=0).tolist()) - sum(impurity(criterion, child) for child in both)
        for both in parts
    ]
    cuts = Cuts(np.arange(2, dtype=np.float32), np.array([0, 2]), np.array([False]), middles=np.arange(2.0))
    grounds = Grounds(cuts, Units(1.0, 1.0, noise), Threads(1), Limits())
    rule = Impurity(criterion, 2) if outputs == 1 else Impurity(criterion, 2).of_outputs(outputs)
    split = rule.splits(sums[None], np.zeros(1, np.int64), sums.sum(axis=1)[None], grounds)
    expected = sum(gain for gain, share in zip(saved, apart, strict=True) if share > noise) / outputs
    assert split.feature.tolist() == [0] and split.gain[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0), (10.0, 1.0), (0.1, 1.0), (1.0, 10.0)], ids=str)
@pytest.mark.parametrize(("zeros", "ones", "left"), [(5, 3, True), (3, 5, False), (4, 4, False)])
def test_rows_that_will_miss_a_feature_go_where_more_rows_went(zeros: int, ones: int, left: bool, weights: Any) -> None:
    """Rows, as in scikit-learn, whatever their classes weigh."""
    sums = np.array([[zeros, 0], [0, ones]])
    cuts = Cuts(np.arange(2, dtype=np.float32), np.array([0, 2]), np.array([False]), middles=np.arange(2.0))
    grounds = Grounds(cuts, Units(1.0, 1.0), Threads(1), Limits())
    rule = Impurity("gini", 2, class_weight=weights)
    split = rule.splits(sums[None], np.zeros(1, np.int64), sums.sum(axis=1)[None], grounds)
    assert (split.feature[0], split.default_left[0]) == (0, left)


@pytest.mark.parametrize("sums", [[6, 2, 2], [6, 2, 0], [0, 3, 0], [1, 1, 1], [0, 5, 20]], ids=str)
@pytest.mark.parametrize("kind", ["balanced", "balanced_subsample"])
def test_weights_that_balance_classes_are_scikit_learns(sums: list[int], kind: Any) -> None:
    """Of the classes that there are: a tree that drew none of one has fewer, and weighs as much as it has rows."""
    rule, units = Impurity("gini", 3, class_weight=kind), Units(1.0, 1.0)
    rule = rule.knowing(np.array(sums, float) if kind == "balanced" else np.array([9.0, 1.0, 4.0]))
    kept = rule.kept(np.array([sums, [1, 1, 1]]), units)
    there = np.flatnonzero(sums)
    weights = compute_class_weight("balanced", classes=there, y=np.repeat(np.arange(3), sums))
    np.testing.assert_allclose(kept[0][there], weights * np.array(sums)[there], rtol=1e-12)
    np.testing.assert_allclose(kept[1][there], weights, rtol=1e-12)
    assert kept[0].sum() == pytest.approx(sum(sums))


@pytest.mark.parametrize("sums", [[9, 1, 2], [9, 0, 2], [9, 1, 0], [9, 0, 0], [9, 3], [9, 0]], ids=str)
def test_numbers_that_are_all_0_have_no_deviance(sums: list[float]) -> None:
    """Of any output: rows first, then what each adds up to."""
    rule = Impurity("poisson", 2)
    if all(sums[1:]):
        assert rule.knowing(np.array(sums, float)) == rule
    else:
        with pytest.raises(DataError, match="y is 0 in every row"):
            rule.knowing(np.array(sums, float))


@pytest.mark.parametrize("share", [0.01, 0.25, 1.0, 2.0, 16.0])
@pytest.mark.parametrize("weights", [(1.0, 1e6), (1.0, 2.0), (3.0, 1.0)], ids=str)
def test_rows_of_heavy_classes_are_drawn_oftener_up_to_a_limit_and_weigh_the_rest(
    share: float, weights: tuple[float, float]
) -> None:
    sums = np.array([990.0, 10.0])
    rule, draws = Impurity("gini", 2, class_weight=weights).drawing(share, sums)
    rest = np.ones(2) if rule.class_weight is None else np.array(rule.class_weight)
    wanted = np.array(weights) * 1000 / (sums @ weights)  # as many rows as without weights
    np.testing.assert_allclose(draws * rest, wanted, rtol=1e-12)
    most = MOST_DRAWS * max(1.0, share)
    np.testing.assert_allclose(share * draws, np.minimum(share * wanted, most), rtol=1e-12)
    RowDraws(1, 0, 0, share, draws).check(2)
