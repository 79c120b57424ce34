"""Exact sums of hazards as whole numbers: e to a margin spans more than a word, so each is several digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.queries import metric_kernels as kernels

MOST_BINS = 4096  # of time
LOWEST = kernels.LOWEST_POWER  # hazards are whole multiples of 2 to this
LIMBS = kernels.LIMBS  # digits of 32 bits


def hazard_limbs(
    margin: NDArray[np.float32],
    y: NDArray[np.float32],
    weight: NDArray[np.float32],
    bins: NDArray[np.int64],
    n_bins: int,
) -> Vector:
    """The sums of weights times e to the margins in each bin, and of the weights of events, int64 (2, bins, LIMBS).

    Law: the result of all rows is the sum of the results of any parts of them.

    Parameters
    ----------
    margin, y : float32 (rows,)
        An event is a y above 0. Margins count as 80 beyond it, either way.
    weight : float32 (rows,) or (1,)
    bins : int64 (rows,)
    n_bins : int
    """
    out = np.zeros((2, n_bins, LIMBS), np.int64)
    kernels.add_hazards(margin, y, weight, bins, out)
    return out


def restore_limbs(limbs: Vector) -> list[Fraction]:
    """The numbers that digits stand for, exactly: (bins, LIMBS) IN."""
    unit = Fraction(2) ** LOWEST
    return [sum(int(digit) << (32 * place) for place, digit in enumerate(digits)) * unit for digits in limbs]


def bound_of_limbs(rows: int) -> int:
    """The largest of the digits over so many rows: four pieces of 32 bits each."""
    return rows << 34
