"""The order-preserving key of a float32: a uint32 that sorts as the float does.

It is 2**31 plus or minus the bits of the magnitude. Both zeros share a key, as they are equal under ``<``, and round
numbers of either sign begin a bucket of keys. The kernels have naive twins in the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.compiled import njit

KEY_BITS = 32
SIGN = np.uint32(0x80000000)
MAGNITUDE = np.uint32(0x7FFFFFFF)
INFINITY = np.uint32(0x7F800000)
BLOCK = 2048  # rows a block: its values stay in the second-level cache while its features are walked


@njit(nogil=True, cache=True, inline="always")
def key_of(bits):
    """The key of a float32 given as its bits; not for NaN."""
    return np.uint32(SIGN - (bits & MAGNITUDE)) if bits & SIGN else bits | SIGN


@njit(nogil=True, cache=True, inline="always")
def is_missing(bits):
    """Return whether these are the bits of a NaN."""
    return (bits & MAGNITUDE) > INFINITY


def shift_of(rows: int) -> np.uint32:
    """The shift of keys for a lookup table of their upper bits: a small table does not pay for a large one."""
    return np.uint32(16 if rows > 2**17 else 20)


def float_of(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """The floats that have these keys."""
    keys = keys.astype(np.uint32)
    return np.where(keys & SIGN, keys ^ SIGN, -keys).astype(np.uint32).view(np.float32)
