"""Leaves in which no split has a gain though targets differ: they are split all the same.

Below a split without gain there may be splits with some: exclusive-or has no gain until the second. Histograms do not
show whether targets differ that share a mean; leaves' moments do, exactly, and are asked for when no split has a gain
any more. Where targets differ by less than the gradient scale's steps, as beside one that lies far out, the leaf is
looked at again on a finer scale: rows that are further away are in other leaves, and do not matter there.
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

MOST_INTEGERS = 1 << 24  # of an answer, but where one tree has more
STEPS = 64.0  # of a gradient scale: targets are taken to differ that are as far apart in the mean


@dataclass(frozen=True, eq=False)
class Stalled:
    """Leaves to look at again, and the gradient scale for that.

    Attributes
    ----------
    tree, node : int32 (nodes,)
        Tree after tree.
    scale : GradientScale
    """

    tree: NDArray[np.int32]
    node: NDArray[np.int32]
    scale: GradientScale


def ask_leaves(
    plan: GrowthPlan, trees: Mapping[int, GrowingTree], gradient_scale: GradientScale, weights: GradientScale,
    source: HistogramSource,
) -> dict[int, Vector]:  # fmt: skip
    """Ask for the digits of the moments of some trees' leaves, int64 (leaves, digits) each.

    weights: the gradient scale of weights that change from round to round
    """
    assert plan.moments is not None
    scale, places = plan.moments.scale(weights), list(trees)
    leaves = [int(np.count_nonzero(tree.feature == LEAF)) for tree in trees.values()]
    found: dict[int, Vector] = {}
    for first, last in _batches(leaves, max(1, MOST_INTEGERS // sum(scale.digits))):
        asked = [trees[place] for place in places[first:last]]
        question = LeafMoments(
            rows=plan.rows,
            exponents=gradient_scale,
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
    """Return trees by the messages that ask for them: up to ``most`` leaves each, but where one tree has more."""
    batches, first, total = [], 0, 0
    for place, size in enumerate(sizes):
        if total and total + size > most:
            batches.append((first, place))
            first, total = place, 0
        total += size
    return [*batches, (first, len(sizes))] if total else batches


def stalled_leaves(
    plan: GrowthPlan, trees: Sequence[GrowingTree], digits: Mapping[int, Vector], scales: dict[int, GradientScale],
    weights: GradientScale,
) -> Stalled | None:  # fmt: skip
    """Return the leaves to look at again; None where there are none.

    Law: of a tree, they and their gradient scale depend on that tree alone, whichever others grow beside it.

    scales: the gradient scale that each tree was last looked at on, which is replaced
    weights: the gradient scale that all trees were looked at on first
    """
    assert plan.moments is not None
    found: list[Stalled] = []
    for place in range(plan.parallel if plan.shares_splits else plan.trees):
        nodes = _waiting(plan, trees[place])
        if not len(nodes):
            continue
        same = _split_alike(plan, place)
        places = (np.cumsum(trees[place].feature == LEAF) - 1)[nodes]
        moments = Moments.of_outputs([_read(plan, tree, digits[tree][places], weights) for tree in same])
        if not moments.differ.any():
            continue
        heaviest = 2.0 ** plan.moments.weight_of(weights)[1]
        apart = np.sqrt(moments.variance[moments.differ].max(axis=1)) * heaviest
        far = _farthest(plan, moments, weights, same)[moments.differ] * heaviest
        scale, distinct = _scale_for(apart, far, scales[place], weights, room_of(plan.rows))
        chosen = nodes[moments.differ][distinct].astype(np.int32)
        tree = np.repeat(np.array(same, np.int32), len(chosen))
        found.append(Stalled(tree, np.tile(chosen, len(same)), scale))
    if not found:
        return None
    together = [leaves for leaves in found if leaves.scale == found[0].scale]  # a message has one scale: others wait
    tree, node = (np.concatenate([getattr(leaves, name) for leaves in together]) for name in ("tree", "node"))
    order = np.lexsort((node, tree))
    scales |= {int(tree): found[0].scale for tree in np.unique(tree)}
    return Stalled(tree[order], node[order], found[0].scale)


def _scale_for(
    apart: NDArray[np.float64], far: NDArray[np.float64], scale: GradientScale, first: GradientScale, finest: int
) -> tuple[GradientScale, NDArray[np.bool_]]:
    """Return the gradient scale to look at leaves on, and the leaves whose targets lie apart on it; others wait.

    apart, far: float64 (leaves,); the distance of targets from each other in the mean, and the largest from the initial
        margin, times the largest weight
    scale, first: the gradient scale that the tree was looked at on last, and the one that all rows fit
    finest: int; the digits beyond one word's that sums have room for
    """
    fit = far <= np.ldexp(1.0, scale.g) if scale.g < first.g else np.ones(len(far), bool)
    distinct = fit & (apart >= STEPS * _step(scale))
    if distinct.any():
        return scale, distinct
    finer = GradientScale(min(first.g, exponent_of(float(far.max()))), first.h, max(first.extra, finest))
    distinct = apart >= STEPS * _step(finer)
    return finer, distinct if distinct.any() else far == far.max()


def _step(scale: GradientScale) -> float:
    """Return the step that gradients are rounded to."""
    return float(np.ldexp(1.0, scale.g - STATISTIC_BITS_G - scale.extra))


def _split_alike(plan: GrowthPlan, place: int) -> list[int]:
    """Return the trees that have the same nodes as the one at a place: one of each output."""
    return list(range(place, plan.trees, plan.parallel)) if plan.shares_splits else [place]


def _waiting(plan: GrowthPlan, tree: GrowingTree) -> NDArray[np.int64]:
    """Return the leaves of a tree that might be split without gain."""
    (nodes,) = np.nonzero(tree.stalled & (tree.feature == LEAF))
    if plan.best_first and plan.max_leaves and len(nodes):
        order = best_first(tree.left, within(tree.gain, plan.rule.gains), {}, plan.max_leaves)
        return nodes if len(order.split) + 1 < plan.max_leaves else nodes[:0]
    return nodes


def _read(plan: GrowthPlan, tree: int, digits: Vector, weights: GradientScale) -> Moments:
    """Return the moments of some nodes of a tree."""
    assert plan.moments is not None
    output, centre = tree // plan.parallel, plan.moments.centre
    middle = float(centre[output]) if len(centre) else None
    return Moments.read(digits, plan.moments.scale(weights), float(plan.moments.base[output]), middle)


def _farthest(plan: GrowthPlan, of_nodes: Moments, weights: GradientScale, same: Sequence[int]) -> NDArray[np.float64]:
    """Return a distance from the initial margin that no target of a node is beyond, float64 (nodes,)."""
    moments = plan.moments
    assert moments is not None
    base = moments.base[[tree // plan.parallel for tree in same]]
    rows = of_nodes.weight / moments.lightest(weights)  # at the most
    far: NDArray[np.float64] = (np.abs(of_nodes.mean - base) + np.sqrt(of_nodes.variance * rows[:, None])).max(axis=1)
    return far


def with_moments(
    plan: GrowthPlan, trees: Sequence[GrowingTree], digits: Mapping[int, Vector], weights: GradientScale
) -> list[GrowingTree]:
    """Return the trees with the moments of all nodes; splits below a node whose targets are equal are taken back.

    Nodes of light rows may have seemed to gain from splits where weights were rounded.
    """
    assert plan.moments is not None
    for place, tree in enumerate(trees):
        tree.moments = _read(plan, place, _of_all_nodes(tree, digits[place]), weights)
    finished = list(trees)
    for place in range(plan.parallel if plan.shares_splits else plan.trees):
        same = _split_alike(plan, place)
        moments = [alike.moments for alike in (trees[tree] for tree in same) if alike.moments is not None]
        differ, tree = np.any([part.differ for part in moments], axis=0), trees[place]
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
    """Return the digits of all nodes of a tree, given those of its leaves: int64 (nodes, digits)."""
    digits = np.zeros((len(tree.feature), leaves.shape[1]), np.int64)
    inner = tree.feature != LEAF
    digits[~inner] = leaves
    for depth in range(int(tree.depth.max()) - 1, -1, -1):
        (nodes,) = np.nonzero(inner & (tree.depth == depth))
        digits[nodes] = digits[tree.left[nodes]] + digits[tree.left[nodes] + 1]
    return digits
