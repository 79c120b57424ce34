"""Bins of time that a silo's rows fall in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEY_BITS = 31  # of a float32 that is not negative: its bits sort as it does


def time_keys(y: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return times as whole numbers that sort as they do; a negative one is a time until which there was no event."""
    return np.abs(y).astype(np.float32).view(np.uint32)


def bins_of(y: NDArray[np.float32], starts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the bin that each time falls in; times before the first bin are in it."""
    return np.maximum(np.searchsorted(starts, time_keys(y), side="right") - 1, 0)
