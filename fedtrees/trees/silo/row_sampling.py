"""Draws of rows by growing trees: each row's follow from its id, the tree and the seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record
from fedtrees.core.data.row_ids import MOST_DRAWS, poisson_shares
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.rng import stream
from fedtrees.errors import ProtocolError
from fedtrees.queries.counts import pieces
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.losses import Target

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.protocol.silo_rows import SiloRows
    from fedtrees.trees.silo.state import TreeState
    from fedtrees.trees.silo.terms import Terms

Ranges = NDArray[np.int64]

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


class RowSampler:
    """A silo's draws of rows by their ids.

    Law: a row's draws follow from its id, the tree's number and the seed alone, wherever the row lies.
    """

    def __init__(self, table: Table, terms: Terms, target: NDArray[np.float32]):
        self._shares = terms.shares()
        self._ids = table.row_ids() if self._shares.size else None
        by_class = len(self._shares) > 1
        self._class = target.astype(np.uint16) if by_class else np.zeros(0, np.uint16)
        # draws of the round that grows, by tree; which round that is, and of which rows
        self._times: dict[int, NDArray[np.uint8]] = {}
        self._round, self._ranges = -1, np.zeros((0, 2), np.int64)

    @property
    def draws(self) -> bool:
        """Return whether trees draw rows at all."""
        return self._ids is not None

    @property
    def most(self) -> int:
        """The number of times that a row is drawn at the most."""
        return max(1, int(self._shares.shape[1]))

    def begin(self, round: int, ranges: Ranges) -> None:
        """Forget the draws of another round, or of other rows, before threads ask for those of this one."""
        if round != self._round or ranges is not self._ranges:
            self._times, self._round, self._ranges = {}, round, ranges

    def times(self, state: TreeState, silo: SiloRows, tree: int) -> NDArray[np.uint8]:
        """Return the number of times a round's tree draws each row; empty where all count once."""
        if self._ids is None:
            return np.zeros(0, np.uint8)
        if tree not in self._times:
            once = np.ones(len(self._ids), np.int64)
            # by one thread: it is one of many that each have a tree
            self._times[tree] = self.drawn(state, silo, tree, once, parts=[silo.ranges]).astype(np.uint8)
        return self._times[tree]

    def times_of_trees(self, state: TreeState, silo: SiloRows, trees: int) -> Iterator[Vector]:
        """Yield the number of times that each of the coming round's trees draws each row: int64 (rows,)."""
        if trees != state.terms.parallel or self._ids is None:
            raise ProtocolError("draws were asked for of other trees than those that grow")
        for tree in range(trees):
            yield self.drawn(state, silo, tree, np.ones(len(self._ids), np.int64))

    def drawn(
        self, state: TreeState, silo: SiloRows, tree: int, words: Vector, parts: list[Ranges] | None = None
    ) -> Vector:
        """Return rows' words times the draws of the growing round's tree, 0 for rows not drawn: int64 (rows,)."""
        terms = state.terms
        if isinstance(state.loss, Target) and state.loss.shares_splits:
            tree %= terms.parallel  # the trees of one place draw the same rows in every output
        keys = keys_of(terms.seed, terms.trees_before + tree, terms.rounds_before + len(state.forest))
        out = np.zeros(len(words), np.int64)

        def draw(piece: Ranges) -> None:
            sampling_kernels.draw(words, self._ids, piece, keys, self._shares, self._class, out)

        silo.threads.map(draw, pieces(silo.ranges, silo.threads.n) if parts is None else parts)
        return out
