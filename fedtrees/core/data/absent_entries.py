"""Entries that a sparse matrix does not hold: missing, as XGBoost reads them, or 0, as scikit-learn does.

The estimator that trains decides, and a silo is read before the estimator is chosen. So a table keeps absent
entries apart from all others, in the bits of its own floats: as a NaN that no arithmetic makes while they are missing,
and as minus zero, which is 0 in every comparison, while they are 0. Nothing is copied to go from one to the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MISSING, ZERO = np.uint32(0x7FDA7A5E), np.uint32(0x80000000)
BLOCK = 1 << 20  # entries at a time


def all_absent(shape: tuple[int, int], order: str) -> NDArray[np.float32]:
    """A table without any entry, float32 of this shape and memory order, ``"C"`` or ``"F"``."""
    flat = np.full(shape[0] * shape[1], MISSING, np.uint32).view(np.float32)
    return flat.reshape(shape) if order == "C" else flat.reshape(shape[::-1]).T


def apart_from_absent(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same numbers in bits that no absent entry has; a copy."""
    other = values + np.float32(0)  # minus zero becomes zero
    other[np.isnan(other)] = np.nan
    return other


def take_absent_as(X: NDArray[np.float32], *, zero: bool) -> None:
    """Make the absent entries of sparse rows zero, or missing: in place.

    Law: doing so twice is doing so once, and what was not absent keeps its bits.

    X: float32 (rows, features) IN OUT; all entries but the absent ones are those of `apart_from_absent`

    Examples
    --------
    >>> X = all_absent((1, 2), "C")
    >>> X[0, 0] = 5
    >>> take_absent_as(X, zero=True)
    >>> np.abs(X)
    array([[5., 0.]], dtype=float32)
    >>> take_absent_as(X, zero=False)
    >>> X
    array([[ 5., nan]], dtype=float32)
    """
    old, new = (MISSING, ZERO) if zero else (ZERO, MISSING)
    bits = (X if X.flags.c_contiguous else X.T).view(np.uint32)
    step = max(1, BLOCK // max(1, bits.shape[1]))
    for first in range(0, len(bits), step):
        block = bits[first : first + step]
        block[block == old] = new
