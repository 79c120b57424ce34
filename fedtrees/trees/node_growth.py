"""Growing trees whose nodes each ask for a few features of their own: forests.

A node's features are drawn anew, so that a sibling's histogram says nothing of them: both children are asked for, and
no histogram is kept. That is less than half of all bins once a node asks for less than half of the features.

As in scikit-learn, features that are the same in all rows of a node do not count: a node that has drawn no other is
asked for again, with features that it has not tried, along with the next level.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ring import Vector
from fedtrees.core.rng import stream
from fedtrees.trees.grid import Grid
from fedtrees.trees.growth import Growth
from fedtrees.trees.histogram import Histograms
from fedtrees.trees.node_histogram import NodeHistograms
from fedtrees.trees.plan import Candidates, Frontier, Pairs, Plan
from fedtrees.trees.shelf import Places
from fedtrees.trees.split import Grounds

MOST_INTEGERS = 1 << 27  # in an answer


class NodeGrowth(Growth):
    """See `Growth`.

    Law: a draw depends on the seed, the round, and on how many nodes were asked for before.
    """

    def __init__(self, plan: Plan, exponents: Grid, round: int):
        super().__init__(replace(plan, columns=None), exponents, round)
        assert plan.columns is not None
        self.seed, self.asked = plan.columns.seed, 0
        # what was answered last, and where each node's integers start in it
        self.answer, self.starts = np.zeros(0, np.int64), np.zeros(1, np.int64)
        nothing = np.zeros((0, plan.cuts.n_features), bool)
        # of the nodes that were asked for last: the features drawn, and all that were ever tried
        self.nodes, self.drawn, self.tried = _nobody(), np.zeros((0, 0), np.int64), nothing
        self.again, self.again_tried = _nobody(), nothing

    @property
    def unsettled(self) -> bool:
        """Whether some nodes are to be asked for again."""
        return len(self.again) > 0

    # -- asking ---------------------------------------------------------------------------------------------

    def batches(self, pairs: Pairs) -> list[Pairs]:
        """Siblings by the messages that ask for them: one for a level, unless it is beyond what fits in memory."""
        most_bins = int(np.sort(self.plan.cuts.n_bins)[-self.plan.features_a_node :].sum())
        step = max(1, MOST_INTEGERS // (2 * most_bins * self.plan.rule.statistics))
        starts = range(0, max(1, len(pairs)), step)
        return [pairs.take(np.arange(first, min(first + step, len(pairs)))) for first in starts]

    def ask_for(self, pairs: Pairs) -> Histograms:
        """The question for both of each pair of siblings, and for the nodes that are asked for again."""
        of_tree = np.concatenate([np.repeat(pairs.parents.tree, 2), self.again.tree])
        build = np.concatenate([np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1), self.again.node])
        untried = np.zeros((2 * len(pairs), self.plan.cuts.n_features), bool)
        tried = np.concatenate([untried, self.again_tried])
        order = np.argsort(of_tree, kind="stable")  # tree after tree
        self.again, self.again_tried = _nobody(), tried[:0]
        return self._ask(of_tree[order], build[order], tried[order])

    def _ask(
        self, of_tree: NDArray[np.int32], build: NDArray[np.int32], tried: NDArray[np.bool_] | None = None
    ) -> Histograms:
        cuts, most, self.asked = self.plan.cuts, self.plan.features_a_node, self.asked + 1
        self.answer = np.zeros(0, np.int64)  # whose memory the next one may take
        self.tried = np.zeros((len(build), cuts.n_features), bool) if tried is None else tried
        chance = stream(self.seed, f"columns of question {self.asked}", self.round).random(self.tried.shape)
        # what was tried comes last
        self.drawn = np.sort(np.argpartition(chance + self.tried, most - 1, axis=1)[:, :most], axis=1)
        np.put_along_axis(self.tried, self.drawn, True, axis=1)
        sizes = cuts.n_bins[self.drawn].sum(axis=1) * self.plan.rule.statistics
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.nodes = Frontier(of_tree, build, np.arange(len(build)))
        plain: Any = super()._ask(of_tree, build)
        given = {name: getattr(plain, name) for name in plain.__struct_fields__}
        given |= {
            "columns": self.drawn.astype(np.int32).reshape(-1),
            "column_bins": cuts.n_bins[self.drawn].sum(axis=1).astype(np.int32),
        }
        return NodeHistograms(**given)

    def begin(self, question: Histograms, answer: Vector) -> Frontier:
        """Learn the roots' sums from their first features, which hold every row once."""
        self.answer = answer
        for root, tree in enumerate(self.trees):
            tree.sums[0] = self._own(root)[:, : self.plan.cuts.n_bins[self.drawn[root, 0]]].sum(axis=1)
        return self.nodes

    def divide(self, pairs: Pairs, question: Histograms, answer: Vector, taken: Places) -> Frontier:
        """The nodes that were asked for."""
        self.answer = answer
        return self.nodes

    # -- choosing -------------------------------------------------------------------------------------------

    def find(self, frontier: Frontier) -> Candidates:
        """The best splits of the nodes that were just asked for."""
        totals, limits = self._sums(frontier.tree, frontier.node), self._limits(frontier, np.zeros((0, 2), np.int64))
        grounds = Grounds(self.plan.cuts, self.units, self.plan.threads, replace(limits, columns=self.drawn))
        splits = self.plan.rule.splits(self.answer, self.starts[:-1], totals, grounds)
        self._ask_again(frontier, totals, splits.feature >= 0)
        (good,) = np.nonzero(splits.feature >= 0)
        return Candidates(frontier.take(good), splits.take(good))

    def _own(self, node: int) -> Vector:
        """A node's part of the answer: int64 (statistics, its bins)."""
        start, end = self.starts[node : node + 2]
        return self.answer[start:end].reshape(self.plan.rule.statistics, -1)

    def _ask_again(self, frontier: Frontier, totals: Vector, split: NDArray[np.bool_]) -> None:
        """Note the nodes whose features are all the same in all of their rows, and that have others to try."""
        rule = self.plan.rule
        impure = np.count_nonzero(totals, axis=1) > 1
        hopeful = ~split & impure & ~self.tried.all(axis=1) & rule.divisible(rule.mass(totals, self.units))
        lost = [node for node in np.flatnonzero(hopeful).tolist() if self._is_constant(node)]
        which = np.array(lost, np.int64)
        more = frontier.take(which)
        # a level of several messages asks again for its first nodes in the second
        self.again, self.again_tried = more, self.tried[which]

    def _is_constant(self, node: int) -> bool:
        """Whether each of a node's features has all of the node's rows in one bin."""
        filled = self._own(node).any(axis=0)
        return int(filled.sum()) <= self.drawn.shape[1]  # each feature has at least one


def _nobody() -> Frontier:
    return Frontier(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64))
