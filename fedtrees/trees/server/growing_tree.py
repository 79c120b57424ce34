"""A tree while it grows, on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.model.moments import Moments
from fedtrees.trees.model.tree import LEAF, Categories, Tree

if TYPE_CHECKING:
    from fedtrees.trees.server.constraints import Constraints
    from fedtrees.trees.server.split import Rule, Splits, Units


def within(values: NDArray[np.float64], kind: type[np.floating]) -> NDArray[np.floating]:
    """Return numbers as another type, within its range: a gain squares the unit of y, and may be beyond."""
    return np.minimum(values, np.finfo(kind).max).astype(kind)


class GrowingTree:
    """A tree as far as it has grown, its nodes in the order in which they came; sums are exact integers.

    Attributes
    ----------
    feature, bin, default_left, left, gain
        See `trees.model.tree.Tree`.
    sums : int64 (nodes, statistics)
    depth : int32 (nodes,)
        0 at the root.
    bounds : float32 or float64 (nodes, 2)
        The least and the most that a node's children may predict, where constraints are monotone.
    parent : int32 (nodes,)
        The root's is itself.
    used : list of frozenset of int
        The features asked on the way to a node; kept where interactions are constrained.
    categories : dict of int to int32 (any,)
        See `trees.model.tree.Tree`.
    path : list of int
        1 at the root, 2 p and 2 p + 1 at the children of p: a node's name whatever else has grown.
    stalled : bool (nodes,)
        Whether no split of a node gains anything though some are allowed; see `trees.server.zero_gain_leaves`.
    differs : bool (nodes,)
        Whether a node's targets are known to differ, so that it is split without gain.
    moments : Moments, optional
        Of trees of numbers that are grown.
    """

    def __init__(self, statistics: int = 2, kind: type[np.floating] = np.float32) -> None:
        self.feature = np.full(1, LEAF, np.int32)
        self.bin = np.zeros(1, np.int32)
        self.default_left = np.zeros(1, bool)
        self.left = np.full(1, LEAF, np.int32)
        self.gain = np.zeros(1)
        self.sums = np.zeros((1, statistics), np.int64)
        self.depth = np.zeros(1, np.int32)
        self.parent = np.zeros(1, np.int32)
        self.bounds = np.array([[-np.inf, np.inf]], kind)
        self.used: list[frozenset[int]] = [frozenset()]
        self.path = [1]
        self.stalled, self.differs = np.zeros(1, bool), np.zeros(1, bool)
        self.moments: Moments | None = None
        self.categories: Categories = {}

    def split(self, nodes: NDArray[np.int32], splits: Splits) -> NDArray[np.int32]:
        """Split nodes; return the left children: their siblings stand beside them."""
        first = len(self.feature)
        left = (first + 2 * np.arange(len(nodes))).astype(np.int32)
        self.feature[nodes], self.bin[nodes] = splits.feature, splits.bin
        self.default_left[nodes], self.gain[nodes] = splits.default_left, splits.gain
        self.left[nodes] = left
        self.categories |= {int(nodes[place]): codes for place, codes in splits.categories.items()}
        more = 2 * len(nodes)
        self.feature = np.append(self.feature, np.full(more, LEAF, np.int32))
        self.bin = np.append(self.bin, np.zeros(more, np.int32))
        self.default_left = np.append(self.default_left, np.zeros(more, bool))
        self.left = np.append(self.left, np.full(more, LEAF, np.int32))
        self.gain = np.append(self.gain, np.zeros(more))
        self.sums = np.concatenate([self.sums, np.stack([splits.left, splits.right], axis=1).reshape(more, -1)])
        self.stalled = np.append(self.stalled, np.zeros(more, bool))
        self.differs = np.append(self.differs, np.zeros(more, bool))
        self.depth = np.append(self.depth, np.repeat(self.depth[nodes] + 1, 2))
        self.parent = np.append(self.parent, np.repeat(nodes, 2))
        return left

    def constrain(self, nodes: NDArray[np.int32], constraints: Constraints, rule: Rule, units: Units) -> None:
        """Hand bounds and used features on to the children of split nodes, as XGBoost does."""
        if constraints.is_monotone:
            limits, left = self.bounds[nodes], self.left[nodes]
            predicted = [rule.predicted(self.sums[child], self.sums[0], units, limits) for child in (left, left + 1)]
            bounds = _of_children(limits, predicted, constraints.direction[self.feature[nodes]])
            self.bounds = np.concatenate([self.bounds, bounds.reshape(-1, 2)])
        if constraints.groups is not None:
            for node in nodes.tolist():
                self.used += [self.used[node] | {int(self.feature[node])}] * 2

    def constrain_again(self, direction: NDArray[np.int8], predicted: NDArray[np.float64]) -> None:
        """Hand bounds on again, once each node's prediction is known exactly: float64 (nodes,)."""
        for depth in range(int(self.depth.max())):
            (nodes,) = np.nonzero((self.depth == depth) & (self.feature != LEAF))
            left = self.left[nodes]
            both = _of_children(
                self.bounds[nodes], [predicted[left], predicted[left + 1]], direction[self.feature[nodes]]
            )
            self.bounds[left], self.bounds[left + 1] = both[:, 0], both[:, 1]

    def name(self, nodes: NDArray[np.int32]) -> None:
        """Name the children of split nodes; see ``path``."""
        for node in nodes.tolist():
            self.path += [2 * self.path[node], 2 * self.path[node] + 1]

    def kept(self, splits: list[int]) -> GrowingTree:
        """Return the tree of these splits alone, its nodes in their order; each split comes after its parent's."""
        new = GrowingTree()
        old = [0]
        for node in splits:
            old += [int(self.left[node]), int(self.left[node]) + 1]
        place = {node: new_node for new_node, node in enumerate(old)}
        for name in ("sums", "depth"):
            setattr(new, name, getattr(self, name)[old])
        new.parent = np.array([place[int(self.parent[node])] for node in old], np.int32)
        new.bounds = self.bounds[old] if len(self.bounds) == len(self.feature) else self.bounds
        inner = np.isin(old, splits)
        new.feature = np.where(inner, self.feature[old], LEAF).astype(np.int32)
        new.bin = np.where(inner, self.bin[old], 0).astype(np.int32)
        new.default_left = self.default_left[old] & inner
        new.gain = np.where(inner, self.gain[old], 0.0)
        left = [place[int(self.left[node])] if split else LEAF for node, split in zip(old, inner, strict=True)]
        new.left = np.array(left, np.int32)
        new.categories = {place[node]: codes for node, codes in self.categories.items() if node in splits}
        new.moments = None if self.moments is None else self.moments.take(np.array(old))
        return new

    def finished(self, rule: Rule, units: Units, base: float = 0.0) -> Tree:
        """Return the tree with the values of its leaves; where it has moments, means less a ``base``."""
        bounds = None
        if (
            len(self.bounds) == len(self.feature) and np.isfinite(self.bounds).any()
        ):  # a root alone has some in any case
            bounds = self.bounds[self.parent] if rule.bounded_as_parents else self.bounds
        if self.moments is not None:
            return self._of_moments(self.moments, bounds, base)
        value, h, sums = rule.values(self.sums, units, bounds), rule.mass(self.sums, units), rule.kept(self.sums, units)
        gain, cover = within(self.gain, rule.gains), within(h, np.float32)
        return Tree(
            self.feature, self.bin, self.default_left, self.left, value, gain, cover, self.categories, sums,
            np.zeros((0, 2)) if bounds is None else bounds.astype(np.float64),
        )  # fmt: skip

    def _of_moments(self, moments: Moments, bounds: NDArray[np.floating] | None, base: float) -> Tree:
        """Return the tree of numbers, with exact means at its nodes."""
        value, limits = moments.mean[:, 0] - base, np.zeros((0, 2))
        if bounds is not None:
            limits = bounds.astype(np.float64)
            value = np.clip(value, limits[:, 0], limits[:, 1])
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as such
            return Tree(
                self.feature, self.bin, self.default_left, self.left, value.astype(np.float32), self.gain,
                within(moments.weight, np.float32).astype(np.float32), self.categories, bounds=limits, moments=moments,
            )  # fmt: skip


def _of_children(
    bounds: NDArray[np.floating], predicted: list[NDArray[np.floating]], direction: NDArray[np.int8]
) -> NDArray[np.floating]:
    """Return children's bounds, given their parents' and what children predict: (nodes, 2, 2)."""
    middle = (predicted[0] + predicted[1]) / np.float32(2)
    low, high = bounds[:, 0], bounds[:, 1]
    rises, falls = direction > 0, direction < 0
    below = np.stack([np.where(falls, middle, low), np.where(rises, middle, high)], axis=1)
    above = np.stack([np.where(rises, middle, low), np.where(falls, middle, high)], axis=1)
    both: NDArray[np.floating] = np.stack([below, above], axis=1)
    return both
