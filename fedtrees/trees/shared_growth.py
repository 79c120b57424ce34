"""Growing trees of several outputs that share their splits: each output's tree is the same but for what it predicts.

An output's histograms are asked for like those of a tree of its own. Only where splits are looked for are they put side
by side: what a split saves is the mean of what it saves each output, as in scikit-learn's trees of several outputs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.grid import Grid
from fedtrees.trees.growth import Growth
from fedtrees.trees.plan import Candidates, Frontier, Plan
from fedtrees.trees.split import Grounds, Splits

MOST_INTEGERS = 1 << 24  # of histograms that are copied side by side at a time


class SharedGrowth(Growth):
    """See `Growth`; trees stand output after output, those side by side of each in one order.

    Law: the trees of one place have the same nodes, in the same order, in every output.
    """

    def __init__(self, plan: Plan, exponents: Grid, round: int):
        super().__init__(plan, exponents, round)
        if plan.columns is not None:
            numbers = range(plan.trees_before, plan.trees_before + plan.parallel)
            places = [plan.columns.of_tree(round, number) for number in numbers]
            self.columns = places * plan.outputs

    def find(self, frontier: Frontier) -> Candidates:
        """The best splits of nodes for all outputs together."""
        plan, outputs = self.plan, self.plan.outputs
        # node after node, its outputs side by side
        order = np.lexsort((frontier.tree, frontier.node, frontier.tree % plan.parallel)).reshape(-1, outputs)
        bins = plan.cuts.total_bins
        totals = self._sums(frontier.tree, frontier.node)[order].reshape(len(order), -1)
        roots = self._sums(frontier.tree, np.zeros_like(frontier.node))[order].reshape(len(order), -1)
        limits = replace(self._limits(frontier.take(order[:, 0]), totals), roots=roots)
        rule = plan.rule.of_outputs(outputs)
        histograms = plan.shelf.histograms.reshape(-1, plan.rule.statistics, bins)
        step, found = max(1, MOST_INTEGERS // (rule.statistics * bins)), []
        for first in range(0, len(order), step):
            some = slice(first, min(first + step, len(order)))
            side_by_side = histograms[frontier.places[order[some]].reshape(-1)].reshape(-1, rule.statistics, bins)
            grounds = Grounds(plan.cuts, self.units, plan.threads, limits.of(some))
            found.append(rule.splits(side_by_side, np.arange(len(side_by_side)), totals[some], grounds))
        return self._of_each(frontier, order, Splits.joined(found))

    def _of_each(self, frontier: Frontier, order: NDArray[np.int64], splits: Splits) -> Candidates:
        """Each output's part of the splits, for those nodes that have one, in the frontier's order."""
        node, output = np.empty((2, order.size), np.int64)
        node[order], output[order] = np.arange(len(order))[:, None], np.arange(order.shape[1])
        each = splits.take(node)
        left, right = (own.reshape(len(order), order.shape[1], -1)[node, output] for own in (splits.left, splits.right))
        good = self._to_split(frontier, each)
        return Candidates(frontier.take(good), replace(each, left=left, right=right).take(good))
