"""Growth of trees of several outputs that share splits: each output's tree is the same but for its predictions.

An output's histograms are asked for as if its tree grew alone. Only where splits are looked for are they put side by
side: a split saves the mean of what it saves each output, as in scikit-learn's trees of several outputs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.server.growth_plan import Candidates, Frontier
from fedtrees.trees.server.histogram_cache import Places
from fedtrees.trees.server.level_grower import LevelGrower
from fedtrees.trees.server.split import Grounds, Rule, Splits

MOST_INTEGERS = 1 << 24  # of histograms that are copied side by side at a time


class SharedGrower(LevelGrower):
    """The trees of one round, and the steps that grow them; see `LevelGrower`.

    Trees stand output after output, the parallel ones of each in the same order.

    Law: the trees of one place have the same nodes, in the same order, in every output.
    """

    def find(self, frontier: Frontier) -> Candidates:
        """Find the best splits of nodes for all outputs together."""
        plan, outputs = self.plan, self.plan.outputs
        # node after node, its outputs side by side
        order = np.lexsort((frontier.tree, frontier.node, frontier.tree % plan.parallel)).reshape(-1, outputs)
        totals = self._sums(frontier.tree, frontier.node)[order].reshape(len(order), -1)
        roots = self._sums(frontier.tree, np.zeros_like(frontier.node))[order].reshape(len(order), -1)
        limits = replace(self._limits(frontier.take(order[:, 0]), totals), roots=roots)
        splits = self._splits(
            plan.rule.of_outputs(outputs), frontier.take(order[:, 0]), frontier.places[order], totals, limits
        )
        return self._of_each(frontier, order, splits)

    def _search(self, rule: Rule, places: Places, totals: Vector, grounds: Grounds) -> Splits:
        bins = self.plan.cuts.total_bins
        histograms = self.cache.histograms.reshape(-1, self.plan.rule.statistics, bins)
        step, found = max(1, MOST_INTEGERS // (rule.statistics * bins)), []
        for first in range(0, len(places), step):
            some = slice(first, min(first + step, len(places)))
            side_by_side = histograms[places[some].reshape(-1)].reshape(-1, rule.statistics, bins)
            part = replace(grounds, limits=grounds.limits.of(some))
            found.append(rule.splits(side_by_side, np.arange(len(side_by_side)), totals[some], part))
        return Splits.joined(found)

    def _constants(self, places: Places) -> NDArray[np.bool_]:
        return super()._constants(places[:, -1])  # every output has all rows

    def _mass(self, of_tree: NDArray[np.int32], node: NDArray[np.int32]) -> NDArray[np.float64]:
        last = (
            self.plan.trees - self.plan.parallel
        )  # the output where rows weigh as they count, if any; elsewhere all are alike
        return super()._mass(last + of_tree % self.plan.parallel, node)

    def _rule_of(self, tree: int) -> Rule:
        return self.plan.rule.of_output(tree // self.plan.parallel)

    def _of_each(self, frontier: Frontier, order: NDArray[np.int64], splits: Splits) -> Candidates:
        """Return each output's part of the splits, for nodes that have one, in the frontier's order."""
        node, output = np.empty((2, order.size), np.int64)
        node[order], output[order] = np.arange(len(order))[:, None], np.arange(order.shape[1])
        each = splits.take(node)
        left, right = (
            side.reshape(len(order), order.shape[1], -1)[node, output] for side in (splits.left, splits.right)
        )
        good = self._to_split(frontier, each)
        return Candidates(frontier.take(good), replace(each, left=left, right=right).take(good))
