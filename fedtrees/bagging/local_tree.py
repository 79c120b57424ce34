"""Trees that XGBoost grew in a silo, as integers: on their way to the server, and back to every silo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ProtocolError
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.monotone import in_order

if TYPE_CHECKING:
    import xgboost

    from fedtrees.export.objectives import Json

FIELDS = 6  # integers that a node takes


@dataclass(frozen=True, eq=False)
class LocalTree:
    """A tree over values, not bins. Children stand side by side, behind their parents.

    Attributes
    ----------
    feature : int32 (nodes,)
        The feature a node asks for, ``LEAF`` at a leaf.
    value : float32 (nodes,)
        Rows below it go left; at a leaf, its term of the margin.
    default_left : bool (nodes,)
    left : int32 (nodes,)
        The left child, ``LEAF`` at a leaf.
    gain, cover : float32 (nodes,)
    """

    feature: NDArray[np.int32]
    value: NDArray[np.float32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    gain: NDArray[np.float32]
    cover: NDArray[np.float32]

    @staticmethod
    def stump() -> LocalTree:
        """A tree of one leaf of value 0, in the place of one that a silo does not have."""
        leaf, nothing = np.array([LEAF], np.int32), np.zeros(1, np.float32)
        return LocalTree(leaf, nothing, np.zeros(1, bool), leaf, nothing, nothing)

    def scaled(self, factor: float) -> LocalTree:
        """The tree, its leaves times a factor."""
        leaves = (self.value.astype(np.float64) * factor).astype(np.float32)
        return replace(self, value=np.where(self.feature == LEAF, leaves, self.value))

    def in_order(self, direction: NDArray[np.int8]) -> LocalTree:
        """The tree with leaves that keep to monotone constraints; see `trees.server.monotone.in_order`."""
        return replace(self, value=in_order(self.feature, self.left, self.left + 1, self.value, self.cover, direction))

    def binned(self, cuts: Cuts) -> Tree:
        """The tree over the bins of cut points that its thresholds are among."""
        inner = self.feature != LEAF
        bins = np.zeros(len(self.feature), np.int32)
        for node in np.flatnonzero(inner):
            bins[node] = np.searchsorted(cuts.of(int(self.feature[node])), self.value[node])
        value = np.where(inner, np.float32(0), self.value)
        return Tree(self.feature, bins, self.default_left, self.left, value, self.gain, self.cover)


def thresholds(trees: Sequence[LocalTree], features: int) -> Cuts:
    """Cut points of every threshold of some trees."""
    feature = np.concatenate([tree.feature for tree in trees])
    value = np.concatenate([tree.value for tree in trees])
    each = [np.unique(value[feature == f]) for f in range(features)]
    offsets = np.cumsum([0, *(len(values) for values in each)]).astype(np.int64)
    return Cuts(np.concatenate(each).astype(np.float32), offsets, np.ones(features, bool))


def read_trees(booster: xgboost.Booster) -> list[list[LocalTree]]:
    """A booster's trees, by output, in its order."""
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    outputs: list[list[LocalTree]] = [[] for _ in range(max(model["tree_info"], default=0) + 1)]
    for tree, output in zip(model["trees"], model["tree_info"], strict=True):
        outputs[output].append(_read(tree))
    return outputs


def _read(tree: Json) -> LocalTree:
    """A tree of XGBoost's JSON, its nodes numbered anew: level by level, siblings side by side."""
    left, right = tree["left_children"], tree["right_children"]
    order = [0]
    for node in order:
        if left[node] >= 0:
            order += [left[node], right[node]]
    new = {old: place for place, old in enumerate(order)}
    split = np.array([left[node] >= 0 for node in order])
    return LocalTree(
        feature=np.where(split, np.array(tree["split_indices"])[order], LEAF).astype(np.int32),
        value=np.array(tree["split_conditions"], np.float32)[order],
        default_left=np.array(tree["default_left"], bool)[order] & split,
        left=np.array([new[left[node]] if left[node] >= 0 else LEAF for node in order], np.int32),
        gain=np.array(tree["loss_changes"], np.float32)[order],
        cover=np.array(tree["sum_hessian"], np.float32)[order],
    )


def to_integers(trees: Sequence[LocalTree], most: int) -> Vector:
    """Write trees, each with room for ``most`` nodes: int64 (trees * (1 + FIELDS * most),), none below 0."""
    out = np.zeros((len(trees), 1 + FIELDS * most), np.int64)
    for slot, tree in zip(out, trees, strict=True):
        n = len(tree.feature)
        slot[0] = n
        floats = [part.view(np.uint32).astype(np.int64) for part in (tree.value, tree.gain, tree.cover)]
        nodes = np.stack([tree.feature + 1, tree.left + 1, tree.default_left.astype(np.int64), *floats], axis=1)
        slot[1 : 1 + FIELDS * n] = nodes.reshape(-1)
    return out.reshape(-1)


def of_integers(integers: Vector, n_trees: int, features: int) -> list[LocalTree]:
    """Read what `to_integers` wrote.

    Raises
    ------
    ProtocolError
        For nodes that are none.
    """
    trees = []
    for slot in integers.reshape(n_trees, -1):
        n = int(slot[0])
        if not 1 <= n <= (len(slot) - 1) // FIELDS:
            raise ProtocolError(f"a tree of {n} nodes, and there is room for {(len(slot) - 1) // FIELDS}")
        feature, left, default_left, *floats = slot[1 : 1 + FIELDS * n].reshape(n, FIELDS).T
        if max(part.max() for part in floats) >> 32 or feature.max() > features or default_left.max() > 1:
            raise ProtocolError(f"a tree with numbers that are none, or of other features than the {features}")
        value, gain, cover = (part.astype(np.uint32).view(np.float32) for part in floats)
        inner = feature > 0
        behind = (left - 1 > np.arange(n)) & (left < n)
        if not (behind[inner].all() and (left[~inner] == 0).all() and np.isfinite(value).all()):
            raise ProtocolError("a tree with a child or a leaf that there is not")
        which, child = ((part - 1).astype(np.int32) for part in (feature, left))
        trees.append(LocalTree(which, value, default_left.astype(bool), child, gain, cover))
    return trees
