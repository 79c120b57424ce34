"""Categories that share a bin as they are too few: which they are, and that trees send them one way, by definition."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import FedGBTClassifier, ProtocolError, Silo
from fedtrees.trees.messages.rare_categories import RareCategories
from fedtrees.trees.model.tree import Tree


def least_group(rows: list[int], lost: int, least: int) -> tuple[int, int]:
    """How many categories have to share a bin at the least, and how few rows it can then have: by trying all."""
    there = [n for n in rows if n]
    for size in range(len(there) + 1):
        fits = [
            lost + sum(group) for group in combinations(there, size)
            if sorted(there)[: len(group)] == sorted(group)  # the rarest
        ]  # fmt: skip
        for n in fits:
            others = sorted(there)[size:]
            if ((not size and not lost) or n >= least) and all(other >= least for other in others):
                return size, n
    return len(there), lost + sum(there)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 9), st.integers(1, 9)
)  # fmt: skip
def test_no_bin_of_categories_holds_fewer_rows_and_no_more_share_one_than_must(
    rows: list[int], missing: int, least: int
) -> None:
    counts = [np.array(rows), np.zeros(0, np.int64)]
    rare = RareCategories.of(counts, np.array([missing, 3]), least)
    there = sum(rows)
    lost = there > 0 and missing > 0 and min(missing, there) < least
    assert rare.missing == ([bool(lost)] if rare.features else []) and rare.features in ([], [0])
    if not rare.features:
        assert all(n == 0 or n >= least for n in rows) and not lost
        return
    (group,) = rare.groups
    merged = rare.merged(counts)[0]
    assert merged.sum() == there and len(counts[0]) == len(rows) and counts[0].tolist() == rows
    assert group == sorted(group) and all(rows[code] > 0 for code in group)
    extra = missing if lost else 0
    sizes = merged + np.where(np.arange(len(rows)) == group[0], extra, 0)
    assert all(n == 0 or n >= least for n in sizes) or np.count_nonzero(sizes) == 1
    size, n = least_group(rows, extra, least)
    assert len(group) == max(size, 1) and (size == 0 or merged[group[0]] + extra == n)
    alone = [rows[code] for code in range(len(rows)) if code not in group and rows[code]]
    assert not alone or max(rows[code] for code in group) <= min(alone)


@pytest.mark.parametrize(
    ("counts", "group"),
    [
        ([5, 5, 9], None),
        ([4, 5, 9], [0, 1]),
        ([4, 1, 9], [0, 1]),
        ([4, 1, 5], [0, 1]),
        ([4, 5, 5, 5], [0, 1]),
        ([6, 5, 5, 4], [1, 3]),
    ],
)
def test_as_many_rows_as_the_least_are_enough(counts: list[int], group: list[int] | None) -> None:
    rare = RareCategories.of([np.array(counts)], np.array([0]), least=5)
    assert rare.groups == ([] if group is None else [group])


def a_tree(right: list[int], default_left: bool = False) -> Tree:
    none = np.int32([-1, -1])
    return Tree(
        np.int32([1, *none]), np.zeros(3, np.int32), np.array([default_left, False, False]), np.int32([1, *none]),
        np.zeros(3, np.float32), np.zeros(3), np.ones(3, np.float32), {0: np.array(right, np.int32)},
    )  # fmt: skip


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("right", "expected"), [([0, 2], [0, 2, 3, 5]), ([0], [0]), ([2], [2, 3, 5])])
def test_a_group_goes_where_its_first_goes_and_so_do_the_missing_that_share_its_bin(
    right: list[int], expected: list[int], missing: bool
) -> None:
    rare = RareCategories([1], [[2, 3, 5]], [missing])
    for default_left in (False, True):
        tree = a_tree(right, default_left)
        told = rare.expanded(tree)
        assert told.categories[0].tolist() == expected and told.categories[0].dtype == np.int32
        assert bool(told.default_left[0]) == ((2 not in right) if missing else default_left)
        assert tree.categories[0].tolist() == right and bool(tree.default_left[0]) == default_left
    other = RareCategories([0], [[2, 3, 5]], [True]).expanded(a_tree(right))  # of another feature
    assert other.categories[0].tolist() == right and not other.default_left[0]


def test_rows_and_evaluation_sets_are_told_alike_and_as_read_again_after() -> None:
    kinds = pd.Categorical.from_codes([0, 1, 2, 3, -1], list("abcd"))
    frame = pd.DataFrame({"x": np.arange(5.0), "kind": kinds})
    silo = Silo("a", frame, np.arange(5), eval_set=[(frame, np.arange(5))])
    RareCategories([1], [[1, 3]], [True]).apply(silo)
    for table in (silo.table, silo.held_out[0]):
        assert table.X[:, 1].tolist() == [0, 1, 2, 1, 1] and table.X[:, 0].tolist() == [0, 1, 2, 3, 4]
    silo.forget()
    for table in (silo.table, silo.held_out[0]):
        np.testing.assert_array_equal(table.X[:, 1], [0, 1, 2, 3, np.nan])


@pytest.mark.parametrize(
    "wrong",
    [{"features": [2]}, {"features": [-1]}, {"groups": [[]]}, {"groups": []}, {"missing": [True, True]}],
    ids=str,
)
def test_groups_of_features_that_there_are_not_are_refused(wrong: dict[str, Any]) -> None:
    silo = Silo("a", np.zeros((3, 2)), np.arange(3))
    RareCategories([1], [[0, 1]], [False]).apply(silo)
    fields = {"features": [1], "groups": [[0, 1]], "missing": [False]} | wrong
    with pytest.raises(ProtocolError, match="rare categories of"):
        RareCategories(**fields).apply(silo)


def test_scores_of_sets_are_those_of_the_model_that_is_saved() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(list("abcdef"), 200, p=[0.4, 0.4, 0.14, 0.02, 0.02, 0.02])
    frame = pd.DataFrame({"kind": pd.Categorical(kinds, list("abcdef")), "x": rng.normal(size=200)})
    frame.loc[:2, "kind"] = np.nan
    y = (np.isin(kinds, ["a", "d", "e"]) ^ (rng.random(200) < 0.2)).astype(int)
    model = FedGBTClassifier(4, min_bin_rows=8, max_depth=3, min_child_weight=0, n_jobs=1)
    model.fit(frame[:120], y[:120], eval_set=[(frame[120:], y[120:]), (frame[:40], y[:40])], silos=np.arange(120) % 2)
    for place, own in ((0, slice(120, None)), (1, slice(40))):
        p = model.predict_proba(frame[own])[np.arange(len(y[own])), y[own]]
        score = model.evals_result_[f"validation_{place}"]["logloss"][-1]
        assert score == pytest.approx(-np.log(p).mean(), rel=1e-6)
