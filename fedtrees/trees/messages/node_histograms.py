"""The query of forests: histograms of nodes, of each the features that it has drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ProtocolError
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.silo.node_sums import NodeSums

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class NodeHistograms(Histograms, frozen=True, eq=False):
    """`Histograms` of nodes that each ask for as many features, drawn for the node alone.

    ``columns`` are each node's features, ascending, and ``column_bins``, int32 (nodes,), the bins of each node's.
    """

    def size(self) -> int:
        """See `Query`."""
        return self.statistics * int(self.column_bins.sum())

    def touches(self) -> int:
        """See `Query`."""
        trees = int(np.count_nonzero(self.nodes()))
        return trees * self.sums_per_row() * (len(self.columns) // max(1, len(self.build)))

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        sums, whole = self._sums(silo), np.empty(self.size(), np.int64)
        for _ in sums.parts(whole):
            pass
        return whole

    def ask_in_parts(self, silo: SiloRows) -> Iterator[Vector]:
        """See `Query`."""
        return self._sums(silo).parts()

    def _sums(self, silo: SiloRows) -> NodeSums:
        state = self._state(silo)
        if len(self.columns) % len(self.build) or len(self.column_bins) != len(self.build):
            raise ProtocolError("histograms were asked for of other nodes than the question has")
        columns = self.columns.reshape(len(self.build), -1)
        inside = len(self.columns) and columns.min() >= 0 and columns.max() < state.cuts.n_features
        inside = inside and (np.diff(columns) > 0).all()
        if not inside or (state.cuts.n_bins[columns].sum(axis=1) != self.column_bins).any():
            raise ProtocolError("histograms were asked for of features that there are not, or of other bins")
        shapes, ends = self._prepared(state, silo), self.build_ends.tolist()
        return NodeSums(silo, state, shapes, self.build, ends, columns, self.exponents.extra)

    def read(self, total: Vector) -> Vector:
        """Return the sums, flat: node after node, statistic after statistic."""
        return total
