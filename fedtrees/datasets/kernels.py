"""The kernel of partitions' measures. IN: read; OUT: written."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit

HALF = np.uint64(32)
LOWER = np.uint64(2**32 - 1)


@njit(nogil=True, cache=True)
def kolmogorov(cells, rows, seen, largest):
    """Compare each silo's distribution of a feature with that of all rows.

    Parameters
    ----------
    cells : IN, uint64 (rows,)
        Ascending: a key that sorts as the value does, in the upper half, and the silo in the lower.
    rows : IN, int64 (silos,)
        How many rows each silo has.
    seen : OUT, int64 (silos,)
        Room to count in.
    largest : OUT, int64 (silos,)
        The largest distance of the two distribution functions, times the rows of the silo, times those of all.
    """
    n = len(cells)
    seen[:] = 0
    largest[:] = 0
    start = 0
    while start < n:
        end = start + 1
        while end < n and cells[end] >> HALF == cells[start] >> HALF:
            end += 1
        # between values of its own a silo's function is level and the other rises: the ends are the farthest apart
        for i in range(start, end):
            silo = np.int64(cells[i] & LOWER)
            largest[silo] = max(largest[silo], abs(seen[silo] * n - start * rows[silo]))
        for i in range(start, end):
            seen[np.int64(cells[i] & LOWER)] += 1
        for i in range(start, end):
            silo = np.int64(cells[i] & LOWER)
            largest[silo] = max(largest[silo], abs(seen[silo] * n - end * rows[silo]))
        start = end
