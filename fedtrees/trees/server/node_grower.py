"""Growth of trees whose nodes each ask for a few features, drawn for the node alone: forests.

A node's features are drawn anew, so that a sibling's histogram does not have them: both children are asked for, and
no histogram is kept. That is less than half of all bins once a node asks for less than half of the features.

As in scikit-learn, features that are the same in all rows of a node do not count: a node that has drawn no other is
asked for again, with features that it has not tried, along with the next level.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.messages.node_histograms import NodeHistograms
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.server.feature_sampling import NodeDraws
from fedtrees.trees.server.growth_plan import Candidates, Frontier, GrowthPlan, Pairs
from fedtrees.trees.server.histogram_cache import HistogramCache, Places
from fedtrees.trees.server.histogram_source import HistogramSource
from fedtrees.trees.server.level_grower import LevelGrower
from fedtrees.trees.server.split import Grounds, Splits

MOST_INTEGERS = 1 << 27  # of an answer
NODES_PER_DRAW = 4096  # whose chances a cache holds


class NodeGrower(LevelGrower):
    """The trees of one round, and the steps that grow them; see `LevelGrower`.

    Law: a tree's draws depend on the seed, its number in the forest and its nodes alone, however many trees grow
    beside it and however many messages ask for a level.
    """

    def __init__(self, plan: GrowthPlan, cache: HistogramCache, gradient_scale: GradientScale, round: int):
        super().__init__(replace(plan, columns=None), cache, gradient_scale, round)
        assert plan.columns is not None
        self.chances = NodeDraws(plan.cuts.n_features, plan.columns.seed, "features")
        self.starts = np.zeros(1, np.int64)  # where each node's integers start in the answer
        nothing = np.zeros((0, plan.cuts.n_features), bool)
        # the nodes asked for last, the features drawn, and all that were ever tried; then the nodes to ask for again
        self.nodes, self.drawn, self.tried = _no_nodes(), np.zeros((0, 0), np.int64), nothing
        self.again, self.again_tried = _no_nodes(), nothing
        self.due, self.messages = (self.again, self.again_tried), 0  # of a level: the last of its messages asks again

    @property
    def unsettled(self) -> bool:
        """Return whether some nodes are to be asked for again."""
        return len(self.again) > 0

    # -- asking ---------------------------------------------------------------------------------------------

    def batches(self, pairs: Pairs) -> list[Pairs]:
        """Return siblings by the messages that ask for them: one per level, unless that is more than memory holds."""
        most_bins = int(np.sort(self.plan.cuts.n_bins)[-self.plan.n_features_per_node :].sum())
        step = max(1, MOST_INTEGERS // (2 * most_bins * self.plan.rule.statistics))
        starts = range(0, max(1, len(pairs)), step)
        self.messages, self.due = len(starts), (self.again, self.again_tried)
        self.again, self.again_tried = _no_nodes(), self.again_tried[:0]
        return [pairs.take(np.arange(first, min(first + step, len(pairs)))) for first in starts]

    def ask_for(self, pairs: Pairs) -> Histograms:
        """Return the question for both of each pair of siblings, and for the nodes that are asked for again."""
        self.messages -= 1
        again, again_tried = (_no_nodes(), self.again_tried[:0]) if self.messages else self.due
        of_tree = np.concatenate([np.repeat(pairs.parents.tree, 2), again.tree])
        build = np.concatenate([np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1), again.node])
        untried = np.zeros((2 * len(pairs), self.plan.cuts.n_features), bool)
        tried = np.concatenate([untried, again_tried])
        order = np.argsort(of_tree, kind="stable")  # tree after tree
        return self._ask(of_tree[order], build[order], tried[order])

    def _ask(
        self, of_tree: NDArray[np.int32], build: NDArray[np.int32], tried: NDArray[np.bool_] | None = None
    ) -> Histograms:
        cuts, most = self.plan.cuts, self.plan.n_features_per_node
        self.tried = np.zeros((len(build), cuts.n_features), bool) if tried is None else tried
        self.drawn = np.zeros((len(build), most), np.int64)
        for first in range(0, len(build), NODES_PER_DRAW):
            some = slice(first, first + NODES_PER_DRAW)
            chance = self.chances.draw(self.round, self._numbers(of_tree[some]), build[some])
            sampling_kernels.draw_columns(chance, self.tried[some], self.drawn[some])
        bins = cuts.n_bins[self.drawn].sum(axis=1)
        self.starts = np.append(0, np.cumsum(bins * self.plan.rule.statistics))
        self.nodes = Frontier(of_tree, build, np.arange(len(build)))
        plain = super()._ask(of_tree, build)
        given = {name: getattr(plain, name) for name in plain.__struct_fields__}
        given |= {"columns": self.drawn.astype(np.int32).reshape(-1), "column_bins": bins.astype(np.int32)}
        return NodeHistograms(**given)

    # -- choosing -------------------------------------------------------------------------------------------

    def begin(self, question: Histograms, answer: Vector) -> Candidates:
        """Compute the roots' sums from their first features, which hold every row once, and look at the roots."""
        for root, tree in enumerate(self.trees):
            tree.sums[0] = self._whole_of(self._integers_of(answer, root, 0), root)
        return self._find([answer])

    def look_at(self, pairs: Pairs, source: HistogramSource, taken: Places) -> Candidates:
        """See `LevelGrower`: only splits are kept, so that each part of the answer is used up as it comes."""
        with closing(source.parts(self.ask_for(pairs))) as parts:
            return self._find(parts)

    def look_again(self, of_tree: NDArray[np.int32], nodes: NDArray[np.int32], source: HistogramSource) -> Candidates:
        """See `LevelGrower`."""
        with closing(source.parts(self._ask(of_tree, nodes))) as parts:
            return self._find(parts, anew=True)

    def _find(self, parts: Iterable[Vector], anew: bool = False) -> Candidates:
        """Find the best splits of the nodes just asked for; with ``anew``, their sums are on another gradient scale."""
        nodes, found, first = self.nodes, [], 0
        totals = self._sums(nodes.tree, nodes.node)
        limits = replace(self._limits(nodes, np.zeros((0, 2), np.int64)), columns=self.drawn)
        hopeful = self._hopeful(totals)
        for part in parts:
            last = int(np.searchsorted(self.starts, self.starts[first] + len(part)))
            nodes_of_part, start = slice(first, last), int(self.starts[first])
            for node in range(first, last) if anew else ():
                totals[node] = self._whole_of(self._integers_of(part, node, start), node)
                self.trees[nodes.tree[node]].sums[nodes.node[node]] = totals[node]
            grounds = Grounds(self.plan.cuts, self.units, self.plan.threads, limits.of(nodes_of_part))
            splits = self.plan.rule.splits(part, self.starts[nodes_of_part] - start, totals[nodes_of_part], grounds)
            found.append(splits)
            hopeful[nodes_of_part] &= splits.feature < 0
            for node in (first + np.flatnonzero(hopeful[nodes_of_part])).tolist():
                hopeful[node] = self._is_constant(self._integers_of(part, node, start))
            first = last
        self.again = Frontier.joined([self.again, nodes.take(np.flatnonzero(hopeful))])
        self.again_tried = np.concatenate([self.again_tried, self.tried[hopeful]])
        splits = Splits.joined(found)
        good = self._to_split(nodes, splits)
        return Candidates(nodes.take(good), splits.take(good))

    def _whole_of(self, integers: Vector, node: int) -> Vector:
        """Return the sums of a node that was just asked for: any feature's bins hold every row once."""
        sums: Vector = integers[:, : self.plan.cuts.n_bins[self.drawn[node, 0]]].sum(axis=1)
        return sums

    def _integers_of(self, part: Vector, node: int, start: int) -> Vector:
        """Return a node's integers, of a part of the answer that starts at ``start``: int64 (statistics, bins)."""
        integers = part[self.starts[node] - start : self.starts[node + 1] - start]
        return integers.reshape(self.plan.rule.statistics, -1)

    def _hopeful(self, totals: Vector) -> NDArray[np.bool_]:
        """Return whether nodes may be split by features that they have not tried."""
        rule = self.plan.rule
        # of numbers: they may differ in any node with rows
        impure = self.plan.moments is not None or np.count_nonzero(totals, axis=1) > 1
        hopeful: NDArray[np.bool_] = impure & ~self.tried.all(axis=1) & rule.divisible(rule.mass(totals, self.units))
        return hopeful

    def _is_constant(self, integers: Vector) -> bool:
        """Return whether each of a node's features has all of the node's rows in one bin."""
        return int(integers.any(axis=0).sum()) <= self.drawn.shape[1]  # each feature has at least one


def _no_nodes() -> Frontier:
    return Frontier(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64))
