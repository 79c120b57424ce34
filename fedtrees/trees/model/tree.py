"""A grown tree as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.model.moments import Moments

LEAF = -1  # the feature, and the left child, of a node that is not split


Categories = dict[int, NDArray[np.int32]]  # by node, the categories that go right


@dataclass(frozen=True, eq=False)
class Tree:
    """A grown tree. Node 0 is the root; the right child stands beside the left, at ``left + 1``.

    Attributes
    ----------
    feature : int32 (nodes,)
        The feature a node asks for, ``LEAF`` where it asks none.
    bin : int32 (nodes,)
        Rows of this bin or a lower one go left; at -1, only those that miss the feature do. 0 where categories are.
    default_left : bool (nodes,)
        Whether rows that miss the feature go left.
    left : int32 (nodes,)
        The left child, ``LEAF`` at a leaf.
    value : float32 (nodes,)
        The number that a leaf adds to the margin, learning rate included; at an inner node, that of it as a leaf.
    gain : float32 (nodes,)
        Loss reduction of the split, 0 at a leaf; float64 where impurities are compared.
    cover : float32 (nodes,)
        The sum of hessians.
    categories : dict of int to int32 (any,)
        Of the nodes that ask for a categorical feature, the categories that go right.
    sums : float64 (nodes, statistics)
        Of a tree that is not boosted, the weight of each class; see `trees.server.impurity`.
    bounds : float64 (nodes, 2) or (0, 2)
        Where constraints are monotone, the least and the most that each node may predict; see `split.Rule.predicted`.
    moments : Moments, optional
        Of a tree of numbers that is not boosted: means and impurities.
    """

    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    value: NDArray[np.float32]
    gain: NDArray[np.floating]
    cover: NDArray[np.float32]
    categories: Categories = field(default_factory=dict)
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    bounds: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    moments: Moments | None = None

    @property
    def n_nodes(self) -> int:
        """Inner nodes and leaves."""
        return len(self.feature)
