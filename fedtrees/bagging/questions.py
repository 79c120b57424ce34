"""Queries of bagging: the trees that silos grow in a round, and metrics of the joined ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.bagging.growing_alone import GrowingAlone
from fedtrees.bagging.local_tree import FIELDS, to_integers
from fedtrees.core.data.table import Table, of_rows
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.metric import Rows
from fedtrees.queries.scores import Scores

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class LocalTrees(Query, frozen=True, eq=False):
    """Trees of one silo, and what its rows count: gathered, as no sum of trees is a tree.

    Parameters
    ----------
    model_round : int
        The round of training, a part of the key of the silo's random draws.
    learning_rate : float
    trees : int
        Trees a silo grows in a round, of all outputs.
    most_nodes : int
        Nodes of a tree at the most.
    mass : int
        What the rows of all silos count.
    """

    model_round: int
    learning_rate: float
    trees: int
    most_nodes: int
    mass: int

    partial: ClassVar[bool] = True  # the trees of those that answer

    def size(self) -> int:
        """See `Query`."""
        return self.trees * (1 + FIELDS * self.most_nodes) + 1

    def bound(self) -> int:
        """See `Query`."""
        return max(2**32 - 1, self.mass)

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(GrowingAlone, "trees were asked for")
        (place,) = silo.silos_asked.tolist()
        mass, out = silo.mass(place), np.zeros(self.size(), np.int64)
        if mass:
            grown = state.grow(silo, place, self.model_round, self.learning_rate)
            trees = [tree for of_output in grown for tree in of_output]
            if len(trees) != self.trees or any(len(tree.feature) > self.most_nodes for tree in trees):
                raise ProtocolError(f"{len(trees)} trees were grown, or larger ones than there is room for")
            out[:-1], out[-1] = to_integers(trees, self.most_nodes), mass
        return out

    def read(self, total: Vector) -> Vector:
        """The integers as they are: their sum has no meaning, only each silo's."""
        return total


class JoinedScores(Scores, frozen=True, eq=False):
    """Metrics of the joined trees on one evaluation set."""

    def rows_of(self, silo: SiloRows, table: Table, asked: NDArray[np.int64]) -> Rows:
        """See `Scores`."""
        state = silo.state_of(GrowingAlone, "scores of trees were asked for")
        objective = str(state.begin.params["objective"])
        self.check_metrics(objective)
        margin, target = state.evaluated(silo, self.place, table)
        margin, target, weight = margin[:, asked], target[asked], of_rows(table.weight, asked)
        if target.ndim == 2:  # every target of a row counts as a row, as in XGBoost
            weight = None if weight is None else np.tile(weight, len(margin))
            margin, target = margin.reshape(1, -1), target.T.ravel()
        return Rows(objective, margin, target, weight, self.weight_exponent, state.begin.params)
