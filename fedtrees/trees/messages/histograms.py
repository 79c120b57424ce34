"""Queries of growing trees: histograms of nodes, and counts of gradients by their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import N_EXPONENTS, Vector
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.flat_trees import FlatTrees, cuts_up
from fedtrees.trees.model.gradient_scale import MOST_EXTRA, GradientScale
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.silo.state import TreeState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


def _none() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


class Histograms(Query, frozen=True, eq=False):
    """The sums of gradients and hessians, or of each class's weight, in every bin of some nodes of the growing trees.

    The question carries the trees as far as they have grown, so a silo that has no memory of them can answer: its
    rows walk down from the root.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    features, bins : int
        Features, and bins of all of them.
    exponents : GradientScale
        The gradient scale, which gradients and hessians are rounded to.
    trees : FlatTrees
    build : int32 (nodes,)
        The nodes to sum, numbered within their tree, tree after tree.
    build_ends : int32 (trees,)
        Where each tree's nodes to sum end.
    columns : int32 (any,)
        The features to sum of each tree, ascending, tree after tree; where ``column_ends`` is empty, all of all trees.
    column_ends : int32 (trees,) or (0,)
        Where each tree's features end.
    column_bins : int32 (trees,) or (0,)
        The bins of each tree's features.
    statistics : int, default 2
        Sums of a bin.
    row_counts : int, default 1
        The number of times that a row counts at the most.
    """

    rows: int
    features: int
    bins: int
    exponents: GradientScale
    trees: FlatTrees
    build: NDArray[np.int32]
    build_ends: NDArray[np.int32]
    columns: NDArray[np.int32] = msgspec.field(default_factory=_none)
    column_ends: NDArray[np.int32] = msgspec.field(default_factory=_none)
    column_bins: NDArray[np.int32] = msgspec.field(default_factory=_none)
    statistics: int = 2
    row_counts: int = 1

    def nodes(self) -> NDArray[np.int32]:
        """Return how many nodes of each tree are summed, int32 (trees,)."""
        nodes = self.build_ends.copy()  # by hand, as this is asked often: numpy's diff takes ten times as long
        nodes[1:] -= self.build_ends[:-1]
        return nodes

    tolerates_noise = True  # a split that is nearly the best one is a good one

    def size(self) -> int:
        """See `Query`."""
        if not len(self.column_ends):
            return len(self.build) * self.statistics * self.bins
        return int(self.nodes().astype(np.int64) @ self.column_bins) * self.statistics

    def sums_per_row(self) -> int:
        """Return how many of a bin's sums a row adds to: a gradient and a hessian, or the weight of its class."""
        return 2 if self.statistics == 2 else 1

    def touches(self) -> int:
        """See `Query`."""
        trees = self.nodes() > 0  # a row is in one node of a tree
        if not len(self.column_ends):
            return int(np.count_nonzero(trees)) * self.sums_per_row() * self.features
        return self.sums_per_row() * int(np.diff(self.column_ends, prepend=0)[trees].sum())

    def bound(self) -> int:
        """See `Query`."""
        return self.rows << self.exponents.bits()

    def row_bound(self) -> int:
        """See `Query`."""
        return self.row_counts << self.exponents.bits()

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = self._state(silo)
        columns = self._columns(state.cuts)
        shapes = self._prepared(state, silo)
        builds = np.split(self.build, self.build_ends[:-1])
        parts = [
            state.histograms.of_nodes(silo, number, shape, build, features, self.exponents.extra)
            for number, (shape, build, features) in enumerate(zip(shapes, builds, columns, strict=True))
            if len(build)
        ]
        return parts[0].reshape(-1) if len(parts) == 1 else np.concatenate([part.reshape(-1) for part in parts])

    def _state(self, silo: SiloRows) -> TreeState:
        """Return the silo's state of this training; its bins must be those that are asked for."""
        state = silo.state_of(TreeState, "histograms were asked for")
        asked = self.features, self.bins, len(self.trees), self.statistics
        if asked != (
            state.cuts.n_features,
            state.cuts.total_bins,
            state.trees,
            state.rows.statistics,
        ):
            raise ProtocolError("histograms were asked for of other bins than those of the cut points")
        if not len(self.build) or not cuts_up(self.build_ends, len(self.trees), len(self.build)):
            raise ProtocolError("histograms were asked for of no nodes, or of other trees' than the question has")
        if not -STATISTIC_BITS_G <= self.exponents.extra <= MOST_EXTRA:
            raise ProtocolError(f"histograms of {self.exponents.extra} more digits than a word holds")
        return state

    def _prepared(self, state: TreeState, silo: SiloRows) -> list[Shape]:
        """Return the trees so far, once the rows' gradients are on the gradient scale."""
        state.prepare(silo, self.exponents)
        return self.trees.shapes(state.cuts)

    def _columns(self, cuts: Cuts) -> list[NDArray[np.int32] | None]:
        """Return the features asked of each tree; None for all."""
        if not len(self.column_ends):
            return [None] * len(self.trees)
        trees = len(self.trees)
        if len(self.column_bins) != trees or not cuts_up(self.column_ends, trees, len(self.columns)):
            raise ProtocolError("histograms were asked for of other trees' features than the question has")
        columns: list[NDArray[np.int32] | None] = []
        for features, bins in zip(np.split(self.columns, self.column_ends[:-1]), self.column_bins, strict=True):
            inside = (features >= 0) & (features < cuts.n_features)
            if not inside.all() or (features[1:] <= features[:-1]).any() or cuts.n_bins[features].sum() != bins:
                raise ProtocolError("histograms were asked for of features that there are not, or of other bins")
            columns.append(features)
        return columns

    def read(self, total: Vector) -> Vector:
        """Return the sums: int64 (nodes, statistics, bins) of all features; of fewer, flat: see `spread`."""
        return total if len(self.column_ends) else total.reshape(len(self.build), self.statistics, self.bins)


def spread(question: Histograms, answer: Vector, cuts: Cuts) -> Vector:
    """Return an answer with room for the bins of features that were not asked for, int64 (nodes, statistics, bins)."""
    if not len(question.column_ends):
        return answer
    statistics = question.statistics
    out = np.zeros((len(question.build), statistics, question.bins), np.int64)
    node, at = 0, 0
    for n, features in zip(
        question.nodes().tolist(), np.split(question.columns, question.column_ends[:-1]), strict=True
    ):
        bins = cuts.bins_of(features)
        size = n * statistics * len(bins)
        out[node : node + n, :, bins] = answer[at : at + size].reshape(n, statistics, len(bins))
        node, at = node + n, at + size
    return out


class GradientExponents(Query, frozen=True, eq=False):
    """Counts of rows' gradients and hessians by the exponents that bound them.

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

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(TreeState, "gradients were asked for")
        return state.gradients.exponent_counts(silo).reshape(-1)

    def read(self, total: Vector) -> Vector:
        """Return the counts of gradients and of hessians, int64 (2, N_EXPONENTS); see `exponent_counts`."""
        return total.reshape(2, N_EXPONENTS)
