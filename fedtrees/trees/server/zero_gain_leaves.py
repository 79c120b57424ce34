"""Leaves that no split gains anything in, though their targets differ: they are split all the same.

Below a split that gains nothing, something may be gained: of exclusive-or, nothing is until the second. Histograms do
not show whether targets differ that share a mean; leaves' moments do, exactly, and are asked for when nothing gains any
more. Where targets differ by less than the grid's steps, as beside one that lies far out, the leaf is looked at again
on a finer grid: rows that are further away are in other leaves, and do not matter there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector, exponent_of
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G
from fedtrees.trees.messages.leaf_moments import LeafMoments
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.gradient_scale import GradientScale, room_of
from fedtrees.trees.model.moments import Moments
from fedtrees.trees.model.tree import LEAF
from fedtrees.trees.server.best_first import best_first
from fedtrees.trees.server.growing_tree import GrowingTree, within
from fedtrees.trees.server.growth_plan import GrowthPlan
from fedtrees.trees.server.histogram_source import HistogramSource

MOST_INTEGERS = 1 << 24  # in an answer, but where one tree has more
STEPS = 64.0  # of a grid that targets have to be apart, in the mean, to be told apart


@dataclass(frozen=True, eq=False)
class Stalled:
    """Leaves to look at again, and on which grid.

    Attributes
    ----------
    tree, node : int32 (nodes,)
        Tree after tree.
    grid : GradientScale
    """

    tree: NDArray[np.int32]
    node: NDArray[np.int32]
    grid: GradientScale


def ask_leaves(
    plan: GrowthPlan, trees: Mapping[int, GrowingTree], grid: GradientScale, weights: GradientScale,
    source: HistogramSource,
) -> dict[int, Vector]:  # fmt: skip
    """The digits of the moments of the leaves of some trees of a round, int64 (leaves, digits) each.

    weights: the grid of weights that change from round to round
    """
    assert plan.moments is not None
    scale, places = plan.moments.scale(weights), list(trees)
    leaves = [int(np.count_nonzero(tree.feature == LEAF)) for tree in trees.values()]
    found: dict[int, Vector] = {}
    for first, last in _batches(leaves, max(1, MOST_INTEGERS // sum(scale.digits))):
        asked = [trees[place] for place in places[first:last]]
        question = LeafMoments(
            rows=plan.rows,
            exponents=grid,
            weights=weights,
            scale=scale,
            centre=plan.moments.centre,
            places=np.array(places[first:last], np.int32),
            trees=FlatTrees.of(asked),
        )
        digits: Vector = source.totals([question])[0]
        found |= zip(places[first:last], np.split(digits, np.cumsum(leaves[first:last])[:-1]), strict=True)
    return found


def _batches(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Trees by the messages that ask for them: so many leaves each at the most, but where one tree has more."""
    batches, first, total = [], 0, 0
    for place, size in enumerate(sizes):
        if total and total + size > most:
            batches.append((first, place))
            first, total = place, 0
        total += size
    return [*batches, (first, len(sizes))] if total else batches


def stalled_leaves(
    plan: GrowthPlan, trees: Sequence[GrowingTree], digits: Mapping[int, Vector], grids: dict[int, GradientScale],
    weights: GradientScale,
) -> Stalled | None:  # fmt: skip
    """The leaves that are to be looked at again; None where there are none.

    Law: of a tree, they and their grid depend on that tree alone, whichever others grow beside it.

    grids: the grid that each tree was last looked at on, which is replaced
    weights: the grid that all trees were looked at on first
    """
    assert plan.moments is not None
    found: list[Stalled] = []
    for place in range(plan.parallel if plan.shares_splits else plan.trees):
        nodes = _waiting(plan, trees[place])
        if not len(nodes):
            continue
        same = _split_alike(plan, place)
        places = (np.cumsum(trees[place].feature == LEAF) - 1)[nodes]
        own = Moments.of_outputs([_read(plan, tree, digits[tree][places], weights) for tree in same])
        if not own.differ.any():
            continue
        heaviest = 2.0 ** plan.moments.weight_of(weights)[1]
        apart = np.sqrt(own.variance[own.differ].max(axis=1)) * heaviest
        far = _farthest(plan, own, weights, same)[own.differ] * heaviest
        grid, told = _grid_for(apart, far, grids[place], weights, room_of(plan.rows))
        chosen = nodes[own.differ][told].astype(np.int32)
        tree = np.repeat(np.array(same, np.int32), len(chosen))
        found.append(Stalled(tree, np.tile(chosen, len(same)), grid))
    if not found:
        return None
    together = [own for own in found if own.grid == found[0].grid]  # a message has one grid: others wait
    tree, node = (np.concatenate([getattr(own, name) for own in together]) for name in ("tree", "node"))
    order = np.lexsort((node, tree))
    grids |= {int(tree): found[0].grid for tree in np.unique(tree)}
    return Stalled(tree[order], node[order], found[0].grid)


