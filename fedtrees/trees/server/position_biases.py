"""Estimates of positions' biases towards clicks, from costs summed over all silos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.kernels.ranking import SMALLEST_BIAS
from fedtrees.trees.losses import RankingLoss
from fedtrees.trees.messages.position_bias import PositionBias, PositionCosts

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel


@dataclass(frozen=True, eq=False)
class PositionBiases:
    """The estimation of positions' biases, float32 (2, positions), which an exported model keeps as such.

    Attributes
    ----------
    loss : RankingLoss
    rows : int
    first : float32 (2, positions)
        The biases to begin with.
    """

    loss: RankingLoss
    rows: int
    first: NDArray[np.float32]

    @staticmethod
    def prepare(channel: Channel, loss: RankingLoss, rows: int, earlier: NDArray[np.float32] | None) -> PositionBiases:
        """Begin with biases of 1, or with those of an earlier model of as many positions."""
        bias = np.ones((2, loss.positions), np.float32)
        if earlier is not None and earlier.shape == bias.shape:
            bias = earlier
            channel.tell(PositionBias(bias))
        return PositionBiases(loss, rows, bias)

    def question(self) -> PositionCosts:
        """Return the query to ask along with a tree's first histograms."""
        return PositionCosts(self.loss.positions, self.rows)

    def after(self, channel: Channel, costs: NDArray[np.float64], bias: NDArray[np.float32]) -> NDArray[np.float32]:
        """Estimate biases from a round's costs, the first being 1, and send them to silos; equations 30 and 31.

        bias: float32 (2, positions); of the round before, which stay where there are no costs
        """
        new = bias.copy()
        for biases, sums in zip(new, costs, strict=True):
            if sums[0] >= SMALLEST_BIAS:
                biases[:] = (sums / sums[0]) ** (1 / (1 + self.loss.lambdarank_bias_norm))
        channel.tell(PositionBias(new))
        return new
