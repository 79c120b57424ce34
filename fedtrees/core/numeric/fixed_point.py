"""Fixed point: numbers as integers on a power-of-two grid that the whole cohort shares.

Rows are quantised before any sum, never sums: an integer sum does not care how its terms are grouped, so the
total is the same for every partition of the same rows. A scale is chosen from an exponent that bounds every
row of the cohort, which is itself found by a sum (`exponent_counts`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import HeadroomError

Vector = NDArray[np.int64]

WORD_BITS = 63  # a signed 64-bit sum
# float32 reaches down to 2**-149; nothing finite lies above 2**128
LOWEST_EXPONENT = -149
HIGHEST_EXPONENT = 128
N_EXPONENTS = HIGHEST_EXPONENT - LOWEST_EXPONENT + 1


def exponent_of(bound: float) -> int:
    """The smallest exponent ``e`` with ``bound <= 2 ** e``; the lowest of all for a bound of zero.

    Examples
    --------
    >>> exponent_of(1.0), exponent_of(1.01), exponent_of(0.25), exponent_of(0.0)
    (0, 1, -2, -149)
    """
    if bound == 0:
        return LOWEST_EXPONENT
    mantissa, exponent = math.frexp(bound)
    return max(LOWEST_EXPONENT, exponent - 1 if mantissa == 0.5 else exponent)


def exponent_counts(values: NDArray[np.floating], times: Vector | None = None) -> Vector:
    """The number of values that need each exponent: their largest magnitude, found by a sum.

    Law: the counts of all rows are the sum of the counts of any parts of them.

    Parameters
    ----------
    values : float (rows,)
    times : int64 (rows,), optional
        How often each value counts, below ``2 ** 53`` together; once by default.

    Returns
    -------
    int64 (N_EXPONENTS,)
        Rows by the smallest ``e`` with ``|value| <= 2 ** e``, from ``LOWEST_EXPONENT`` on.

    Raises
    ------
    HeadroomError
        For a value that is not finite, or beyond ``2 ** HIGHEST_EXPONENT``.
    """
    mantissa, exponent = np.frexp(values)
    exponent = np.where(np.abs(mantissa) == 0.5, exponent - 1, exponent)
    exponent = np.where(values == 0, LOWEST_EXPONENT, exponent)
    if exponent.max(initial=LOWEST_EXPONENT) > HIGHEST_EXPONENT or not np.isfinite(mantissa).all():
        raise beyond_exponents()
    place = np.maximum(exponent, LOWEST_EXPONENT) - LOWEST_EXPONENT
    return np.bincount(place, times, minlength=N_EXPONENTS).astype(np.int64)


def beyond_exponents() -> HeadroomError:
    """The error for a number that has no exponent here."""
    return HeadroomError(
        f"a target or gradient, times its sample weight, is beyond 2**{HIGHEST_EXPONENT}; scale y or weights down."
    )


def largest_exponent(counts: Vector) -> int:
    """The exponent that bounds every row counted; the lowest of all where there is none."""
    (present,) = np.nonzero(counts)
    return int(present[-1]) + LOWEST_EXPONENT if len(present) else LOWEST_EXPONENT


def smallest_exponent(counts: Vector) -> int:
    """The exponent of the smallest of the rows counted that are not zero; the largest of all where there is none."""
    (present,) = np.nonzero(counts[1:])
    return int(present[0]) + 1 + LOWEST_EXPONENT if len(present) else HIGHEST_EXPONENT


def middle_exponent(counts: Vector) -> int:
    """The exponent that bounds half of the rows counted, zeros included."""
    upto = np.cumsum(counts)
    return int(np.searchsorted(upto, (upto[-1] + 1) // 2)) + LOWEST_EXPONENT if upto[-1] else LOWEST_EXPONENT


def headroom_bits(bound: int, terms: int, what: str) -> int:
    """Bits, sign included, that hold any sum of ``terms`` integers of magnitude up to ``bound``.

    Raises
    ------
    HeadroomError
        If that is more than a 64-bit word holds. Nothing ever wraps.

    Examples
    --------
    >>> headroom_bits(1, 1000, "counts"), headroom_bits(2**20, 1_000_000, "histograms")
    (11, 41)
    """
    bits = (int(bound) * max(int(terms), 1)).bit_length() + 1
    if bits > WORD_BITS + 1:
        raise HeadroomError(
            f"{what}: {terms} terms of up to {bound} need {bits} bits and a sum has {WORD_BITS + 1}; "
            "use fewer rows or a coarser step."
        )
    return bits


def step_bits(terms: int, most: int = 52) -> int:
    """Bits a row of the finest grid that leaves room for a sum of so many rows in 64 bits, ``most`` at the most."""
    return min(most, WORD_BITS - max(int(terms), 1).bit_length())


def quantise(values: NDArray[np.floating], exponent: int, bits: int) -> Vector:
    """Round to the grid of ``2 ** (exponent - bits)``, ties to even.

    Law: it acts on each row by itself, so quantising commutes with any partition of the rows.

    Parameters
    ----------
    values : float (rows,)
        With magnitude at most ``2 ** exponent``.
    exponent, bits : int

    Returns
    -------
    int64 (rows,)
        With magnitude at most ``2 ** bits``.

    Examples
    --------
    >>> quantise(np.array([1.0, -0.5, 0.1]), exponent=0, bits=4)
    array([16, -8,  2])
    """
    return np.rint(np.ldexp(values.astype(np.float64), bits - exponent)).astype(np.int64)


def restore(total: int | np.integer, exponent: int, bits: int) -> float:
    """The real number that a sum of quantised values stands for."""
    return math.ldexp(int(total), exponent - bits)


def pack(vector: Vector, width: int) -> bytes:
    """Write integers as little-endian two's complement of ``width`` bytes each.

    The width is the same for every silo of a round, whatever it holds: a message's length discloses nothing.

    Examples
    --------
    >>> pack(np.array([1, -1]), width=3).hex()
    '010000ffffff'
    """
    words = np.ascontiguousarray(vector, dtype="<i8")
    return words.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


def unpack(data: bytes, width: int) -> Vector:
    """Read what `pack` wrote.

    Examples
    --------
    >>> unpack(bytes.fromhex("010000ffffff"), width=3)
    array([ 1, -1])
    """
    narrow = np.frombuffer(data, np.uint8).reshape(-1, width)
    wide = np.zeros((len(narrow), 8), np.uint8)
    wide[:, :width] = narrow
    shift = 64 - 8 * width
    return (wide.view("<i8").ravel() << shift) >> shift  # the arithmetic shift brings the sign back
