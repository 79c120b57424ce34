"""Which grid a round's gradients are rounded to: asked for, bounded by the last round's, or taken from before.

Each by the definition in `trees.server.gradient_scales`, on a channel that counts what is asked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedtrees import DataError
from fedtrees.core.numeric.fixed_point import LOWEST_EXPONENT, N_EXPONENTS
from fedtrees.training.weights import Weights
from fedtrees.trees.losses import loss_named
from fedtrees.trees.losses.tables import ClassWeights, Samme
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.gradient_scales import GradientScales, check_weights, moves_of, room_of

SQUARES = loss_named("reg:squarederror")
PLAIN = Weights(1000, (0, 3), 1)
ALL = np.arange(4)


def counts(g: dict[int, int], h: dict[int, int] | None = None) -> Any:
    """So many rows whose gradients, and hessians, need each exponent."""
    out = np.zeros((2, N_EXPONENTS), np.int64)
    for own, sizes in zip(out, (g, h or {0: 1000}), strict=True):
        for exponent, rows in sizes.items():
            own[exponent - LOWEST_EXPONENT] = rows
    return out


class Asked:
    """Answers with these sizes, and counts how often."""

    def __init__(self, sizes: Any):
        self.sizes, self.times = sizes, 0

    def total(self, query: Any, cohort: Any) -> Any:
        self.times += 1
        return self.sizes


def stump(*values: float, cover: float = 500.0) -> Tree:
    return Tree(
        np.int32([0, -1, -1]), np.zeros(3, np.int32), np.zeros(3, bool), np.int32([1, -1, -1]),
        np.float32([99, *values]), np.zeros(3), np.float32([2 * cover, cover, cover]),
    )  # fmt: skip


class Rounds:
    """The scales of a training's rounds, one after the other."""

    def __init__(self, scales: GradientScales):
        self.scales, self.foreseen, self.first = scales, scales.first(), True

    def scale(self, channel: Any = None) -> GradientScale:
        scale = self.scales.of_round(channel, ALL, self.foreseen, self.first)
        self.first = False
        return scale

    def after(self, counts: list[Any], trees: list[Tree], asked: float = 1.0) -> None:
        self.foreseen = self.scales.after(counts, trees, asked, outputs=1)


def grids(loss: Any = SQUARES, weights: Weights = PLAIN, **other: Any) -> Rounds:
    return Rounds(GradientScales(loss, weights, gradients=1000, rows=1000, **other))


# law: GradientScales
def test_sizes_are_asked_for_once_and_ride_on_after() -> None:
    own, channel = grids(), Asked(counts({5: 990, 2: 10}))
    assert own.scale(channel) == GradientScale(5, 0) and len(own.scales.riders()) == 1
    own.after([counts({5: 990, 2: 10})], [stump(1.5, -2.5)])
    # a row's gradient is up to 32, moves by 2.5 at the most, and is rounded: 2**6 bounds that
    assert own.scale(channel) == own.foreseen == GradientScale(6, 0) and channel.times == 1


@pytest.mark.parametrize("asked", [0.0, 0.25, 0.75])
def test_what_some_silos_have_bounds_nothing_of_others(asked: float) -> None:
    own, channel = grids(), Asked(counts({5: 1000}))
    own.scale(channel)
    own.after([counts({5: 1000})], [stump(1.0, -1.0)], asked=asked)
    assert own.foreseen is None
    channel.sizes = counts({9: 1000})
    assert own.scale(channel) == GradientScale(9, 0) and channel.times == 2


def test_a_bound_far_above_the_truth_is_asked_for_instead() -> None:
    for leaf, exponent, kept in ((2.0**20, -3, True), (2.0**22, -3, False), (2.0**30, 5, False), (1e30, 0, False)):
        own = grids()
        own.scale(Asked(counts({exponent: 1000})))
        own.after([counts({exponent: 1000})], [stump(leaf, -leaf)])
        assert (own.foreseen is not None) == kept
        if own.foreseen is not None:
            assert own.foreseen.g == 21


