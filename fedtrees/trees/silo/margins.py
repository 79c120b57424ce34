"""A silo's margins: the initial ones, and those with the finished trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.errors import DataError, ProtocolError
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.losses import Reweighed
from fedtrees.trees.model.value_trees import ValueTrees
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.positions import Positions
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.silo_rows import SiloRows

Ranges = NDArray[np.int64]
Floats = NDArray[np.float32]


class Margins:
    """The margins of the rows that trees are grown on.

    Law: a function of the table and the facts, whenever rows are brought up to date.

    Attributes
    ----------
    values : float32 (outputs, rows)
        As of the rounds that rows were last brought up to; of a loss that reweighs, the logarithms of what their
        weights are multiplied by.
    """

    def __init__(
        self, start: Floats, silos: int, rows: TrainingRows, positions: Positions, forest: list[FinishedRound]
    ):
        self.values = start
        self._rows, self._positions, self._forest = rows, positions, forest
        self._rounds = np.zeros(silos, np.int64)  # that the margins of each silo in the table hold

    def catch_up(self, silo: SiloRows) -> None:
        """Add the trees that the margins of the silos asked do not hold yet, in order."""
        asked, last = silo.silos_asked, len(self._forest) - 1
        if not len(asked) or (self._rounds[asked] > last).all():
            return
        # silos that were not in every cohort lag behind: round after round, those that lack its trees add them
        for round in range(int(self._rounds[asked].min()), last + 1):
            behind = asked[self._rounds[asked] == round]
            ranges = _ranges(silo, behind)
            # rows of the round that just ended stand in its leaves already; others walk from the root
            if not self._positions.are_of(round, behind, silo.ranges):
                self._positions.restart(ranges)
            self._add(silo, ranges, self._forest[round])
            self._rounds[behind] = round + 1

    def _add(self, silo: SiloRows, ranges: Ranges, finished: FinishedRound) -> None:
        """Add a round's trees to the margins of some rows."""
        shapes, values, steps = finished
        bins, node = self._rows.bins, self._positions.node
        levels = [self._positions.levels(tree, shape, ranges) for tree, shape in enumerate(shapes)]

        def add(piece: Ranges) -> None:
            if isinstance(self._rows.loss, Reweighed):
                predicted = np.zeros(self.values.shape[1], np.float32)
                walk = shapes[0].walk(bins)
                histogram_kernels.add_leaves(bins, node[0], piece, levels[0], walk, values[0], predicted)
                self._rows.loss.reweigh(predicted, self._rows.target, piece, steps, self.values[0])
                return
            for tree, (shape, value) in enumerate(zip(shapes, values, strict=True)):
                margin = self.values[self._rows.terms.output(tree)]
                histogram_kernels.add_leaves(bins, node[tree], piece, levels[tree], shape.walk(bins), value, margin)

        silo.threads.map(add, pieces(ranges, silo.threads.n))


def start_margin(table: Table, base: Floats, earlier: ValueTrees | None, threads: Threads) -> Floats:
    """Return the initial margins of a table, float32 (outputs, rows): an earlier model's trees are added.

    Raises
    ------
    ProtocolError
        If the earlier model has other outputs.
    """
    margin = first_margin(table, base)
    if earlier is not None:
        if earlier.outputs != len(margin):
            raise ProtocolError("trees of an earlier model of other outputs")
        earlier.add_to(margin, table, threads)
    return margin


def first_margin(table: Table, base: Floats) -> Floats:
    """Return initial margins without any trees, float32 (outputs, rows): a row's base margin where it has one.

    Raises
    ------
    DataError
        If rows have base margins of other outputs than there are.
    """
    margin = np.repeat(base[:, None].astype(np.float32), table.n_rows, axis=1)
    if table.margin is None or not table.n_rows:
        return margin
    if table.margin.shape[1] != len(base):
        given = table.margin.shape[1]
        raise DataError(f"silo {table.names[0]!r}: base_margin has {given} columns for {len(base)} outputs.")
    return np.ascontiguousarray(np.where(np.isnan(table.margin.T), margin, table.margin.T))


def _ranges(silo: SiloRows, silos: NDArray[np.int64]) -> Ranges:
    """Return the rows of some of the silos in a table."""
    starts = silo.table.starts
    if len(silos) == len(silo.table.names):
        return np.array([[0, silo.table.n_rows]], np.int64)
    return np.stack([starts[silos], starts[silos + 1]], axis=1)
