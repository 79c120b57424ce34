"""The resolution of targets: the power of two that all of them are whole multiples of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.numeric.fixed_point import LOWEST_EXPONENT, N_EXPONENTS, Vector
from fedtrees.core.protocol.query import Query

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

MANTISSA = 24  # binary digits of a float32


class TargetSteps(Query, frozen=True, eq=False):
    """Targets that are not 0, counted by the power of two that their lowest binary digit stands for.

    Parameters
    ----------
    rows : int
        Targets in the federation: rows times columns of y.
    """

    rows: int

    def size(self) -> int:
        """See `Query`."""
        return N_EXPONENTS

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        y = silo.targets(None)[silo.rows_asked()].ravel()
        mantissa, exponent = np.frexp(y[y != 0])
        whole = np.ldexp(mantissa.astype(np.float64), MANTISSA).astype(np.int64)
        lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1
        return np.bincount(exponent - MANTISSA + lowest - LOWEST_EXPONENT, minlength=N_EXPONENTS).astype(np.int64)

    def read(self, total: Vector) -> int | None:
        """The lowest of these powers, None where all targets are 0."""
        (present,) = np.nonzero(total)
        return int(present[0]) + LOWEST_EXPONENT if len(present) else None
