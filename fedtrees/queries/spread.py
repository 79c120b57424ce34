"""How far targets are spread, by exact sums."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Query
from fedtrees.core.ring import Vector
from fedtrees.errors import ProtocolError
from fedtrees.queries.metric import mean_of_sums, weighted_sums
from fedtrees.queries.sums import N_PLACES, bound_of_sums

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo


class Spread(Query, frozen=True, eq=False):
    """The weighted mean of each target's squared distance from a centre: of the mean, the variance.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    centre : float64 (targets,)
    exponent : int, default 0
        Distances are told in units of ``2 ** exponent``, so that their squares fit float32.
    """

    rows: int
    centre: NDArray[np.float64]
    exponent: int = 0

    def size(self) -> int:
        """See `Query`."""
        return 2 * N_PLACES * len(self.centre)

    def touches(self) -> int:
        """See `Query`."""
        return 2 * len(self.centre)

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_sums(self.rows)

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        rows, weight, targets = silo.rows_asked(), silo.weights(), len(self.centre)
        y = silo.targets(None)
        if y.size != len(y) * targets:
            raise ProtocolError(f"the spread of {targets} targets was asked for, and y is of the shape {y.shape}")
        far = np.ldexp(y.reshape(len(y), targets)[rows].astype(np.float64) - self.centre, -self.exponent)
        weight = None if weight is None else weight[rows]
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and the spread with it
            return np.concatenate([weighted_sums(own.astype(np.float32), weight) for own in (far * far).T])

    def read(self, total: Vector) -> NDArray[np.float64]:
        """The means, float64 (targets,)."""
        means = [mean_of_sums(own) for own in total.reshape(len(self.centre), -1)]
        return np.array([math.ldexp(own, 2 * self.exponent) for own in means])
