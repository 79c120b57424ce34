"""A silo's state of an evaluation set while trees are boosted: bins and margins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import numbers_of, places_of
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.silo.binning import bin_table
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.margins import Floats, Ranges
from fedtrees.trees.silo.terms import Terms

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class EvaluationSet:
    """The bins and margins of one evaluation set. They are built when they are first asked for.

    Law: a function of the table and the run's facts; see `core.protocol.silo.Silo`.
    """

    def __init__(self, silo: SiloRows, table: Table, terms: Terms, cuts: Cuts, margin: Floats):
        self.table = table
        self.objective = terms.objective
        self.target = numbers_of(table, silo.open_above) if terms.labels is None else places_of(table, terms.labels)
        self.bins = bin_table(table, cuts, silo.threads, trained=False)
        self.margin = margin
        self.parallel = terms.parallel
        self.rounds = 0  # whose leaves the margins hold

    def catch_up(self, silo: SiloRows, forest: list[FinishedRound]) -> None:
        """Add the trees that the margins do not hold yet, in order."""
        everything = np.array([[0, self.table.n_rows]], np.int64)
        for shapes, values, _ in forest[self.rounds :]:
            # the loop's variables are bound as defaults: each function has its round's trees
            def add(piece: Ranges, shapes: list[Shape] = shapes, values: list[Floats] = values) -> None:
                # finished trees are walked once, so that positions are not kept
                node = np.zeros(self.table.n_rows, np.uint32)
                for k, (shape, value) in enumerate(zip(shapes, values, strict=True)):
                    margin = self.margin[k // self.parallel]
                    histogram_kernels.to_root(node[None], piece)
                    levels = shape.levels_below(None)
                    histogram_kernels.add_leaves(self.bins, node, piece, levels, shape.walk(self.bins), value, margin)

            silo.threads.map(add, pieces(everything, silo.threads.n))
        self.rounds = len(forest)
