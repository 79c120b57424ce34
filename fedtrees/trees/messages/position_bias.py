"""Biases of positions towards clicks, estimated over all silos: unbiased rankings divide the weights of pairs by them.

Each round, a position's costs are summed over ranking groups as whole numbers: estimates are the same for every
partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power_of
from fedtrees.trees.silo.state import TreeState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class PositionCosts(Query, frozen=True, eq=False):
    """Costs of pairs by the positions of their rows, of the better ones and of the others.

    Parameters
    ----------
    positions : int
    rows : int
        Rows of the federation.
    """

    positions: int
    rows: int

    def size(self) -> int:
        """See `Query`."""
        return 2 * self.positions * N_PLACES

    def touches(self) -> int:
        """See `Query`."""
        return 2

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_sums(self.rows)

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(TreeState, "costs of positions were asked for")
        if self.positions < 1 or state.gradients.bias.shape != (2, self.positions):
            raise ProtocolError("costs were asked for of other positions than the objective has")
        costs = state.gradients.position_costs(silo)
        starts, rows = silo.table.group_starts(), silo.rows_asked()
        place = (np.arange(silo.table.n_rows) - np.repeat(starts[:-1], np.diff(starts)))[rows]
        near = place < self.positions
        sums = [sums_by_power_of(cost[rows][near].astype(np.float32), place[near], self.positions) for cost in costs]
        return np.concatenate(sums).reshape(-1)

    def read(self, total: Vector) -> NDArray[np.float64]:
        """Return the costs, float64 (2, positions)."""
        sums = [restore_sum(places) for places in total.reshape(-1, N_PLACES)]
        return np.array(sums).reshape(2, self.positions)


class PositionBias(Fact, frozen=True, eq=False):
    """Divisors of the weights of pairs from now on.

    Parameters
    ----------
    bias : float32 (2, positions)
        By the position of the better row, and by that of the other.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"bias": 2}

    bias: NDArray[np.float32]

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        state = silo.state_of(TreeState, "biases of positions were sent")
        if state.gradients.bias.shape != self.bias.shape or not (self.bias >= 0).all():
            raise ProtocolError("biases were sent of other positions than the objective has, or that are none")
        state.gradients.take_bias(self.bias)