def test_leaves_of_trees_side_by_side_add_up() -> None:
    """A row is in a leaf of each: it moves by the sum of the least, or of the most, at the furthest."""
    trees = [stump(1.0, -2.0), stump(3.0, 4.0), stump(-5.0, -6.0), stump(0.5, 0.25)]
    for each, span in ((4, [-8.0, 5.5]), (2, [-6.0, 5.0])):
        found = moves_of(trees, outputs=4 // each, unit_h=0.5)
        assert found.by.tolist() == span and np.isinf(found.hessian).all()
    alone = moves_of(trees, outputs=4, unit_h=0.5)
    assert alone.by.tolist() == [1, -2, 3, 4, -5, -6, 0.5, 0.25]
    assert (alone.hessian >= 500.5).all() and (alone.hessian < 500.51).all()


@pytest.mark.parametrize(
    ("earlier", "sizes", "taken"),
    [
        (GradientScale(5, 0), {5: 1000}, True),
        (GradientScale(14, 9), {5: 1000}, True),
        (GradientScale(15, 0), {5: 1000}, False),  # ten digits at the least
        (GradientScale(4, 0), {5: 1000}, False),
        (GradientScale(5, -1), {5: 1000}, False),
        (GradientScale(29, 0, 19), {5: 1000}, True),
        (GradientScale(30, 0, 19), {5: 1000}, False),
        (GradientScale(5, 0, 7), {5: 1000}, False),  # no grid of ours
        (GradientScale(5, 0, 500), {5: 1000}, False),
    ],
    ids=str,
)
def test_a_grid_from_before_is_taken_once_where_it_has_room(earlier: GradientScale, sizes: Any, taken: bool) -> None:
    own, channel = grids(earlier=earlier), Asked(counts(sizes))
    assert own.scale(channel) == (earlier if taken else GradientScale(5, 0))
    own.after([counts(sizes)], [stump(1.0, -1.0)], asked=0.5)
    assert own.scale(channel) == GradientScale(5, 0)


def test_a_grid_from_before_of_bounded_gradients() -> None:
    logistic = loss_named("binary:logistic")
    fixed = grids(logistic).scale(Asked(None))
    assert fixed == GradientScale(0, -2) and not grids(logistic).scales.riders()
    for earlier, taken in (
        (fixed._replace(extra=19), True),
        (fixed._replace(extra=7), False),
        (GradientScale(1, -2, 19), False),
    ):
        own = grids(logistic, earlier=earlier)
        assert own.scale(Asked(None)) == (earlier if taken else fixed)


@pytest.mark.parametrize(
    ("span", "more", "extra"),
    [(0, 0, 0), (9, 0, 0), (10, 0, 19), (24, 0, 19), (25, 0, None), (0, 9, 0), (0, 10, 19), (5, 5, 19)],
)
def test_the_lightest_row_keeps_ten_digits(span: int, more: int, extra: int | None) -> None:
    """Of its weight, and of what the loss itself spreads weights by."""
    loss = loss_named("binary:logistic", {"scale_pos_weight": 2.0**more})
    own = grids(loss, Weights(1000, (2, 3), 1 << 16, False, span)).scale(Asked(None))
    assert own[:2] == (2 + more, more)
    assert own.extra == (room_of(1000) if extra is None else extra)


def test_sums_leave_room_for_fewer_digits_of_more_rows() -> None:
    assert [room_of(rows) for rows in (0, 1, 15, 16, 1 << 20, 1 << 42, 1 << 43, 1 << 60)] == [
        38,
        38,
        38,
        38,
        22,
        0,
        0,
        0,
    ]
    for rows, digits in ((1000, 48), (1 << 30, 27)):
        check_weights(SQUARES, Weights(rows, (0, 0), 2, False, digits), rows)
        with pytest.raises(DataError, match="sample_weight: the heaviest row weighs about"):
            check_weights(SQUARES, Weights(rows, (0, 0), 2, False, digits + 1), rows)


def test_few_small_gradients_are_let_be_and_many_are_not() -> None:
    """More than a sixteenth of them below ten digits, with some to spare for chance; of AdaBoost's weights, none.

    A grid up to 2**5 has 19 digits, so that what is below 2**-4, or of hessians below 2**-9, has nine or fewer.
    """
    for small, extra in ((0, 0), (89, 0), (90, 19), (900, 19)):  # 1000 / 16, and three deviations and rows
        own = grids().scale(Asked(counts({5: 1000 - small, -4: small})))
        assert own == GradientScale(5, 0, extra)
        own = grids().scale(Asked(counts({5: 1000}, {0: 1000 - small, -9: small})))
        assert own == GradientScale(5, 0, extra)
        assert grids().scale(Asked(counts({5: 1000 - small, -3: small}))) == GradientScale(5, 0)
    for small, extra in ((62, 0), (63, 19)):
        sizes = counts({0: 1000}, {0: 1000 - small, -9: small})
        assert grids(Samme()).scale(Asked(sizes)) == GradientScale(0, 0, extra)
    for small, extra in ((51, 0), (52, 19)):  # half as many that have a digit less
        own = grids().scale(Asked(counts({5: 1000 - small, -5: small})))
        assert own == GradientScale(5, 0, extra)


def test_rare_classes_and_well_fitted_rows_get_more_digits() -> None:
    logistic = loss_named("binary:logistic")
    for rare, extra in ((500.0, 0), (2.0, 0), (1.0, 19)):  # a share of 2**-9 and more keeps ten digits
        own = grids(logistic, sums=np.array([1024 - rare, rare]))
        assert own.scale(Asked(None)).extra == extra
    for fit, extra in ((250.0, 0), (0.5, 0), (0.4, 19), (1e-9, 38), (0.0, 0)):
        own = grids(logistic, sums=np.array([512.0, 512.0]))
        own.after([], [stump(1.0, -1.0, cover=fit / 2)])
        assert own.scale(Asked(None)).extra == min(extra, room_of(1000))


def test_whole_weights_of_classes_are_counted_by_few_digits() -> None:
    whole = Weights(1000, (4, 3), 16, True)
    assert grids(ClassWeights(), whole).scale(Asked(None)) == GradientScale(4, 4, -19)
    parts = Weights(1000, (4, 3), 1 << 16, False, 3)
    assert grids(ClassWeights(), parts).scale(Asked(None)) == GradientScale(4, 4)
    assert math.ldexp(1.0, GradientScale(4, 4, -19).bits()) == 2
