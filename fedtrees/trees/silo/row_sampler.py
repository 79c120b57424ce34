"""Which rows a silo's growing trees draw, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ProtocolError
from fedtrees.queries.counts import pieces
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.losses import Target
from fedtrees.trees.silo.row_sampling import keys_of
from fedtrees.trees.silo.terms import Terms

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.trees.silo.state import TreeState

Ranges = NDArray[np.int64]


class RowSampler:
    """Draws of rows by their ids.

    Law: a row's draws follow from its id, the tree's number and the seed alone, wherever the row lies.
    """

    def __init__(self, table: Table, terms: Terms, target: NDArray[np.float32]):
        self._shares = terms.shares()
        self._ids = table.row_ids() if self._shares.size else None
        by_class = len(self._shares) > 1
        self._class = target.astype(np.uint16) if by_class else np.zeros(0, np.uint16)
        # of the round that grows, by tree, and which round that is, of which rows
        self._times: dict[int, NDArray[np.uint8]] = {}
        self._round, self._ranges = -1, np.zeros((0, 2), np.int64)

    @property
    def draws(self) -> bool:
        """Whether trees draw rows at all."""
        return self._ids is not None

    @property
    def most(self) -> int:
        """How often a row is drawn at the most."""
        return max(1, int(self._shares.shape[1]))

    def begin(self, round: int, ranges: Ranges) -> None:
        """Forget the draws of another round, or of other rows, before threads ask for those of this one."""
        if round != self._round or ranges is not self._ranges:
            self._times, self._round, self._ranges = {}, round, ranges

    def times(self, state: TreeState, silo: Silo, tree: int) -> NDArray[np.uint8]:
        """Return the number of times a round's tree draws each row; empty where all count once."""
        if self._ids is None:
            return np.zeros(0, np.uint8)
        if tree not in self._times:
            once = np.ones(len(self._ids), np.int64)
            # by one thread: it is one of many that each have a tree
            self._times[tree] = self.drawn(state, silo, tree, once, parts=[silo.ranges]).astype(np.uint8)
        return self._times[tree]

    def times_of_trees(self, state: TreeState, silo: Silo, trees: int) -> Iterator[Vector]:
        """Yield how often each of the coming round's trees draws each row: int64 (rows,)."""
        if trees != state.terms.parallel or self._ids is None:
            raise ProtocolError("draws were asked for of other trees than those that grow")
        for tree in range(trees):
            yield self.drawn(state, silo, tree, np.ones(len(self._ids), np.int64))

    def drawn(
        self, state: TreeState, silo: Silo, tree: int, words: Vector, parts: list[Ranges] | None = None
    ) -> Vector:
        """Return the words of rows as often as the growing round's tree draws them, 0 for others: int64 (rows,)."""
        terms = state.terms
        if isinstance(state.loss, Target) and state.loss.shares_splits:
            tree %= terms.parallel
        keys = keys_of(terms.seed, terms.trees_before + tree, terms.rounds_before + len(state.forest))
        out = np.zeros(len(words), np.int64)

        def draw(piece: Ranges) -> None:
            sampling_kernels.draw(words, self._ids, piece, keys, self._shares, self._class, out)

        silo.threads.map(draw, pieces(silo.ranges, silo.threads.n) if parts is None else parts)
        return out
