"""Trees over values, not bins: of an earlier model, whose cut points are others."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record
from fedtrees.core.data.table import Table
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.core.numeric.threads import Threads
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.cuts import NO_BIN
from fedtrees.trees.model.flat_trees import cuts_up

MOST_CODES = NO_BIN  # of a feature: training numbers categories by bins


class ValueTrees(Record, frozen=True, eq=False):
    """Trees whose nodes compare values; their arrays stand end to end.

    Parameters
    ----------
    features : int
    base_margin : float32 (outputs,)
        The initial margins of that model.
    ends : int64 (trees,)
        Where each tree's nodes end.
    output : int32 (trees,)
        The output whose margin a tree adds to.
    feature : int32 (nodes,)
        The feature a node asks for, -1 at a leaf.
    value : float32 (nodes,)
        Rows below it go left; at a leaf, the number that it adds to the margin.
    default_left : bool (nodes,)
    left, right : int32 (nodes,)
        Children, numbered within their tree.
    by_category : int64 (any,)
        The nodes of all trees that ask for categories, ascending, numbered throughout.
    categories : int32 (any,)
        The categories that go right, by their codes, node after node.
    category_ends : int64 (any,)
        Where each such node's end.
    """

    features: int
    base_margin: NDArray[np.float32]
    ends: NDArray[np.int64]
    output: NDArray[np.int32]
    feature: NDArray[np.int32]
    value: NDArray[np.float32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    by_category: NDArray[np.int64] = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))
    categories: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.zeros(0, np.int32))
    category_ends: NDArray[np.int64] = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))

    def check(self, n_features: int) -> None:
        """Refuse what is no tree over so many features: kernels trust it.

        Raises
        ------
        ProtocolError
        """
        arrays = (self.value, self.default_left, self.left, self.right)
        sizes = np.diff(self.ends, prepend=0)
        whole = len(self.ends) == len(self.output) and (sizes > 0).all() and int(sizes.sum()) == len(self.feature)
        if not whole or any(len(array) != len(self.feature) for array in arrays) or self.features != n_features:
            raise ProtocolError(f"trees of an earlier model that are not those of {n_features} features")
        inner = self.feature >= 0
        here = np.arange(len(self.feature)) - np.repeat(self.ends - sizes, sizes)
        end = np.repeat(sizes, sizes)
        children = (self.left, self.right)
        lost = any(((child <= here) | (child >= end))[inner].any() for child in children)  # and no walk goes in circles
        if lost or (self.feature >= n_features).any() or ((self.output < 0) | (self.output >= self.outputs)).any():
            raise ProtocolError("a tree of an earlier model with a feature, child or output that there is not")
        nodes, codes = self.by_category, self.categories
        strange = (codes < 0).any() or (codes >= MOST_CODES).any() or (np.diff(nodes, prepend=-1) <= 0).any()
        if strange or (nodes >= len(inner)).any() or not inner[nodes].all():
            raise ProtocolError("a tree of an earlier model with nodes or codes of categories that there are not")
        if not cuts_up(self.category_ends, len(nodes), len(codes)):
            raise ProtocolError("a tree of an earlier model with other sets of categories than nodes that ask for them")

    @property
    def outputs(self) -> int:
        """The number of a row's margins."""
        return len(self.base_margin)

    def _sets(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the kernel's arguments: each node's row of ``goes_right``, or -1, and each row's categories."""
        n_sets, width = len(self.by_category), int(self.categories.max(initial=-1)) + 1
        set_of = np.full(len(self.feature) if n_sets else 0, -1, np.int64)
        set_of[self.by_category] = np.arange(n_sets)
        goes_right = np.zeros((n_sets, width), bool)
        goes_right[np.repeat(np.arange(n_sets), np.diff(self.category_ends, prepend=0)), self.categories] = True
        return set_of, goes_right

    def add_to(self, margin: NDArray[np.float32], table: Table, threads: Threads) -> None:
        """Add the leaves of a table's rows to their margins, float32 (outputs, rows), in the order of the trees."""
        order = np.zeros(0, np.uint32) if table.order is None else table.order
        starts = np.concatenate(([0], self.ends[:-1])).astype(np.int64)
        set_of, goes_right = self._sets()

        def add(piece: NDArray[np.int64]) -> None:
            histogram_kernels.add_value_trees(
                table.X, order, piece, starts, self.output, self.feature, self.value, self.default_left,
                self.left, self.right, set_of, goes_right, margin,
            )  # fmt: skip

        threads.map(add, pieces(np.array([[0, table.n_rows]], np.int64), threads.n))
