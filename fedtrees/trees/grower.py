"""Growing the trees of a round level by level, all outputs together: the server's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ring import Vector
from fedtrees.trees.grid import Grid
from fedtrees.trees.histogram import Histograms
from fedtrees.trees.shelf import Places, Shelf
from fedtrees.trees.split import SplitRule, Splits, Units, best_splits
from fedtrees.trees.tree import LEAF, Cuts, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort
    from fedtrees.core.query import Query
    from fedtrees.core.threads import Threads


class GrowingTree:
    """A tree as far as it has grown, its nodes in the order of their levels; sums are exact integers."""

    def __init__(self) -> None:
        self.feature = np.full(1, LEAF, np.int32)
        self.bin = np.zeros(1, np.int32)
        self.default_left = np.zeros(1, bool)
        self.left = np.full(1, LEAF, np.int32)
        self.gain = np.zeros(1)
        self.sums = np.zeros((1, 2), np.int64)

    def split(self, nodes: NDArray[np.int32], splits: Splits) -> NDArray[np.int32]:
        """Split nodes; returns the left children, their siblings stand beside them."""
        first = len(self.feature)
        left = (first + 2 * np.arange(len(nodes))).astype(np.int32)
        self.feature[nodes], self.bin[nodes] = splits.feature, splits.bin
        self.default_left[nodes], self.gain[nodes] = splits.default_left, splits.gain
        self.left[nodes] = left
        more = 2 * len(nodes)
        self.feature = np.append(self.feature, np.full(more, LEAF, np.int32))
        self.bin = np.append(self.bin, np.zeros(more, np.int32))
        self.default_left = np.append(self.default_left, np.zeros(more, bool))
        self.left = np.append(self.left, np.full(more, LEAF, np.int32))
        self.gain = np.append(self.gain, np.zeros(more))
        self.sums = np.concatenate([self.sums, np.stack([splits.left, splits.right], axis=1).reshape(more, 2)])
        return left

    def finished(self, rule: SplitRule, units: Units) -> Tree:
        """The tree with the values of its leaves."""
        g, h = self.sums[:, 0] * units.g, self.sums[:, 1] * units.h
        value = rule.leaf(g, h)
        # a gain squares the unit of y: it may be larger than what a model can say
        gain, cover = (np.minimum(part, np.finfo(np.float32).max).astype(np.float32) for part in (self.gain, h))
        return Tree(self.feature, self.bin, self.default_left, self.left, value, gain, cover)


@dataclass(frozen=True)
class Plan:
    """What growing needs to know besides whom to ask.

    Attributes
    ----------
    cuts : Cuts
    rule : SplitRule
    max_depth : int
        Levels of splits; at least 1.
    outputs : int
        Trees a round.
    rows : int
        Rows of the federation.
    threads : Threads
    shelf : Shelf
        For the histograms; one for all trees.
    """

    cuts: Cuts
    rule: SplitRule
    max_depth: int
    outputs: int
    rows: int
    threads: Threads
    shelf: Shelf


@dataclass(frozen=True, eq=False)
class Frontier:
    """The nodes of one level of all trees that may be split, tree after tree.

    Attributes
    ----------
    tree, node : int32 (nodes,)
    places : int64 (nodes,)
        Where on the shelf their histograms stand.
    """

    tree: NDArray[np.int32]
    node: NDArray[np.int32]
    places: Places


def grow(
    plan: Plan, channel: Channel, cohort: Cohort, exponents: Grid, riders: Sequence[Query] = ()
) -> tuple[list[Tree], list[object]]:
    """Grow one tree an output, a round a level, the first of which also carries the riders.

    Returns
    -------
    The trees, and the riders' answers.
    """
    units = Units.of(exponents)
    trees = [GrowingTree() for _ in range(plan.outputs)]
    roots = np.arange(plan.outputs, dtype=np.int32)
    question = _ask_for(plan, trees, exponents, roots, np.zeros(plan.outputs, np.int32))
    histograms, *answers = channel.totals([question, *riders], cohort)
    for tree, histogram in zip(trees, histograms, strict=True):
        # any feature's bins hold every row once: the first will do
        tree.sums[0] = histogram[:, : plan.cuts.bin_offsets[1]].sum(axis=1)
    frontier = Frontier(roots, np.zeros(plan.outputs, np.int32), plan.shelf.put(histograms))
    for depth in range(1, plan.max_depth + 1):
        splits = _find(plan, trees, frontier, units)
        parents, children = _split(trees, frontier, splits)
        worth = _can_be_split(plan.rule, trees, frontier.tree[parents], children, units)
        parents, children = parents[worth], children[worth]
        if depth == plan.max_depth or not len(parents):
            break
        built = _smaller(trees, frontier.tree[parents], children)
        question = _ask_for(plan, trees, exponents, frontier.tree[parents], built)
        frontier = _next(plan, frontier, parents, children, built, channel.total(question, cohort))
    return [tree.finished(plan.rule, units) for tree in trees], answers


def _ask_for(
    plan: Plan,
    trees: list[GrowingTree],
    exponents: Grid,
    of_tree: NDArray[np.int32],
    build: NDArray[np.int32],
) -> Histograms:
    def ends(counts: NDArray[np.int64] | list[int]) -> NDArray[np.int32]:
        return np.cumsum(counts).astype(np.int32)

    return Histograms(
        rows=plan.rows,
        features=plan.cuts.n_features,
        bins=plan.cuts.total_bins,
        exponents=exponents,
        ends=ends([len(tree.feature) for tree in trees]),
        feature=np.concatenate([tree.feature for tree in trees]),
        bin=np.concatenate([tree.bin for tree in trees]),
        default_left=np.concatenate([tree.default_left for tree in trees]),
        left=np.concatenate([tree.left for tree in trees]),
        build=build,
        build_ends=ends(np.bincount(of_tree, minlength=len(trees))),
    )


def _find(plan: Plan, trees: list[GrowingTree], frontier: Frontier, units: Units) -> Splits:
    totals = np.stack([trees[k].sums[node] for k, node in zip(frontier.tree, frontier.node, strict=True)])
    return best_splits(plan.shelf.histograms, frontier.places, totals, plan.cuts, plan.rule, units, plan.threads)


def _split(trees: list[GrowingTree], frontier: Frontier, splits: Splits) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Split what can be split: the places in the frontier of the nodes that were, and their left children."""
    (good,) = np.nonzero(splits.feature >= 0)
    children = np.empty(len(good), np.int32)
    for k, tree in enumerate(trees):
        own = frontier.tree[good] == k
        at = good[own]
        if len(at):
            part = Splits(
                splits.feature[at], splits.bin[at], splits.default_left[at], splits.gain[at],
                splits.left[at], splits.right[at],
            )  # fmt: skip
            children[own] = tree.split(frontier.node[at], part)
    return good, children


