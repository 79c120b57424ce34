"""Leaves that predict quantiles of residuals: exact, weighted, and over all silos, by counting.

A row's residual is a float32, and floats have keys that sort as they do (see `queries.ranks`). The key at a rank is
found by counting rows in equal parts of an interval of keys, and going on with the part that holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.float_keys import KEY_BITS
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.losses import column_of
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF
from fedtrees.trees.silo.residuals import residual_counts
from fedtrees.trees.silo.state import TreeState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


MOST_BITS = 11  # of a key that a round finds: 32 take three rounds


class ResidualRanks(Query, frozen=True, eq=False):
    """Counts of each leaf's rows by the keys of their residuals, in equal parts of two intervals of keys.

    Parameters
    ----------
    most : int
        The largest count of all rows together.
    exponents : GradientScale
        The gradient scale of the trees' histograms.
    trees : FlatTrees
    low : uint32 (leaves, 2)
        Where the intervals start, of every tree's leaves in order.
    log_keys, log_child : int
        An interval has ``2 ** log_keys`` keys, a part ``2 ** log_child``.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"low": 2}

    most: int
    exponents: GradientScale
    trees: FlatTrees
    low: NDArray[np.uint32]
    log_keys: int
    log_child: int

    def size(self) -> int:
        """See `Query`."""
        return len(self.low) * 2 << (self.log_keys - self.log_child)

    def touches(self) -> int:
        """See `Query`."""
        return 2 * len(self.trees)

    def bound(self) -> int:
        """See `Query`."""
        return self.most

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(TreeState, "leaves were asked for")
        if len(self.trees) != state.trees:
            raise ProtocolError("leaves were asked for of other outputs than the cut points were for")
        state.prepare(silo, self.exponents)
        shapes = self.trees.shapes(state.cuts)
        n_leaves = np.cumsum([np.count_nonzero(shape.feature == LEAF) for shape in shapes])
        self._check(int(n_leaves[-1]))
        lows = np.split(self.low, n_leaves[:-1])
        parts = []
        for tree, (shape, low) in enumerate(zip(shapes, lows, strict=True)):
            counts = residual_counts(state, silo, tree, shape, low, self.log_keys, self.log_child)
            parts.append(counts.reshape(-1))
        return np.concatenate(parts)

    def _check(self, n_leaves: int) -> None:
        """Refuse intervals of other leaves, and parts that no interval has."""
        if not _are_parts(self.log_keys, self.log_child) or self.low.shape != (n_leaves, 2):
            raise ProtocolError("leaves were asked for that there are not, or in parts that are none")

    def read(self, total: Vector) -> Vector:
        """Return the counts, int64 (leaves, 2, parts)."""
        return total.reshape(len(self.low), 2, -1)


class TargetRanks(Query, frozen=True, eq=False):
    """`ResidualRanks` of all rows together, at margins of 0: ranks of the targets. Asked before boosting begins."""

    dimensions: ClassVar[dict[str, int | None]] = {"low": 2}

    most: int
    low: NDArray[np.uint32]
    log_keys: int
    log_child: int

    def size(self) -> int:
        """See `Query`."""
        return len(self.low) * 2 << (self.log_keys - self.log_child)

    def bound(self) -> int:
        """See `Query`."""
        return self.most

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        y, counts = silo.targets(None), silo.counts()
        other = self.low.shape[1:] != (2,) or (y.ndim == 2 and len(self.low) != y.shape[1])
        if not _are_parts(self.log_keys, self.log_child) or other:
            raise ProtocolError("ranks of targets that there are not, or in parts that are none")
        out = np.zeros((len(self.low), 2, 1 << (self.log_keys - self.log_child)), np.int64)
        root, each = np.zeros(len(y), np.uint32), np.ones(1, np.int64) if counts is None else counts
        for k in range(len(self.low) if len(y) else 0):
            gradients_kernels.count_residuals(
                column_of(y, k), np.zeros(len(y), np.float32), each, root, silo.ranges, np.zeros(1, np.int32),
                self.low[k : k + 1], self.log_keys, self.log_child, out[k : k + 1],
            )  # fmt: skip
        return out.reshape(-1)

    def read(self, total: Vector) -> Vector:
        """Return the counts, int64 (outputs, 2, parts)."""
        return total.reshape(len(self.low), 2, -1)


def _are_parts(log_keys: int, log_child: int) -> bool:
    """Return whether intervals of so many keys can be cut into parts of so many, and one round can count them."""
    return 0 <= log_child <= log_keys <= KEY_BITS and log_keys - log_child <= MOST_BITS
