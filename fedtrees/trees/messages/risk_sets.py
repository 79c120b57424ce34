"""Risk sets over all silos: at the time of each event, the sum of the hazards of the rows that are still at risk.

A row's hazard is e to its margin, and a risk set runs over silos, so its sum is asked for: by bins of time, as whole
numbers. Rows in one bin are at risk together. Where there are no more different times than `MOST_BINS`, each has a bin
of its own, and nothing is lost; elsewhere bins hold about as many rows each, and times within one are taken for equal:
a risk set is too large by the rows of a bin at the most, one in `MOST_BINS` of all.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.hazards import LIMBS, MOST_BINS, bound_of_limbs, hazard_limbs, restore_limbs
from fedtrees.trees.silo.state import TreeState
from fedtrees.trees.silo.time_bins import KEY_BITS, bins_of, time_keys

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

MOST_COUNTS = 1 << 16  # in an answer, about


class TimeCounts(Query, frozen=True, eq=False):
    """Counts of rows' times in equal parts of some intervals of keys.

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

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        if not 0 <= self.log_child <= self.log_keys <= KEY_BITS or not len(self.low) or self.size() > 4 * MOST_COUNTS:
            raise ProtocolError("times were asked for in parts that are none")
        keys = time_keys(silo.targets(None)[silo.rows_asked()]).astype(np.int64)
        interval = np.searchsorted(self.low, keys, side="right") - 1
        within = keys - self.low.astype(np.int64)[interval]
        inside = (interval >= 0) & (within < 1 << self.log_keys)
        place = (interval << (self.log_keys - self.log_child)) + (within >> self.log_child)
        return np.bincount(place[inside], minlength=self.size()).astype(np.int64)

    def read(self, total: Vector) -> Vector:
        """Return the counts, int64 (intervals, parts)."""
        return total.reshape(len(self.low), -1)


class TimeBins(Fact, frozen=True, eq=False):
    """The bins of time that risk sets are summed by.

    Parameters
    ----------
    starts : uint32 (bins,)
        The key that each starts with, ascending.
    """

    starts: NDArray[np.uint32]

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        state = silo.state_of(TreeState, "bins of time were sent")
        ascending = (self.starts[1:] > self.starts[:-1]).all()
        if not 0 < len(self.starts) <= MOST_BINS or not ascending:
            raise ProtocolError("bins of time that are none")
        state.gradients.take_times(self.starts)


class RiskSums(Query, frozen=True, eq=False):
    """Sums of the hazards in each bin of time, and of the weights of the events there.

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

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(TreeState, "risks were asked for")
        if len(state.gradients.times) != self.bins:
            raise ProtocolError("risks were asked for before their bins of time, or in others")
        state.margins.catch_up(silo)
        rows = silo.rows_asked()
        weight = state.rows.weight if len(state.rows.weight) == 1 else state.rows.weight[rows]
        if state.rows.repeats is not None:
            weight = weight * state.rows.repeats[rows].astype(np.float32)
        bins = bins_of(state.rows.target[rows], state.gradients.times)
        return hazard_limbs(state.margin[0][rows], state.rows.target[rows], weight, bins, self.bins).reshape(-1)

    def read(self, total: Vector) -> tuple[list[Fraction], list[Fraction]]:
        """Return the sums of hazards, and of the weights of events, of each bin."""
        hazards, events = total.reshape(2, self.bins, LIMBS)
        return restore_limbs(hazards), restore_limbs(events)


class Risks(Fact, frozen=True, eq=False):
    """Factors of rows' hazards: the events up to a row's time, each over the sum of its risk set.

    Parameters
    ----------
    rates, squares : float64 (bins,)
        The sums of events over risks, and over their squares.
    """

    rates: NDArray[np.float64]
    squares: NDArray[np.float64]

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        state = silo.state_of(TreeState, "risks were sent")
        if not len(self.rates) == len(self.squares) == len(state.gradients.times):
            raise ProtocolError("risks before their bins of time, or of others")
        state.gradients.take_risks(self.rates, self.squares)
