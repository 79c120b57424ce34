"""The number of groups that rows are ranked in, and their total weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class QueryWeights(Query, frozen=True, eq=False):
    """The number of a ranking's groups, and the sum of their weights.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    """

    rows: int

    def size(self) -> int:
        """See `Query`."""
        return 1 + N_PLACES

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_sums(self.rows)

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        starts, weight = silo.table.group_starts()[:-1], silo.weights()
        asked = np.zeros(len(starts), bool)
        for start, stop in silo.ranges:
            asked |= (starts >= start) & (starts < stop)
        weights = np.ones(np.count_nonzero(asked), np.float32) if weight is None else weight[starts[asked]]
        return np.concatenate([[len(weights)], sums_by_power(weights)]).astype(np.int64)

    def read(self, total: Vector) -> float:
        """The factor of all weights that makes their mean 1; XGBoost's normalisation."""
        return int(total[0]) / restore_sum(total[1:])
