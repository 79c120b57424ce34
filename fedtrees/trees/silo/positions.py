"""Where rows stand in the growing trees, kept to save the walk from the root."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.shape import Shape

Ranges = NDArray[np.int64]


class Positions:
    """The nodes that rows are known to have reached.

    Law: whoever starts all rows at the roots again gets the same answers, only later.

    Attributes
    ----------
    node : uint32 (trees, rows)
    """

    def __init__(self, trees: int, rows: int, silos: int):
        self.node = np.zeros((trees, rows), np.uint32)
        self._walked: list[Shape | None] = [None] * trees  # as far as rows have walked it; None: they are at its root
        self._round = np.full(silos, -1, np.int64)  # that the positions of each silo in the table belong to
        self._ranges: Ranges | None = None  # the rows that have walked

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
