"""Draws of rows that trees grew from: shares of rows, and the keys of random draws."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record
from fedtrees.core.data.row_ids import MOST_DRAWS, poisson_shares
from fedtrees.core.numeric.rng import stream
from fedtrees.errors import ProtocolError

MOST_SHARE = 16  # of the rows, that a tree draws


class RowDraws(Record, frozen=True, eq=False):
    """Draws of trees that grew together: each row as many times as a Poisson variable is large.

    Parameters
    ----------
    trees : int
        The number of trees that drew so.
    seed, round : int
        Of the streams, one for each tree.
    share : float
        The mean of that variable: the share of the rows that a tree draws.
    class_draws : float64 (classes,) or (0,)
        Factors of the mean for the rows of each class; 1 where empty.
    first : int, default 0
        The number in the forest of the first of the trees.
    """

    trees: int
    seed: int
    round: int
    share: float
    class_draws: NDArray[np.float64] = msgspec.field(default_factory=lambda: np.zeros(0))
    first: int = 0

    def shares(self) -> NDArray[np.uint64]:
        """Return the thresholds that rows are drawn by, uint64 (classes or 1, times); see `kernels.sampling.draw`."""
        means = self.share * self.class_draws if len(self.class_draws) else np.array([self.share])
        return np.stack([poisson_shares(mean, most_draws(float(means.max()))) for mean in means.tolist()])

    def keys(self, tree: int) -> NDArray[np.uint64]:
        """See `keys_of`."""
        return keys_of(self.seed, self.first + tree, self.round)

    def check(self, n_labels: int) -> None:
        """Refuse draws that are none, or too many: kernels trust them.

        Raises
        ------
        ProtocolError
        """
        if self.trees < 1 or not 0 < self.share <= MOST_SHARE:
            raise ProtocolError(f"{self.trees} trees a round, of a share of {self.share} of the rows")
        means, most = self.share * self.class_draws, MOST_DRAWS * max(1.0, self.share) * (1 + 1e-9)  # products round
        if len(means) and not (len(means) == n_labels and ((means > 0) & (means <= most)).all()):
            raise ProtocolError(f"rows of {n_labels} classes are drawn as those of {len(means)}, or too often")


def keys_of(seed: int, tree: int, round: int) -> NDArray[np.uint64]:
    """Return the keys that a tree draws its rows by, uint64 (2,)."""
    return stream(seed, f"rows of tree {tree}", round).integers(2**64, size=2, dtype=np.uint64)


def most_draws(mean: float) -> int:
    """Return the number of times a row is drawn at the most: once in a million draws it would be more.

    Examples
    --------
    >>> [most_draws(mean) for mean in (1.0, 4.0, 16.0)]
    [8, 20, 46]
    """
    if mean <= 1:
        return 8
    return 20 if mean <= MOST_DRAWS * (1 + 1e-9) else math.ceil(mean + 6 * math.sqrt(mean) + 6)
