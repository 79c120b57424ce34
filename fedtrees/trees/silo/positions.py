"""Positions of rows in the growing trees, kept to save the walk from the root.

Every level's question holds the trees so far. Rows that stand where the last question left them go down one level; all
others would walk from the root. What is kept is therefore also which trees, which round and which rows it is of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.shape import Shape

Ranges = NDArray[np.int64]


class Positions:
    """Nodes that rows have reached.

    Law: to put all rows back to the roots changes no answer; it takes time.

    Attributes
    ----------
    node : uint32 (trees, rows)
    """

    def __init__(self, trees: int, rows: int, silos: int):
        self.node = np.zeros((trees, rows), np.uint32)
        self._walked: list[Shape | None] = [None] * trees  # as far as rows have walked it; None: they are at its root
        self._round = np.full(silos, -1, np.int64)  # that the positions of each silo in the table belong to
        # the rows that have walked, compared by identity: a silo makes new ranges for every other cohort
        self._ranges: Ranges | None = None

    def to_root(self, ranges: Ranges) -> None:
        """Put some rows at the roots of all trees, for a thread to call; see `begin`."""
        histogram_kernels.to_root(self.node, ranges)

    def begin(self, round: int, silos: NDArray[np.int64], ranges: Ranges) -> None:
        """Note that the rows of these silos stand at the roots of a round's trees."""
        self._round[silos] = round
        self._ranges = ranges
        self._walked = [None] * len(self.node)

    def are_of(self, round: int, silos: NDArray[np.int64], asked: Ranges) -> bool:
        """Return whether the rows of these silos, and no others of those asked, stand in a round's trees."""
        return asked is self._ranges and bool((self._round[silos] == round).all())

    def restart(self, ranges: Ranges) -> None:
        """Put some rows at the roots, whichever rows walked before."""
        self.to_root(ranges)
        self._walked = [None] * len(self.node)

    def levels(self, tree: int, shape: Shape, ranges: Ranges) -> int:
        """Return the levels that rows have to go down in a tree; to its root first, where they walked another."""
        walked = self._walked[tree]
        if walked is not None and not shape.extends(walked):
            histogram_kernels.to_root(self.node[tree : tree + 1], ranges)
            walked = None
        self._walked[tree] = shape
        return shape.levels_below(walked)
