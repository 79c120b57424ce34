"""Hazards over all silos: bins of time, and rates from the sums over risk sets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import DataError
from fedtrees.queries.hazards import LOWEST, MOST_BINS
from fedtrees.trees.messages.risk_sets import MOST_COUNTS, Risks, RiskSums, TimeBins, TimeCounts
from fedtrees.trees.silo.time_bins import KEY_BITS

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort


@dataclass(frozen=True, eq=False)
class Hazards:
    """The server's side of risk sets.

    Attributes
    ----------
    rows : int
        Rows of the federation, each as often as it counts.
    bins : int
    weight : float
        The largest weight of a row.
    silos : int
        In the federation: a cohort of fewer may see no event.
    """

    rows: int
    bins: int
    weight: float
    silos: int

    @staticmethod
    def prepare(channel: Channel, all_silos: Cohort, rows: int, counted: int, weight: float) -> Hazards:
        """Find bins of time, and send them to the silos; three rounds or four."""
        starts = time_bins(channel, all_silos, rows)
        channel.tell(TimeBins(starts))
        return Hazards(counted, len(starts), weight, len(all_silos))

    def learn(self, channel: Channel, cohort: Cohort) -> tuple[float, float]:
        """Ask for the sums, send the rates that follow, and bound gradients and hessians; one round."""
        hazards, events = channel.total(RiskSums(self.rows, self.bins), cohort)
        if not any(events) and len(cohort) == self.silos:
            raise DataError("y: nothing ever happens; survival:cox needs a time above 0 that is not censored.")
        at_risk = [Fraction(0)] * (self.bins + 1)
        for place in reversed(range(self.bins)):
            at_risk[place] = at_risk[place + 1] + hazards[place]
        rate, square = 0.0, 0.0
        rates, squares, largest = np.empty(self.bins), np.empty(self.bins), 0.0
        for place in range(self.bins):
            if events[place]:
                rate += float(events[place] / at_risk[place])
                square += float(events[place] / at_risk[place] ** 2)
            rates[place], squares[place] = rate, square
            largest = max(largest, float(hazards[place]) * rate)  # no row's hazard is above its bin's
        channel.tell(Risks(rates, squares))
        return max(self.weight, largest) * 1.001, max(largest, 2.0**LOWEST) * 1.001


def time_bins(channel: Channel, all_silos: Cohort, rows: int) -> NDArray[np.uint32]:
    """Find the starts of bins of time: each time that there is, or such that bins have about as many rows."""
    low, counts, width = np.zeros(1, np.uint32), np.array([rows]), KEY_BITS
    while width and len(low) <= MOST_BINS:
        step = min(width, max(1, (MOST_COUNTS // len(low)).bit_length() - 1))
        parts = channel.total(TimeCounts(rows, low, width, width - step), all_silos)
        width -= step
        interval, part = np.nonzero(parts)
        low = (low.astype(np.int64)[interval] + (part << width)).astype(np.uint32)
        counts = parts[interval, part]
    if len(low) <= MOST_BINS:
        return low
    share = (np.cumsum(counts) - counts) * MOST_BINS // counts.sum()  # the bin of a part's first row
    return low[np.unique(share, return_index=True)[1]]
