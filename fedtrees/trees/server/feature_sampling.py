"""Draws of the features that trees, levels and nodes may ask for, by keyed streams."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.row_ids import mixed
from fedtrees.core.numeric.rng import stream

Features = NDArray[np.int64]  # places of features, ascending


@dataclass  # not frozen: it keeps what it has drawn
class NodeDraws:
    """Numbers from 0 to 1 that nodes of trees draw, one per feature.

    Law: a draw depends on the seed, the purpose, the round, and on the numbers of its tree and node alone: of trees
    that grow side by side, none changes what another draws.

    Examples
    --------
    >>> draws = NodeDraws(n_features=2, seed=0, purpose="thresholds")
    >>> few, more = (draws.draw(0, np.array(trees), np.array([0, 0])) for trees in ([5, 7], [7, 5]))
    >>> few.shape, bool((few == more[::-1]).all())
    ((2, 2), True)
    """

    n_features: int
    seed: int
    purpose: str
    _keys: dict[tuple[int, int], NDArray[np.uint64]] = field(init=False, repr=False, default_factory=dict)

    def draw(self, round: int, trees: NDArray[np.integer], nodes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Draw for nodes, each of its tree: float64 (nodes, features)."""
        of_tree, place = np.unique(trees, return_inverse=True)
        keys = np.array([self._key(round, tree) for tree in of_tree.tolist()], np.uint64).reshape(-1, 2)
        bits = mixed(nodes.astype(np.uint64) ^ keys[place, 0]) + keys[place, 1]
        steps = np.arange(self.n_features, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # of SplitMix64
        whole = mixed(bits[:, None] + steps) >> np.uint64(11)
        return np.asarray(whole * 2.0**-53, np.float64)

    def _key(self, round: int, tree: int) -> NDArray[np.uint64]:
        """Return the key of a tree's draws, made once: a stream takes longer than all draws of a node."""
        if (round, tree) not in self._keys:
            drawn = stream(self.seed, f"{self.purpose} of tree {tree}", round)
            self._keys[round, tree] = drawn.integers(2**64, size=2, dtype=np.uint64)
        return self._keys[round, tree]


@dataclass(frozen=True, eq=False)
class DrawnInTurn:
    """The features of nodes in the order in which each draws them.

    Attributes
    ----------
    rank : int64 (nodes, features)
        The number of features that a node draws before this one.
    """

    rank: NDArray[np.int64]

    @staticmethod
    def of(chance: NDArray[np.float64]) -> DrawnInTurn:
        """Order features by these chances, the lowest first; see `NodeDraws`."""
        return DrawnInTurn(np.argsort(np.argsort(chance, axis=1, kind="stable"), axis=1))

    def turn(self, nodes: slice | NDArray[np.int64], first: int, n: int) -> NDArray[np.bool_]:
        """The n features that nodes draw after the first ones: bool (nodes, features)."""
        rank = self.rank[nodes]
        return (rank >= first) & (rank < first + n)

    def are_constant(self, nodes: NDArray[np.int64], constant: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
        """Nodes whose first n drawn features all are constant: bool (nodes,)."""
        return np.asarray((constant | (self.rank[nodes] >= n)).all(axis=1))


@dataclass(frozen=True)
class FeatureSampling:
    """Shares of the features: a tree draws from all, each of its levels from the tree's, a node from its level's.

    Law: a draw depends on the seed, the round, and the place of the tree, level or node alone.

    Parameters
    ----------
    n_features : int
    seed : int
    bytree, bylevel, bynode : float
        XGBoost's ``colsample_*``, above 0 and up to 1; at least one feature is always drawn.
    weights : tuple of float, optional
        One per feature, above 0: each draw takes a feature with a chance in proportion; None takes all alike.

    Examples
    --------
    >>> drawn = FeatureSampling(n_features=10, seed=0, bytree=0.5, bylevel=0.5).of_tree(round=3, tree=0)
    >>> len(drawn.level(0)), set(drawn.level(0)) <= set(drawn.tree)
    (2, True)
    """

    n_features: int
    seed: int
    bytree: float = 1.0
    bylevel: float = 1.0
    bynode: float = 1.0
    weights: tuple[float, ...] | None = None

    @property
    def all(self) -> bool:
        """Return whether nothing is left out anywhere."""
        return self.bytree == self.bylevel == self.bynode == 1

    @property
    def n_per_node(self) -> int:
        """The number of features that a node draws, where levels and trees draw none."""
        return self._share_of(self.bynode, self.n_features)

    @staticmethod
    def _share_of(share: float, features: int) -> int:
        """Return the number of features in a share of them."""
        return max(1, int(np.float32(share) * np.float32(features)))  # XGBoost's arithmetic

    def of_tree(self, round: int, tree: int) -> TreeColumns:
        """The draws of a tree, numbered within its round."""
        return TreeColumns(self, round, tree)

    def draw(self, features: Features, share: float, round: int, purpose: str) -> Features:
        """Draw a share of the features."""
        if share == 1:
            return features
        n = self._share_of(share, len(features))
        drawn = stream(self.seed, f"columns of {purpose}", round)
        if self.weights is None:
            return np.sort(drawn.choice(features, n, replace=False))
        # the smallest of exponential lots over weights: as one after the other, each by its share of those left
        lots = drawn.exponential(size=len(features)) / np.array(self.weights)[features]
        return np.sort(features[np.argsort(lots, kind="stable")[:n]])


@dataclass(eq=False)  # not frozen: it keeps what it has drawn
class TreeColumns:
    """Features that one tree draws; see `FeatureSampling`.

    Attributes
    ----------
    tree : int64 (features,)
        The tree's features.
    """

    columns: FeatureSampling
    round: int
    number: int
    tree: Features = field(init=False)
    _levels: dict[int, Features] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        columns = self.columns
        drawn = columns.draw(np.arange(columns.n_features), columns.bytree, self.round, f"tree {self.number}")
        object.__setattr__(self, "tree", drawn)

    def level(self, depth: int) -> Features:
        """The features of the nodes at a depth, the root's being 0."""
        if depth not in self._levels:
            purpose = f"tree {self.number}, level {depth}"
            self._levels[depth] = self.columns.draw(self.tree, self.columns.bylevel, self.round, purpose)
        return self._levels[depth]

    def node(self, depth: int, path: int) -> Features:
        """The features of one node: ``path`` is 1 at the root, and 2 p and 2 p + 1 at the children of p."""
        purpose = f"tree {self.number}, node {path}"
        return self.columns.draw(self.level(depth), self.columns.bynode, self.round, purpose)

    def below(self, depth: int, max_depth: int) -> Features:
        """The features of nodes at a depth and of all that may come below; a ``max_depth`` of 0 is no limit."""
        if self.columns.bylevel == 1 or not max_depth:
            return self.tree
        return np.unique(np.concatenate([self.level(lower) for lower in range(depth, max_depth)]))
