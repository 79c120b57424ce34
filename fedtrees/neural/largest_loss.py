"""The largest loss of a cohort, found by a sum; losses are divided by it before they are raised to a power."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.blas import OneBlasThread
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.errors import DivergenceError, ProtocolError
from fedtrees.neural.model import Floats
from fedtrees.neural.state import NetworkState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

STEPS = 8  # of an octave
LOWEST, HIGHEST = -40 * STEPS, 128 * STEPS


class LargestLoss(Query, frozen=True, eq=False):
    """The number of silos whose loss has each size, to the eighth of an octave, under the shared parameters.

    Parameters
    ----------
    silos : int
        Of the federation.
    params : float32 (n_params,)
    """

    silos: int
    params: Floats

    partial = True

    def size(self) -> int:
        """See `Query`."""
        return HIGHEST - LOWEST + 1

    def reach(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Query`."""
        return np.ones(rows.shape[1:], np.int64)

    def bound(self) -> int:
        """See `Query`."""
        return self.silos

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(NetworkState, "losses were asked for")
        if len(self.params) != state.model.n_params:
            raise ProtocolError("losses were asked for of another model")
        total = np.zeros(self.size(), np.int64)
        with OneBlasThread():  # a last bit might be on the other side of a step
            for place in map(int, silo.silos_asked):
                if state.mass(silo.table, place):
                    total[self._place(silo, state, place)] += 1
        return total

    def _place(self, silo: SiloRows, state: NetworkState, place: int) -> int:
        with np.errstate(over="ignore", invalid="ignore"):
            loss = state.rows(silo.table, place).loss(state.model, self.params)
        if not math.isfinite(loss):
            raise DivergenceError(
                f"silo {silo.table.names[place]!r}: the loss is no longer finite; lower learning_rate."
            )
        return self._of(loss)

    @staticmethod
    def _of(loss: float) -> int:
        step = math.ceil(STEPS * math.log2(loss)) if loss > 0 else LOWEST
        return min(max(step, LOWEST), HIGHEST) - LOWEST

    def read(self, total: Vector) -> float:
        """A bound of the losses, at most a twelfth part above the largest."""
        (present,) = np.nonzero(total)
        return math.exp2((int(present[-1]) + LOWEST) / STEPS) if len(present) else 1.0
