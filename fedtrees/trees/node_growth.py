"""Growing trees whose nodes each ask for a few features of their own: forests.

A node's features are drawn anew, so that a sibling's histogram says nothing of them: both children are asked for, and
no histogram is kept. That is less than half of all bins once a node asks for less than half of the features.
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

CHUNK = 1 << 23  # integers that are spread out at once
MOST_INTEGERS = 1 << 27  # in an answer


class NodeGrowth(Growth):
    """See `Growth`.

    Law: a draw depends on the seed, the round, and on how many nodes were asked for before.
    """

    def __init__(self, plan: Plan, exponents: Grid, round: int):
        super().__init__(replace(plan, columns=None), exponents, round)
        assert plan.columns is not None
        self.seed, self.asked = plan.columns.seed, 0
        self.drawn = np.zeros((0, 0), np.int64)  # the features of the nodes that were asked for last
        self.answer = np.zeros(0, np.int64)

    def batches(self, pairs: Pairs) -> list[Pairs]:
        """Siblings by the messages that ask for them: one for a level, unless it is beyond what fits in memory."""
        most_bins = int(np.sort(self.plan.cuts.n_bins)[-self.plan.features_a_node :].sum())
        step = max(1, MOST_INTEGERS // (2 * most_bins * self.plan.rule.statistics))
        return [pairs.take(np.arange(first, min(first + step, len(pairs)))) for first in range(0, len(pairs), step)]

    def ask_for(self, pairs: Pairs) -> Histograms:
        """The question for both of each pair of siblings."""
        nodes = np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1)
        return self._ask(np.repeat(pairs.parents.tree, 2), nodes)

    def _ask(self, of_tree: NDArray[np.int32], build: NDArray[np.int32]) -> Histograms:
        cuts, self.asked = self.plan.cuts, self.asked + 1
        chance = stream(self.seed, f"columns of question {self.asked}", self.round).random(
            (len(build), cuts.n_features)
        )
        most = self.plan.features_a_node
        self.drawn = np.sort(np.argpartition(chance, most - 1, axis=1)[:, :most], axis=1)
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
        start = 0
        for root, tree in enumerate(self.trees):
            bins = int(question.column_bins[root])
            own = answer[start : start + bins * question.statistics].reshape(question.statistics, bins)
            tree.sums[0] = own[:, : self.plan.cuts.n_bins[self.drawn[root, 0]]].sum(axis=1)
            start += own.size
        roots = np.arange(len(self.trees), dtype=np.int32)
        return Frontier(roots, np.zeros(len(roots), np.int32), roots.astype(np.int64))

    def divide(self, pairs: Pairs, question: Histograms, answer: Vector, taken: Places) -> Frontier:
        """The children, whose places are those in the answer."""
        self.answer = answer
        nodes = np.stack([pairs.left, pairs.left + 1], axis=1).reshape(-1)
        return Frontier(np.repeat(pairs.parents.tree, 2), nodes, np.arange(len(nodes)))

    def find(self, frontier: Frontier) -> Candidates:
        """The best splits of the nodes that were just asked for, a few of them spread out at a time."""
        plan, cuts, statistics = self.plan, self.plan.cuts, self.plan.rule.statistics
        totals, limits = self._sums(frontier.tree, frontier.node), self._limits(frontier, np.zeros((0, 2), np.int64))
        ends = np.cumsum(cuts.n_bins[self.drawn].sum(axis=1) * statistics)
        step = max(1, CHUNK // (statistics * cuts.total_bins))
        allowed = np.zeros((len(frontier), cuts.n_features), bool)
        np.put_along_axis(allowed, self.drawn, True, axis=1)
        buffer = np.zeros((min(step, len(frontier)), statistics, cuts.total_bins), np.int64)
        parts = []
        for first in range(0, len(frontier), step):
            some = slice(first, min(first + step, len(frontier)))
            places = np.arange(some.stop - first)
            for place in places.tolist():
                node = first + place
                own = self.answer[ends[node - 1] if node else 0 : ends[node]].reshape(statistics, -1)
                at = 0
                for f in self.drawn[node].tolist():
                    bins = slice(int(cuts.bin_offsets[f]), int(cuts.bin_offsets[f + 1]))
                    buffer[place, :, bins] = own[:, at : at + bins.stop - bins.start]
                    at += bins.stop - bins.start
            assert limits.mass is not None
            chance = None if limits.chance is None else limits.chance[some]
            own_limits = replace(limits, allowed=allowed[some], mass=limits.mass[some], chance=chance)
            grounds = Grounds(cuts, self.units, plan.threads, own_limits)
            splits = plan.rule.splits(buffer, places, totals[some], grounds)
            (good,) = np.nonzero(splits.feature >= 0)
            parts.append(Candidates(frontier.take(good + first), splits.take(good)))
        found = parts[0]
        for part in parts[1:]:
            found = found.and_more(part)
        return found
