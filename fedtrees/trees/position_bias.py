"""How much positions add to clicks, estimated over all silos: what unbiased rankings divide the weights of pairs by.

Each round, a position's costs are summed over queries as whole numbers: estimates are the same for every partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power_of
from fedtrees.trees.losses import RankingLoss
from fedtrees.trees.ranking_kernels import SMALLEST_BIAS

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.trees.boosting import Boosting


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

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        if state is None or self.positions < 1 or state.gradients.bias.shape != (2, self.positions):
            raise ProtocolError("costs of positions were asked for before the cut points, or of others")
        costs = state.gradients.position_costs(state, silo)
        starts, rows = silo.table.query_starts(), silo.rows_asked()
        place = (np.arange(silo.table.n_rows) - np.repeat(starts[:-1], np.diff(starts)))[rows]
        near = place < self.positions
        sums = [sums_by_power_of(own[rows][near].astype(np.float32), place[near], self.positions) for own in costs]
        return np.concatenate(sums).reshape(-1)

    def read(self, total: Vector) -> NDArray[np.float64]:
        """The costs, float64 (2, positions)."""
        sums = [restore_sum(own) for own in total.reshape(-1, N_PLACES)]
        return np.array(sums).reshape(2, self.positions)


class PositionBias(Fact, frozen=True, eq=False):
    """The divisors of the weights of pairs from now on.

    Parameters
    ----------
    bias : float32 (2, positions)
        By the position of the better row, and by that of the other.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"bias": 2}

    bias: NDArray[np.float32]

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        state: Boosting | None = silo.state
        if state is None or state.gradients.bias.shape != self.bias.shape or not (self.bias >= 0).all():
            raise ProtocolError("biases of positions before the cut points, or of others")
        state.gradients.bias = self.bias.astype(np.float64)


@dataclass
class PositionBiases:
    """The server's side: the estimates, float32 (2, positions), which an exported model keeps as such."""

    loss: RankingLoss
    rows: int
    bias: NDArray[np.float32]

    @staticmethod
    def prepare(channel: Channel, loss: RankingLoss, rows: int, earlier: NDArray[np.float32] | None) -> PositionBiases:
        """Begin with biases of 1, or with those of an earlier model of as many positions."""
        bias = np.ones((2, loss.positions), np.float32)
        if earlier is not None and earlier.shape == bias.shape:
            bias = earlier
            channel.tell(PositionBias(bias))
        return PositionBiases(loss, rows, bias)

    def question(self) -> PositionCosts:
        """Queries to ask along with a tree's first histograms."""
        return PositionCosts(self.loss.positions, self.rows)

    def learn(self, channel: Channel, costs: Any) -> None:
        """Estimate biases from the costs of a round, the first being 1, and tell the silos; equations 30 and 31."""
        new = self.bias.copy()
        for own, sums in zip(new, costs, strict=True):
            if sums[0] >= SMALLEST_BIAS:
                own[:] = (sums / sums[0]) ** (1 / (1 + self.loss.lambdarank_bias_norm))
        self.bias = new
        channel.tell(PositionBias(new))
