"""The state of a silo that grows trees by itself: its margins, and its rows in the form of XGBoost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.bagging.local_tree import LocalTree, read_trees
from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.record import Record
from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import numbers_of, places_of
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.state import State
from fedtrees.trees.server.constraints import directions
from fedtrees.trees.silo.margins import first_margin

if TYPE_CHECKING:
    import xgboost

    from fedtrees.core.protocol.silo_rows import SiloRows
    from fedtrees.trees.messages.earlier_model import EarlierModel


class AloneTerms(Record, frozen=True, eq=False):
    """Terms on which silos grow trees by themselves.

    Parameters
    ----------
    labels : list, optional
        The agreed class labels.
    base_margin : float32 (outputs,)
        The margin of each row before the first tree.
    params : dict
        Of the silo's XGBoost.
    seed : int
    """

    labels: ClassLabels | None
    base_margin: NDArray[np.float32]
    params: dict[str, Any]
    seed: int


class GrowingAlone(State):
    """Margins of a silo's rows, float32 (outputs, rows); of several silos, those of each.

    Law: a function of the table and the run's facts; see `core.protocol.silo.Silo`.

    Attributes
    ----------
    margin : float32 (outputs, rows)
    """

    begins = "silos began to grow any"

    def __init__(self, silo: SiloRows, begin: AloneTerms):
        self.begin = begin
        self.target = silo.targets(begin.labels)
        self.weight = silo.weights()
        self.margin = first_margin(silo.table, begin.base_margin)
        self.joined: list[EarlierModel] = []
        self.direction = directions(begin.params.get("monotone_constraints"), silo.table.schema.names)
        self._matrices: dict[int, xgboost.QuantileDMatrix] = {}  # by silo: binned once
        # by evaluation set: the number of joined rounds that its margins hold, and these
        self._evaluated: dict[int, tuple[int, NDArray[np.float32]]] = {}

    def join(self, silo: SiloRows, trees: EarlierModel) -> None:
        """Add a round's trees to all margins."""
        self.joined.append(trees)
        trees.add_to(self.margin, silo.table, silo.threads)

    def grow(self, silo: SiloRows, place: int, round: int, learning_rate: float) -> list[list[LocalTree]]:
        """Train XGBoost on the silo's rows for a round, from their margins: trees by output."""
        import xgboost

        rows = slice(*silo.table.starts[place : place + 2])
        if place not in self._matrices:
            self._matrices[place] = self._matrix(silo, rows)
        matrix = self._matrices[place]
        matrix.set_base_margin(np.ascontiguousarray(self.margin[:, rows].T))
        seed = int(stream(self.begin.seed, "local trees", round, silo.table.names[place]).integers(2**31 - 1))
        params = {
            **self.begin.params, "learning_rate": learning_rate, "seed": seed, "nthread": silo.threads.n,
            "verbosity": 0,
        }  # fmt: skip
        grown = read_trees(xgboost.train(params, matrix, 1))
        # XGBoost's leaves that are quantiles keep to no constraint
        return [[tree.in_order(self.direction) for tree in of_output] for of_output in grown]

    def _matrix(self, silo: SiloRows, rows: slice) -> xgboost.QuantileDMatrix:
        import xgboost

        table = silo.table
        X = table.X[rows] if table.order is None else table.X[table.order[rows]]
        weight = None if self.weight is None else self.weight[rows]
        bins = int(self.begin.params.get("max_bin", 256))
        return xgboost.QuantileDMatrix(X, self.target[rows], weight=weight, max_bin=bins, nthread=silo.threads.n)

    def evaluated(self, silo: SiloRows, place: int, table: Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Margins and targets of an evaluation set, float32 (outputs, rows) and (rows,) or (rows, targets)."""
        rounds, margin = self._evaluated.get(place, (0, None))
        if margin is None:
            margin = first_margin(table, self.begin.base_margin)
        for trees in self.joined[rounds:]:
            trees.add_to(margin, table, silo.threads)
        self._evaluated[place] = len(self.joined), margin
        labels = self.begin.labels
        return margin, numbers_of(table) if labels is None else places_of(table, labels)