def _can_be_split(
    rule: SplitRule, trees: list[GrowingTree], of_tree: NDArray[np.int32], left: NDArray[np.int32], units: Units
) -> NDArray[np.bool_]:
    """Which pairs of siblings are worth asking for: one of them, at least, is heavy enough for two children."""
    larger = [max(trees[k].sums[node, 1], trees[k].sums[node + 1, 1]) for k, node in zip(of_tree, left, strict=True)]
    enough: NDArray[np.bool_] = np.array(larger, np.int64) * units.h >= 2 * rule.min_child_weight
    return enough


def _smaller(trees: list[GrowingTree], of_tree: NDArray[np.int32], left: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of each pair of siblings the one with the smaller sum of hessians, the left one of equals: it is asked for."""
    right_is = [trees[k].sums[node + 1, 1] < trees[k].sums[node, 1] for k, node in zip(of_tree, left, strict=True)]
    return left + np.array(right_is, np.int32)


def _next(
    plan: Plan,
    frontier: Frontier,
    parents: NDArray[np.int64],
    left: NDArray[np.int32],
    built: NDArray[np.int32],
    histograms: Vector,
) -> Frontier:
    """The next level: the children that were built, and those that are left of their parents."""
    there = frontier.places[parents]
    new = plan.shelf.divide(there, histograms, plan.threads)
    places = np.where((built == left)[:, None], np.stack([new, there], axis=1), np.stack([there, new], axis=1))
    nodes = np.stack([left, left + 1], axis=1).reshape(-1)
    return Frontier(np.repeat(frontier.tree[parents], 2), nodes, places.reshape(-1))
