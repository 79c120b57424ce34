"""Growing the trees of a round, all together, the children of many nodes a message: the server's side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ring import Vector
from fedtrees.trees.best_first import best_first
from fedtrees.trees.columns import Columns, Features, Thresholds, TreeColumns
from fedtrees.trees.constraints import Constraints
from fedtrees.trees.grid import Grid
from fedtrees.trees.growing import GrowingTree
from fedtrees.trees.histogram import Histograms, spread
from fedtrees.trees.shelf import Places, Shelf
from fedtrees.trees.split import Grounds, Limits, Rule, SplitRule, Splits, Units
from fedtrees.trees.tree import Cuts, Tree, flat_categories

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort
    from fedtrees.core.query import Query
    from fedtrees.core.threads import Threads


@dataclass(frozen=True)
class Plan:
    """What growing needs to know besides whom to ask.

    Attributes
    ----------
    cuts : Cuts
    rule : Rule
    max_depth : int
        Levels of splits; 0 is no limit.
    outputs : int
        Margins a row has.
    rows : int
        Rows of the federation.
    threads : Threads
    shelf : Shelf
        For the histograms; one for all trees.
    parallel : int
        Trees a round of each output.
    max_leaves : int
        Leaves of a tree at the most; 0 is no limit.
    best_first : bool
        Whether the largest gain is split first, and not the highest level.
    constraints : Constraints, optional
    columns : Columns, optional
        None where every node may ask for every feature.
    thresholds : Thresholds, optional
        None where every threshold is tried.
    """

    cuts: Cuts
    rule: Rule
    max_depth: int
    outputs: int
    rows: int
    threads: Threads
    shelf: Shelf
    parallel: int = 1
    max_leaves: int = 0
    best_first: bool = False
    constraints: Constraints | None = None
    columns: Columns | None = None
    thresholds: Thresholds | None = None

    @property
    def trees(self) -> int:
        """Trees a round."""
        return self.outputs * self.parallel

    @property
    def is_bounded(self) -> bool:
        """Whether weights are."""
        steps = isinstance(self.rule, SplitRule) and self.rule.max_delta_step > 0
        return steps or (self.constraints is not None and self.constraints.is_monotone)

    @property
    def newton(self) -> SplitRule:
        """The rule, where gradients are summed."""
        assert isinstance(self.rule, SplitRule)
        return self.rule


@dataclass(frozen=True, eq=False)
class Frontier:
    """Nodes whose histograms are on the shelf.

    Attributes
    ----------
    tree, node : int32 (nodes,)
    places : int64 (nodes,)
        Where on the shelf their histograms stand.
    """

    tree: NDArray[np.int32]
    node: NDArray[np.int32]
    places: Places

    def take(self, which: NDArray[np.int64]) -> Frontier:
        """Some of the nodes."""
        return Frontier(self.tree[which], self.node[which], self.places[which])

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Nodes that may be split, and how."""

    at: Frontier
    splits: Splits

    def take(self, which: NDArray[np.int64]) -> Candidates:
        """Some of them."""
        return Candidates(self.at.take(which), self.splits.take(which))

    def and_more(self, others: Candidates) -> Candidates:
        """Both, these first."""
        one, two = self.at, others.at
        at = Frontier(
            np.append(one.tree, two.tree), np.append(one.node, two.node), np.append(one.places, two.places)
        )  # fmt: skip
        return Candidates(at, self.splits.and_more(others.splits))

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, eq=False)
class _Choice:
    """Candidates, by their places: those to split, those whose children are to be looked at, and those to keep."""

    split: NDArray[np.int64]
    go_on: NDArray[np.bool_]  # of those to split
    keep: NDArray[np.int64]


