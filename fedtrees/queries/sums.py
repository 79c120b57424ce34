"""Exact sums of floats, whatever their size, as integers: no grid need be agreed on beforehand.

A float32 is a whole number of 24 bits times a power of two. Added up by their powers, the whole numbers are counts like
any other: the sum is the same for every partition and order, and no rounding happens before its end.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector

MANTISSA_BITS = 24
LOWEST = -149  # every float32 is a whole multiple of 2 ** -149
N_POWERS = 278 - MANTISSA_BITS + 1
N_PLACES = N_POWERS + 3  # behind the powers: counts of infinity, minus infinity, and NaN


def sums_by_power(values: NDArray[np.float32]) -> Vector:
    """The sum of float32 values as whole numbers, one for each power of two, and counts of those that are not finite.

    Law: the result of all rows is the sum of the results of any parts of them.

    Parameters
    ----------
    values : float32 (rows,)

    Returns
    -------
    int64 (N_PLACES,)

    Examples
    --------
    >>> restore_sum(sums_by_power(np.float32([0.5, 1e30, -1e30, 0.25])))
    0.75
    """
    odd = ~np.isfinite(values)
    strange, values = values[odd], values[~odd].astype(np.float64)
    mantissa, exponent = np.frexp(values)
    power = np.maximum(exponent - MANTISSA_BITS, LOWEST) - LOWEST
    whole = np.ldexp(mantissa, exponent - LOWEST - power)
    # float64 adds whole numbers below 2**53 without rounding: that is half a billion rows
    sums = np.bincount(power, weights=whole, minlength=N_POWERS).astype(np.int64)
    counts = [np.count_nonzero(kind) for kind in (strange == np.inf, strange == -np.inf, np.isnan(strange))]
    return np.concatenate([sums, counts]).astype(np.int64)


def sums_by_power_of(values: NDArray[np.float32], group: NDArray[np.integer], groups: int) -> Vector:
    """`sums_by_power` of each group's finite values, int64 (groups, N_PLACES)."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    power = np.maximum(exponent - MANTISSA_BITS, LOWEST) - LOWEST
    whole = np.ldexp(mantissa, exponent - LOWEST - power)
    sums = np.bincount(group * N_PLACES + power, weights=whole, minlength=groups * N_PLACES)
    return sums.astype(np.int64).reshape(groups, N_PLACES)


def restore_sum(total: Vector) -> float:
    """The real number that sums by power stand for, rounded once; infinite or NaN where a term was."""
    infinite, minus_infinite, nan = total[N_POWERS:].tolist()
    if nan or (infinite and minus_infinite):
        return math.nan
    if infinite or minus_infinite:
        return math.inf if infinite else -math.inf
    return math.fsum(math.ldexp(int(whole), power + LOWEST) for power, whole in enumerate(total[:N_POWERS]) if whole)


def bound_of_sums(rows: int) -> int:
    """The largest magnitude of an integer of `sums_by_power` over so many rows."""
    return rows << MANTISSA_BITS
