"""The gradient scale: the powers of two that rows' gradients and hessians are whole numbers of."""

from __future__ import annotations

import math
from typing import NamedTuple

from fedtrees.core.numeric.fixed_point import WORD_BITS
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G, STATISTIC_BITS_H

MOST_EXTRA = 2 * STATISTIC_BITS_G  # three words together hold more than a float64 has


def further_digits(extra: int) -> tuple[int, ...]:
    """Return the digits that go to each word after the first.

    Examples
    --------
    >>> further_digits(0), further_digits(7), further_digits(34)
    ((), (7,), (19, 15))
    """
    whole, rest = divmod(max(extra, 0), STATISTIC_BITS_G)
    return (STATISTIC_BITS_G,) * whole + ((rest,) if rest else ())


def room_of(rows: int) -> int:
    """Return the digits beyond one word's that the sums of so many rows have room for."""
    return max(0, min(MOST_EXTRA, WORD_BITS - STATISTIC_BITS_H - max(rows, 1).bit_length()))


class GradientScale(NamedTuple):
    """Powers of two that bound a row's gradient and hessian, and the number of their digits.

    Attributes
    ----------
    g, h : int
        Every gradient is at most ``2 ** g``, every hessian at most ``2 ** h``.
    extra : int
        Digits beyond those that one packed word holds; they go to further words. Below 0, so many fewer: where rows are
        counted, integers need none.

    Examples
    --------
    >>> GradientScale(g=0, h=-2).scales() == (2.0**19, 2.0**22)
    True
    """

    g: int
    h: int
    extra: int = 0

    def scales(self) -> tuple[float, float]:
        """Factors of gradients and of hessians before they are rounded."""
        return (
            math.ldexp(1.0, STATISTIC_BITS_G + self.extra - self.g),
            math.ldexp(1.0, STATISTIC_BITS_H + self.extra - self.h),
        )

    def bits(self) -> int:
        """The number of bits: a quantised gradient or hessian is at most ``2 ** bits``."""
        return STATISTIC_BITS_H + self.extra

    @property
    def further(self) -> tuple[int, ...]:
        """The digits that go to each further word, the higher ones first."""
        return further_digits(self.extra)
