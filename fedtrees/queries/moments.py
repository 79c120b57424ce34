"""Means and variances of features and targets, by exact sums: nothing depends on who holds which row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Query
from fedtrees.core.ring import Vector
from fedtrees.errors import DataError, ProtocolError
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort
    from fedtrees.core.silo import Silo


class PowerSums(Query, frozen=True, eq=False):
    """The sum of each feature, and of each target that is a number; or of their squared distances from a centre.

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
        return (self.features + self.targets) * N_PLACES

    def touches(self) -> int:
        """See `Query`."""
        return self.features + self.targets

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_sums(self.rows)

    def ask(self, silo: Silo) -> Vector:
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

        def sums(place: int) -> Vector:
            return self._sums(table.X[where, place] if place < self.features else y[:, place - self.features], place)

        return np.concatenate(silo.threads.map(sums, range(n)))

    def _sums(self, values: NDArray[np.float32], place: int) -> Vector:
        if self.centre is not None:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and the variance with it
                values = ((values.astype(np.float64) - self.centre[place]) ** 2).astype(np.float32)
        return sums_by_power(values)

    def read(self, total: Vector) -> NDArray[np.float64]:
        """The sums, float64 (features + targets,)."""
        return np.array([restore_sum(own) for own in total.reshape(-1, N_PLACES)])


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and standard deviations, float64 (columns,); a column that never changes deviates by 1."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def learn_moments(channel: Channel, everyone: Cohort, rows: int, features: int, targets: int) -> Moments:
    """Means and standard deviations of features, and behind them of targets, in two rounds; every row counts once.

    Law: the same for every partition of the same rows.

    Raises
    ------
    DataError
        For numbers of 1e19 and more: their squares are too large.
    """
    mean = channel.total(PowerSums(rows, features, targets), everyone) / rows
    squares = channel.total(PowerSums(rows, features, targets, mean), everyone)
    deviation = np.array([math.sqrt(own / rows) for own in squares])
    if np.isinf(deviation).any():
        column = int(np.argmax(np.isinf(deviation)))
        what = f"feature {column}" if column < features else "y"
        raise DataError(f"{what} holds numbers whose squares are too large for float32; scale it down.")
    # of a constant column, what is left is the rounding of its mean
    flat = deviation <= 1e-7 * np.abs(mean)
    return Moments(mean, np.where(flat, 1.0, deviation))
