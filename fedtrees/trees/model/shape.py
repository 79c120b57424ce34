"""A tree's shape: the questions by which rows find their nodes, without what leaves predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.model.cuts import NO_BIN
from fedtrees.trees.model.tree import LEAF, Categories


@dataclass(frozen=True, eq=False)
class Shape:
    """A tree's questions, by which rows find their nodes, without what its leaves predict.

    ``missing`` is the bin that stands for the missing of the node's feature, `NO_BIN` where it has none.
    """

    feature: NDArray[np.int32]
    split: NDArray[np.int32]
    missing: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    categories: Categories
    most_bins: int  # of any feature whose categories the tree asks for, the missing and the unknown included

    def walk(self, bins: NDArray[np.uint8] | NDArray[np.uint16]) -> tuple[NDArray[np.generic], ...]:
        """Return the arrays by which kernels walk rows of such bins: (column, question, of, goes_right).

        ``column`` is where the feature's bin of row 0 stands in the flat bins. ``question`` is one word: the left child
        from bit 33 on, whether the missing go right at bit 32, the bin for the missing at 16, the lowest to go right
        at 0. A leaf asks a question that every bin answers with the leaf itself, so that rows may ask it without harm.
        Both are uint64 (nodes,). ``of`` is int64 (nodes,), -1 or the row of ``goes_right``, bool (any, bins), that has
        the bins that go right; both are empty where no node asks for categories.
        """
        _, rows, per_group = bins.shape
        leaf = self.feature < 0
        most = int(self.feature.max(initial=0)) + 1
        group, place = np.divmod(np.arange(most), per_group)  # by feature: nodes are many
        left = np.where(leaf, np.arange(len(leaf)), self.left).astype(np.int64)
        right, missing = np.where(leaf, NO_BIN, self.split + 1), np.where(leaf, NO_BIN, self.missing)
        lost = np.where(
            leaf, 0, 1 - self.default_left.astype(np.int64)
        )  # the missing go right; at a leaf there are none
        question = (left << 33) | (lost << 32) | (missing.astype(np.int64) << 16) | right
        column = (group * rows * per_group + place).astype(np.uint64)[np.where(leaf, 0, self.feature)]
        return column, question.astype(np.uint64), *self._tables()

    def _tables(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return ``of`` and ``goes_right`` of `walk`."""
        goes_right = np.zeros((len(self.categories), self.most_bins), bool)
        of = np.full(len(self.feature) if len(self.categories) else 0, -1, np.int64)
        for row, (node, categories) in enumerate(self.categories.items()):
            of[node] = row
            goes_right[row, categories] = True
            # `missing` is there for rows of an evaluation set even where training has none
            goes_right[row, self.missing[node]] = not self.default_left[node]
        return of, goes_right

    def leaf_slots(self) -> NDArray[np.int32]:
        """Return the place of each node among the leaves, -1 for one that is split: int32 (nodes,)."""
        is_leaf = self.feature == LEAF
        return np.where(is_leaf, np.cumsum(is_leaf) - 1, -1).astype(np.int32)

    def levels_below(self, walked: Shape | None) -> int:
        """Return the levels that rows may have to go down from the leaves of ``walked``, an earlier state of it."""
        leaves = np.zeros(1, np.int32) if walked is None else np.flatnonzero(walked.feature < 0)
        levels, at = 0, leaves[self.feature[leaves] >= 0]
        while len(at):
            is_below = np.zeros(len(self.feature), bool)  # each node once, even where two share a child
            is_below[self.left[at]] = is_below[self.left[at] + 1] = True
            levels, at = levels + 1, np.flatnonzero(is_below & (self.feature >= 0))
        return levels

    def extends(self, walked: Shape) -> bool:
        """Return whether this tree asks all that ``walked`` asks, and asks it first."""
        n, leaf = len(walked.feature), walked.feature < 0
        return (
            n <= len(self.feature)
            and all(
                ((getattr(self, name)[:n] == getattr(walked, name)) | leaf).all()
                for name in ("feature", "split", "default_left", "left")
            )
            and all(np.array_equal(self.categories[node], codes) for node, codes in walked.categories.items())
        )
