"""Risk sets over all silos: of each moment when something happens, the sum of the hazards of those it may happen to.

A row's hazard is e to its margin, and a risk set runs over silos, so its sum is asked for: by bins of time, as whole
numbers. Rows in one bin are at risk together. Where there are no more different times than `MOST_BINS`, each has a bin
of its own, and nothing is lost; elsewhere bins hold about as many rows each, and times within one are taken for equal:
a risk set is too large by the rows of a bin at the most, one in `MOST_BINS` of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import DataError, ProtocolError
from fedtrees.queries.hazards import LIMBS, LOWEST, MOST_BINS, bound_of_limbs, hazard_limbs, restore_limbs

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.core.sampling.samplers import Cohort
    from fedtrees.trees.boosting import Boosting

KEY_BITS = 31  # of a float32 that is not negative: its bits sort as it does
MOST_COUNTS = 1 << 16  # in an answer, about


class TimeCounts(Query, frozen=True, eq=False):
    """The number of times in each part of some intervals of keys.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    low : uint32 (intervals,)
        Where the intervals start, ascending.
    log_keys, log_child : int
        An interval has ``2 ** log_keys`` keys, a part ``2 ** log_child``.
    """

    rows: int
    low: NDArray[np.uint32]
    log_keys: int
    log_child: int

    def size(self) -> int:
        """See `Query`."""
        return len(self.low) << (self.log_keys - self.log_child)

    def touches(self) -> int:
        """See `Query`."""
        return 1

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        if not 0 <= self.log_child <= self.log_keys <= KEY_BITS or not len(self.low) or self.size() > 4 * MOST_COUNTS:
            raise ProtocolError("times were asked for in parts that are none")
        keys = keys_of(silo.targets(None)[silo.rows_asked()]).astype(np.int64)
        interval = np.searchsorted(self.low, keys, side="right") - 1
        within = keys - self.low.astype(np.int64)[interval]
        inside = (interval >= 0) & (within < 1 << self.log_keys)
        place = (interval << (self.log_keys - self.log_child)) + (within >> self.log_child)
        return np.bincount(place[inside], minlength=self.size()).astype(np.int64)

    def read(self, total: Vector) -> Vector:
        """The counts, int64 (intervals, parts)."""
        return total.reshape(len(self.low), -1)


def keys_of(y: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Times as whole numbers that sort as they do; a time that is negative is one until which nothing happened."""
    return np.abs(y).astype(np.float32).view(np.uint32)


class TimeBins(Fact, frozen=True, eq=False):
    """The bins of time that risk sets are told by.

    Parameters
    ----------
    starts : uint32 (bins,)
        The key that each starts with, ascending.
    """

    starts: NDArray[np.uint32]

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        state: Boosting | None = silo.state
        ascending = (self.starts[1:] > self.starts[:-1]).all()
        if state is None or not 0 < len(self.starts) <= MOST_BINS or not ascending:
            raise ProtocolError("bins of time before the cut points, or that are none")
        state.gradients.times = self.starts


class RiskSums(Query, frozen=True, eq=False):
    """The sums of hazards in each bin of time, and of the weights of what happened there.

    Parameters
    ----------
    rows : int
        Rows of the federation, each as often as it counts.
    bins : int
    """

    rows: int
    bins: int

    def size(self) -> int:
        """See `Query`."""
        return 2 * self.bins * LIMBS

    def touches(self) -> int:
        """See `Query`."""
        return 8

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_limbs(self.rows)

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        if state is None or len(state.gradients.times) != self.bins:
            raise ProtocolError("risks were asked for before their bins of time, or in others")
        state.catch_up(silo)
        rows = silo.rows_asked()
        weight = state.weight if len(state.weight) == 1 else state.weight[rows]
        if state.repeats is not None:
            weight = weight * state.repeats[rows].astype(np.float32)
        bins = bins_of(state.target[rows], state.gradients.times)
        return hazard_limbs(state.margin[0][rows], state.target[rows], weight, bins, self.bins).reshape(-1)

    def read(self, total: Vector) -> tuple[list[Fraction], list[Fraction]]:
        """The sums of hazards, and of the weights of events, of each bin."""
        hazards, events = total.reshape(2, self.bins, LIMBS)
        return restore_limbs(hazards), restore_limbs(events)


def bins_of(y: NDArray[np.float32], starts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The bin that each time falls in; those before the first are in it."""
    return np.maximum(np.searchsorted(starts, keys_of(y), side="right") - 1, 0)


class Risks(Fact, frozen=True, eq=False):
    """What a row's hazard is multiplied by: the events up to its time, each over the sum of its risk set.

    Parameters
    ----------
    rates, squares : float64 (bins,)
        The sums of events over risks, and over their squares.
    """

    rates: NDArray[np.float64]
    squares: NDArray[np.float64]

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        state: Boosting | None = silo.state
        if state is None or not len(self.rates) == len(self.squares) == len(state.gradients.times):
            raise ProtocolError("risks before their bins of time, or of others")
        state.gradients.risks = self.rates, self.squares


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
    def prepare(channel: Channel, everyone: Cohort, rows: int, counted: int, weight: float) -> Hazards:
        """Find bins of time, and tell the silos; three rounds or four."""
        starts = time_bins(channel, everyone, rows)
        channel.tell(TimeBins(starts))
        return Hazards(counted, len(starts), weight, len(everyone))

    def learn(self, channel: Channel, cohort: Cohort) -> tuple[float, float]:
        """Ask for the sums, tell what follows from them, and bound gradients and hessians; one round."""
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


def time_bins(channel: Channel, everyone: Cohort, rows: int) -> NDArray[np.uint32]:
    """Where bins of time start: at each time that there is, or so that they hold about as many rows."""
    low, counts, width = np.zeros(1, np.uint32), np.array([rows]), KEY_BITS
    while width and len(low) <= MOST_BINS:
        step = min(width, max(1, (MOST_COUNTS // len(low)).bit_length() - 1))
        parts = channel.total(TimeCounts(rows, low, width, width - step), everyone)
        width -= step
        interval, part = np.nonzero(parts)
        low = (low.astype(np.int64)[interval] + (part << width)).astype(np.uint32)
        counts = parts[interval, part]
    if len(low) <= MOST_BINS:
        return low
    share = (np.cumsum(counts) - counts) * MOST_BINS // counts.sum()  # which bin a part's first row belongs to
    return low[np.unique(share, return_index=True)[1]]
