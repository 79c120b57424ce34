"""Draws of rows by growing trees: each row's follow from its id, the tree and the seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.losses import Target
from fedtrees.trees.model.row_draws import keys_of
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.protocol.silo_rows import SiloRows

Ranges = NDArray[np.int64]


class RowSampler:
    """A silo's draws of rows by their ids.

    Law: a row's draws follow from its id, the tree's number and the seed alone, wherever the row lies.
    """

    def __init__(self, table: Table, rows: TrainingRows, forest: list[FinishedRound]):
        self._rows, self._forest = rows, forest
        self._shares = rows.terms.shares()
        self._ids = table.row_ids() if self._shares.size else None
        by_class = len(self._shares) > 1
        self._class = rows.target.astype(np.uint16) if by_class else np.zeros(0, np.uint16)
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

    def times(self, silo: SiloRows, tree: int) -> NDArray[np.uint8]:
        """Return the number of times a round's tree draws each row; empty where all count once."""
        if self._ids is None:
            return np.zeros(0, np.uint8)
        if tree not in self._times:
            once = np.ones(len(self._ids), np.int64)
            # by one thread: it is one of many that each have a tree
            self._times[tree] = self.drawn(silo, tree, once, parts=[silo.ranges]).astype(np.uint8)
        return self._times[tree]

    def times_of_trees(self, silo: SiloRows, trees: int) -> Iterator[Vector]:
        """Yield the number of times that each of the coming round's trees draws each row: int64 (rows,)."""
        if trees != self._rows.terms.parallel or self._ids is None:
            raise ProtocolError("draws were asked for of other trees than those that grow")
        for tree in range(trees):
            yield self.drawn(silo, tree, np.ones(len(self._ids), np.int64))

    def drawn(self, silo: SiloRows, tree: int, words: Vector, parts: list[Ranges] | None = None) -> Vector:
        """Return rows' words times the draws of the growing round's tree, 0 for rows not drawn: int64 (rows,)."""
        terms = self._rows.terms
        if isinstance(self._rows.loss, Target) and self._rows.loss.shares_splits:
            tree %= terms.parallel  # the trees of one place draw the same rows in every output
        keys = keys_of(terms.seed, terms.trees_before + tree, terms.rounds_before + len(self._forest))
        out = np.zeros(len(words), np.int64)

        def draw(piece: Ranges) -> None:
            sampling_kernels.draw(words, self._ids, piece, keys, self._shares, self._class, out)

        silo.threads.map(draw, pieces(silo.ranges, silo.threads.n) if parts is None else parts)
        return out
