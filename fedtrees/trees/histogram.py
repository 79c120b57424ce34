"""The queries of boosting: a level's histograms, and how large the gradients are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Query
from fedtrees.core.ring import N_EXPONENTS, Vector, exponent_counts, largest_exponent
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import STATISTIC_BITS_H
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
    exponents : tuple of int
        Of the gradient's and the hessian's grids.
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
    exponents: tuple[int, int]
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
        return self.rows << STATISTIC_BITS_H

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        asked = self.features, self.bins, len(self.ends)
        if state is None or asked != (state.cuts.n_features, state.cuts.total_bins, len(state.margin)):
            raise ProtocolError("histograms were asked for before, or of other bins than, the cut points")
        state.prepare(silo, self.exponents)
        shapes = Shape.apart(self.ends, self.feature, self.bin, self.default_left, self.left, state.cuts)
        builds = np.split(self.build, self.build_ends[:-1])
        parts = [
            state.histograms(silo, output, shape, build)
            for output, (shape, build) in enumerate(zip(shapes, builds, strict=True))
            if len(build)
        ]
        return parts[0].reshape(-1) if len(parts) == 1 else np.concatenate([part.reshape(-1) for part in parts])

    def read(self, total: Vector) -> Vector:
        """The sums, int64 (nodes, 2, bins)."""
        return total.reshape(len(self.build), 2, self.bins)


class GradientExponents(Query, frozen=True, eq=False):
    """The exponents that bound a row's gradient and hessian: two maxima, by a sum.

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
        return np.concatenate([exponent_counts(part.ravel()) for part in state.gradients(silo)])

    def read(self, total: Vector) -> tuple[int, int]:
        """The exponents of the gradient and the hessian."""
        return largest_exponent(total[:N_EXPONENTS]), largest_exponent(total[N_EXPONENTS:])
