"""Ranges of rows, cut into pieces for threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def pieces(ranges: NDArray[np.int64], n: int) -> list[NDArray[np.int64]]:
    """Cut ranges of rows into at most ``n`` lists of ranges with about as many rows each.

    Examples
    --------
    >>> [piece.tolist() for piece in pieces(np.array([[0, 4], [6, 8]]), 2)]
    [[[0, 3]], [[3, 4], [6, 8]]]
    """
    lengths = ranges[:, 1] - ranges[:, 0]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    marks = np.unique([total * k // n for k in range(n + 1)])
    cut = []
    for a, b in pairwise(marks):
        first, last = np.searchsorted(ends, [a, b - 1], side="right")
        piece = ranges[first : last + 1].copy()
        piece[0, 0] += a - (ends[first] - lengths[first])
        piece[-1, 1] -= ends[last] - b
        cut.append(piece)
    return cut
