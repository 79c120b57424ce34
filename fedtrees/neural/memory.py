"""A silo's memory from round to round, of methods that need one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Memory:
    """One silo's vector, as it was before a round and after it.

    Law: a round that is asked for twice gets the same answer twice, as it starts from the same vector.
    """

    def __init__(self) -> None:
        self._round = -1
        self._before: Floats | None = None
        self._after: Floats | None = None

    def enter(self, round: int) -> Memory:
        """Take part in a round, perhaps once more."""
        if round != self._round:
            self._round, self._before = round, self._after
        return self

    def recall(self, size: int) -> Floats:
        """The vector of the last round before this one; zeros where there was none."""
        return np.zeros(size, np.float32) if self._before is None else self._before

    def keep(self, vector: Floats) -> None:
        """Keep a vector for the next round."""
        self._after = vector
