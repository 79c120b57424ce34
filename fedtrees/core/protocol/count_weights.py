"""Rows that count by their weights: as whole numbers, whose sums are those of every partition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import WORD_BITS
from fedtrees.core.protocol.query import Fact
from fedtrees.errors import ProtocolError

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

MOST_REPEATS = 16  # the largest whole weight that is taken as that many equal rows: accumulators hold as many fewer
COUNT_BITS, MOST_COUNT_BITS = 16, 52  # fineness of other weights where they are counted, and where they span more
LIGHT_BITS = 10  # that the lightest should keep


def count_bits(rows: int, span: int) -> int:
    """The binary digits to count weights with, of which the lightest is so many binary digits below the heaviest.

    Examples
    --------
    >>> count_bits(1000, 3), count_bits(1000, 30), count_bits(1_000_000, 60)
    (16, 40, 42)
    """
    room = WORD_BITS - 1 - max(rows, 1).bit_length()
    return max(COUNT_BITS, min(span + LIGHT_BITS, room, MOST_COUNT_BITS))


class CountWeights(Fact, frozen=True, eq=False):
    """The fact that rows count by their weights: as whole numbers, so that the sums are those of every partition.

    Law: where all weights are whole, a row of weight k counts and trains like k rows of weight 1.

    Parameters
    ----------
    exponent : int
        No weight is above ``2 ** exponent``.
    whole : bool
        Whether all weights of all silos are whole, 1 to `MOST_REPEATS`.
    bits : int
        Where they are not, the heaviest counts ``2 ** bits`` at the most.
    """

    exponent: int
    whole: bool
    bits: int = COUNT_BITS

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        if not COUNT_BITS <= self.bits <= MOST_COUNT_BITS:
            raise ProtocolError(f"weights were to be counted on a grid of {self.bits} digits")
        silo.counting = self

    def counts(self, weight: NDArray[np.float32]) -> NDArray[np.int64]:
        """The counts of rows of these weights, int64 (rows,): at least 1, as each has a bin.

        Raises
        ------
        ProtocolError
            If the weights are not whole where the fact has them so.
        """
        if self.whole:
            counts = weight.astype(np.int64)
            if (counts != weight).any() or (counts < 1).any() or (counts > MOST_REPEATS).any():
                raise ProtocolError(f"weights that are not whole, 1 to {MOST_REPEATS}, were said to be")
            return counts
        units = np.ldexp(weight.astype(np.float64), self.bits - self.exponent)
        return np.clip(np.rint(units), 1, 1 << self.bits).astype(np.int64)

    def mass(self, weight: NDArray[np.float32]) -> int:
        """The count of rows of these weights together where no row counts by itself; 0 where none weighs anything."""
        if self.whole:
            return int(weight.astype(np.int64).sum())
        return round(math.ldexp(math.fsum(weight.tolist()), self.bits - self.exponent))

    @property
    def most(self) -> int:
        """The most that a row counts."""
        return 1 << self.exponent if self.whole else 1 << self.bits
