"""Means and variances of features and targets, by exact sums: nothing depends on the partition of the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.long_sums import N_DIGITS, PIECE_BITS, bound_of_long_sums, long_sums, restore_long

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.silo_rows import SiloRows
    from fedtrees.core.sampling.samplers import Cohort


class PowerSums(Query, frozen=True, eq=False):
    """The sum of the weights, and of weights times each feature and each target that is a number.

    With a centre, the sums are of weights times squared distances from it.

    Law: a row of a whole weight adds what as many equal rows add, to the bit.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    features : int
    targets : int
        Columns of y; 0 where they are class labels.
    centre : float64 (features + targets,), optional
        Where squared distances are measured from.
    """

    rows: int
    features: int
    targets: int
    centre: NDArray[np.float64] | None = None

    def size(self) -> int:
        """See `Query`."""
        return (1 + self.features + self.targets) * N_DIGITS

    def touches(self) -> int:
        """See `Query`."""
        return 2 * (1 + self.features + self.targets)

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_long_sums(self.rows)

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        table, n = silo.table, self.features + self.targets
        if self.features != table.n_features or (self.centre is not None and self.centre.shape != (n,)):
            raise ProtocolError(f"moments were asked for {self.features} features of {table.n_features}")
        asked = silo.rows_asked()
        where = asked if table.order is None else table.order[asked]
        y = np.zeros((0, self.targets), np.float32)
        if self.targets and table.n_rows:
            y = silo.targets(None).reshape(table.n_rows, -1)[asked]
            if y.shape[1] != self.targets:
                raise ProtocolError(f"moments were asked for {self.targets} targets of {y.shape[1]}")
        given = silo.weights()
        weight = np.ones(silo.n_asked) if given is None else given[asked].astype(np.float64)

        def sums(place: int) -> Vector:
            if place == n:
                return long_sums(weight)
            values = table.X[where, place] if place < self.features else y[:, place - self.features]
            return long_sums(weight * self._terms(values.astype(np.float64), place))

        return np.concatenate(silo.threads.map(sums, range(n + 1)))

    def _terms(self, values: NDArray[np.float64], place: int) -> NDArray[np.float64]:
        """Values, or squared distances of 24 bits, so that their products with weights are exact."""
        if self.centre is None:
            return values
        mantissa, exponent = np.frexp((values - self.centre[place]) ** 2)
        squares: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissa, PIECE_BITS)), exponent - PIECE_BITS)
        return squares

    def read(self, total: Vector) -> list[int]:
        """The sums, exactly, in one unit: of features, targets, and last of the weights."""
        return [restore_long(digits) for digits in total.reshape(-1, N_DIGITS)]


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and standard deviations, float64 (columns,); a column that never changes deviates by 1.

    Attributes
    ----------
    mean, deviation : float64 (columns,)
    constant : bool (columns,) or (0,)
        Which columns never change, where that is known.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    constant: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


def learn_moments(channel: Channel, all_silos: Cohort, rows: int, features: int, targets: int) -> Moments:
    """Weighted means and standard deviations of features, and behind them of targets, in two rounds.

    They are right for columns of any size, and for spreads that are small beside their mean: sums are exact, and a
    mean is rounded once, so that a column deviates by 0 where it is constant, and only there.

    Law: the same for every partition of the same rows.
    """

    def means(centre: NDArray[np.float64] | None) -> list[float]:
        *sums, mass = channel.total(PowerSums(rows, features, targets, centre), all_silos)
        return [float(total / mass) for total in sums]

    mean = np.array(means(None), np.float64)
    deviation = np.array([math.sqrt(variance) for variance in means(mean)])
    return Moments(mean, np.where(deviation == 0, 1.0, deviation), deviation == 0)