def _grid_for(
    apart: NDArray[np.float64], far: NDArray[np.float64], grid: GradientScale, first: GradientScale, finest: int
) -> tuple[GradientScale, NDArray[np.bool_]]:
    """The grid to look at leaves on, and which of them: those whose targets lie apart there; others wait.

    apart, far: float64 (leaves,); how far targets lie from each other in the mean, and from where margins start at the
        most, times the largest weight
    grid, first: the grid that the tree was looked at on last, and that all rows fit
    finest: int; the digits beyond one word's that sums have room for
    """
    fit = far <= np.ldexp(1.0, grid.g) if grid.g < first.g else np.ones(len(far), bool)
    told = fit & (apart >= STEPS * _step(grid))
    if told.any():
        return grid, told
    finer = GradientScale(min(first.g, exponent_of(float(far.max()))), first.h, max(first.extra, finest))
    told = apart >= STEPS * _step(finer)
    return finer, told if told.any() else far == far.max()


def _step(grid: GradientScale) -> float:
    return float(np.ldexp(1.0, grid.g - STATISTIC_BITS_G - grid.extra))


def _split_alike(plan: GrowthPlan, place: int) -> list[int]:
    """The trees that have the same nodes as the one at a place: one of each output."""
    return list(range(place, plan.trees, plan.parallel)) if plan.shares_splits else [place]


def _waiting(plan: GrowthPlan, tree: GrowingTree) -> NDArray[np.int64]:
    """The leaves of a tree that might be split without gain."""
    (nodes,) = np.nonzero(tree.stalled & (tree.feature == LEAF))
    if plan.best_first and plan.max_leaves and len(nodes):
        order = best_first(tree.left, within(tree.gain, plan.rule.gains), {}, plan.max_leaves)
        return nodes if len(order.split) + 1 < plan.max_leaves else nodes[:0]
    return nodes


def _read(plan: GrowthPlan, tree: int, digits: Vector, weights: GradientScale) -> Moments:
    """The moments of some nodes of a tree."""
    assert plan.moments is not None
    output, centre = tree // plan.parallel, plan.moments.centre
    of = float(centre[output]) if len(centre) else None
    return Moments.read(digits, plan.moments.scale(weights), float(plan.moments.base[output]), of)


def _farthest(plan: GrowthPlan, own: Moments, weights: GradientScale, same: Sequence[int]) -> NDArray[np.float64]:
    """What no target of a node is further from where margins start, float64 (nodes,)."""
    moments = plan.moments
    assert moments is not None
    base = moments.base[[tree // plan.parallel for tree in same]]
    rows = own.weight / moments.lightest(weights)  # at the most
    far: NDArray[np.float64] = (np.abs(own.mean - base) + np.sqrt(own.variance * rows[:, None])).max(axis=1)
    return far


def with_moments(
    plan: GrowthPlan, trees: Sequence[GrowingTree], digits: Mapping[int, Vector], weights: GradientScale
) -> list[GrowingTree]:
    """The trees with the moments of all their nodes; what is below a node whose targets are all the same is taken back.

    Nodes of light rows may have seemed to gain from splits where weights were rounded.
    """
    assert plan.moments is not None
    for place, tree in enumerate(trees):
        tree.moments = _read(plan, place, _of_all_nodes(tree, digits[place]), weights)
    finished = list(trees)
    for place in range(plan.parallel if plan.shares_splits else plan.trees):
        same = _split_alike(plan, place)
        moments = [own.moments for own in (trees[tree] for tree in same) if own.moments is not None]
        differ, tree = np.any([own.differ for own in moments], axis=0), trees[place]
        inner = tree.feature != LEAF
        if differ[inner].all():
            continue
        kept = np.zeros(len(inner), bool)
        for node in np.flatnonzero(inner & differ).tolist():  # parents stand before their children
            kept[node] = node == 0 or kept[tree.parent[node]]
        for other in same:
            finished[other] = trees[other].kept(np.flatnonzero(kept).tolist())
    return finished


def _of_all_nodes(tree: GrowingTree, leaves: Vector) -> Vector:
    """The digits of all nodes of a tree, given those of its leaves: int64 (nodes, digits)."""
    digits = np.zeros((len(tree.feature), leaves.shape[1]), np.int64)
    inner = tree.feature != LEAF
    digits[~inner] = leaves
    for depth in range(int(tree.depth.max()) - 1, -1, -1):
        (nodes,) = np.nonzero(inner & (tree.depth == depth))
        digits[nodes] = digits[tree.left[nodes]] + digits[tree.left[nodes] + 1]
    return digits
