"""Large memory that is used again."""

from __future__ import annotations

import sys

import numpy as np

from fedtrees.core.numeric.fixed_point import Vector


class Reused:
    """Gives the same memory again once nobody holds it: to take fresh memory costs the system more than sums do.

    Law: no two arrays that anybody holds share memory, whatever views of them are held.

    Examples
    --------
    >>> memory = Reused()
    >>> first = memory.take(3)
    >>> np.shares_memory(first, memory.take(3))
    False
    """

    def __init__(self) -> None:
        self._renew(0)

    def _renew(self, size: int) -> None:
        self._memory = np.empty(size, np.int64)
        self._alone = sys.getrefcount(self._memory)

    def take(self, size: int) -> Vector:
        """So many integers, whatever they are: int64 (size,)."""
        # an array holds what it is a view of, and so does each view of a view
        if len(self._memory) < size or sys.getrefcount(self._memory) > self._alone:
            self._renew(size)
        return self._memory[:size]
