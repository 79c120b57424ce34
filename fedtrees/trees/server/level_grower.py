"""The trees of one round while they grow, and the steps that grow them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.messages.histograms import Histograms, spread
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.best_first import best_first
from fedtrees.trees.server.feature_sampling import DrawnInTurn, Features, NodeDraws, TreeColumns
from fedtrees.trees.server.growing_tree import GrowingTree, within
from fedtrees.trees.server.growth_plan import Candidates, Choice, Frontier, GrowthPlan, Pairs
from fedtrees.trees.server.histogram_cache import HistogramCache, Places
from fedtrees.trees.server.histogram_source import HistogramSource
from fedtrees.trees.server.split import Grounds, Limits, Rule, SplitRule, Splits, Units
from fedtrees.trees.server.zero_gain_leaves import ask_leaves, stalled_leaves, with_moments


class LevelGrower:
    """The trees of one round, and the steps that grow them.

    A frontier is nodes whose histograms are in the cache. Of each pair of siblings one is asked for; the other is what
    remains of their parent's histogram.
    """

    def __init__(self, plan: GrowthPlan, cache: HistogramCache, gradient_scale: GradientScale, round: int):
        self.cache = cache
        self.plan, self.gradient_scale, self.units, self.round = plan, gradient_scale, Units.of(gradient_scale), round
        self.first_scale = gradient_scale  # of weights that change from round to round
        self.scales = dict.fromkeys(range(plan.trees), gradient_scale)  # the scales that trees were last looked at on
        self.leaves: dict[int, Vector] = {}  # the digits of leaves' moments, by tree
        self.trees = [GrowingTree(plan.rule.statistics, plan.rule.gains) for _ in range(plan.trees)]
        self.columns: list[TreeColumns] = []
        self.features: NodeDraws | None = None  # that nodes of trees by impurity draw
        if plan.columns is not None and not isinstance(plan.rule, SplitRule):
            self.features = NodeDraws(plan.cuts.n_features, plan.columns.seed, "features")
        elif plan.columns is not None:
            numbers = range(plan.trees_before, plan.trees_before + plan.trees)
            self.columns = [plan.columns.of_tree(round, number) for number in numbers]

    @property
    def unsettled(self) -> bool:
        """Return whether some nodes are to be asked for again."""
        return False

    # -- asking ---------------------------------------------------------------------------------------------

    def ask_for_roots(self) -> Histograms:
        """Return the question for the roots."""
        return self._ask(np.arange(self.plan.trees, dtype=np.int32), np.zeros(self.plan.trees, np.int32))

    def batches(self, pairs: Pairs) -> list[Pairs]:
        """Return siblings by the messages that ask for them: one for all."""
        return [pairs]

    def ask_for(self, pairs: Pairs) -> Histograms:
        """Return the question for one of each pair of siblings."""
        return self._ask(pairs.parents.tree, pairs.built)

    def _ask(self, of_tree: NDArray[np.int32], build: NDArray[np.int32]) -> Histograms:
        """Return the question for nodes, tree after tree."""
        trees = self.trees
        columns = [self._columns_for(k, build[of_tree == k]) for k in range(len(self.columns))]
        n_bins = self.plan.cuts.n_bins
        return Histograms(
            rows=self._most_rows(of_tree, build),
            features=self.plan.cuts.n_features,
            bins=self.plan.cuts.total_bins,
            exponents=self.gradient_scale,
            trees=FlatTrees.of(trees),
            build=build,
            build_ends=_ends(np.bincount(of_tree, minlength=len(trees))),
            columns=np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int32),
            column_ends=_ends([len(features) for features in columns]),
            column_bins=np.array([n_bins[features].sum() for features in columns], np.int32),
            statistics=self.plan.rule.statistics,
            row_counts=self.plan.row_counts,
        )

    def _most_rows(self, of_tree: NDArray[np.int32], build: NDArray[np.int32]) -> int:
        """Return the most rows of a bin: where rows are counted, the largest node's, so that integers are short."""
        if self.gradient_scale.extra >= 0 or not build.all():  # before a root's sums, nothing is known
            return self.plan.rows
        return int(self.plan.rule.mass(self._sums(of_tree, build), self.units).max())

    def _columns_for(self, k: int, build: NDArray[np.int32]) -> Features:
        """Return the features of some nodes of a tree and of all that may come below them."""
        if not len(build):
            return np.zeros(0, np.int64)
        return self.columns[k].below(int(self.trees[k].depth[build].min()), self.plan.max_depth)

    # -- choosing -------------------------------------------------------------------------------------------

    def begin(self, question: Histograms, answer: Vector) -> Candidates:
        """Put the roots' histograms in the cache, and look at the roots."""
        histograms = spread(question, answer, self.plan.cuts)
        root = np.zeros(1, np.int32)
        for k, tree in enumerate(self.trees):
            tree.sums[:1] = self._whole(k, root, histograms[k : k + 1])
        roots = np.arange(len(self.trees), dtype=np.int32)
        return self.find(Frontier(roots, np.zeros(len(roots), np.int32), self.cache.put(histograms)))

    def _whole(self, k: int, nodes: NDArray[np.int32], histograms: Vector) -> Vector:
        """Return the sums of nodes of one tree that were asked for together, int64 (nodes, statistics)."""
        # any feature's bins hold every row once: the first that was asked for will do
        first = int(self._columns_for(k, nodes)[0]) if self.columns else 0
        sums: Vector = histograms[:, :, slice(*self.plan.cuts.bin_offsets[first : first + 2])].sum(axis=2)
        return sums

    def look_at(self, pairs: Pairs, source: HistogramSource, taken: Places) -> Candidates:
        """Ask for pairs of siblings, and look at them; ``taken`` are the places of histograms that are still needed."""
        if not source.exact:
            return self._look_at_both(pairs, source, taken)
        question = self.ask_for(pairs)
        return self.find(self._divided(pairs, question, source.totals([question])[0], taken))

    def _look_at_both(self, pairs: Pairs, source: HistogramSource, taken: Places) -> Candidates:
        """Ask for both siblings: where totals are no sums, a parent's less one child's is not the other's."""
        of_tree = np.repeat(pairs.parents.tree, 2)
        nodes = np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1)
        histograms = self._ask_anew(of_tree, nodes, source)
        return self.find(Frontier(of_tree, nodes, self.cache.add(histograms, taken)))

    def _divided(self, pairs: Pairs, question: Histograms, answer: Vector, taken: Places) -> Frontier:
        """Put children in the cache: the built ones, and what remains of their parents."""
        there = pairs.parents.places
        new = self.cache.divide(there, spread(question, answer, self.plan.cuts), self.plan.threads, taken)
        is_left = (pairs.built == pairs.left)[:, None]
        places = np.where(is_left, np.stack([new, there], axis=1), np.stack([there, new], axis=1))
        nodes = np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1)
        return Frontier(np.repeat(pairs.parents.tree, 2), nodes, places.reshape(-1))

    def find(self, frontier: Frontier) -> Candidates:
        """Find the best splits of nodes, of those that have any."""
        plan = self.plan
        totals = self._sums(frontier.tree, frontier.node)
        splits = self._splits(plan.rule, frontier, frontier.places, totals, self._limits(frontier, totals))
        good = self._to_split(frontier, splits)
        return Candidates(frontier.take(good), splits.take(good))

    def _to_split(self, frontier: Frontier, splits: Splits) -> NDArray[np.int64]:
        """Return the nodes that have a split, by their places; nodes without gain wait, unless their targets differ."""
        there = splits.feature >= 0
        if self.plan.moments is not None:
            waits = there & (splits.gain <= 0) & ~self._of_nodes("differs", frontier.tree, frontier.node)
            for k, node in zip(frontier.tree[waits], frontier.node[waits], strict=True):
                self.trees[k].stalled[node] = True
            there &= ~waits
        return np.flatnonzero(there)

    def _splits(self, rule: Rule, frontier: Frontier, places: Places, totals: Vector, limits: Limits) -> Splits:
        """Find the best splits of nodes, by the features that each may ask for."""

        def search(which: slice | NDArray[np.int64], limits: Limits) -> Splits:
            grounds = Grounds(self.plan.cuts, self.units, self.plan.threads, limits)
            return self._search(rule, places[which], totals[which], grounds)

        if self.features is None or self.plan.columns is None:
            return search(slice(None), limits)
        order = DrawnInTurn.of(self.features.draw(self.round, self._numbers(frontier.tree), frontier.node))
        first, most = 0, self.plan.columns.n_per_node
        splits = search(slice(None), replace(limits, allowed=order.turn(slice(None), first, most)))
        which = np.flatnonzero(splits.feature < 0)
        while len(which) and first + most < self.plan.cuts.n_features:
            # as in scikit-learn, features do not count that are the same in all of a node's rows
            which = which[order.are_constant(which, self._constants(places[which]), first + most)]
            if not len(which):
                break
            first += most
            again = search(which, replace(limits.of(which), allowed=order.turn(which, first, most)))
            splits.put(which, again)
            which = which[again.feature < 0]
        return splits

    def _search(self, rule: Rule, places: Places, totals: Vector, grounds: Grounds) -> Splits:
        """Find the best splits of nodes whose histograms stand at these places."""
        return rule.splits(self.cache.histograms, places, totals, grounds)

    def _constants(self, places: Places) -> NDArray[np.bool_]:
        """Return the features that are the same in all of a node's rows: bool (nodes, features)."""
        filled = np.stack([self.cache.histograms[place].any(axis=0) for place in places.tolist()])
        constants: NDArray[np.bool_] = np.add.reduceat(filled, self.plan.cuts.bin_offsets[:-1], axis=1, dtype=int) <= 1
        return constants

    def _limits(self, frontier: Frontier, totals: Vector) -> Limits:
        """Return the limits of nodes' splits, by constraints and draws."""
        plan, constraints = self.plan, self.plan.constraints
        boosts, monotone = isinstance(plan.rule, SplitRule), constraints is not None and constraints.is_monotone
        limits = Limits(allowed=self._allowed(frontier))
        if not boosts or not plan.is_bounded:
            roots = self._sums(frontier.tree, np.zeros_like(frontier.node))
            limits = replace(limits, roots=roots, chance=self._chances(frontier))
        if not plan.is_bounded:
            return limits
        bounds, above = (np.tile(np.array([[-np.inf, np.inf]]), (len(frontier), 1)) for _ in range(2))
        if monotone:
            bounds = self._of_nodes("bounds", frontier.tree, frontier.node)
            above = self._of_nodes("bounds", frontier.tree, self._of_nodes("parent", frontier.tree, frontier.node))
        limits = replace(limits, bounds=bounds, direction=None if constraints is None else constraints.direction)
        if not boosts:
            return limits
        # XGBoost compares with the loss that a node saves within its parent's bounds, not within its own
        before = plan.newton.objective(totals[:, 0] * self.units.g, totals[:, 1] * self.units.h, above)
        return replace(limits, before=before)

    def _chances(self, frontier: Frontier) -> NDArray[np.float64] | None:
        """Draws of thresholds, float64 (nodes, features); None where all thresholds are tried."""
        if self.plan.thresholds is None:
            return None
        return self.plan.thresholds.draw(self.round, self._numbers(frontier.tree), frontier.node)

    def _numbers(self, of_tree: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the numbers in the forest of the trees that nodes belong to: several outputs' trees share one."""
        numbers: NDArray[np.int32] = self.plan.trees_before + of_tree % self.plan.parallel
        return numbers

    def _allowed(self, frontier: Frontier) -> NDArray[np.bool_] | None:
        """Return the features that nodes may ask for, bool (nodes, features); None where they may ask for all."""
        groups = self.plan.constraints is not None and self.plan.constraints.groups is not None
        if not groups and not self.columns:
            return None
        allowed = np.ones((len(frontier), self.plan.cuts.n_features), bool)
        for row, k, node in zip(allowed, frontier.tree, frontier.node, strict=True):
            tree = self.trees[k]
            if self.columns:
                row[:] = False
                row[self.columns[k].node(int(tree.depth[node]), tree.path[node])] = True
            if groups and self.plan.constraints is not None:
                row &= self.plan.constraints.allowed(tree.used[node])
        return allowed

    def choose(self, candidates: Candidates) -> Choice:
        """Choose the candidates to split now."""
        all_places, no_places = np.arange(len(candidates)), np.zeros(0, np.int64)
        if not self.plan.best_first and not self.plan.max_leaves:
            return Choice(all_places, np.ones(len(all_places), bool), no_places)
        split, go_on, keep = [no_places], [np.zeros(0, bool)], [no_places]
        for k, tree in enumerate(self.trees):
            (places,) = np.nonzero(candidates.at.tree == k)
            if self.plan.best_first:
                first, further, rest = self._best_first(tree, candidates, places)
            else:
                room = self.plan.max_leaves - (len(tree.feature) + 1) // 2
                first, rest = places[:room], no_places
                further = np.full(len(first), len(first) < room)
            split.append(first)
            go_on.append(further)
            keep.append(rest)
        return Choice(np.concatenate(split), np.concatenate(go_on), np.concatenate(keep))

    def _best_first(
        self, tree: GrowingTree, candidates: Candidates, places: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Return a tree's candidates to split now, whether to look at their children, and the ones to keep for later.

        Some are split before it is known that best-first growth would: `finished` takes back what it would not.
        """
        nodes = candidates.at.node[places].tolist()
        kind = self.plan.rule.gains
        gains = dict(zip(nodes, within(candidates.splits.gain[places], kind).tolist(), strict=True))
        chosen = best_first(tree.left, within(tree.gain, kind), gains, self.plan.max_leaves).open
        place = dict(zip(nodes, places.tolist(), strict=True))
        now = list(chosen)
        if self.plan.max_leaves:
            now = now[: -(-len(now) // 2)]  # the further down the order, the less likely to be split in the end
        go_on = [chosen[node] != self.plan.max_leaves for node in now]
        later = [place[node] for node in chosen if node not in now]
        return np.array([place[node] for node in now], np.int64), np.array(go_on, bool), np.array(later, np.int64)

    # -- where nothing gains any more -----------------------------------------------------------------------

    def settle(self, source: HistogramSource) -> Candidates | None:
        """Ask for the moments of all leaves, and look again at some; None where no leaf is left to look at."""
        plan = self.plan
        if plan.moments is None:
            return None
        grown = {
            k: tree
            for k, tree in enumerate(self.trees)
            if k not in self.leaves or len(self.leaves[k]) < np.count_nonzero(tree.feature == LEAF)
        }
        self.leaves |= ask_leaves(plan, grown, self.gradient_scale, self.first_scale, source)
        stalled = stalled_leaves(plan, self.trees, self.leaves, self.scales, self.first_scale)
        if stalled is None:
            return None
        self._go_to(stalled.scale)
        for k, node in zip(stalled.tree, stalled.node, strict=True):
            self.trees[k].stalled[node], self.trees[k].differs[node] = False, True
        return self.look_again(stalled.tree, stalled.node, source)

    def look_again(self, of_tree: NDArray[np.int32], nodes: NDArray[np.int32], source: HistogramSource) -> Candidates:
        """Ask for nodes whose histograms are no longer there, tree after tree, and look at them."""
        histograms = self._ask_anew(of_tree, nodes, source)
        return self.find(Frontier(of_tree, nodes, self.cache.put(histograms)))

    def _ask_anew(self, of_tree: NDArray[np.int32], nodes: NDArray[np.int32], source: HistogramSource) -> Vector:
        """Ask for nodes, tree after tree, and set their sums to those of the histograms."""
        question = self._ask(of_tree, nodes)
        histograms = spread(question, source.totals([question])[0], self.plan.cuts)
        for k in np.unique(of_tree).tolist():
            of_k = of_tree == k
            self.trees[k].sums[nodes[of_k]] = self._whole(k, nodes[of_k], histograms[of_k])
        return histograms

    def _go_to(self, scale: GradientScale) -> None:
        """Go on with another gradient scale: of the sums so far, only the roots' weights are still needed."""
        finer = scale.extra - self.gradient_scale.extra
        self.gradient_scale, self.units = scale, Units.of(scale)
        for tree in self.trees:
            if finer > 0:
                tree.sums[:, 1] <<= finer
            else:
                tree.sums[:, 1] >>= -finer

    # -- splitting ------------------------------------------------------------------------------------------

    def split(self, parents: Candidates) -> NDArray[np.int32]:
        """Split nodes; return their left children."""
        plan, constraints = self.plan, self.plan.constraints
        children = np.empty(len(parents), np.int32)
        for k, tree in enumerate(self.trees):
            (places,) = np.nonzero(parents.at.tree == k)
            if not len(places):
                continue
            nodes = parents.at.node[places]
            children[places] = tree.split(nodes, parents.splits.take(places))
            if constraints is not None:
                tree.constrain(nodes, constraints, plan.rule, self.units)
            if self.columns:
                tree.name(nodes)
        return children

    def can_be_split(self, of_tree: NDArray[np.int32], left: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return the pairs of siblings worth asking for: not too deep, and one heavy enough for two children."""
        masses = [self._mass(of_tree, side) for side in (left, left + 1)]
        enough = self.plan.rule.divisible(np.maximum(*masses))
        if self.plan.max_depth:
            enough &= self._of_nodes("depth", of_tree, left) < self.plan.max_depth
        return enough

    def pairs(self, parents: Frontier, left: NDArray[np.int32]) -> Pairs:
        """Ask for the lighter sibling, the left one of equals."""
        masses = [self._mass(parents.tree, side) for side in (left, left + 1)]
        smaller_right = masses[1] < masses[0]
        return Pairs(parents, left, left + smaller_right.astype(np.int32))

    def _mass(self, of_tree: NDArray[np.int32], node: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the number of rows of some nodes, each as often as it counts."""
        return self.plan.rule.mass(self._sums(of_tree, node), self.units)

    def _sums(self, of_tree: NDArray[np.int32], node: NDArray[np.int32]) -> Vector:
        return self._of_nodes("sums", of_tree, node)

    def _of_nodes(self, what: str, of_tree: NDArray[np.int32], node: NDArray[np.int32]) -> NDArray[Any]:
        """Return an attribute of some nodes of the trees, in the nodes' order."""
        columns: list[NDArray[Any]] = [getattr(tree, what) for tree in self.trees]  # of the attribute's type
        if len(columns) == 1:
            return columns[0][node]
        order = np.argsort(of_tree, kind="stable")  # fast where nodes stand tree after tree already
        ends = np.searchsorted(of_tree[order], np.arange(len(columns)), side="right")
        parts = [column[node[which]] for column, which in zip(columns, np.split(order, ends[:-1]), strict=True)]
        sorted_ = np.concatenate(parts)
        of_all = np.empty_like(sorted_)
        of_all[order] = sorted_
        return of_all

    def finished(self) -> list[Tree]:
        """Return the finished trees."""
        plan, trees = self.plan, self.trees
        if plan.moments is not None:
            trees = with_moments(plan, trees, self.leaves, self.first_scale)
        if plan.best_first:
            kind = plan.rule.gains
            trees = [
                tree.kept(best_first(tree.left, within(tree.gain, kind), {}, plan.max_leaves).split) for tree in trees
            ]
        if plan.moments is None:
            return [tree.finished(self._rule_of(k), self.units) for k, tree in enumerate(trees)]
        base = plan.moments.base
        for tree in trees:
            if plan.constraints is not None and plan.constraints.is_monotone and tree.moments is not None:
                tree.constrain_again(plan.constraints.direction, tree.moments.mean[:, 0] - base[0])
        return [tree.finished(plan.rule, self.units, float(base[k // plan.parallel])) for k, tree in enumerate(trees)]

    def _rule_of(self, tree: int) -> Rule:
        """Return the rule that values a tree's nodes."""
        return self.plan.rule


def _ends(counts: NDArray[np.int64] | list[int]) -> NDArray[np.int32]:
    return np.cumsum(counts).astype(np.int32)