def grow(
    plan: Plan, channel: Channel, cohort: Cohort, exponents: Grid, riders: Sequence[Query] = (), round: int = 0
) -> tuple[list[Tree], list[object]]:
    """Grow the trees of a round, of each output one after the other; the first message also carries the riders.

    Returns
    -------
    The trees, and the riders' answers.
    """
    growth = _Growth(plan, exponents, round)
    question = growth.ask_for_roots()
    histograms, *answers = channel.totals([question, *riders], cohort)
    fresh = growth.begin(question, histograms)
    candidates = growth.find(fresh)
    while len(candidates):
        choice = growth.choose(candidates)
        if not len(choice.split):
            break
        parents, rest = candidates.take(choice.split), candidates.take(choice.keep)
        left = growth.split(parents)
        worth = choice.go_on & growth.can_be_split(parents.at.tree, left)
        if worth.any():
            (which,) = np.nonzero(worth)
            pairs = growth.pairs(parents.at.take(which), left[which])
            question = growth.ask_for(pairs)
            fresh = growth.divide(pairs, question, channel.total(question, cohort), rest.at.places)
            found = growth.find(fresh)
            candidates = rest.and_more(found) if len(rest) else found
        else:
            candidates = rest
    return growth.finished(), answers


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Siblings to be looked at: where their parents are, the left ones, and those that are asked for."""

    parents: Frontier
    left: NDArray[np.int32]
    built: NDArray[np.int32]


class _Growth:
    """The trees of one round, and the steps that grow them."""

    def __init__(self, plan: Plan, exponents: Grid, round: int):
        self.plan, self.exponents, self.units, self.round = plan, exponents, Units.of(exponents), round
        self.trees = [GrowingTree(plan.rule.statistics) for _ in range(plan.trees)]
        self.columns: list[TreeColumns] = []
        if plan.columns is not None:
            self.columns = [plan.columns.of_tree(round, number) for number in range(plan.trees)]

    # -- asking ---------------------------------------------------------------------------------------------

    def ask_for_roots(self) -> Histograms:
        """The question for the roots."""
        return self._ask(np.arange(self.plan.trees, dtype=np.int32), np.zeros(self.plan.trees, np.int32))

    def ask_for(self, pairs: _Pairs) -> Histograms:
        """The question for one of each pair of siblings."""
        return self._ask(pairs.parents.tree, pairs.built)

    def _ask(self, of_tree: NDArray[np.int32], build: NDArray[np.int32]) -> Histograms:
        trees = self.trees
        columns = [self._columns_for(k, build[of_tree == k]) for k in range(len(self.columns))]
        n_bins = self.plan.cuts.n_bins
        categories, category_ends = flat_categories(tree.categories for tree in trees)
        return Histograms(
            rows=self.plan.rows,
            features=self.plan.cuts.n_features,
            bins=self.plan.cuts.total_bins,
            exponents=self.exponents,
            ends=_ends([len(tree.feature) for tree in trees]),
            feature=np.concatenate([tree.feature for tree in trees]),
            bin=np.concatenate([tree.bin for tree in trees]),
            default_left=np.concatenate([tree.default_left for tree in trees]),
            left=np.concatenate([tree.left for tree in trees]),
            build=build,
            build_ends=_ends(np.bincount(of_tree, minlength=len(trees))),
            columns=np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int32),
            column_ends=_ends([len(own) for own in columns]),
            column_bins=np.array([n_bins[own].sum() for own in columns], np.int32),
            categories=categories,
            category_ends=category_ends,
            statistics=self.plan.rule.statistics,
        )

    def _columns_for(self, k: int, build: NDArray[np.int32]) -> Features:
        """What these nodes of a tree, and all that may come below them, may ask for."""
        if not len(build):
            return np.zeros(0, np.int64)
        return self.columns[k].below(int(self.trees[k].depth[build].min()), self.plan.max_depth)

    def begin(self, question: Histograms, answer: Vector) -> Frontier:
        """Put the roots' histograms on the shelf."""
        histograms = spread(question, answer, self.plan.cuts)
        for k, tree in enumerate(self.trees):
            # any feature's bins hold every row once: the first that was asked for will do
            first = int(self.columns[k].below(0, self.plan.max_depth)[0]) if self.columns else 0
            bins = slice(*self.plan.cuts.bin_offsets[first : first + 2])
            tree.sums[0] = histograms[k, :, bins].sum(axis=1)
        roots = np.arange(len(self.trees), dtype=np.int32)
        return Frontier(roots, np.zeros(len(roots), np.int32), self.plan.shelf.put(histograms))

    def divide(self, pairs: _Pairs, question: Histograms, answer: Vector, taken: Places) -> Frontier:
        """The children: those that were built, and those that are left of their parents."""
        there = pairs.parents.places
        new = self.plan.shelf.divide(there, spread(question, answer, self.plan.cuts), self.plan.threads, taken)
        is_left = (pairs.built == pairs.left)[:, None]
        places = np.where(is_left, np.stack([new, there], axis=1), np.stack([there, new], axis=1))
        nodes = np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1)
        return Frontier(np.repeat(pairs.parents.tree, 2), nodes, places.reshape(-1))

    # -- choosing -------------------------------------------------------------------------------------------

    def find(self, frontier: Frontier) -> Candidates:
        """The best splits of nodes, of those that have any."""
        plan = self.plan
        totals = self._sums(frontier.tree, frontier.node)
        grounds = Grounds(plan.cuts, self.units, plan.threads, self._limits(frontier, totals))
        splits = plan.rule.splits(plan.shelf.histograms, frontier.places, totals, grounds)
        (good,) = np.nonzero(splits.feature >= 0)
        return Candidates(frontier.take(good), splits.take(good))

    def _limits(self, frontier: Frontier, totals: Vector) -> Limits:
        plan, constraints = self.plan, self.plan.constraints
        allowed = self._allowed(frontier)
        if not plan.is_bounded:
            mass = np.array([plan.rule.mass(self.trees[k].sums[:1], self.units)[0] for k in frontier.tree])
            return Limits(allowed=allowed, mass=mass, chance=self._chances(frontier))
        bounds, above = (np.tile(np.array([[-np.inf, np.inf]]), (len(frontier), 1)) for _ in range(2))
        if constraints is not None and constraints.is_monotone:
            for place, (k, node) in enumerate(zip(frontier.tree, frontier.node, strict=True)):
                tree = self.trees[k]
                bounds[place], above[place] = tree.bounds[node], tree.bounds[tree.parent[node]]
        # XGBoost compares with what a node saves within its parent's bounds, not its own
        before = plan.newton.objective(totals[:, 0] * self.units.g, totals[:, 1] * self.units.h, above)
        return Limits(bounds, before, None if constraints is None else constraints.direction, allowed)

    def _chances(self, frontier: Frontier) -> NDArray[np.float64] | None:
        """Draws of thresholds, float64 (nodes, features); None where all thresholds are tried."""
        if self.plan.thresholds is None:
            return None
        paths = [self.trees[k].path[node] for k, node in zip(frontier.tree, frontier.node, strict=True)]
        return self.plan.thresholds.draw(self.round, frontier.tree.tolist(), paths)

    def _allowed(self, frontier: Frontier) -> NDArray[np.bool_] | None:
        """The features that nodes may ask for, bool (nodes, features); None where all may."""
        groups = self.plan.constraints is not None and self.plan.constraints.groups is not None
        if not groups and not self.columns:
            return None
        allowed = np.ones((len(frontier), self.plan.cuts.n_features), bool)
        for own, k, node in zip(allowed, frontier.tree, frontier.node, strict=True):
            tree = self.trees[k]
            if self.columns:
                own[:] = False
                own[self.columns[k].node(int(tree.depth[node]), tree.path[node])] = True
            if groups and self.plan.constraints is not None:
                own &= self.plan.constraints.allowed(tree.used[node])
        return allowed

    def choose(self, candidates: Candidates) -> _Choice:
        """Those to split now."""
        everyone, nobody = np.arange(len(candidates)), np.zeros(0, np.int64)
        if not self.plan.best_first and not self.plan.max_leaves:
            return _Choice(everyone, np.ones(len(everyone), bool), nobody)
        split, go_on, keep = [nobody], [np.zeros(0, bool)], [nobody]
        for k, tree in enumerate(self.trees):
            (own,) = np.nonzero(candidates.at.tree == k)
            if self.plan.best_first:
                first, further, rest = self._best_first(tree, candidates, own)
            else:
                room = self.plan.max_leaves - (len(tree.feature) + 1) // 2
                first, rest = own[:room], nobody
                further = np.full(len(first), len(first) < room)
            split.append(first)
            go_on.append(further)
            keep.append(rest)
        return _Choice(np.concatenate(split), np.concatenate(go_on), np.concatenate(keep))

    def _best_first(
        self, tree: GrowingTree, candidates: Candidates, own: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """A tree's candidates to split now, whether to look at their children, and those that may yet be split.

        Some are split before it is known that best-first growth would: `finished` takes back what it would not.
        """
        nodes = candidates.at.node[own].tolist()
        gains = dict(zip(nodes, candidates.splits.gain[own].tolist(), strict=True))
        chosen = best_first(tree.left, tree.gain, gains, self.plan.max_leaves).open
        place = dict(zip(nodes, own.tolist(), strict=True))
        now = list(chosen)
        if self.plan.max_leaves:
            now = now[: -(-len(now) // 2)]  # the further down the order, the less likely to be split in the end
        go_on = [chosen[node] != self.plan.max_leaves for node in now]
        later = [place[node] for node in chosen if node not in now]
        return np.array([place[node] for node in now], np.int64), np.array(go_on, bool), np.array(later, np.int64)

    # -- splitting ------------------------------------------------------------------------------------------

    def split(self, parents: Candidates) -> NDArray[np.int32]:
        """Split nodes; returns their left children."""
        plan, constraints = self.plan, self.plan.constraints
        children = np.empty(len(parents), np.int32)
        for k, tree in enumerate(self.trees):
            (own,) = np.nonzero(parents.at.tree == k)
            if not len(own):
                continue
            nodes = parents.at.node[own]
            children[own] = tree.split(nodes, parents.splits.take(own))
            if constraints is not None:
                tree.constrain(nodes, constraints, plan.newton, self.units)
            if self.columns or plan.thresholds is not None:
                tree.name(nodes)
        return children

    def can_be_split(self, of_tree: NDArray[np.int32], left: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which pairs of siblings are worth asking for: high enough, and one heavy enough for two children."""
        masses = [self.plan.rule.mass(self._sums(of_tree, own), self.units) for own in (left, left + 1)]
        enough = self.plan.rule.divisible(np.maximum(*masses))
        if self.plan.max_depth:
            enough &= self._of_nodes("depth", of_tree, left) < self.plan.max_depth
        return enough

    def pairs(self, parents: Frontier, left: NDArray[np.int32]) -> _Pairs:
        """Ask for the lighter sibling, the left one of equals."""
        masses = [self.plan.rule.mass(self._sums(parents.tree, own), self.units) for own in (left, left + 1)]
        smaller_right = masses[1] < masses[0]
        return _Pairs(parents, left, left + smaller_right.astype(np.int32))

    def _sums(self, of_tree: NDArray[np.int32], node: NDArray[np.int32]) -> Vector:
        return self._of_nodes("sums", of_tree, node)

    def _of_nodes(self, what: str, of_tree: NDArray[np.int32], node: NDArray[np.int32]) -> NDArray[Any]:
        """What some nodes of the trees have."""
        if len(self.trees) == 1:
            own: NDArray[Any] = getattr(self.trees[0], what)
            return own[node]
        return np.array([getattr(self.trees[k], what)[own] for k, own in zip(of_tree, node, strict=True)])

    def finished(self) -> list[Tree]:
        """The trees."""
        plan, trees = self.plan, self.trees
        if plan.best_first:
            trees = [tree.kept(best_first(tree.left, tree.gain, {}, plan.max_leaves).split) for tree in trees]
        return [tree.finished(plan.rule, self.units) for tree in trees]


def _ends(counts: NDArray[np.int64] | list[int]) -> NDArray[np.int32]:
    return np.cumsum(counts).astype(np.int32)
