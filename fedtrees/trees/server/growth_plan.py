"""The plan of growing trees, and the nodes it has between two messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.moments import MomentPlan
from fedtrees.trees.server.constraints import Constraints
from fedtrees.trees.server.feature_sampling import FeatureSampling, NodeDraws
from fedtrees.trees.server.histogram_cache import Places
from fedtrees.trees.server.split import Rule, SplitRule, Splits

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads


@dataclass(frozen=True)
class GrowthPlan:
    """The plan of growing trees: everything but the silos to ask.

    Attributes
    ----------
    cuts : Cuts
    rule : Rule
    max_depth : int
        Levels of splits; 0 is no limit.
    outputs : int
        The number of a row's margins.
    rows : int
        Rows of the federation.
    threads : Threads
    parallel : int
        Trees per round of each output.
    max_leaves : int
        Leaves of a tree at the most; 0 is no limit.
    best_first : bool
        Whether the largest gain is split first, and not the highest level.
    constraints : Constraints, optional
    columns : FeatureSampling, optional
        None where every node may ask for every feature.
    n_features_per_node : int
        Where it is not 0, each node asks for so many features, drawn for it alone, and silos send no others.
    thresholds : NodeDraws, optional
        Draws of the one threshold of each feature that a node may try, as in extremely randomised trees; None where
        each is tried.
    trees_before : int
        Trees of the forest that grew before: draws are named by a tree's number among all.
    moments : MomentPlan, optional
        The units of leaves' moments, where trees of numbers are grown by impurity.
    row_counts : int
        The number of times that a row counts at the most: its weight, where weights are whole, times its draws.
    """

    cuts: Cuts
    rule: Rule
    max_depth: int
    outputs: int
    rows: int
    threads: Threads
    parallel: int = 1
    max_leaves: int = 0
    best_first: bool = False
    constraints: Constraints | None = None
    columns: FeatureSampling | None = None
    thresholds: NodeDraws | None = None
    n_features_per_node: int = 0
    trees_before: int = 0
    moments: MomentPlan | None = None
    row_counts: int = 1

    @property
    def trees(self) -> int:
        """The number of trees per round."""
        return self.outputs * self.parallel

    @property
    def shares_splits(self) -> bool:
        """Return whether the trees of all outputs are split alike."""
        return self.outputs > 1 and not isinstance(self.rule, SplitRule)

    @property
    def is_bounded(self) -> bool:
        """Return whether leaves' weights are bounded."""
        steps = isinstance(self.rule, SplitRule) and self.rule.max_delta_step > 0
        return steps or (self.constraints is not None and self.constraints.is_monotone)

    @property
    def newton(self) -> SplitRule:
        """The rule, where gradients are summed."""
        assert isinstance(self.rule, SplitRule)
        return self.rule


@dataclass(frozen=True, eq=False)
class Frontier:
    """Nodes whose histograms are kept.

    Attributes
    ----------
    tree, node : int32 (nodes,)
    places : int64 (nodes,)
        Where in the cache their histograms stand.
    """

    tree: NDArray[np.int32]
    node: NDArray[np.int32]
    places: Places

    def take(self, which: NDArray[np.int64]) -> Frontier:
        """Return some of the nodes."""
        return Frontier(self.tree[which], self.node[which], self.places[which])

    @staticmethod
    def joined(parts: Sequence[Frontier]) -> Frontier:
        """Join them, in order."""
        return Frontier(*(np.concatenate([getattr(part, n) for part in parts]) for n in ("tree", "node", "places")))

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Nodes that may be split, and how."""

    at: Frontier
    splits: Splits

    def take(self, which: NDArray[np.int64]) -> Candidates:
        """Return some of them."""
        return Candidates(self.at.take(which), self.splits.take(which))

    @staticmethod
    def joined(parts: Sequence[Candidates]) -> Candidates:
        """Join them, in order."""
        at = Frontier.joined([part.at for part in parts])
        return Candidates(at, Splits.joined([part.splits for part in parts]))

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, eq=False)
class Choice:
    """Candidates, by their places: to split (with whether to look at their children), and to keep for later."""

    split: NDArray[np.int64]
    go_on: NDArray[np.bool_]  # of those to split
    keep: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Siblings to look at: their parents, the left ones, and the ones that are asked for."""

    parents: Frontier
    left: NDArray[np.int32]
    built: NDArray[np.int32]

    def take(self, which: NDArray[np.int64]) -> Pairs:
        """Return some of them."""
        return Pairs(self.parents.take(which), self.left[which], self.built[which])

    def __len__(self) -> int:
        return len(self.left)
