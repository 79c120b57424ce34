"""The grid that rows' gradients and hessians are rounded to."""

from __future__ import annotations

import math
from typing import NamedTuple

from fedtrees.trees.kernels import STATISTIC_BITS_G, STATISTIC_BITS_H


class Grid(NamedTuple):
    """Powers of two that bound a row's gradient and hessian, and how finely they are told.

    Attributes
    ----------
    g, h : int
        Every gradient is at most ``2 ** g``, every hessian at most ``2 ** h``.
    extra : int
        Digits beyond those that one packed word holds; they go to a second word. Below 0, so many fewer: where rows are
        counted, integers need none.

    Examples
    --------
    >>> Grid(g=0, h=-2).scales() == (2.0**19, 2.0**22)
    True
    """

    g: int
    h: int
    extra: int = 0

    def scales(self) -> tuple[float, float]:
        """What gradients and hessians are multiplied by before they are rounded."""
        return (
            math.ldexp(1.0, STATISTIC_BITS_G + self.extra - self.g),
            math.ldexp(1.0, STATISTIC_BITS_H + self.extra - self.h),
        )

    def bits(self) -> int:
        """A quantised gradient or hessian is at most ``2 ** bits``."""
        return STATISTIC_BITS_H + self.extra

    @property
    def second(self) -> int:
        """Digits that go to the second word."""
        return max(self.extra, 0)
