"""Initial margins that no mean of the targets gives: a Newton step from 0, by sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.numeric.fixed_point import Vector, quantise, restore, step_bits
from fedtrees.core.protocol.query import Query
from fedtrees.trees.losses import Params, gradients, loss_of

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

LARGEST_EXPONENT = 8  # losses with this initial margin have hessians below 2**8 at a margin of 0


class InitialMarginSums(Query, frozen=True, eq=False):
    """Sums of gradients and hessians at margins of 0.

    Parameters
    ----------
    objective, params, labels
        See `trees.messages.training.Aim`.
    outputs : int
    rows : int
        Rows of the federation, each as often as it counts.
    weight_exponent : int
        With every weight at most ``2 ** weight_exponent``.
    gradient_exponent : int
        With every gradient, times its weight, at most ``2 ** gradient_exponent``; see `losses.Loss.newton_exponent`.
    """

    objective: str
    params: Params
    labels: ClassLabels | None
    outputs: int
    rows: int
    weight_exponent: int
    gradient_exponent: int

    @property
    def _exponents(self) -> tuple[int, int]:
        return self.gradient_exponent, LARGEST_EXPONENT + self.weight_exponent

    @property
    def _bits(self) -> int:
        return step_bits(self.rows)

    def size(self) -> int:
        """See `Query`."""
        return 2 * self.outputs

    def bound(self) -> int:
        """See `Query`."""
        return self.rows << self._bits

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        loss, y, weight = loss_of(self.objective, self.params, self.labels), silo.targets(self.labels), silo.weights()
        counts = silo.counts() if silo.counting is not None and silo.counting.whole else None
        rows = silo.rows_asked()
        y = y[rows]
        times = np.ones(1, np.float32) if weight is None or counts is not None else weight[rows]
        parts = gradients(loss, np.zeros((self.outputs, len(y)), np.float32), y)
        whole = [quantise(part * times, e, self._bits) for part, e in zip(parts, self._exponents, strict=True)]
        return np.concatenate([(part if counts is None else part * counts[rows]).sum(axis=1) for part in whole])

    def read(self, total: Vector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sums as real numbers, float64 (outputs,) each."""
        g, h = (
            np.array([restore(value, exponent, self._bits) for value in part])
            for part, exponent in zip(total.reshape(2, -1), self._exponents, strict=True)
        )
        return g, h
