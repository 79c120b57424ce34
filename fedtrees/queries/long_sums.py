"""Exact sums of float64 numbers of any size: squares and products of float32 numbers, which float32 would lose.

A sum is one long integer in units of ``2 ** LOWEST``, written as digits that each silo adds up by themselves. Whole
numbers of 24 bits go to the digit that their power of two falls into, so that carries wait until the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector

PIECE_BITS = 24
DIGIT_BITS = 8
LOWEST = -568  # below the square of a subnormal times another one
N_DIGITS = 120  # up to 2 ** 392, above the square of the largest float32 times another one
CHUNK = 1 << 20  # rows whose shifted pieces, of 32 bits, float64 adds without rounding


def long_sums(values: NDArray[np.float64]) -> Vector:
    """The sum of numbers of up to 48 bits, as digits; whatever lies below ``2 ** LOWEST`` is rounded to it.

    Law: the result of all rows is the sum of the results of any parts of them.

    Parameters
    ----------
    values : float64 (rows,)
        Finite, and below ``2 ** 390``.

    Returns
    -------
    int64 (N_DIGITS,)

    Examples
    --------
    >>> from fractions import Fraction
    >>> total = restore_long(long_sums(np.array([1e60, 0.5, -1e60, 2.0**-300])))
    >>> total * Fraction(2) ** LOWEST == Fraction(0.5) + Fraction(2) ** -300
    True
    """
    total = np.zeros(N_DIGITS, np.int64)
    for first in range(0, len(values), CHUNK):
        mantissa, exponent = np.frexp(values[first : first + CHUNK])
        both = np.ldexp(mantissa, PIECE_BITS)
        high = np.trunc(both)
        total += _digits(high, exponent - PIECE_BITS)
        low = np.rint(np.ldexp(both - high, PIECE_BITS))
        if low.any():
            total += _digits(low, exponent - 2 * PIECE_BITS)
    return total


def _digits(whole: NDArray[np.float64], power: NDArray[np.int32]) -> Vector:
    above = power - LOWEST
    whole = np.rint(np.ldexp(whole, np.minimum(above, 0)))
    place, shift = np.divmod(np.maximum(above, 0), DIGIT_BITS)
    return np.bincount(place, weights=np.ldexp(whole, shift), minlength=N_DIGITS).astype(np.int64)


def restore_long(digits: Vector) -> int:
    """The sum that digits stand for, exactly, in units of ``2 ** LOWEST``."""
    return sum(int(digit) << (DIGIT_BITS * place) for place, digit in enumerate(digits) if digit)


def bound_of_long_sums(rows: int) -> int:
    """The largest magnitude of a digit over so many rows: of each, two shifted pieces at the most."""
    return rows << (PIECE_BITS + DIGIT_BITS)
