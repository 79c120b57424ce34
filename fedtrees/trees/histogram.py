"""The queries of boosting: a level's histograms, and how large the gradients are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Query
from fedtrees.core.ring import N_EXPONENTS, Vector
from fedtrees.errors import ProtocolError
from fedtrees.trees import kernels
from fedtrees.trees.grid import Grid
from fedtrees.trees.tree import Shape

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo
    from fedtrees.trees.boosting import Boosting


class Histograms(Query, frozen=True, eq=False):
    """The sums of gradients and hessians in every bin of some nodes of the growing trees, one tree an output.

    The question carries the trees as far as they have grown, so a silo that never heard of them can answer: its rows
    walk down from the root. Arrays of several trees stand end to end.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    features, bins : int
        Features, and bins of all of them.
    exponents : Grid
        What gradients and hessians are rounded to.
    ends : int32 (outputs,)
        Where each tree's nodes end.
    feature, bin, default_left, left
        See `trees.tree.Tree`.
    build : int32 (nodes,)
        The nodes to sum, numbered within their tree, tree after tree.
    build_ends : int32 (outputs,)
        Where each tree's nodes to sum end.
    """

    rows: int
    features: int
    bins: int
    exponents: Grid
    ends: NDArray[np.int32]
    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    build: NDArray[np.int32]
    build_ends: NDArray[np.int32]

    def size(self) -> int:
        """See `Query`."""
        return len(self.build) * 2 * self.bins

    def touches(self) -> int:
        """See `Query`."""
        trees = np.count_nonzero(np.diff(self.build_ends, prepend=0))  # a row is in one node of a tree
        return int(trees) * 2 * self.features

    def bound(self) -> int:
        """See `Query`."""
        return self.rows << self.exponents.bits()

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        asked = self.features, self.bins, len(self.ends)
        if state is None or asked != (state.cuts.n_features, state.cuts.total_bins, len(state.margin)):
            raise ProtocolError("histograms were asked for before, or of other bins than, the cut points")
        if not 0 <= self.exponents.extra <= kernels.STATISTIC_BITS_G:
            raise ProtocolError(f"histograms of {self.exponents.extra} more digits than a word holds")
        state.prepare(silo, self.exponents)
        shapes = Shape.apart(self.ends, self.feature, self.bin, self.default_left, self.left, state.cuts)
        builds = np.split(self.build, self.build_ends[:-1])
        parts = [
            state.histograms(silo, output, shape, build, self.exponents.extra)
            for output, (shape, build) in enumerate(zip(shapes, builds, strict=True))
            if len(build)
        ]
        return parts[0].reshape(-1) if len(parts) == 1 else np.concatenate([part.reshape(-1) for part in parts])

    def read(self, total: Vector) -> Vector:
        """The sums, int64 (nodes, 2, bins)."""
        return total.reshape(len(self.build), 2, self.bins)


class GradientExponents(Query, frozen=True, eq=False):
    """How large rows' gradients and hessians are: counts by the exponents that bound them.

    Parameters
    ----------
    rows : int
        Gradients in the federation: rows times outputs.
    """

    rows: int

    def size(self) -> int:
        """See `Query`."""
        return 2 * N_EXPONENTS

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        if state is None:
            raise ProtocolError("gradients were asked for before the cut points")
        return state.exponent_counts(silo).reshape(-1)

    def read(self, total: Vector) -> Vector:
        """The counts of gradients and of hessians, int64 (2, N_EXPONENTS); see `core.ring.exponent_counts`."""
        return total.reshape(2, N_EXPONENTS)
